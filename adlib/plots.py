"""Pictures of the study in one style: seaborn, colour-blind safe, readable in a report."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.metrics import roc_curve
from torch import Tensor

NORMAL, ABNORMAL = "#0173b2", "#d55e00"  # of seaborn's colorblind palette


def style() -> None:
    """Set the one style of all pictures. Notebooks call it once."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")
    plt.rcParams |= {"figure.constrained_layout.use": True, "axes.titlesize": "medium"}


def difference(a: Tensor, b: Tensor) -> np.ndarray:
    """Mean absolute difference over channels of uint8 images, `(N, H, W)`, 0 to 255."""
    return (a.float() - b.float()).abs().mean(1).numpy()


def boxes(masks: Tensor) -> list[tuple[int, int, int, int]]:
    """Smallest (left, top, width, height) in pixels around each mask `(N, H, W)`."""
    found = []
    for mask in masks.numpy():
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        found.append(
            (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
            if len(rows)
            else (0, 0, 0, 0)
        )
    return found


def gallery(
    columns: dict[str, Tensor | np.ndarray],
    rows: Sequence[str] = (),
    marks: Sequence[tuple[int, int, int, int]] = (),
) -> Figure:
    """Grid of pictures, one column an entry, one row an image.

    Args:
        columns: title to uint8 images `(N, C, H, W)`, or to difference maps `(N, H, W)` in 0 to
            255, drawn in false colours on one scale.
        rows: label of every row.
        marks: rectangle in pixels drawn on the first column of every row.
    """
    n = len(next(iter(columns.values())))
    if n == 0:
        raise ValueError("no images to show")
    size = 1.7
    figure, axes = plt.subplots(
        n, len(columns), figsize=(size * len(columns) + 0.9, size * n + 0.3), squeeze=False
    )
    for j, (title, images) in enumerate(columns.items()):
        axes[0, j].set_title(title)
        for i in range(n):
            ax = axes[i, j]
            _show(ax, np.asarray(images[i]))
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            if j == 0 and i < len(rows):
                ax.set_ylabel(rows[i], fontsize="small")
            if j == 0 and i < len(marks):
                x, y, width, height = marks[i]
                ax.add_patch(
                    Rectangle((x - 1, y - 1), width + 1, height + 1, fill=False, ec="red", lw=1.5)
                )
    if any(np.asarray(images).ndim == 3 for images in columns.values()):
        scale = plt.cm.ScalarMappable(plt.Normalize(0, 255), "magma")
        bar = figure.colorbar(scale, ax=axes, shrink=0.9 if n == 1 else 0.6)
        bar.set_label("difference\n(grey levels)", fontsize="small")
    return figure


def _show(ax: plt.Axes, image: np.ndarray) -> None:
    if image.ndim == 2:
        ax.imshow(image, cmap="magma", vmin=0, vmax=255)
    else:
        ax.imshow(image.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=255)


def score_histograms(
    scores: dict[str, pd.DataFrame], thresholds: dict[str, tuple[float, float]]
) -> Figure:
    """Histogram of the test scores of every method, normal and abnormal, with two thresholds.

    Args:
        scores: method to a table with columns `label`, `score`, `split`.
        thresholds: method to (oracle, deployable), drawn solid and dashed.
    """
    figure, axes = plt.subplots(1, len(scores), figsize=(3.4 * len(scores), 2.9), squeeze=False)
    for ax, (method, table) in zip(axes[0], scores.items(), strict=True):
        test = table.query("split == 'test'")
        kinds = test.label.map({0: "normal", 1: "abnormal"})
        sns.histplot(
            x=test.score, hue=kinds, hue_order=["normal", "abnormal"], palette=[NORMAL, ABNORMAL],
            ax=ax, bins=25, stat="density", common_norm=False, element="step", alpha=0.35,
        )  # fmt: skip
        for value, line in zip(thresholds[method], ("-", "--"), strict=True):
            ax.axvline(value, color="black", ls=line, lw=1.2)
        ax.set(title=method, xlabel="anomaly score", ylabel="density" if ax is axes[0, 0] else "")
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
    figure, ax = plt.subplots(figsize=(6.5, 0.42 * len(table) + 1.1))
    names = [
        f"{m} ({f})" if f else m for m, f in zip(table.method, table.form.fillna(""), strict=True)
    ]
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
    """Test metrics against the training step; `method` holds "<name>, step <n>"."""
    table = table.assign(
        name=table.method.str.split(", step ").str[0],
        step=table.method.str.split(", step ").str[1].astype(int),
    )
    wanted = {"auroc": "auROC", "max_balanced_accuracy": "max. balanced accuracy"}
    figure, axes = plt.subplots(1, len(wanted), figsize=(4.4 * len(wanted), 3), sharey=True)
    for ax, (metric, title) in zip(axes, wanted.items(), strict=True):
        rows = table[table.metric == metric]
        sns.lineplot(rows, x="step", y="value", hue="name", style="name", markers=True, ax=ax)
        ax.axhline(0.5, color="black", ls=":", lw=1.2)
        ax.set(title=f"{title} (oracle)", xlabel="training step", ylabel="value on the test images")
        ax.legend(title=None, fontsize="small")
    return figure


def layer_diagram(networks: dict[str, list[tuple[str, str]]]) -> Figure:
    """Draw networks as columns of boxes.

    Args:
        networks: name to layers from input to output, each (what it is, output shape).
    """
    rows = max(len(layers) for layers in networks.values())
    figure, axes = plt.subplots(1, len(networks), figsize=(3.6 * len(networks), 0.52 * rows + 0.6))
    for ax, (name, layers) in zip(np.atleast_1d(axes), networks.items(), strict=True):
        for i, (text, shape) in enumerate(layers):
            learned = text[:1].isupper()
            ax.add_patch(
                Rectangle((0, -i - 0.36), 1, 0.72, fc="#c9d9e8" if learned else "white", ec="0.35")
            )
            ax.text(0.03, -i, text, va="center", fontsize=8.5)
            ax.text(0.97, -i, shape, va="center", ha="right", fontsize=8, color="0.3")
        ax.set(title=name, xlim=(-0.02, 1.02), ylim=(-rows + 0.4, 0.6))
        ax.axis("off")
    return figure
