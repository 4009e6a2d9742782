"""Facts about the data: rows of them, and how they stand beside the printed ones, in words."""

from collections.abc import Iterator, Mapping

import pandas as pd

from adlib import data
from adlib.study import papers
from adlib.study.lab.published import compared
from adlib.study.lab.ranking import SHOWN
from adlib.study.profiles import Cell
from adlib.study.summary import COUNT
from adlib.study.tables import counted, in_words, listed, sentence
from adlib.study.verdict import agreement, verdicts

SIDE = "side_px"  # ends the metrics that are sides of images


def rows(
    cell: Cell, images: data.ImageSet, values: Mapping[str, float], **shared: object
) -> list[dict]:
    """Rows for `results.write_rows`, one a fact, with why it cannot be held against the printed.

    Images of a data set that the paper lacks have facts of their own. Images that were made smaller
    are the official ones, but their side is no more.

    Args:
        cell: names paper and notebook.
        images: the facts are about.
        values: metric -> value.
        **shared: further columns.
    """
    known = cell.dataset in papers.load(cell.paper).datasets_of(cell.notebook)
    reason = images.note if known else f"{cell.dataset} is not a data set of the paper"
    smaller = data.reduced(images, 1) if known else ""  # whatever the side
    return [
        {"metric": metric, "value": value, "method": COUNT}
        | {"comparable": (smaller if metric.endswith(SIDE) else "") or reason}
        | shared
        for metric, value in values.items()
    ]


def sentences(cell: Cell, reads: Mapping[str, str]) -> Iterator[str]:
    """Facts beside the printed ones; those that `reads` has words for are said elsewhere."""
    facts = compared(cell, facts=True)
    facts = facts[~facts["metric"].isin(reads)]
    judged = facts[facts["verdict"].isin(agreement.OUTCOMES)]
    other = facts[facts["verdict"] == verdicts.NOT_COMPARABLE]
    if len(judged):
        met = judged["verdict"] == agreement.AGREES
        verb = "is" if met.sum() == 1 else "are"
        off = [_beside(row) for row in judged[~met].itertuples()]
        yield (
            f"{met.sum()} of {counted(len(judged), 'fact')} about the data {verb} what the paper "
            f"prints{f'; not so {listed(off[:SHOWN])}' if off else ''}."
        )
    for row in other.itertuples():
        yield sentence(f"{_beside(row)} is not comparable: {row.reason}")
    if facts["verdict"].eq("").all() and len(facts):
        named = [f"{_words(row.metric)} {row.value:g}" for row in facts.itertuples()]
        yield f"The data have {listed(named[: 2 * SHOWN])}. The paper prints none of these here."


def _beside(row: pd.Series) -> str:
    return f"{_words(row.metric)} {row.value:g} against {row.printed}"


def _words(metric: str) -> str:
    return in_words(metric.removeprefix("n_"))
