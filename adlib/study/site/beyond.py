"""Front-page sentences on what no paper claims: thresholds, chance, audit, ranks, maps.

Each function looks at the rows of one profile and gives nothing where what it needs is absent.
"""

from collections.abc import Callable

import pandas as pd
from scipy import stats

from adlib.metrics.ranks import critical_difference, sets_needed
from adlib.study.papers import Paper
from adlib.study.site.claims import (
    FAILS,
    HOLDS,
    OPEN,
    PATCHED,
    Finding,
    from_rows,
    in_place,
    stands,
)  # fmt: skip
from adlib.study.site.tables import number
from adlib.study.summary import ALL_SETS

Papers = dict[str, Paper]
CONTROL = "another seed and nothing else"  # the rows that show how far two trainings differ


_PLACE = ["paper", "table", "dataset", "category", "method"]


def _pairs(rows: pd.DataFrame, **metrics: tuple[str, str]) -> pd.DataFrame:
    """One row a detector and category that has all `metrics` (column -> metric, form)."""
    rows = rows[rows["categories"] == 1].dropna(subset=["value"])
    chosen = [
        rows[(rows["metric"] == metric) & (rows["form"] == form)].rename(columns={"value": column})
        for column, (metric, form) in metrics.items()
    ]
    pairs, *others = chosen
    for column, values in zip(list(metrics)[1:], others, strict=True):
        pairs = pairs.merge(values[[*_PLACE, column]], on=_PLACE)
    return pairs


def _oracle(rows: pd.DataFrame, papers: Papers) -> list[Finding]:
    """How much a threshold picked on the test labels raises the balanced accuracy."""
    pairs = _pairs(
        rows,
        oracle=("max_balanced_accuracy", "oracle"),
        held=("balanced_accuracy", "deployable"),
    )
    if pairs.empty:
        return []
    gain = pairs["oracle"] - pairs["held"]
    text = (
        f"picked on the test labels, as papers print them, give a balanced accuracy of "
        f"{number(pairs['oracle'].mean())} on average; those from held-out normal images give "
        f"{number(pairs['held'].mean())}: a difference of {number(gain.mean())} over {len(pairs)} "
        f"pairs of detector and category, at most {number(gain.max())}."
    )
    block = FAILS if gain.mean() > 0.01 else HOLDS
    return [from_rows(block, "Thresholds", text, pairs)]


def _misses(rows: pd.DataFrame, papers: Papers) -> list[Finding]:
    """What becomes of "zero false negatives" when held-out images set the threshold."""
    pairs = _pairs(
        rows,
        oracle=("zfn_accuracy", "oracle"),
        held=("accuracy", "deployable"),
        missed=("miss_rate", "deployable"),
    )
    if pairs.empty:
        return []
    missing = pairs[pairs["missed"] > 0]
    text = (
        f"promised by the lowest abnormal score: taken from held-out images it misses abnormal "
        f"test images in {len(missing)} of {len(pairs)} pairs of detector and data set, "
        f"{100 * pairs['missed'].mean():.1f} % of them on average, at most "
        f"{100 * pairs['missed'].max():.1f} %. Accuracy is then {number(pairs['held'].mean())}; "
        f"with the score taken from the test itself {number(pairs['oracle'].mean())}."
    )
    block = FAILS if len(missing) else HOLDS
    return [from_rows(block, "Zero false negatives", text, pairs)]


def _below_chance(rows: pd.DataFrame, papers: Papers) -> list[Finding]:
    """Scores that rank abnormal images as the more normal ones, by their whole interval."""
    rows = rows[(rows["metric"] == "auroc") & (rows["categories"] == 1)].dropna(subset=["value"])
    below = rows[rows["high"].fillna(rows["value"]) < 0.5].sort_values("value")
    if below.empty:
        return []
    worst = next(below.itertuples())
    text = (
        f"lie {len(below)} of {len(rows)} auROC values with their whole interval: the detector "
        f"takes abnormal images for the more normal ones. Lowest: {worst.method} on "
        f"{in_place(papers[worst.paper], worst)}, {stands(worst)}."
    )
    return [from_rows(FAILS, "Below chance", text, below)]


def _audit(rows: pd.DataFrame, papers: Papers) -> list[Finding]:
    """Which choices raise an auROC; numbers at a threshold are the audit's own to discuss."""
    points = rows[(rows["table"] == "audit") & (rows["metric"] == "difference_points")]
    points = points[(points["categories"] == 1) & (points["measure"] == "auROC")]
    points = points[points["variant"] != CONTROL]
    if points.empty:
        return []
    raised = points[(points["low"] > 0) & (points["reading"] == "raises the number")]
    most = [
        f"{row.variant}: {row.name}, {row.value:.1f} points ({row.low:.1f} to {row.high:.1f})"
        for row in raised.sort_values("value", ascending=False).head(3).itertuples()
    ]
    text = f"raise the auROC, with an interval above zero, in {len(raised)} of {len(points)} cases"
    text += f", most of all: {'; '.join(most)}." if most else "."
    block = FAILS if most else HOLDS
    return [from_rows(block, "Choices of evaluation", text, points)]


def _contaminated(rows: pd.DataFrame, papers: Papers) -> list[Finding]:
    """Which detectors lose by unlabelled abnormal images among the training images."""
    rows = rows[(rows["table"] == "contamination") & (rows["metric"] == "difference_points")]
    rows = rows[(rows["categories"] == 1) & ~rows["variant"].str.endswith(PATCHED)]
    if rows.empty:
        return []
    share = rows["x"].astype(float)
    rows = rows[share == share.max()].sort_values("value", kind="stable")
    lost = int((rows["high"] < 0).sum())
    worst = next(rows.itertuples())
    text = (
        f"as {100 * share.max():.0f} % of the training images lower the auROC, with an interval "
        f"below zero, in {lost} of {len(rows)} pairs of detector and data set; the largest change "
        f"is {worst.name} on {worst.dataset} {worst.category}, {worst.value:+.1f} points "
        f"({worst.low:+.1f} to {worst.high:+.1f})."
    )
    return [from_rows(FAILS if lost else OPEN, "Unlabelled abnormal images", text, rows)]


def _ranks(rows: pd.DataFrame, papers: Papers) -> list[Finding]:
    """Where the papers' methods stand among all that were trained on normal images alone."""
    rows = rows[rows["table"] == "comparison"]
    ranks = rows[rows["metric"] == "mean_rank"].sort_values("value", kind="stable")
    p = rows[(rows["metric"] == "p") & (rows["dataset"] == ALL_SETS)]
    areas = rows[(rows["metric"] == "auroc") & (rows["categories"] == 1)]
    if p.empty or len(ranks) < 2 or areas.empty:
        return []
    proposed = {claim.method for paper in papers.values() for claim in paper.claims}
    order = ranks.set_index("method")["value"]
    ours = order[order.index.isin(proposed)]
    places = [
        f"{name} place {(order < rank).sum() + 1} (mean rank {rank:.2f})"
        for name, rank in ours.items()
    ]
    if not places:
        return []
    first, lowest, chance = order.index[0], order.iloc[0], float(p["value"].iloc[0])
    sets = len(areas[["dataset", "category"]].drop_duplicates())
    limit = critical_difference(len(order), sets)
    behind = [name for name, rank in ours.items() if rank - lowest >= limit]
    text = (
        f"over {sets} data sets, trained on normal images alone, {first} comes first of "
        f"{len(order)} (mean rank {lowest:.2f}); {', '.join(places)}. Friedman's p is "
        f"{chance:.2g}, the critical difference {limit:.2f}: "
    )
    needed = sets_needed(len(order))
    power = f" Wilcoxon's test of pairs with Holm's correction needs {needed} data sets."
    power *= sets < needed
    if chance < 0.05 and behind:
        block, text = FAILS, f"{text}behind by more than chance: {', '.join(behind)}."
    elif first in proposed:
        block, text = HOLDS, f"{text}no other method is shown to be better."
    else:
        block, text = OPEN, f"{text}the papers' methods cannot be distinguished from the first."
    return [from_rows(block, "On equal terms", text + power, areas)]


def _places(rows: pd.DataFrame, papers: Papers) -> list[Finding]:
    """Whether the detector that finds the images also finds the places."""
    rows = rows[(rows["table"] == "localisation") & (rows["categories"] == 1)]
    if rows.empty:
        return []
    best = {}
    for metric in ("auroc", "aupro_0.30"):
        some = rows[rows["metric"] == metric].sort_values("value", ascending=False, kind="stable")
        best[metric] = some.drop_duplicates(["dataset", "category"])
    pairs = best["auroc"].merge(best["aupro_0.30"], on=["dataset", "category"])
    same = int((pairs["method_x"] == pairs["method_y"]).sum())
    top = next(pairs.sort_values("value_y", ascending=False).itertuples())
    text = (
        f"by image auROC and by AUPRO (up to 0.30) are one and the same on {same} of {len(pairs)} "
        f"data sets. Highest AUPRO: {top.method_y} on {top.dataset} {top.category}, "
        f"{number(top.value_y)}."
    )
    block = HOLDS if same == len(pairs) else FAILS
    return [from_rows(block, "The best methods", text, rows)]


def _promised(rows: pd.DataFrame, papers: Papers) -> list[Finding]:
    """Whether a threshold keeps its target rate on images that come later."""
    rows = rows[(rows["table"] == "your_own_images") & (rows["categories"] == 1)]
    by_metric = rows.drop_duplicates("metric").set_index("metric")
    if not {"false_alarm_rate", "miss_rate"} <= set(by_metric.index):
        return []
    alarms, misses = by_metric.loc["false_alarm_rate"], by_metric.loc["miss_rate"]
    kind, rate, n_held = alarms["variant"], alarms["promise"], alarms["n_held"]
    if kind not in ("fpr", "miss") or pd.isna(rate):
        return []  # a target with a confidence, of which one folder says nothing
    aimed, n = (alarms, "n_normal") if kind == "fpr" else (misses, "n_abnormal")
    wrong = round(aimed["value"] * aimed[n])
    # The target rate is an average over held-out sets: the rate of one is Beta(k, n + 1 - k).
    k = int(rate * (n_held + 1) + 1e-9)
    p = stats.betabinom(int(aimed[n]), k, n_held + 1 - k).sf(wrong - 1)
    text = (
        f"set on held-out images for {kind} {rate:g} ({aimed['name']}, {aimed['dataset']} "
        f"{aimed['category']}): of the images scored later {100 * alarms['value']:.1f} % of the "
        f"normal ones are called abnormal and {100 * misses['value']:.1f} % of the abnormal ones "
        f"normal. {'More than promised.' if p < 0.05 else 'No breach of the promise is shown.'}"
    )
    block = FAILS if p < 0.05 else HOLDS
    return [from_rows(block, "A user's threshold", text, rows)]


Finder = Callable[[pd.DataFrame, Papers], list[Finding]]
IN_PAPERS: list[Finder] = [_oracle, _misses, _below_chance]  # on tables that papers have
BEYOND: list[Finder] = [
    _audit,
    _contaminated,
    _ranks,
    _places,
    _promised,
]  # on those that no paper has
