"""Published values beside ours: which rows belong together, and the rule of the verdict."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from adlib.data import sets
from adlib.metrics import check_bounds
from adlib.study.collect import DONE
from adlib.study.papers import ORIGINS
from adlib.study.summary import COUNT, Study

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
NOT_COMPARABLE = "not comparable"
NO_DATA = "data not at hand"
NOT_RUN = "not run"
VERDICTS = [REPRODUCED, NOT_REPRODUCED, NOT_COMPARABLE, NO_DATA, NOT_RUN]

RULE = {
    REPRODUCED: "the published value, give or take half a unit of its last printed place, meets "
    "our 95 % interval.",
    NOT_REPRODUCED: "it does not. Where no interval is known, our value itself has to agree.",
    NOT_COMPARABLE: "we have a number, but for another setting than the paper's, a mean over fewer "
    "categories among them, or the published value is no target: the paper quotes it from "
    "elsewhere, or no scores can give it. The reason is given.",
    NO_DATA: "no number of ours, and the data set is not on the machine.",
    NOT_RUN: "no number of ours although the data could be had: the method is not part of the "
    "study or of the profile, or its cell failed or was not finished.",
}

_JOIN = ["paper", "table", "dataset", "category", "method", "metric"]
_OURS = [
    *("low", "high", "seeds", "comparable", "runs", "categories"),
    *("protocol", "n_normal", "n_abnormal"),
]


def published(study: Study) -> pd.DataFrame:
    """The papers' rows with numbers in `value`, and four columns more.

    `paper_title` and `table_title` are the names of paper and table as printed, `printed` is the
    text of the value and `half_unit` half a unit of its last place.
    """
    rows = study.published
    titles = {paper.name: paper.title for paper in study.papers.values()}
    return rows.assign(
        paper_title=rows["paper"].map(titles),
        table_title=rows["printed_as"].str.split("; ").str[0],
        printed=rows["value"],
        half_unit=[half_unit(text) for text in rows["value"]],
        value=rows["value"].astype(float),
    )


def half_unit(printed: str) -> float:
    """Half a unit of the last printed place: 0.005 for "0.76", 0.5 for "280"."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def compare(study: Study, profile: str) -> pd.DataFrame:
    """Every published row with our value of one profile, the difference and the verdict.

    Returns:
        Columns of `published` plus ours, low, high, seeds, difference, doubt (why the published
        value is no target), verdict, reason, runs, protocol, n_normal, n_abnormal. The index tells
        published rows apart and is the same in every profile.
    """
    ours = study.summary
    ours = ours[(ours["profile"] == profile) & (ours["form"] != "deployable")]
    ours = ours[[*_JOIN, "value", *_OURS]]
    rows = published(study).merge(
        ours.rename(columns={"value": "ours"}), on=_JOIN, how="left", validate="one_to_one"
    )
    rows["difference"] = rows["ours"] - rows["value"]
    rows["doubt"] = _doubts(study, rows)
    lost = {
        (one.cell.paper, one.cell.notebook, one.cell.dataset, one.cell.category): one
        for one in study.executions
        if one.cell.profile == profile and one.status != DONE
    }
    methods = study.rows.groupby(["paper", "table"])["method"].agg(set).to_dict()
    at_hand = _at_hand(study)
    decided = [
        _verdict(row, study.groups(row.paper, row.dataset), lost, methods, at_hand)
        for row in rows.itertuples()
    ]
    rows["verdict"], rows["reason"] = zip(*decided, strict=True) if decided else ([], [])
    # our methods first, in the order of our tables
    order = {method: place for place, method in enumerate(dict.fromkeys(study.rows["method"]))}
    place = rows["method"].map(lambda method: order.get(method, len(order)))
    by_table = rows.groupby(["paper", "table"], sort=False).ngroup()
    return rows.iloc[np.lexsort([np.arange(len(rows)), place, by_table])]


def bounds_of_published(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Published rows of maximum balanced accuracy, with auROC, that no scores can give.

    Two tables may quote two systems under one name, so the two metrics make a pair only where both
    are the paper's own. All other rows are checked against B >= 0.5 alone.

    Returns:
        The rows that break a bound (paper_title, dataset, category, method, balanced accuracy and
        auROC of the pair as printed, note, broken), and all rows that were checked, in which `both`
        tells whether the paper prints an auROC under the same name and `pair` whether it was used.
    """
    keys = ["paper_title", "paper", "dataset", "category", "method"]
    rows = published(study)
    kept = [*keys, "value", "printed", "half_unit", "origin", "note"]
    balanced = rows.loc[rows["metric"] == "max_balanced_accuracy", kept]
    area = rows.loc[rows["metric"] == "auroc", kept]
    checked = balanced.merge(area, on=keys, how="left", suffixes=("", "_auroc"))
    checked["both"] = checked["value_auroc"].notna()
    own = (checked["origin"] == "own") & (checked["origin_auroc"] == "own")
    checked["pair"] = checked["both"] & own
    checked["printed_auroc"] = checked["printed_auroc"].where(checked["pair"], "")
    # an auROC equal to B is inside the bounds for every B >= 0.5
    area = checked["value_auroc"].where(checked["pair"], checked["value"])
    tolerance = checked["half_unit_auroc"].where(checked["pair"]).fillna(0)
    tolerance = np.maximum(checked["half_unit"], tolerance)
    checked["broken"] = [
        check_bounds(*given) for given in zip(checked["value"], area, tolerance, strict=True)
    ]
    return checked[checked["broken"].notna()], checked


def bounds_of_ours(study: Study) -> tuple[list[str], int]:
    """Sentences on pairs of ours, one run each, that break a bound, and how many were checked."""
    keys = ["profile", "paper", "dataset", "category", "method", "seed", "run"]
    rows = study.rows[study.rows["run"] != ""]
    balanced = rows[rows["metric"] == "max_balanced_accuracy"]
    pairs = balanced.merge(rows[rows["metric"] == "auroc"], on=keys, suffixes=("", "_auroc"))
    pairs = pairs.dropna(subset=["value", "value_auroc"])
    found = []
    for row in pairs.itertuples():
        if broken := check_bounds(row.value, row.value_auroc, tolerance=5e-7):
            found.append(f"{row.method} on {row.dataset} {row.category}, run {row.run}: {broken}")
    return found, len(pairs)


def _at_hand(study: Study) -> Callable[[str, str], bool]:
    """Tell whether a category's images are there: seen in a result or under the data root."""
    seen = set(zip(study.rows["dataset"], study.rows["category"], strict=True))
    return lambda dataset, name: (dataset, name) in seen or sets.at_hand(dataset, name)


def _doubts(study: Study, rows: pd.DataFrame) -> list[str]:
    """Why a published value is no target, or "": quoted from elsewhere, or impossible."""
    impossible = {}
    for pair in bounds_of_published(study)[0].itertuples():
        key, why = (pair.paper, pair.dataset, pair.category, pair.method), pair.broken.rstrip(".")
        impossible[*key, "max_balanced_accuracy"] = why
        if pair.value + pair.half_unit >= 0.5:  # else the auROC has no part in it
            impossible[*key, "auroc"] = why
    doubts = []
    for row in rows.itertuples():
        why = impossible.get((row.paper, row.dataset, row.category, row.method, row.metric))
        reasons = [f"no scores give the published values: {why}"] if why else []
        reasons += filter(None, [ORIGINS[row.origin]])
        doubts.append("; ".join(reasons))
    return doubts


def _verdict(row, groups: dict, lost: dict, methods: dict, at_hand: Callable) -> tuple[str, str]:
    """Verdict and reason of one published row; see `RULE`."""
    averaged = groups.get(row.category, [row.category])
    if np.isfinite(row.ours):
        wanted = len(averaged)
        reasons = [reason for reason in (row.comparable, row.doubt) if reason]
        if row.categories < wanted:
            reasons.append(f"mean over {row.categories:.0f} of {wanted} categories")
        if reasons:
            return NOT_COMPARABLE, "; ".join(reasons)
        low, high = (row.low, row.high) if np.isfinite(row.low) else (row.ours, row.ours)
        slack = row.half_unit + 1e-9
        met = low - slack <= row.value <= high + slack
        remarks = []
        if row.method != COUNT and row.seeds < 3:
            remarks.append("from fewer than three seeds")
        if met and high - low > 0.2:
            remarks.append("the interval is wide, so this says little")
        return (REPRODUCED if met else NOT_REPRODUCED), "; ".join(remarks)
    run = methods.get((row.paper, row.table))
    if run and row.method not in run:
        return NOT_RUN, "not run for this table"
    if one := lost.get((row.paper, row.table, row.dataset, row.category)):
        return NOT_RUN, f"{one.cell.id} failed" if one.failed else f"{one.cell.id} was not finished"
    if not all(at_hand(row.dataset, category) for category in averaged):
        return NO_DATA, ""
    return NOT_RUN, "not in this profile" if run else "no notebook has made this table"
