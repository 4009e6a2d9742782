"""Published values beside ours: which rows belong together, and the rule of the verdict."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from adlib.data import sets
from adlib.metrics import check_bounds
from adlib.study.collect import DONE
from adlib.study.summary import COUNT, GROUPS, Study

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

PAPERS = {
    "CBiGAN": "cbigan",
    "Cycle-GAN AD": "cyclegan",
    "Noisy-AnoGAN": "noisy_anogan",
    "GANomaly": "ganomaly",
}
DATASETS = {
    "MVTec AD": "mvtec_ad",
    "MNIST": "mnist",
    "IR-MNIST": "ir_mnist",
    "CIFAR-10": "cifar10",
    "Caltech-256": "caltech256",
    "MVTec AD (pooled)": "mvtec_ad",
    "breast": "breast_ultrasound",
}
CATEGORIES = {("all data sets", "mean"): "mean_overall"}
# The papers' names of methods, metrics and tables where they are not ours.
METHODS = {"EGBAD (Zenati et al.)": "EGBAD"}
METRICS = {
    "f1": "best_f1",  # printed without a rule for the threshold, so beside the oracle
    "accuracy_percent": "best_accuracy",
    "zfn_accuracy_percent": "zfn_accuracy",
}
PERCENT = ("accuracy_percent", "zfn_accuracy_percent")  # here shares of 1
TABLES = {
    ("ganomaly", "Table 4 (arXiv v1)"): "table_runtime",
    ("ganomaly", "MVTec AD leaderboard"): "table_mvtec",
    ("cyclegan", "abstract (first arXiv version)"): "table_accuracy_zfn",
    ("cyclegan", "abstract (journal version)"): "table_accuracy_zfn",
    ("cyclegan", "derived split"): "table_accuracy_zfn",
}
NO_TARGETS = {  # words in a published row's note: why its value is no target
    "quoted by the paper": "the paper quotes its value from another work, not from an own run",
    "which code and split gave it is not said": "a leaderboard does not say what gave its value",
    "another implementation": "the value is another implementation's",
}
_JOIN = ["paper", "table", "dataset", "category", "method", "metric"]
_OURS = [
    *("low", "high", "seeds", "comparable", "runs", "categories"),
    *("protocol", "n_normal", "n_abnormal"),
]
_ROMAN = {"I": "1", "II": "2", "III": "3", "IV": "4", "V": "5", "VI": "6"}


def published(study: Study) -> pd.DataFrame:
    """The papers' rows under our names, beside the names as printed (``paper_title``, ...).

    "Table II" of a paper belongs to the notebook of that paper called ``table2_...``, or to the one
    that `TABLES` names; a table that no notebook makes keeps its own name. Values are numbers,
    ``printed`` is the text, ``half_unit`` half a unit of its last place.
    """
    rows = study.published.copy()
    in_percent = rows["metric"].isin(PERCENT)
    rows.loc[in_percent, "value"] = rows.loc[in_percent, "value"].map(_share)
    rows = rows.assign(paper_title=rows["paper"], table_title=rows["table"], printed=rows["value"])
    rows["paper"] = [PAPERS.get(title.split(" (")[0], title) for title in rows["paper"]]
    cells = [one.cell for one in study.executions]
    notebooks = {(cell.paper, cell.notebook.split("_")[0]): cell.notebook for cell in cells}
    rows["table"] = [
        TABLES.get((paper, title)) or notebooks.get((paper, _short(title)), title)
        for paper, title in zip(rows["paper"], rows["table"], strict=True)
    ]
    rows["dataset"] = [DATASETS.get(title, title) for title in rows["dataset"]]
    # "digit 3 anomalous" is our category "3"
    named = r"^(?:digit )?(\w+) anomalous$"
    rows["category"] = rows["category"].str.replace(named, r"\1", regex=True)
    rows["category"] = [
        CATEGORIES.get(pair, pair[1])
        for pair in zip(rows["dataset"], rows["category"], strict=True)
    ]
    rows["method"] = rows["method"].replace(METHODS)
    rows["metric"] = rows["metric"].str.replace("anomalous", "abnormal").replace(METRICS)
    rows["half_unit"] = [half_unit(text) for text in rows["printed"]]
    rows["value"] = rows["value"].astype(float)
    # Lists made of no row have no type, and a join wants text.
    return rows.astype(dict.fromkeys(_JOIN, str))


def _share(percent: str) -> str:
    """Write a percentage as a share of 1 with the same digits: 0.854 for "85.4"."""
    return f"{float(percent) / 100:.{len(percent.partition('.')[2]) + 2}f}"


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
    ours = ours[(ours["profile"] == profile) & (ours["form"] != "deployable")].copy()
    ours["metric"] = ours["metric"].str.replace("anomalous", "abnormal")
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
    judged = [_verdict(row, lost, methods, at_hand) for row in rows.itertuples()]
    rows["verdict"], rows["reason"] = zip(*judged, strict=True) if judged else ([], [])
    # our methods first, in the order of our tables
    order = {method: place for place, method in enumerate(dict.fromkeys(study.rows["method"]))}
    place = rows["method"].map(lambda method: order.get(method, len(order)))
    by_table = rows.groupby(["paper", "table"], sort=False).ngroup()
    return rows.iloc[np.lexsort([np.arange(len(rows)), place, by_table])]


def bounds_of_published(study: Study) -> tuple[pd.DataFrame, int]:
    """Published pairs of maximum balanced accuracy and auROC that no scores can give.

    Returns:
        The rows that break a bound (paper_title, dataset, category, method, balanced accuracy and
        auROC as printed, note, broken), and how many rows were checked. A row without an auROC
        is checked against B >= 0.5 alone.
    """
    keys = ["paper_title", "paper", "dataset", "category", "method"]
    rows = published(study)
    kept = [*keys, "value", "printed", "half_unit", "note"]
    balanced = rows.loc[rows["metric"] == "max_balanced_accuracy", kept]
    area = rows.loc[rows["metric"] == "auroc", kept]
    pairs = balanced.merge(area, on=keys, how="left", suffixes=("", "_auroc"))
    pairs["printed_auroc"] = pairs["printed_auroc"].fillna("")
    # an auROC equal to B is inside the bounds for every B >= 0.5
    pairs["value_auroc"] = pairs["value_auroc"].fillna(pairs["value"])
    tolerance = pairs[["half_unit", "half_unit_auroc"]].max(axis=1)
    pairs["broken"] = [
        check_bounds(*given)
        for given in zip(pairs["value"], pairs["value_auroc"], tolerance, strict=True)
    ]
    return pairs[pairs["broken"].notna()], len(pairs)


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

    def at_hand(dataset: str, category: str) -> bool:
        behind = GROUPS.get(dataset, {}).get(category, (category,))
        return all((dataset, c) in seen or sets.at_hand(dataset, c) for c in behind)

    return at_hand


def _short(title: str) -> str:
    """Make `table2` of "Table II" and of "Table 2 (arXiv v1)"."""
    found = re.match(r"(Table|Figure) (\w+)", title)
    return found[1].lower() + _ROMAN.get(found[2], found[2]) if found else title


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
        reasons += [reason for words, reason in NO_TARGETS.items() if words in row.note]
        doubts.append("; ".join(reasons))
    return doubts


def _verdict(row, lost: dict, methods: dict, at_hand: Callable) -> tuple[str, str]:
    """Verdict and reason of one published row; see `RULE`."""
    if np.isfinite(row.ours):
        wanted = len(GROUPS.get(row.dataset, {}).get(row.category, "1"))
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
    known = methods.get((row.paper, row.table))
    if known and row.method not in known:
        return NOT_RUN, "not run for this table"
    if one := lost.get((row.paper, row.table, row.dataset, row.category)):
        return NOT_RUN, f"{one.cell.id} failed" if one.failed else f"{one.cell.id} was not finished"
    if not at_hand(row.dataset, row.category):
        return NO_DATA, ""
    return NOT_RUN, "not in this profile" if known else "no notebook has made this table"
