"""What the study concludes of a paper: verdicts, the claims, the scale, what is open, the cost."""

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from adlib.study.papers import Paper
from adlib.study.summary import COUNT, Study
from adlib.study.verdict import hours, ledger, verdicts, wanting
from adlib.study.verdict.ledger import SILENT, Entry

MOST_WORDS = 20  # of a scale


@dataclass(frozen=True)
class Conclusion:
    """What the study says of one paper.

    Attributes:
        paper: which.
        rows: each published number once, with verdict, in the profile nearest to the paper.
        wants: of each number of a method, why it is not judged, see `wanting.reasons`.
        counts: verdict -> published numbers of methods.
        facts: verdict -> published facts about the data, counted apart.
        entries: the claims, see `adlib.study.verdict.ledger`.
        sentence: the verdict, at most 30 words.
        scale: at what scale that was tested, at most 20 words.
        unknown: how many numbers are targets and what would decide the open ones, at most 30 words.
        cost: spent, and estimated for the paper's full scale, see `adlib.study.verdict.hours.cost`.
    """

    paper: Paper
    rows: pd.DataFrame
    wants: pd.Series
    counts: Counter
    facts: Counter
    entries: list[Entry]
    sentence: str
    scale: str
    unknown: str
    cost: pd.DataFrame


def conclude(study: Study, name: str, order: list[str] | None = None) -> Conclusion:
    """What the study says of the paper `name`.

    Args:
        study: the results.
        name: folder of the paper.
        order: profiles, preferred first; by default those nearest to the papers.

    Raises:
        ValueError: no results.
    """
    order = _speaking(study, order)
    return _conclude(study, study.papers[name], order, _nearest(study, order))


def conclude_all(study: Study, order: list[str] | None = None) -> dict[str, Conclusion]:
    """`conclude` of every paper that prints numbers, by folder."""
    order = _speaking(study, order)
    rows = _nearest(study, order)
    printing = [paper for paper in study.papers.values() if paper.prints]
    return {paper.name: _conclude(study, paper, order, rows) for paper in printing}


def _speaking(study: Study, order: list[str] | None) -> list[str]:
    """Profiles that may speak, preferred first."""
    order = [one for one in (order or study.profiles) if one not in SILENT]
    if not order:
        raise ValueError(f"{study.results} holds no results yet. Run the study first.")
    return order


def _nearest(study: Study, order: list[str]) -> pd.DataFrame:
    return verdicts.nearest({one: verdicts.compare(study, one) for one in order})


def _conclude(study: Study, paper: Paper, order: list[str], rows: pd.DataFrame) -> Conclusion:
    rows = rows[rows["paper"] == paper.name]
    of_data = rows["method"] == COUNT
    methods, cost = rows[~of_data], hours.cost(study, paper, order)
    methods = methods.assign(wants=wanting.reasons(study, methods))
    return Conclusion(
        paper=paper,
        rows=rows,
        wants=methods["wants"],
        counts=Counter(methods["verdict"]),
        facts=Counter(rows.loc[of_data, "verdict"]),
        entries=ledger.ledger(study, paper, order),
        sentence=wanting.sentence(methods),
        scale=_scale(study, paper, methods),
        unknown=wanting.unknown(study, paper, methods, cost),
        cost=cost,
    )


def _scale(study: Study, paper: Paper, methods: pd.DataFrame) -> str:
    """At what scale the numbers of ours that stand beside published ones were made."""
    ours = methods[methods["ours"].notna()]
    if ours.empty:
        runs = study.rows[(study.rows["paper"] == paper.name) & (study.rows["run"] != "")]
        n = runs["dataset"].nunique()
        sets = "data set was" if n == 1 else "data sets were"
        return f"{n} {sets} run, but no number stands beside a published one."
    proposed = ours["method"].isin({claim.method for claim in paper.claims})
    ours = ours[proposed] if proposed.any() else ours  # rather than what the paper sets beside it
    records = {
        (row.profile, key): study.packs[row.profile][key].record
        for row in ours.itertuples()
        for key in row.runs
        if key in study.packs.get(row.profile, {})
    }
    smaller = ledger.in_short(study, paper, [(one, True) for one in records.values()])
    fewest, most = int(ours["seeds"].min()), int(ours["seeds"].max())
    seeds = f"{fewest} to {most} seeds" if most > fewest else f"{most} seed{'s' * (most > 1)}"
    while len(" ".join(smaller).split()) + len(seeds.split()) > MOST_WORDS:
        smaller = smaller[:-1]
    text = ", ".join([*(smaller or ["the paper's own scale"]), seeds])
    return text[0].upper() + text[1:] + "."
