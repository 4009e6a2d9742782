"""What a notebook's rows decide about published numbers, and what would decide the rest."""

from collections import Counter

import numpy as np
import pandas as pd

from adlib.study import papers
from adlib.study.departures import UNKNOWN
from adlib.study.lab import published
from adlib.study.profiles import Cell
from adlib.study.tables import listed
from adlib.study.verdict import agreement, verdicts
from adlib.study.verdict.agreement import SEEDS

VERBS = {  # verdict -> how one number has it, and several
    agreement.AGREES: ("agrees", "agree"),
    agreement.DIFFERS: ("differs", "differ"),
    agreement.CANNOT_TELL: ("is open", "are open"),
    verdicts.TOY_SCALE: ("is of toy scale", "are of toy scale"),
    verdicts.NOT_COMPARABLE: ("is not comparable", "are not comparable"),
    verdicts.NO_DATA: ("lacks its data", "lack their data"),
    verdicts.NOT_RUN: ("was not run", "were not run"),
}
TIMES = (
    "Milliseconds of one machine decide nothing about those of another, so no number is decided. "
    "The ratio of two methods on one machine can be held against the paper's, where networks and "
    "search have its sizes."
)


def printer(cell: Cell) -> str:
    """Who prints the numbers that a notebook is about."""
    printed = papers.load(cell.paper).published
    origins = set(printed.loc[printed["table"] == cell.notebook, "origin"])
    return "a leaderboard" if origins == {"leaderboard"} else "the paper"


def verdict(cell: Cell, found: pd.DataFrame, shows: str = "") -> str:
    """What these rows decide, and what it would take to decide the rest.

    Args:
        cell: whose rows.
        found: see `adlib.study.lab.published.compared`.
        shows: what its pictures can show, where these and no numbers are what it is about.
    """
    paper = papers.load(cell.paper)
    if shows:
        return f"The pictures can show {shows}. They are examples and decide nothing."
    if not paper.prints:
        return _own(found)
    if len(printed := found[found["printed"] != ""]) and printed["metric"].map(_timed).all():
        return TIMES
    facts = published.compared(cell, facts=True)
    counted = found.empty and len(facts) > 0
    judged = facts if counted else found
    judged = judged[judged["verdict"] != ""]
    if len(judged):
        counts = Counter(judged["verdict"])
        said = listed(f"{n} {VERBS[verdict][n != 1]}" for verdict, n in counts.items())
        return " ".join(filter(None, [f"Published numbers: {said}.", _needed(judged)]))
    wanted = paper.datasets_of(cell.notebook)
    if cell.notebook not in set(paper.published["table"]):
        return f"The paper prints no number here to be held against. {_own(found)}"
    if cell.dataset in wanted:
        return "The paper prints no number for these images."
    titles, who = listed(map(paper.title_of, wanted)), printer(cell)
    undecided = f"Nothing is decided about the numbers that {who} prints, which are about {titles}."
    if counted:
        return f"{undecided} Only those data can decide."
    if who != "the paper":
        only = "runs can tell only whether the method reaches them"
        return f"{undecided} What gave them is not said: {only}."
    runs = f"Runs on those data at the paper's scale, with {SEEDS} seeds,"
    return f"{undecided} {runs} would decide them."


def _needed(judged: pd.DataFrame) -> str:
    """What would decide the numbers that are still open."""
    needs = []
    toy = judged[judged["verdict"] == verdicts.TOY_SCALE]
    if len(toy):
        example = toy["scale"].iloc[0]
        needs.append(f"runs at the paper's scale (here {example}) with {SEEDS} seeds")
    needs += dict.fromkeys(filter(None, judged["remedy"]))
    if (judged["reason"] == UNKNOWN).any():
        needs.append("the records of the runs")
    return f"What would decide the rest: {listed(needs)}." if needs else ""


def _timed(metric: str) -> bool:
    return "_time_ms" in metric


def _own(found: pd.DataFrame) -> str:
    """For numbers that no paper has: what they rest on."""
    if len(found) and found["metric"].str.startswith("parameters").all():
        return "Ours are counted, so no seed changes them."
    seeds = int(np.nanmin(found["seeds"])) if found["seeds"].notna().any() else 1
    if seeds >= SEEDS:
        return f"Ours come from {seeds} seeds."
    return (
        f"Ours come from {seeds} of the {SEEDS} seeds that a statement on a method needs: they are "
        "an indication, which more seeds would decide."
    )
