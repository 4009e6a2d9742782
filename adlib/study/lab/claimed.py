"""The claims that a notebook's table is asked about, with the numbers that its rows have."""

from collections.abc import Iterator

import pandas as pd

from adlib.study import papers
from adlib.study.lab.published import category
from adlib.study.lab.ranking import better
from adlib.study.papers import Claim
from adlib.study.profiles import Cell
from adlib.study.tables import in_words, listed, number
from adlib.study.verdict.claims import SUPERVISED


def sentences(cell: Cell, rows: pd.DataFrame) -> Iterator[str]:
    """Every claim of any paper on the notebook of a cell, then where its outcome is decided.

    Args:
        cell: the notebook's, with its paper.
        rows: of the summary of the cell.
    """
    deciding: dict[str, int] = {}
    for paper in papers.read().values():
        table = cell.notebook if paper.name == cell.paper else f"{cell.paper}/{cell.notebook}"
        for claim in paper.claims:
            if claim.table == table:
                place = "verdict" if paper.name == cell.paper else f"../{paper.name}/verdict"
                deciding[place] = deciding.get(place, 0) + 1
                yield f"The claim {claim.words} ({claim.place}){_about(claim)}{_here(claim, rows)}."
    for place, n in deciding.items():
        what = "this claim holds" if n == 1 else "these claims hold"
        yield (
            f"Whether {what} no single cell decides; that is done over categories and seeds in "
            f"[{place.removeprefix('../')}]({place}.ipynb)."
        )


def _about(claim: Claim) -> str:
    """What a claim is about where that is more than one cell has."""
    names = claim.categories or filter(None, [claim.category])
    about = listed(map(category, names))
    return f", about {about}" if about else ""


def _here(claim: Claim, rows: pd.DataFrame) -> str:
    """Numbers of the methods that a claim compares, or of its own method and the best other one."""
    rows = rows[(rows["metric"] == claim.metric) & rows["x"].isna() & rows["value"].notna()]
    rows = rows[(rows["variant"].fillna("") == claim.variant) & (rows["form"] != "authors")]
    values = rows.drop_duplicates("name").set_index("name")["value"]
    if claim.method not in values:
        return ""
    others = values.drop([claim.method, SUPERVISED], errors="ignore")
    shown = [f"{name} {number(values[name])}" for name in claim.over if name in values]
    if claim.check == "leads" and len(others):
        best = others.idxmax() if better(claim.metric) else others.idxmin()
        shown = [f"{best}, the best other one, {number(others[best])}"]
    shown.insert(0, f"{claim.method} {number(values[claim.method])}")
    return f": here {listed(shown)}, {in_words(claim.metric)}"
