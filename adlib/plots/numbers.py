"""Plots of numbers: scores, metrics, losses, sweeps, embeddings."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

NORMAL, ABNORMAL = "#0173b2", "#d55e00"  # of seaborn's colorblind palette


def score_histograms(
    scores: dict[str, pd.DataFrame], thresholds: dict[str, tuple[float, float]]
) -> Figure:
    """Histogram of the test scores of every method, normal and abnormal, with two thresholds.

    Args:
        scores: method to a table with columns `label`, `score`, `split`.
        thresholds: method to (oracle, deployable), drawn solid and dashed.
    """
    columns = len(scores) if len(scores) < 6 else 3
    lines = -(-len(scores) // columns)
    size = 3.4 * columns, 2.9 * lines
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False)
    for ax in axes.flat[len(scores) :]:
        ax.axis("off")
    for ax, (method, table) in zip(axes.flat, scores.items(), strict=False):
        test = table.query("split == 'test'")
        kinds = test.label.map({0: "normal", 1: "abnormal"})
        sns.histplot(
            x=test.score, hue=kinds, hue_order=["normal", "abnormal"], palette=[NORMAL, ABNORMAL],
            ax=ax, bins=25, stat="density", common_norm=False, element="step", alpha=0.35,
        )  # fmt: skip
        for value, line in zip(thresholds[method], ("-", "--"), strict=True):
            ax.axvline(value, color="black", ls=line, lw=1.2)
        ax.set(title=method, xlabel="anomaly score", ylabel="density" if ax in axes[:, 0] else "")
        ax.set_yticks([])
        if ax.get_legend():
            ax.get_legend().set_title(None)
            if ax is not axes[0, 0]:
                ax.get_legend().remove()
    return figure


def metric_bars(table: pd.DataFrame, label: str, chance: float) -> Figure:
    """Draw a dot with its interval for every row (`method`, `form`, `value`, `low`, `high`).

    Args:
        table: rows in the order they are drawn.
        label: what the horizontal axis shows.
        chance: value of a detector that knows nothing, drawn as a line.
    """
    names = [
        f"{m} ({f})" if f else m for m, f in zip(table.method, table.form.fillna(""), strict=True)
    ]
    size = 4.5 + 0.09 * max(map(len, names)), 0.42 * len(table) + 1.1
    figure, ax = plt.subplots(figsize=size)
    y = np.arange(len(table))[::-1]
    error = np.abs([table.value - table.low, table.high - table.value])
    ax.errorbar(table.value, y, xerr=error, fmt="o", color=NORMAL, capsize=3)
    ax.axvline(chance, color="black", ls=":", lw=1.2)
    ax.set(yticks=y, yticklabels=names, xlabel=label, xlim=(0, 1.02), ylim=(-0.7, len(table) - 0.3))
    return figure


def curves(history: pd.DataFrame, groups: dict[str, list[str]], smooth: int = 15) -> Figure:
    """Losses against the training step, one panel a group, running mean over `smooth` steps.

    Args:
        history: `step` and the logged losses.
        groups: panel title to names of losses; names the history lacks are left out.
        smooth: window of the running mean in steps.
    """
    groups = {t: [n for n in names if n in history] for t, names in groups.items()}
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


def roc_curves(scored: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """ROC curves of several methods, each given as (labels, scores)."""
    figure, ax = plt.subplots(figsize=(4.6, 4.2))
    for method, (labels, scores) in scored.items():
        fpr, tpr, _ = roc_curve(labels, scores)
        ax.plot(fpr, tpr, label=method)
    ax.plot([0, 1], [0, 1], ls=":", color="black", lw=1.2)
    ax.set(xlabel="false-positive rate", ylabel="true-positive rate", aspect="equal")
    ax.legend(fontsize="small", loc="lower right")
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


def log_bars(table: pd.DataFrame, label: str) -> Figure:
    """Bar with its number for every row (`method`, `value`), on a logarithmic axis."""
    figure, ax = plt.subplots(figsize=(6.5, 0.45 * len(table) + 1.1))
    bars = ax.barh(table.method[::-1], table.value[::-1], color=NORMAL)
    ax.bar_label(
        bars, [f"{v:,.0f}" if v >= 100 else f"{v:.3g}" for v in table.value[::-1]], padding=4
    )
    ax.set(xscale="log", xlabel=label)
    ax.margins(x=0.25)
    ax.grid(False, axis="y")
    return figure


def sweeps(table: pd.DataFrame, label: str) -> Figure:
    """Metric against a setting, one panel a `setting`: columns `x`, `value`, `low`, `high`."""
    groups = list(table.groupby("setting", sort=False))
    figure, axes = plt.subplots(
        1, len(groups), figsize=(4.2 * len(groups), 3), sharey=True, squeeze=False
    )
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


def embedding(points: np.ndarray, labels: np.ndarray) -> Figure:
    """Points `(N, 3)` in space, normal (label 0) and abnormal (1), seen from two sides."""
    figure = plt.figure(figsize=(9.5, 4.4))
    for place, turn in ((1, -60), (2, 30)):
        ax = figure.add_subplot(1, 2, place, projection="3d", azim=turn)
        for label, name, color in ((0, "normal", NORMAL), (1, "abnormal", ABNORMAL)):
            ax.scatter(*points[labels == label].T, s=9, color=color, label=name, depthshade=False)
        ax.tick_params(labelbottom=False, labelleft=False)
    ax.legend(fontsize="small", loc="upper right")
    return figure


def pixel_differences(differences: dict[str, np.ndarray]) -> Figure:
    """Histogram of the pixels' differences, averaged over each group's images.

    Args:
        differences: group to `(N, H, W)` in grey levels, 0 to 255.
    """
    figure, ax = plt.subplots(figsize=(6, 3.4))
    bins = np.linspace(0, 255, 52)
    for (group, values), color in zip(differences.items(), (NORMAL, ABNORMAL), strict=False):
        shares = np.histogram(values, bins)[0] / values.size  # images of one size: also their mean
        ax.stairs(shares, bins, label=group, color=color, lw=2)
        ax.axvline(values.mean(), color=color, ls="--", lw=1.2)
    ax.set(
        yscale="log", xlabel="|x - G(z)| in grey levels", ylabel="share of pixels", xlim=(0, 255)
    )
    ax.legend(fontsize="small")
    return figure


def planes(
    panels: dict[str, np.ndarray], extent: tuple[float, float, float, float], columns: int = 4
) -> Figure:
    """Densities and samples in the plane, one panel each, on one scale.

    Args:
        panels: title to a density `(H, W)`, first row at the bottom, or to points `(N, 2)`.
        extent: left, right, bottom, top.
        columns: panels in a line.
    """
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(2.6 * columns, 2.8 * lines),
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    for ax, (title, values) in zip(axes.flat, panels.items(), strict=False):
        if values.shape[1] == 2:
            ax.scatter(*values.T, s=3, color=ABNORMAL, alpha=0.4, lw=0)
        else:
            ax.imshow(values, extent=extent, origin="lower", cmap="Blues", aspect="auto")
        ax.set(title=title, xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
        ax.grid(False)
    return figure
