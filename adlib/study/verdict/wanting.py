"""What stands beside published numbers that are not judged, and what would decide them.

A number that is no target (`doubt` of `verdicts.compare`) no run of ours can decide.
"""

from collections import Counter

import numpy as np
import pandas as pd

from adlib.study.departures import UNKNOWN
from adlib.study.papers import Paper
from adlib.study.summary import Study
from adlib.study.tables import listed
from adlib.study.verdict import agreement, hours, verdicts

DECIDED = (agreement.AGREES, agreement.DIFFERS)
MOST_WORDS = 30  # of what is not known
EVALUATION, SEEDS, SCALE = "evaluation", "seeds", "scale"
CATEGORIES, SETTING, RECORD, MARGIN = "categories", "setting", "record", "margin"
DATA, RUNS, NEVER = "data", "runs", "never"
# What stands beside a number; nothing does where a reason is not among these.
BESIDE = {
    EVALUATION: "another evaluation",
    SEEDS: "too few seeds",
    SCALE: "toy scale",
    CATEGORIES: "means over fewer categories",
    SETTING: "other settings",
    RECORD: "runs without a record",
    MARGIN: "values without a margin",
}
WANTS = {  # what would decide it
    EVALUATION: "the authors' evaluation",
    SEEDS: "more seeds",
    DATA: "data",
    SETTING: "comparable runs",
    RECORD: "records",
    MARGIN: "a margin",
    RUNS: "runs at full scale",
    NEVER: "methods that no profile runs",
}


def reasons(study: Study, rows: pd.DataFrame) -> pd.Series:
    """Why numbers of methods are not judged: keys of `BESIDE` or `WANTS`, "" where they are.

    Args:
        study: the results.
        rows: of `verdicts.nearest`.
    """
    return pd.Series([_reason(study, row) for row in rows.itertuples()], rows.index, dtype=object)


def _reason(study: Study, row) -> str:
    if row.verdict in DECIDED:
        return ""
    if not np.isfinite(row.ours):
        never = row.method in study.papers[row.paper].not_run
        return NEVER if never else DATA if row.verdict == verdicts.NO_DATA else RUNS
    if row.verdict == agreement.CANNOT_TELL:
        return EVALUATION if row.evaluation else SEEDS
    if row.verdict == verdicts.TOY_SCALE:
        return SCALE
    if row.reason == UNKNOWN:
        return RECORD
    if row.comparable:
        return SETTING
    return CATEGORIES if row.categories < len(verdicts.averaged(study, row)) else MARGIN


def sentence(methods: pd.DataFrame) -> str:
    """The verdict: how many of the targets are decided, and what stands beside the others.

    Args:
        methods: published numbers of methods with verdict, doubt and `wants` (`reasons`).
    """
    targets = methods[methods["doubt"] == ""]
    total = len(targets)
    among = f" target{'s' * (total != 1)} among {len(methods)}" if total < len(methods) else ""
    if methods.empty:
        return "The paper prints no number of a method that we know."
    if targets.empty:
        return f"No published number could be judged: none of {len(methods)} is a target."
    why, counts = Counter(targets["wants"]), Counter(targets["verdict"])
    beside = [f"{why[name]} beside {said}" for name, said in BESIDE.items() if why[name]]
    alone = total - why[""] - sum(why[name] for name in BESIDE)
    beside += [f"{alone} beside none"] if alone else []
    if alone == total:
        return f"No published number is judged yet: none of {total}{among} has a run beside it."
    if not why[""]:
        return f"No published number is judged yet: of {total}{among}, {_stand(beside)}."
    decided = [
        f"{counts[name]} {word}{'s' * (counts[name] == 1)}"
        for name, word in zip(DECIDED, ("agree", "differ"), strict=True)
        if counts[name]
    ]
    rest = f"; {_stand(beside)}" if beside else ""
    return f"Of {total}{among} published numbers {listed(decided)} with our runs{rest}."


def _stand(beside: list[str]) -> str:
    """Write `12 stand beside toy scale and 245 beside none`."""
    verb = "stands" if beside[0].startswith("1 ") else "stand"
    return listed(beside).replace(" beside", f" {verb} beside", 1)


def unknown(study: Study, paper: Paper, methods: pd.DataFrame, cost: pd.DataFrame) -> str:
    """How many numbers are targets, and what would decide those that are open.

    Args:
        study: the results.
        paper: that prints the numbers.
        methods: as for `sentence`.
        cost: of the paper, see `hours.cost`.
    """
    targets = methods[methods["doubt"] == ""]
    if targets.empty:
        return (
            f"None of {len(methods)} published numbers is a target."
            if len(methods)
            else ("Nothing: the paper prints no number of a method.")
        )
    at_hand = verdicts.at_hand(study)
    wants = [
        _wanted(row.wants, all(at_hand(row.dataset, one) for one in verdicts.averaged(study, row)))
        for row in targets.itertuples()
    ]
    groups = {name: targets[[one == name for one in wants]] for name in WANTS if name in wants}
    details = {}
    if RUNS in groups:
        named = cost[cost["method"].isin(groups[RUNS]["method"])]
        details[RUNS] = hours.in_words(named)
    if DATA in groups:
        sets = groups[DATA]["dataset"].unique()
        details[DATA] = paper.names.get(sets[0], sets[0]) + ", …" * (len(sets) > 1)
    some = len(targets) < len(methods)
    are = "is a target" if len(targets) == 1 else "are targets"
    begin = f"{len(targets)} of {len(methods)} numbers {are}" if some else ""
    if not groups:
        return f"{begin}; none is open." if begin else "Every published number is judged."
    while len(_asked(begin, groups, details).split()) > MOST_WORDS and details:
        details.popitem()
    return _asked(begin, groups, details)


def _wanted(reason: str, at_hand: bool) -> str:
    """What would decide a number; a mean over few categories may lack the images of the others."""
    if reason == CATEGORIES:
        return RUNS if at_hand else DATA
    return RUNS if reason == SCALE else reason


def _asked(begin: str, groups: dict[str, pd.DataFrame], details: dict[str, str]) -> str:
    """Write `69 of 288 numbers are targets: 57 want data (MVTec AD) and 12 runs at full scale`."""
    parts, n = [], len(next(iter(groups.values())))
    verb = "" if begin else f"open number{'s' * (n > 1)} "
    verb += f"want{'s' * (n == 1)} "
    for name, rows in groups.items():
        detail = f" ({details[name]})" if details.get(name) else ""
        parts.append(f"{len(rows)} {'' if parts else verb}{WANTS[name]}{detail}")
    return f"{begin}{': ' * bool(begin)}{listed(parts)}."
