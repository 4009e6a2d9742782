"""Plots of what thresholds promise and what they cost."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure


def promises(table: pd.DataFrame, beta: float) -> Figure:
    """Miss rate and false-alarm rate of every method and rule over the divisions.

    A point is the mean, which a conformal threshold promises; its line runs from the 5 % to the
    95 % quantile of the divisions. Without ties the miss rates of all methods differ by the lot of
    the divisions alone; methods differ in their false alarms.

    Args:
        table: rows of `thresholds.redivided` with columns `method` (one line of the picture) and
            `rule` (one colour and marker), in the order they are drawn.
        beta: promised miss rate, drawn dotted.
    """
    methods, rules = table.method.nunique(), table.rule.unique()
    size = (9.5, 0.75 * methods + 1.6)
    figure, axes = plt.subplots(1, 2, figsize=size, sharey=True, layout="constrained")
    sides = {"miss_rate": "miss rate", "false_alarm_rate": "false-alarm rate"}
    for ax, (column, label) in zip(axes, sides.items(), strict=True):
        sns.pointplot(
            table, x=column, y="method", hue="rule", hue_order=rules, ax=ax, dodge=0.45,
            errorbar=("pi", 90), linestyle="none", capsize=0.1, markersize=6,
            markers=["o", "s", "D", "^", "v", "P"][: len(rules)], err_kws={"linewidth": 1.8},
            palette=sns.color_palette("colorblind", len(rules)), legend=ax is axes[0],
        )  # fmt: skip
        ax.set(xlabel=f"{label} on the test images", ylabel="")
        ax.locator_params(axis="x", nbins=5)
    axes[0].axvline(beta, color="black", ls=":", lw=1.2, label=f"promised: {beta:g}")
    handles, names = axes[0].get_legend_handles_labels()
    axes[0].get_legend().remove()
    figure.legend(handles, names, loc="outside upper center", ncols=3, fontsize="small")
    return figure
