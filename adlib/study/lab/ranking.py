"""Who comes first in a notebook's rows, in sentences, and who can be told from it."""

from collections.abc import Iterator, Mapping

import pandas as pd

from adlib.study import papers
from adlib.study.profiles import Cell
from adlib.study.tables import counted, halves, in_words, listed, number
from adlib.study.verdict import agreement
from adlib.study.verdict.claims import stands

FEWER_IS_BETTER = (
    *("miss_rate", "false_alarm_rate", "divided_false_alarm_rate", "loss_", "parameters"),
    *("_ms", "_s", "_mb", "ms_per_image", "training_seconds"),
)
SHOWN = 3  # metrics, at most


def better(metric: str) -> bool | None:
    """Whether more (True) or less (False) of a metric is better; None where nobody can say."""
    if metric in agreement.MARGINS or halves(metric) or metric.startswith(("aupro", "pixel_a")):
        return True
    fewer = metric.startswith(FEWER_IS_BETTER) or metric.endswith(FEWER_IS_BETTER)
    return False if fewer else None


def first(cell: Cell, found: pd.DataFrame, reads: Mapping[str, str]) -> Iterator[str]:
    """Who comes first, and whether the second, and the papers' own method, can be told from it.

    Numbers that are printed alike are no order.

    Args:
        cell: gives the paper.
        found: see `adlib.study.lab.published.compared`.
        reads: metric -> its words, where these are others than usual.
    """
    own = {claim.method for claim in papers.load(cell.paper).claims}
    for metric, where, ranked in list(_places(found))[:SHOWN]:
        words, rows = reads.get(metric, in_words(metric)), list(ranked.itertuples())
        yield _cost(words, where, rows) if not better(metric) else _order(words, where, rows, own)


def _cost(words: str, where: str, rows: list) -> str:
    """How far apart costs lie, which says more than who is second."""
    least, most = rows[0], rows[-1]
    if number(least.value) == number(most.value):
        return f"All {len(rows)} have the same {words}{where}, {number(least.value)}."
    return (
        f"{least.method} has the least {words}{where}, {number(least.value)}, and "
        f"{most.method} the most, {number(most.value)}."
    )


def _order(words: str, where: str, rows: list, own: set[str]) -> str:
    shown = [number(row.value) for row in rows]
    best, ties = rows[0], shown.count(shown[0])
    if ties > 1:
        alike = len({stands(row) for row in rows[:ties]}) == 1
        names = listed(row.method for row in rows[:ties])
        value = stands(best) if alike else shown[0]
        return f"By {words}{where} {names} share the first place with {value}."
    second = rows[1]
    text = f"By {words}{where} {best.method} comes first of {len(rows)} with "
    text += f"{stands(best)}, before {second.method} with {stands(second)}"
    text += f"{_apart(best, second)}."
    for row, value in zip(rows[2:], shown[2:], strict=True):
        if row.name in own:
            text += f" {row.method} takes place {shown.index(value) + 1} with {stands(row)}"
            text += f"{_apart(best, row)}."
    return text


def _places(found: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Metric, where, and the rows of two or more methods there, best first."""
    found = found.dropna(subset=["value"])
    several = found[["dataset", "category"]].drop_duplicates().shape[0] > 1
    for (metric, dataset, category), rows in found.groupby(
        ["metric", "dataset", "category"], sort=False
    ):
        more, forms = better(metric), set(rows["form"])
        picked = "oracle" in forms and len(forms) > 1  # among others, which is no rival of them
        if more is not None and len(rows) > 1 and not picked:
            ranked = rows.sort_values("value", ascending=not more, kind="stable")
            yield metric, f" on {dataset} {category}" if several else "", ranked


def _apart(first, other) -> str:
    if pd.isna(first.low) or pd.isna(other.low):
        return ""
    low, high = sorted([(first.low, first.high), (other.low, other.high)])
    meet = high[0] <= low[1]
    return "; their intervals overlap" if meet else ""


def below_chance(found: pd.DataFrame) -> Iterator[str]:
    """How many values lie below chance with their whole interval, and the lowest of them."""
    found = found[found["metric"].map(halves).astype(bool) & found["high"].notna()]
    rows = found[found["high"] < 0.5]
    if len(rows):
        lowest = rows.loc[rows["value"].idxmin()]
        verb, their = ("lies", "its") if len(rows) == 1 else ("lie", "their")
        yield (
            f"{len(rows)} of {counted(len(found), 'value')} {verb} below chance with {their} whole "
            f"interval, the lowest {lowest['method']} with {stands(lowest)} "
            f"({in_words(lowest['metric'])}): abnormal images are taken for the more normal ones."
        )
