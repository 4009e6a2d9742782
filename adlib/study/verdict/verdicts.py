"""Published values beside ours: which rows belong together, and the rule of the verdict.

By the same rule others' values stand beside ours: those of other people's implementations.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pandas as pd

from adlib.data import sets
from adlib.metrics import check_bounds
from adlib.study.departures import UNKNOWN
from adlib.study.engine.execute import DONE
from adlib.study.papers import ORIGINS
from adlib.study.summary import COUNT, Study
from adlib.study.verdict import agreement

TOY_SCALE = "toy scale"
NOT_COMPARABLE = "not comparable"
NO_DATA = "data not at hand"
NOT_RUN = "not run"
VERDICTS = [*agreement.OUTCOMES, TOY_SCALE, NOT_COMPARABLE, NO_DATA, NOT_RUN]
# Rows whose protocol is that of the authors are held against a published number before others.
FORMS = ("authors", "", "oracle")

_JOIN = ["paper", "table", "dataset", "category", "method", "metric"]
_OURS = [
    *("form", "low", "high", "about", "values", "seeds", "comparable", "scale", "runs"),
    *("categories", "protocol", "n_normal", "n_abnormal"),
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


@lru_cache(maxsize=16)  # a report asks for the same again for every paper
def compare(study: Study, profile: str) -> pd.DataFrame:
    """Every published row with our value of one profile, the difference and the verdict.

    Not to be changed in place.

    Returns:
        Columns of `published` plus ours, those of the summary (`_OURS`), honest (the value of the
        last weights, also where `form` is "authors"), difference, doubt (why the published value is
        no target), evaluation (how the authors came by it,
        where ours is not so), verdict and reason, and others (the values of other implementations,
        in words). The index tells published rows apart and is the same in every profile.
    """
    ours = study.summary
    ours = ours[(ours["profile"] == profile) & ours["form"].isin(FORMS) & ours["x"].isna()]
    ours = ours[[*_JOIN, "value", *_OURS]].sort_values(
        "form", key=lambda forms: forms.map(FORMS.index), kind="stable"
    )
    others = ours[ours["form"] != "authors"].drop_duplicates(_JOIN)
    others = others.rename(columns={"value": "honest"})
    ours = ours.drop_duplicates(_JOIN).rename(columns={"value": "ours"})
    rows = published(study).merge(ours, on=_JOIN, how="left", validate="one_to_one")
    rows = rows.merge(others[[*_JOIN, "honest"]], on=_JOIN, how="left", validate="one_to_one")
    rows["difference"] = rows["ours"] - rows["value"]
    rows["doubt"] = _doubts(study, rows)
    evaluation = {name: paper.evaluation for name, paper in study.papers.items()}
    rows["evaluation"] = [
        "" if form == "authors" else evaluation[paper].get(table, "")
        for paper, table, form in zip(rows["paper"], rows["table"], rows["form"], strict=True)
    ]
    lost = {
        (one.cell.paper, one.cell.notebook, one.cell.dataset, one.cell.category): one
        for one in study.executions
        if one.cell.profile == profile and one.status != DONE
    }
    methods = study.rows.groupby(["paper", "table"])["method"].agg(set).to_dict()
    there = at_hand(study)
    decided = [_verdict(row, study, lost, methods, there) for row in rows.itertuples()]
    rows["verdict"], rows["reason"] = zip(*decided, strict=True) if decided else ([], [])
    said = _in_words(beside_others(study, profile))
    rows["others"] = [said.get(key, "") for key in rows[_JOIN].itertuples(index=False, name=None)]
    # our methods first, in the order of our tables
    order = {method: place for place, method in enumerate(dict.fromkeys(study.rows["method"]))}
    place = rows["method"].map(lambda method: order.get(method, len(order)))
    by_table = rows.groupby(["paper", "table"], sort=False).ngroup()
    return rows.iloc[np.lexsort([np.arange(len(rows)), place, by_table])]


def nearest(compared: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every published value once: in the first profile that has a number of ours.

    Args:
        compared: what `compare` gives, by profile, the one nearest to the paper first.

    Returns:
        Its columns and `profile`; values without a number of ours are those of the first profile.
    """
    named = [rows.assign(profile=name) for name, rows in compared.items()]
    rows = pd.concat([*(rows[rows["ours"].notna()] for rows in named), named[0]])
    return rows[~rows.index.duplicated()].sort_index()


def beside_others(study: Study, profile: str) -> pd.DataFrame:
    """Every value of another implementation with ours of one profile, by the rule of the verdict.

    Ours is that of the last weights, but for a value that the authors' evaluation gave.

    Returns:
        Columns of `Paper.others` with numbers in `value`, printed, half_unit, ours, those of the
        summary (`_OURS`), difference, verdict and reason (both "" without a number of ours), and
        flagged: ours, at full scale and in the same setting, lies further away than the margin.
    """
    rows = study.others
    rows = rows.assign(
        printed=rows["value"],
        half_unit=[half_unit(text) for text in rows["value"]],
        value=rows["value"].astype(float),
        **{"doubt": "", "evaluation": ""},
    )
    ours = _by_protocol(study, profile, rows)
    rows = rows.drop(columns=["protocol", "form"]).join(ours)
    rows["difference"] = rows["ours"] - rows["value"]
    judged = [
        _of_value(row, len(averaged(study, row))) if np.isfinite(row.ours) else ("", "")
        for row in rows.itertuples()
    ]
    rows["verdict"], rows["reason"] = zip(*judged, strict=True) if judged else ([], [])
    margin = rows["metric"].map(agreement.MARGINS) + rows["half_unit"] + agreement.ROUNDING
    rows["flagged"] = rows["verdict"].isin(agreement.OUTCOMES) & (rows["difference"].abs() > margin)
    return rows


def _by_protocol(study: Study, profile: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Ours for each of others' rows, under its index: of that method, whatever the variant."""
    ours = study.summary
    ours = ours[(ours["profile"] == profile) & ours["x"].isna()]
    plain = ours["method"] == ours["name"]  # these come before those with a variant
    ours = pd.concat([ours[plain], ours[~plain]]).assign(method=lambda rows: rows["name"])
    ours = ours.rename(columns={"value": "ours"})
    wanted = rows[[*_JOIN, "protocol", "form"]].reset_index()
    pairs = wanted.merge(ours, on=_JOIN, suffixes=("_wanted", ""))
    same = [
        row.protocol.startswith(row.protocol_wanted)
        and (row.form == "authors") == (row.form_wanted == "authors")
        for row in pairs.itertuples()
    ]
    pairs = pairs[np.array(same, dtype=bool)].drop_duplicates("index")
    return pairs.set_index("index")[["ours", *_OURS]]


def _in_words(others: pd.DataFrame) -> dict[tuple, str]:
    """Other implementations' values by the keys of a published one: `0.251 anomalib; 0.813 ...`."""
    found: dict[tuple, list[str]] = {}
    for row in others.itertuples():
        key = tuple(getattr(row, name) for name in _JOIN)
        mark = " (ours differs)" if row.flagged else ""
        found.setdefault(key, []).append(f"{row.printed} {row.implementation}{mark}")
    return {key: "; ".join(said) for key, said in found.items()}


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
    rows = study.rows[(study.rows["run"] != "") & (study.rows["form"] != "authors")]
    balanced = rows[rows["metric"] == "max_balanced_accuracy"]
    pairs = balanced.merge(rows[rows["metric"] == "auroc"], on=keys, suffixes=("", "_auroc"))
    pairs = pairs.dropna(subset=["value", "value_auroc"])
    found = []
    for row in pairs.itertuples():
        if broken := check_bounds(row.value, row.value_auroc, tolerance=5e-7):
            found.append(f"{row.method} on {row.dataset} {row.category}, run {row.run}: {broken}")
    return found, len(pairs)


def at_hand(study: Study) -> Callable[[str, str], bool]:
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


def averaged(study: Study, row) -> list[str]:
    """Categories that make a published value: those of its mean, or its own."""
    return study.groups(row.paper, row.dataset).get(row.category, [row.category])


def _verdict(row, study: Study, lost: dict, methods: dict, there: Callable) -> tuple[str, str]:
    """Verdict and reason of one published row; see `deciding.RULE`."""
    categories = averaged(study, row)
    if np.isfinite(row.ours):
        return _of_value(row, len(categories))
    if why := study.papers[row.paper].not_run.get(row.method):
        return NOT_RUN, why
    run = methods.get((row.paper, row.table))
    if run and row.method not in run:
        return NOT_RUN, "not run for this table"
    if one := lost.get((row.paper, row.table, row.dataset, row.category)):
        return NOT_RUN, f"{one.cell.id} failed" if one.failed else f"{one.cell.id} was not finished"
    if not all(there(row.dataset, category) for category in categories):
        return NO_DATA, ""
    return NOT_RUN, "not in this profile" if run else "no notebook has made this table"


def _of_value(row, wanted: int) -> tuple[str, str]:
    """Verdict and reason where there is a number of ours; `wanted` categories make the value."""
    reasons = [reason for reason in (row.comparable, row.doubt) if reason]
    if row.categories < wanted:
        reasons.append(f"mean over {row.categories:.0f} of {wanted} categories")
    if row.method != COUNT and row.metric not in agreement.MARGINS:
        reasons.append("no margin is fixed for this metric")
    nameless = row.categories == 1 and not row.runs and row.method != COUNT
    if UNKNOWN in row.scale or nameless:
        return NOT_COMPARABLE, UNKNOWN
    if reasons:
        return NOT_COMPARABLE, "; ".join(filter(None, [*reasons, row.scale]))
    if row.scale:
        return TOY_SCALE, row.scale
    if row.method == COUNT:  # a fact about the data: it is the printed one or it is not
        met = abs(row.ours - row.value) <= row.half_unit + 1e-9
        return (agreement.AGREES if met else agreement.DIFFERS), ""
    if row.evaluation:
        return agreement.CANNOT_TELL, f"not run as the authors evaluate: {row.evaluation}"
    decided = decide(row, agreement.MARGINS[row.metric])
    return decided.outcome, decided.reason


def decide(row, margin: float) -> agreement.Agreement:
    """What the rule says of a row of `compare` at a margin."""
    return agreement.compare(row.value, row.values, margin, row.half_unit)


def remedy(row) -> str:
    """What would let our runs judge a row of `compare` that they cannot tell; "" for others."""
    if row.verdict != agreement.CANNOT_TELL:
        return ""
    if row.evaluation:
        return f"runs evaluated as the authors do ({row.evaluation})"
    return decide(row, agreement.MARGINS[row.metric]).remedy
