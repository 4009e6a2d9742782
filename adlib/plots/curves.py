"""Lines against something that was varied: the training step, a setting, a share of images."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from adlib.plots.scores import NORMAL

MARKERS = "osD^vPX*<>"


def curves(history: pd.DataFrame, groups: dict[str, list[str]], smooth: int = 15) -> Figure:
    """Losses against the training step, one panel a group, running mean over `smooth` steps.

    Args:
        history: `step` and the logged losses.
        groups: panel title to names of losses; names the history lacks are left out.
        smooth: window of the running mean in steps.
    """
    groups = {title: [n for n in names if n in history] for title, names in groups.items()}
    groups = {title: names for title, names in groups.items() if names}
    figure, axes = plt.subplots(1, len(groups), figsize=(4.2 * len(groups), 3), squeeze=False)
    for ax, (title, names) in zip(axes[0], groups.items(), strict=True):
        for name in names:
            mean = history[name].rolling(smooth, min_periods=1).mean()
            ax.plot(history["step"], mean, label=name.replace("_", " "))
        ax.set_yscale("symlog", linthresh=1)  # losses of either sign over orders of magnitude
        ax.set(title=title, xlabel="training step")
        ax.legend(fontsize="small")
    return figure


def curves_on_test(table: pd.DataFrame) -> Figure:
    """Test metrics against the training step: columns `name`, `x` (the step), `metric`, `value`."""
    wanted = {"auroc": "auROC", "max_balanced_accuracy": "max. balanced accuracy"}
    figure, axes = plt.subplots(1, len(wanted), figsize=(4.4 * len(wanted), 3), sharey=True)
    for ax, (metric, title) in zip(axes, wanted.items(), strict=True):
        rows = table[table.metric == metric]
        sns.lineplot(rows, x="x", y="value", hue="name", style="name", markers=True, ax=ax)
        ax.axhline(0.5, color="black", ls=":", lw=1.2)
        ax.set(title=f"{title} (oracle)", xlabel="training step", ylabel="value on the test images")
        ax.legend(title=None, fontsize="small")
    return figure


def stopping(table: pd.DataFrame) -> Figure:
    """AuROC over a training and where to stop it, one panel a method.

    Args:
        table: columns `name` (the method), `variant`, `x` (the step) and `value`; a variant that
            begins with "step" is a point of the curve, any other a way to pick one.
    """
    table = table.assign(on_the_way=table["variant"].str.startswith("step"))
    picks = list(table.loc[~table["on_the_way"], "variant"].unique())
    sizes = dict(zip(picks, np.linspace(220, 50, len(picks)), strict=True))  # several may coincide
    names = list(table["name"].unique())
    figure, axes = plt.subplots(
        1, len(names), figsize=(3.6 * len(names), 3.2), sharey=True, squeeze=False
    )
    for ax, name in zip(axes[0], names, strict=True):
        rows = table[table["name"] == name]
        curve, picked = rows[rows["on_the_way"]], rows[~rows["on_the_way"]]
        sns.lineplot(curve, x="x", y="value", color=NORMAL, marker=".", ax=ax)
        same = {"hue": "variant", "style": "variant", "size": "variant"}
        orders = {"hue_order": picks, "style_order": picks, "sizes": sizes}
        sns.scatterplot(picked, x="x", y="value", ax=ax, zorder=3, **same, **orders)
        ax.axhline(0.5, color="black", ls=":", lw=1.2)
        ax.set(title=name, xlabel="training step", ylabel="auROC on the test images")
        ax.get_legend().remove()
    handles = {}
    for ax in axes[0]:
        handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=2, fontsize="small")
    return figure


def sweeps(table: pd.DataFrame, label: str) -> Figure:
    """Metric against a setting, one panel a `setting`: columns `x`, `value`, `low`, `high`."""
    groups = list(table.groupby("setting", sort=False))
    size = 4.2 * len(groups), 3
    figure, axes = plt.subplots(1, len(groups), figsize=size, sharey=True, squeeze=False)
    for ax, (setting, rows) in zip(axes[0], groups, strict=True):
        rows = rows.sort_values("x")
        ax.plot(rows.x, rows.value, marker="o", color=NORMAL)
        ax.fill_between(rows.x, rows.low, rows.high, color=NORMAL, alpha=0.2, lw=0)
        ax.axhline(0.5, color="black", ls=":", lw=1.2)
        ax.set(xscale="log", xlabel=setting.replace("_", " "))
        ax.set_xticks(rows.x, [f"{x:g}" for x in rows.x])
        ax.minorticks_off()
    axes[0, 0].set_ylabel(label)
    return figure


def against_share(table: pd.DataFrame, label: str, share: str) -> Figure:
    """Line with intervals for every method.

    Args:
        table: columns `method`, `x` (a share, drawn in percent), `value`, `low`, `high`.
        label: what the vertical axis shows.
        share: what the horizontal axis shows.
    """
    figure, ax = plt.subplots(figsize=(7.6, 4))
    methods = list(table.groupby("method", sort=False))
    step = 100 * table.x.max() / 70  # beside each other, so that no interval hides another
    for i, (method, rows) in enumerate(methods):
        rows = rows.sort_values("x")
        x = 100 * rows.x + step * (i - (len(methods) - 1) / 2)
        error = np.abs([rows.value - rows.low, rows.high - rows.value])
        ax.errorbar(x, rows.value, error, marker=MARKERS[i % len(MARKERS)], capsize=3, label=method)
    ax.axhline(0.5, color="black", ls=":", lw=1.2)
    shares = 100 * np.sort(table.x.unique())
    ax.set_xticks(shares, [f"{x:g}" for x in shares])
    ax.set(xlabel=f"{share} (%)", ylabel=label)
    figure.legend(loc="outside right upper", fontsize="small")
    return figure
