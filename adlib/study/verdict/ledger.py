"""The ledger: every claim of a paper, the test that decides it, and what came out.

A claim holds, or does not, only by runs at the paper's own scale with at least `SEEDS` seeds.
"""

from dataclasses import dataclass

import pandas as pd

from adlib.data import split
from adlib.study import departures
from adlib.study.papers import ALL_SETS, Claim, Paper
from adlib.study.summary import Study
from adlib.study.verdict import claim_checks, claims
from adlib.study.verdict.agreement import SEEDS
from adlib.study.verdict.claims import OPEN, Evidence

TOY, NOT_RUN = "toy scale", "not run"
OUTCOMES = (claims.HOLDS, claims.FAILS, OPEN, TOY, NOT_RUN)
SILENT = ("smoke",)  # generated images and a handful of steps: shows nothing about methods
BUDGET = ("steps", "epochs")  # scales that do not change how long one image takes
NO_RUN = "rows that name no run"
UNKNOWN = (departures.UNKNOWN, NO_RUN)  # why nobody knows the scale, so that nothing is decided
MOST_SCALES = 3  # settings that are named in a scale, the smallest shares first


@dataclass(frozen=True)
class Entry:
    """One claim, decided as far as the rows go.

    Attributes:
        claim: id, text, place and test of it, as `paper.toml` has them.
        paper: folder of the paper.
        test: in words, the test that decides it.
        outcome: one of `OUTCOMES`.
        text: one sentence with the computed numbers.
        profile: whose rows decided it; "" where none did.
        seeds: fewest seeds behind one of its numbers; 0 without rows.
        scale: how the runs are smaller than the paper's, or why that is not known; "" where they
            are not.
        link: page and section of the site with the rows.
        runs: keys of the runs behind its numbers.
        hours: what training and scoring these took, in hours.
    """

    claim: Claim
    paper: str
    test: str
    outcome: str
    text: str
    profile: str
    seeds: int
    scale: str
    link: str
    runs: tuple[str, ...] = ()
    hours: float = 0.0


def ledger(study: Study, paper: Paper, order: list[str] | None = None) -> list[Entry]:
    """Every claim of a paper, by the first profile whose rows reach it.

    Args:
        study: the results.
        paper: whose claims.
        order: profiles, preferred first; by default those nearest to the papers.
    """
    order = [name for name in (order or study.profiles) if name not in SILENT]
    return [_entry(study, paper, claim, order) for claim in paper.claims]


def table(entries: list[Entry]) -> pd.DataFrame:
    """The ledger as a table of texts and numbers, one row a claim."""
    rows = [
        {
            **{"paper": one.paper, "id": one.claim.id, "claim": one.claim.words},
            **{"place": one.claim.place, "reading": one.claim.reading, "test": one.test},
            **{"outcome": one.outcome, "text": one.text, "profile": one.profile},
            **{"seeds": one.seeds, "scale": one.scale, "hours": round(one.hours, 3)},
            "link": one.link,
        }
        for one in entries
    ]
    return pd.DataFrame(rows)


def _entry(study: Study, paper: Paper, claim: Claim, order: list[str]) -> Entry:
    test = claims.test(paper, claim)
    folder, _, notebook = claim.table.rpartition("/")
    page = f"{folder or paper.name}/{notebook}.html"
    for profile in order:
        evidence = claim_checks.check(claims.select(study, paper, claim, profile))
        if evidence is not None:
            return _decided(study, paper, claim, profile, evidence, test, f"{page}#{profile}")
    return Entry(claim, paper.name, test, NOT_RUN, "No run of ours reaches it.", "", 0, "", page)


def _decided(
    study: Study, paper: Paper, claim: Claim, profile: str, found: Evidence, test: str, link: str
) -> Entry:
    rows = found.rows
    keys = tuple(dict.fromkeys(key for some in rows["runs"] for key in some))
    scale = _scale(study, paper, claim, profile, rows, keys)
    seeds = int(rows["seeds"].min())
    doubts = [f"{seeds} of {SEEDS} seeds"] if seeds < SEEDS else []
    doubts += [*found.doubts, *_departures(paper, claim, rows)]
    smaller = [one for one in scale if one not in UNKNOWN]
    doubts += [one for one in scale if one in UNKNOWN]
    outcome = TOY if smaller else OPEN if doubts else found.outcome
    text = found.text
    if outcome in (OPEN, TOY) and doubts:
        text = f"{text[:-1]}; {'undecided ' * (outcome == OPEN)}with {', '.join(doubts)}."
    runs = study.packs.get(profile, {})
    hours = sum(seconds(runs[key].record) for key in keys if key in runs) / 3600
    told = ", ".join(scale)
    return Entry(claim, paper.name, test, outcome, text, profile, seeds, told, link, keys, hours)


def seconds(record: dict) -> float:
    """Seconds that a run's scoring took, and its training where it does not share another run's."""
    names = ("score_s",) if "scores_of" in record["description"] else ("train_s", "score_s")
    return sum(record.get(name) or 0.0 for name in names)


def _scale(
    study: Study,
    paper: Paper,
    claim: Claim,
    profile: str,
    rows: pd.DataFrame,
    keys: tuple[str, ...],
) -> list[str]:
    """How rows are smaller than the paper's: other data, budgets, sizes, fewer images.

    Reasons of `UNKNOWN` are among them where no record says it.
    """
    wanted = paper.datasets_of(claim.table)
    names = [name for name in rows["dataset"].unique() if name not in [*wanted, ALL_SETS]]
    meant = " or ".join(paper.names.get(name, name) for name in wanted)
    meant = meant if len(wanted) < 3 else "the paper's data sets"
    parts = [f"{name} in place of {meant}" for name in names]
    records = [study.packs.get(profile, {}).get(key) for key in keys]
    parts += [NO_RUN] if (rows["runs"].map(len) == 0).any() else []
    parts += [departures.UNKNOWN] if None in records else []
    without = BUDGET if claim.check == "faster" else ()
    own = set(rows.loc[rows["name"] == claim.method, "runs"].explode())
    first = [key in own for key in keys]  # what the claim is about comes before its rivals
    known = [(one.record, mine) for one, mine in zip(records, first, strict=True) if one]
    return [*parts, *in_short(study, paper, known, without)]


def in_short(
    study: Study, paper: Paper, records: list[tuple[dict, bool]], without: tuple[str, ...] = ()
) -> list[str]:
    """How runs are smaller than the paper's, the most reduced settings first.

    A detector that the paper says nothing of is held against the first paper that does.

    Args:
        study: whose papers are known.
        paper: whose experiment it is.
        records: of the runs, and whether a run is of a method that comes before the others.
        without: settings of `adlib.study.departures.SCALES` that do not count; if there are any,
            fewer test images do not count either.
    """
    found: dict[tuple, list[departures.Smaller]] = {}
    for record, first in records:
        name = record["description"]["detector"]
        known = (one for one in (paper, *study.papers.values()) if name in one.authors)
        for one in departures.smaller(record, next(known, paper)):
            if one.setting not in without:
                found.setdefault((not first, one.setting, one.wanted), []).append(one)
    order = sorted(found, key=lambda key: (key[0], min(one.share for one in found[key])))
    settings = {key[1]: found[key] for key in reversed(order)}  # of each setting the first
    shares = [found[key] for key in order if settings[key[1]] is found[key]]
    few = any(split.subsampled(record["description"]["protocol"]) for record, _ in records)
    several = [_range(some) for some in shares[:MOST_SCALES]]
    return [*several, *([departures.SUBSAMPLED] if few and not without else [])]


def _range(some: list[departures.Smaller]) -> str:
    """Write `100 to 500 of 200,000 training steps` of one setting over runs."""
    ours = sorted({one.ours for one in some})
    first = f"{ours[0]:,} to {ours[-1]:,}" if len(ours) > 1 else f"{ours[0]:,}"
    return f"{first} of {some[0].wanted:,} {departures.SCALES[some[0].setting]}"


def _departures(paper: Paper, claim: Claim, rows: pd.DataFrame) -> list[str]:
    """Why rows are not what the paper's table means, but for other data, which are a scale."""
    if claim.check == "faster" or claim.table not in set(paper.published["table"]):
        return []  # a time is another machine's anyway; no paper prints the table
    reasons = "; ".join(filter(None, rows["comparable"])).split("; ")
    others = tuple(f"{name} {word} " for name in rows["dataset"] for word in ("instead", "is not"))
    return [one for one in dict.fromkeys(reasons) if one and not one.startswith(others)]
