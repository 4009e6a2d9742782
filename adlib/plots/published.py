"""Published numbers against ours: how near they lie, and what may be concluded from it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

TOY = "toy scale"
# Verdict -> colour (of seaborn's colorblind palette) and marker, those that decide on top.
STYLES = {
    "not comparable": ("#949494", "X"),
    TOY: ("#de8f05", "o"),
    "cannot tell": ("#56b4e9", "D"),
    "differs": ("#d55e00", "s"),
    "agrees": ("#0173b2", "o"),
}
LOWEST, HIGHEST = 0.2, 1.02  # of the axes: nearly all published numbers lie in between
LETTERS = {"font.size": 15, "axes.titlesize": 17, "axes.labelsize": 15, "legend.fontsize": 14}


def published_against_ours(rows: pd.DataFrame, title: str = "", margin: float = 0.03) -> Figure:
    """Draw every published number of a method against ours, hollow where ours is at toy scale.

    Args:
        rows: columns `value` (published), `ours`, `low`, `high` (of ours, NaN for no interval) and
            `verdict`. Rows without a number of ours, and those that are no shares of 1, are left
            out.
        title: of the picture.
        margin: largest difference that does not count, drawn as a band.
    """
    with plt.rc_context(LETTERS):
        figure, ax = plt.subplots(figsize=(5.6, 6.3))
        shown = _panel(ax, rows, margin)
        ax.set(title=title, xlabel="published", ylabel="ours")
        _legend(figure, shown["verdict"])
    return figure


def papers_against_ours(papers: dict[str, pd.DataFrame], margin: float = 0.03) -> Figure:
    """Draw `published_against_ours` of several papers, a panel each: title to rows."""
    columns = 2 if len(papers) > 1 else 1
    lines = -(-len(papers) // columns)
    with plt.rc_context(LETTERS):
        size = (3.4 * columns, 3.5 * lines + 0.9)
        share = {"sharex": True, "sharey": True, "squeeze": False}
        figure, axes = plt.subplots(lines, columns, figsize=size, **share)
        verdicts = []
        for ax, (title, rows) in zip(axes.flat, papers.items(), strict=False):
            shown = _panel(ax, rows, margin)
            verdicts += list(shown["verdict"])
            ax.set_title(title)
        for ax in axes.flat[len(papers) :]:
            ax.axis("off")
        for ax in axes[-1]:
            ax.set_xlabel("published")
        for ax in axes[:, 0]:
            ax.set_ylabel("ours")
        _legend(figure, pd.Series(verdicts, dtype=object))
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, margin: float) -> pd.DataFrame:
    """One panel; gives the rows that are drawn."""
    shares = rows["value"].between(0, 1) & rows["ours"].between(0, 1)
    shown = rows[shares & rows["verdict"].isin(STYLES)]
    ends = np.array([LOWEST, HIGHEST])
    ax.fill_between(ends, ends - margin, ends + margin, color="0.88", lw=0, zorder=0)
    ax.plot(ends, ends, color="0.45", lw=1, zorder=1)
    for order, (verdict, (color, marker)) in enumerate(STYLES.items(), 2):
        some = shown[shown["verdict"] == verdict]
        for row in some.itertuples():
            _dot(ax, row, color, marker, order)
    ticks = [0.2, 0.4, 0.6, 0.8, 1.0]
    ax.set(xlim=ends, ylim=ends, xticks=ticks, yticks=ticks, aspect="equal")
    ax.tick_params(length=0)
    ax.grid(color="0.93")
    ax.set_axisbelow(True)
    n, numbers = len(shown), len(rows)
    said = f"{n} of {numbers} numbers" if n else f"none of {numbers} numbers\nhas one of ours"
    place = {"x": 0.96, "y": 0.05, "ha": "right"} if n else {"x": 0.4, "y": 0.72, "ha": "center"}
    ax.text(s=said, transform=ax.transAxes, fontsize="small", color="0.25", **place)
    return shown


def _dot(ax: Axes, row, color: str, marker: str, order: int) -> None:
    """A number of ours; a triangle at the edge where it lies off the axes."""
    x, y = np.clip([row.value, row.ours], LOWEST + 0.015, HIGHEST - 0.015)
    off = row.ours < LOWEST or row.value < LOWEST
    face = "white" if row.verdict == TOY else color
    if np.isfinite(row.low):
        low, high = np.clip([row.low, row.high], LOWEST, HIGHEST)
        ax.plot([x, x], [low, high], color=color, lw=1.2, alpha=0.4, zorder=order)
    shape = ("v" if row.ours < LOWEST else "<") if off else marker
    style = {
        "ms": 7.5,
        "alpha": 0.85,
        "mfc": face,
        "mec": color,
        "mew": 1.8,
        "ls": "none",
        "zorder": order + 0.5,
    }
    ax.plot(x, y, shape, **style)


def _legend(figure: Figure, verdicts: pd.Series) -> None:
    """What the marks mean, those alone that are drawn; all of them where none is."""
    names = [name for name in reversed(STYLES) if name in set(verdicts)] or list(reversed(STYLES))
    handles = [
        Line2D(
            *([], []), ls="none", marker=STYLES[name][1], ms=9, mec=STYLES[name][0], mew=1.8,
            mfc="white" if name == TOY else STYLES[name][0], label=name,
        )
        for name in names
    ]  # fmt: skip
    handles.append(Patch(color="0.88", label="margin"))
    figure.legend(
        handles=handles, loc="outside lower center", frameon=False,
        ncols=2 if len(handles) == 4 else 3, handlelength=1.2, handletextpad=0.4, columnspacing=1.2,
    )  # fmt: skip
