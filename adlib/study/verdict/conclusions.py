"""What the study concludes of a paper: verdicts, the claims, the scale, what is open, the cost."""

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from adlib.study.lab.tables import listed
from adlib.study.papers import Paper
from adlib.study.summary import COUNT, Study
from adlib.study.verdict import agreement, hours, ledger, verdicts
from adlib.study.verdict.ledger import SEEDS, SILENT, Entry

MOST_WORDS = 20  # of a scale
DECIDED = (agreement.AGREES, agreement.DIFFERS)
BESIDE = {  # what stands beside a published number that is not judged
    agreement.CANNOT_TELL: "too few seeds",
    verdicts.TOY_SCALE: "runs at toy scale",
    verdicts.NOT_COMPARABLE: "runs that are not comparable",
}


@dataclass(frozen=True)
class Conclusion:
    """What the study says of one paper.

    Attributes:
        paper: which.
        rows: each published number once, with verdict, in the profile nearest to the paper.
        counts: verdict -> published numbers of methods.
        facts: verdict -> published facts about the data, counted apart.
        entries: the claims, see `adlib.study.verdict.ledger`.
        sentence: the verdict, at most 30 words.
        scale: at what scale that was tested, at most 20 words.
        unknown: what is not known and what would decide it, at most 30 words.
        cost: spent, and estimated for the paper's full scale, see `adlib.study.verdict.hours.cost`.
    """

    paper: Paper
    rows: pd.DataFrame
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
    methods = rows[~of_data]
    counts, cost = Counter(methods["verdict"]), hours.cost(study, paper, order)
    return Conclusion(
        paper=paper,
        rows=rows,
        counts=counts,
        facts=Counter(rows.loc[of_data, "verdict"]),
        entries=ledger.ledger(study, paper, order),
        sentence=_sentence(counts),
        scale=_scale(study, paper, methods),
        unknown=_unknown(paper, methods, counts, cost),
        cost=cost,
    )


def _sentence(counts: Counter) -> str:
    total, judged = counts.total(), sum(counts[name] for name in DECIDED)
    beside = [f"{counts[name]} beside {said}" for name, said in BESIDE.items() if counts[name]]
    alone = total - judged - sum(counts[name] for name in BESIDE)
    beside += [f"{alone} beside none"] if alone else []
    if not total:
        return "The paper prints no number of a method that we know."
    if alone == total:
        return f"No published number could yet be judged: none of {total} has a run beside it."
    if not judged:
        return f"No published number could yet be judged: of {total}, {_stand(beside)}."
    decided = [
        f"{counts[name]} {word}{'s' * (counts[name] == 1)}"
        for name, word in zip(DECIDED, ("agree", "differ"), strict=True)
        if counts[name]
    ]
    rest = f"; {_stand(beside)}" if beside else ""
    return f"Of {total} published numbers {listed(decided)} with our runs{rest}."


def _stand(beside: list[str]) -> str:
    """Write `12 stand beside runs at toy scale and 245 beside none`."""
    verb = "stands" if beside[0].startswith("1 ") else "stand"
    return listed(beside).replace(" beside", f" {verb} beside", 1)


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


def _unknown(paper: Paper, methods: pd.DataFrame, counts: Counter, cost: pd.DataFrame) -> str:
    """What is not known and what would decide it: seeds, data, hours on a GPU."""
    parts = []
    if few := counts[agreement.CANNOT_TELL]:
        seeds = int(methods.loc[methods["verdict"] == agreement.CANNOT_TELL, "seeds"].min())
        parts.append(f"{few} want {max(SEEDS, seeds + 1)} seeds instead of {seeds}")
    if absent := counts[verdicts.NO_DATA]:
        sets = methods.loc[methods["verdict"] == verdicts.NO_DATA, "dataset"].unique()
        more = ", …" if len(sets) > 1 else ""
        named = paper.names.get(sets[0], sets[0])
        parts.append(f"{absent} want data not at hand ({named}{more})")
    if small := sum(counts[name] for name in (*list(BESIDE)[1:], verdicts.NOT_RUN)):
        least = hours.in_words(cost)
        parts.append(f"{small} want runs at full scale{f' ({least})' if least else ''}")
    if not parts:
        return "Every published number is judged."
    first, *others = parts
    numbers = "open number wants" if first.startswith("1 ") else "open numbers want"
    return f"{listed([first.replace('want', numbers, 1), *others])}."
