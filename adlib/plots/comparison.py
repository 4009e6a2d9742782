"""Plots of comparisons: mean ranks, quality against cost, settings, contamination, maps."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator
from torch import Tensor

from adlib.metrics.ranks import groups, pareto_front
from adlib.plots.numbers import ABNORMAL, NORMAL

MARKERS = "osD^vPX*<>"
FRAMES = (ABNORMAL, "#cc78bc", "#56b4e9")  # of chosen cells in heat maps


def critical_differences(ranks: pd.Series, difference: float) -> Figure:
    """Draw a critical-difference diagram (Demšar 2006): methods on an axis of mean ranks.

    A thick bar joins methods whose mean ranks are less than the critical difference apart.

    Args:
        ranks: mean ranks of the methods, see `adlib.metrics.ranks.mean_ranks`.
        difference: the critical difference, drawn to scale above the axis.
    """
    ranks = ranks.sort_values(kind="stable")
    k, joined = len(ranks), groups(ranks, difference)
    left = -(-k // 2)  # methods whose names stand on the left
    first = -0.35 - 0.22 * len(joined)  # height of the first name
    figure, ax = plt.subplots(figsize=(9, 1.6 + 0.2 * len(joined) + 0.32 * left))
    ax.set(xlim=(0.2, k + 0.8), ylim=(first - 0.42 * left, 1.35))
    ax.axis("off")
    ax.plot([1, k], [0, 0], color="black", lw=1.4)
    for tick in range(1, k + 1):
        ax.plot([tick, tick], [0, 0.1], color="black", lw=1.2)
        ax.text(tick, 0.16, str(tick), ha="center", va="bottom", fontsize="small")
    ax.text(1, 0.5, "best", ha="left", fontsize="small", color="0.35")
    ax.text(k, 0.5, "mean rank", ha="right", fontsize="small", color="0.35")
    end = min(1 + difference, k + 0.6)
    ax.plot([1, end], [1, 1], color=ABNORMAL, lw=2.5, solid_capstyle="butt")
    reaches = "" if 1 + difference <= k else ", longer than the axis"
    ax.text(1, 1.08, f"critical difference {difference:.2f}{reaches}", color=ABNORMAL)
    for i, (name, rank) in enumerate(ranks.items()):
        on_left = i < left
        y = first - 0.42 * (i if on_left else k - 1 - i)
        edge = 0.9 if on_left else k + 0.1
        ax.plot([rank, rank, edge], [0, y, y], color=NORMAL, lw=1.1)
        side = "right" if on_left else "left"
        text = f"{name}  {rank:.2f}" if on_left else f"{rank:.2f}  {name}"
        ax.text(edge + (-0.04 if on_left else 0.04), y, text, ha=side, va="center")
    for i, names in enumerate(joined):
        y = -0.18 - 0.22 * i
        ends = [ranks[names[0]] - 0.04, ranks[names[-1]] + 0.04]
        ax.plot(ends, [y, y], color="black", lw=4, solid_capstyle="butt")
    return figure


def quality_against_cost(table: pd.DataFrame, cost_label: str, quality_label: str) -> Figure:
    """Dot with its interval for every method; the line is the front that no other method beats.

    Args:
        table: columns `method`, `cost` (positive, logarithmic axis), `value`, `low`, `high`.
        cost_label: what the horizontal axis shows, with its unit.
        quality_label: what the vertical axis shows.
    """
    figure, ax = plt.subplots(figsize=(7, 4.2))
    on_front = pareto_front(table.cost, table.value)
    front = table[on_front].sort_values("cost")
    ax.step(front.cost, front.value, where="post", color="0.6", lw=1.2, ls="--", zorder=1)
    colors = sns.color_palette("colorblind", len(table))
    for row, marker, color, best in zip(
        table.itertuples(), MARKERS * len(table), colors, on_front, strict=False
    ):
        error = [[max(0, row.value - row.low)], [max(0, row.high - row.value)]]
        ax.errorbar(
            row.cost, row.value, yerr=error, fmt=marker, color=color, capsize=3, ms=8,
            mfc=color if best else "white", mew=1.8, label=row.method,
        )  # fmt: skip
    ax.axhline(0.5, color="black", ls=":", lw=1.2)
    ax.set(xscale="log", xlabel=cost_label, ylabel=quality_label)
    ax.xaxis.set_major_formatter("{x:g}")
    narrow = table.cost.max() < 30 * table.cost.min()  # few powers of ten to read it by
    ax.xaxis.set_minor_locator(LogLocator(subs=(2, 3, 5) if narrow else ()))
    ax.xaxis.set_minor_formatter("{x:g}")
    ax.margins(x=0.12)
    figure.legend(
        title="filled: on the front", title_fontsize="small", fontsize="small",
        loc="outside right upper",
    )  # fmt: skip
    return figure


def dots(
    table: pd.DataFrame, group: str, hue: str, label: str, chance: float | None = None
) -> Figure:
    """Dot with its interval for every row: one line of the picture a group, one colour a hue.

    Args:
        table: columns `value`, `low`, `high` (NaN for no interval) and those named here.
        group: column whose values stand on the vertical axis.
        hue: column told apart by colour and marker, beside each other in a group.
        label: what the horizontal axis shows.
        chance: value of a detector that knows nothing, drawn dotted.
    """
    places, hues = table[group].unique().tolist(), table[hue].unique()
    size = (8.5, (0.16 * len(hues) + 0.25) * len(places) + 1)
    figure, ax = plt.subplots(figsize=size)
    colors = sns.color_palette("colorblind", len(hues))
    for i, name in enumerate(hues):
        rows = table[table[hue] == name]
        y = rows[group].map(places.index) + 0.8 * ((i + 0.5) / len(hues) - 0.5)
        error = np.abs([rows.value - rows.low, rows.high - rows.value])
        ax.errorbar(
            rows.value, y, xerr=error, fmt=MARKERS[i % len(MARKERS)], color=colors[i], capsize=2,
            ms=5, label=name,
        )  # fmt: skip
    for edge in range(1, len(places)):
        ax.axhline(edge - 0.5, color="0.85", lw=1)
    if chance is not None:
        ax.axvline(chance, color="black", ls=":", lw=1.2)
    ax.set_yticks(range(len(places)), places)
    ax.set(ylim=(len(places) - 0.5, -0.5), xlim=(-0.02, 1.02), xlabel=label)
    ax.grid(False, axis="y")
    figure.legend(loc="outside right upper", fontsize="small")
    return figure


def heat_maps(panels: dict[str, pd.DataFrame], marks: dict[str, tuple], label: str) -> Figure:
    """Tables of numbers as heat maps side by side, with chosen cells framed.

    Args:
        panels: title to a table, whose index and columns are named after two settings.
        marks: what a frame means to the (row, column) it is drawn around in every panel; at most
            three.
        label: what the colours show.
    """
    tables = list(panels.values())
    values = np.stack(tables)
    scale = plt.Normalize(values.min(), values.max())
    rows, columns = tables[0].shape
    size = (columns + 0.9) * len(tables) + 1, 0.62 * rows + 1.9
    figure, axes = plt.subplots(1, len(tables), figsize=size, squeeze=False, sharey=True)
    for ax, (title, table) in zip(axes[0], panels.items(), strict=True):
        sns.heatmap(
            table, ax=ax, norm=scale, cmap="cividis", annot=True, fmt=".3f", cbar=False,
            linewidths=1, xticklabels=[f"{x:g}" for x in table.columns],
            yticklabels=[f"{y:g}" for y in table.index],
        )  # fmt: skip
        ax.set(title=title, ylabel=table.index.name if ax is axes[0, 0] else "")
        ax.tick_params(axis="y", rotation=0)
        for i, (name, cell) in enumerate(marks.items()):
            x, y = table.columns.get_loc(cell[1]), table.index.get_loc(cell[0])
            inset = 0.04 + 0.05 * i  # frames of one cell lie in each other
            ax.add_patch(Rectangle(
                (x + inset, y + 1.6 * inset), 1 - 2 * inset, 1 - 3.2 * inset, fill=False, lw=2.5,
                ec=FRAMES[i], label=name if ax is axes[0, 0] else None,
            ))  # fmt: skip
    bar = figure.colorbar(plt.cm.ScalarMappable(scale, "cividis"), ax=list(axes[0]))
    bar.set_label(label)
    figure.legend(loc="outside upper center", ncols=len(marks), fontsize="small")
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


def false_colours(maps: np.ndarray, top: float = 0.999) -> Tensor:
    """Anomaly maps in false colours on one scale, from the lowest value to a high quantile.

    Args:
        maps: (N, H, W) of one method.
        top: quantile of all values from which on a pixel has the brightest colour.

    Returns:
        uint8 `(N, 3, H, W)`.
    """
    low, high = float(maps.min()), float(np.quantile(maps, top))
    shares = ((maps - low) / max(high - low, 1e-12)).clip(0, 1)
    colours = mpl.colormaps["magma"](shares, bytes=True)[..., :3]
    return torch.from_numpy(colours.transpose(0, 3, 1, 2).copy())


def outlined(images: Tensor, masks: Tensor) -> Tensor:
    """Draw a red line around each mask on its image; what is masked stays in view.

    Args:
        images: uint8 `(N, C, H, W)`.
        masks: bool `(N, H, W)`.

    Returns:
        uint8 `(N, 3, H, W)`.
    """
    width = max(1, round(images.shape[-1] / 128))
    grown = F.max_pool2d(masks.float().unsqueeze(1), 1 + 2 * width, 1, width)
    edge = (grown > 0) & ~masks.unsqueeze(1)
    red = torch.tensor([230, 30, 30], dtype=torch.uint8).view(1, 3, 1, 1)
    return torch.where(edge, red, images.expand(-1, 3, -1, -1))
