"""Plots that compare methods, settings or choices: a mark for each row of a table of results."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator

from adlib.metrics.ranks import groups, pareto_front
from adlib.plots.curves import MARKERS
from adlib.plots.scores import ABNORMAL, NORMAL

FRAMES = (ABNORMAL, "#cc78bc", "#56b4e9")  # of chosen cells in heat maps


def forest(
    table: pd.DataFrame, label: str, line: float | None = None, meaning: str = "chance"
) -> Figure:
    """Forest plot: a dot with its interval for every row, a diamond for the published value.

    Args:
        table: rows in the order they are drawn: `method`, `form`, `value`, `low`, `high`; where the
            values were published `published`, and `elsewhere`: whether on other images, which
            draws the diamond hollow; where they are known `fixed`, the values at a threshold that
            was fixed beforehand.
        label: what the horizontal axis shows.
        line: value drawn as a dotted line.
        meaning: of the line; mostly the value without any information.
    """
    forms = table.form.fillna("")
    names = [f"{m} ({f})" if f else m for m, f in zip(table.method, forms, strict=True)]
    size = 5 + 0.09 * max(map(len, names)), 0.42 * len(table) + 1.5
    figure, ax = plt.subplots(figsize=size)
    y = np.arange(len(table))[::-1]
    error = np.abs([table.value - table.low, table.high - table.value])
    ax.errorbar(table.value, y, xerr=error, fmt="o", color=NORMAL, capsize=3, label="ours")
    if "fixed" in table and table.fixed.notna().any():
        style = {"marker": "|", "s": 110, "linewidths": 2.2, "color": NORMAL}
        ax.scatter(table.fixed, y, label="ours, threshold fixed beforehand", **style)
    if "published" in table:
        for hollow, words in {False: "published", True: "published, on other images"}.items():
            some = table.published.notna() & (table.elsewhere == hollow)
            if some.any():
                face = "none" if hollow else ABNORMAL
                style = {"marker": "D", "s": 46, "facecolors": face, "edgecolors": ABNORMAL}
                ax.scatter(table.published[some], y[some], label=words, zorder=3, **style)
    if line is not None:
        ax.axvline(line, color="black", ls=":", lw=1.2, label=meaning)
    ax.set(yticks=y, yticklabels=names, xlabel=label, xlim=(0, 1.02), ylim=(-0.7, len(table) - 0.3))
    figure.legend(loc="outside upper center", ncols=2, fontsize="small")
    return figure


def log_bars(table: pd.DataFrame, label: str) -> Figure:
    """Bar for every row, a diamond for the published value, on a logarithmic axis.

    The numbers stand on the right.

    Args:
        table: columns `method` and `value`; where the values were published `published`, and
            `elsewhere`: whether on other images, which draws the diamond hollow.
        label: what the horizontal axis shows.
    """
    table = table[::-1]
    figure, ax = plt.subplots(figsize=(7.5, 0.45 * len(table) + 1.1))
    ax.barh(table.method, table.value, height=0.6, color=NORMAL, label="ours")
    texts = [_short(value) for value in table.value]
    if "published" in table and table.published.notna().any():
        for hollow, words in {False: "published", True: "published, on other images"}.items():
            some = table[table.published.notna() & (table.elsewhere == hollow)]
            if len(some):
                style = {"facecolors": "white" if hollow else ABNORMAL, "edgecolors": ABNORMAL}
                style |= {"marker": "D", "s": 46, "linewidths": 1.8, "zorder": 3, "label": words}
                ax.scatter(some.published, some.method, **style)
        printed = [f"  (published {_short(v)})" if v > 0 else "" for v in table.published]
        texts = [ours + theirs for ours, theirs in zip(texts, printed, strict=True)]
        figure.legend(loc="outside upper center", ncols=2, fontsize="small")
    for y, text in enumerate(texts):
        ax.text(1.02, y, text, va="center", fontsize="small", transform=ax.get_yaxis_transform())
    ax.set(xscale="log", xlabel=label)
    ax.margins(x=0.1)
    ax.grid(False, axis="y")
    return figure


def _short(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def dots(
    table: pd.DataFrame, group: str, hue: str, label: str, chance: float | None = None
) -> Figure:
    """Dot with its interval for every row: one line of the picture a group, one colour a hue.

    Args:
        table: columns `value`, `low`, `high` (NaN for no interval) and those named here.
        group: column whose values stand on the vertical axis.
        hue: column shown by colour and marker, its values beside each other in a group.
        label: what the horizontal axis shows.
        chance: value without any information, drawn dotted.
    """
    places, hues = table[group].unique().tolist(), table[hue].unique()
    size = (8.5, (0.16 * len(hues) + 0.25) * len(places) + 1)
    figure, ax = plt.subplots(figsize=size)
    colors = sns.color_palette("colorblind", len(hues))
    for i, name in enumerate(hues):
        rows = table[table[hue] == name]
        y = rows[group].map(places.index) + 0.8 * ((i + 0.5) / len(hues) - 0.5)
        error = np.abs([rows.value - rows.low, rows.high - rows.value])
        style = {"fmt": MARKERS[i % len(MARKERS)], "color": colors[i], "capsize": 2, "ms": 5}
        ax.errorbar(rows.value, y, xerr=error, label=name, **style)
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


def promises(table: pd.DataFrame, beta: float) -> Figure:
    """Miss rate and false-alarm rate of every method and rule over the divisions.

    A point is the mean, which a conformal threshold bounds; its line runs from the 5 % to the 95 %
    quantile of the divisions.

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


def worth_in_points(table: pd.DataFrame) -> Figure:
    """Difference and interval of every choice, one panel a kind, on one scale.

    Orange raises the number, blue lowers it; a filled dot is a significant difference. The numbers
    without and with the choice stand on the right. A grey band is the spread over seeds.

    Args:
        table: rows in the order they are drawn: `kind`, `label`, `points`, `low`, `high`,
            `told`, `without_trap`, `with_trap`, `seed_low`, `seed_high` (or NaN: no band).
    """
    kinds = list(table.groupby("kind", sort=False))
    heights = [len(rows) + 1 for _, rows in kinds]
    figure, axes = plt.subplots(
        len(kinds), 1, figsize=(10.5, 0.34 * sum(heights) + 1.2), sharex=True, squeeze=False,
        height_ratios=heights, layout="constrained",
    )  # fmt: skip
    for ax, (kind, rows) in zip(axes[:, 0], kinds, strict=True):
        for y, row in enumerate(rows.itertuples()):
            color = ABNORMAL if row.points > 0 else NORMAL if row.points < 0 else "black"
            ax.plot([row.low, row.high], [y, y], color=color, lw=2, solid_capstyle="butt")
            ax.plot(row.points, y, "o", color=color, mfc=color if row.told else "white", mew=1.6)
            ax.text(
                1.01, y, f"{row.without_trap:.3f} → {row.with_trap:.3f}", va="center",
                fontsize="small", transform=ax.get_yaxis_transform(),
            )  # fmt: skip
        if np.isfinite(rows.seed_low).all():
            ax.axvspan(rows.seed_low.iloc[0], rows.seed_high.iloc[0], color="0.88", lw=0, zorder=0)
        ax.axvline(0, color="black", lw=1.2)
        ax.set_yticks(range(len(rows)), rows.label, fontsize="small")
        ax.set(ylim=(len(rows) - 0.4, -0.6))
        ax.set_title(kind, loc="left", fontweight="bold")
        ax.grid(False, axis="y")
    head = {"fontsize": "small", "transform": axes[0, 0].transAxes}
    axes[0, 0].text(1.01, 1.02, "without → with", va="bottom", **head)
    axes[-1, 0].set_xlabel("with - without, points of 100; 95 % interval over test images")
    return figure
