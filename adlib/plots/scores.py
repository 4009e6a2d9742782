"""Plots of what a detector gives for each image or point: scores, differences, features."""

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
    """Histogram of the test scores of every method, normal and abnormal, with its thresholds.

    Args:
        scores: method to a table with columns `label`, `score`, `split`.
        thresholds: method to (oracle, deployable), drawn solid and dashed; others have none.
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
        for value, line in zip(thresholds.get(method, ()), ("-", "--"), strict=False):
            ax.axvline(value, color="black", ls=line, lw=1.2)
        ax.set(title=method, xlabel="anomaly score", ylabel="density" if ax in axes[:, 0] else "")
        ax.set_yticks([])
        if ax.get_legend():
            ax.get_legend().set_title(None)
            if ax is not axes[0, 0]:
                ax.get_legend().remove()
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


def pixel_differences(differences: dict[str, np.ndarray]) -> Figure:
    """Histogram of the pixels' differences of every group, `(N, H, W)` in grey levels, 0 to 255."""
    figure, ax = plt.subplots(figsize=(6, 3.4))
    bins = np.linspace(0, 255, 52)
    for (group, values), color in zip(differences.items(), (NORMAL, ABNORMAL), strict=False):
        shares = np.histogram(values, bins)[0] / values.size  # images of one size: also their mean
        ax.stairs(shares, bins, label=group, color=color, lw=2)
        ax.axvline(values.mean(), color=color, ls="--", lw=1.2)
    ax.set(xlabel="|x - G(z)| in grey levels", ylabel="share of pixels")
    ax.set(yscale="log", xlim=(0, 255))
    ax.legend(fontsize="small")
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
    figure = plt.figure(figsize=(2.6 * columns, 2.8 * lines))
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
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
