"""Front-page sentences on what no paper has: audit, comparison, maps, contamination, promises."""

from collections.abc import Callable

import pandas as pd
from scipy import stats

from adlib.metrics.ranks import critical_difference
from adlib.study.site.claims import CLAIMS, FAILS, HOLDS, OPEN, Finding, about, page
from adlib.study.site.tables import number
from adlib.study.summary import ALL_SETS

CONTROL = "another seed and nothing else"  # the rows that show how far two trainings differ


def _audit(rows: pd.DataFrame) -> list[Finding]:
    """Which choices raise an auROC; numbers at a threshold are the audit's own to discuss."""
    points = rows[(rows["table"] == "audit") & (rows["metric"] == "difference_points")]
    points = points[(points["categories"] == 1) & (points["measure"] == "auROC")]
    points = points[points["variant"] != CONTROL]
    if points.empty:
        return []
    raised = points[(points["low"] > 0) & points["reading"].str.startswith("raises the number")]
    most = [
        f"{row.variant}: {row.name}, {row.value:.1f} points ({row.low:.1f} to {row.high:.1f})"
        for row in raised.sort_values("value", ascending=False).head(3).itertuples()
    ]
    text = f"raise the auROC, with an interval above zero, in {len(raised)} of {len(points)} cases"
    text += f", most of all: {'; '.join(most)}." if most else "."
    block = FAILS if most else HOLDS
    return [Finding(block, "Choices of evaluation", text, page(points), **about(points))]


def _ranks(rows: pd.DataFrame) -> list[Finding]:
    """Where the papers' methods stand among all that were trained on normal images alone."""
    rows = rows[rows["table"] == "comparison"]
    ranks = rows[rows["metric"] == "mean_rank"].sort_values("value", kind="stable")
    p = rows[(rows["metric"] == "p") & (rows["dataset"] == ALL_SETS)]
    areas = rows[(rows["metric"] == "auroc") & (rows["categories"] == 1)]
    if p.empty or len(ranks) < 2 or areas.empty:
        return []
    proposed = [claim.proposed for claim in CLAIMS]
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
    if chance < 0.05 and behind:
        block, text = FAILS, f"{text}behind by more than chance: {', '.join(behind)}."
    elif first in proposed:
        block, text = HOLDS, f"{text}no other method is shown to be better."
    else:
        block, text = OPEN, f"{text}the papers' methods cannot be told from the first."
    return [Finding(block, "On equal terms", text, page(areas), **about(areas))]


def _places(rows: pd.DataFrame) -> list[Finding]:
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
    return [Finding(block, "The best methods", text, page(rows), **about(rows))]


def _unlabelled(rows: pd.DataFrame) -> list[Finding]:
    """Whether Noisy-AnoGAN withstands unlabelled abnormal training images, as its paper says."""
    rows = rows[(rows["table"] == "contamination") & (rows["categories"] == 1)]
    rows = rows[rows["name"] == "Noisy-AnoGAN"]
    clean = rows[(rows["x"] == 0) & (rows["metric"] == "auroc")]
    rows = rows[rows["metric"] == "difference_points"]
    if rows.empty:
        return []
    largest = rows["x"].max()
    rows = rows[rows["x"] == largest]
    changes = [
        f"{row.value:+.1f} ({row.low:+.1f} to {row.high:+.1f}) on {row.dataset} {row.category}"
        for row in rows.itertuples()
    ]
    text = (
        f"as {100 * largest:.0f} % of the training images change Noisy-AnoGAN's auROC, in points, "
        f"by {', '.join(changes)}: "
    )
    if (rows["high"] < 0).any():
        block, reading = FAILS, f"a loss on {(rows['high'] < 0).sum()} of {len(rows)}."
    else:
        blind = (clean["low"] <= 0.5).any()
        block = OPEN
        reading = "no loss is shown" + (", but it knew nothing to begin with." if blind else ".")
    head = "Unlabelled abnormal images"
    return [Finding(block, head, text + reading, page(rows), **about(rows))]


def _promised(rows: pd.DataFrame) -> list[Finding]:
    """Whether a threshold keeps what was promised on images that come later."""
    rows = rows[(rows["table"] == "your_own_images") & (rows["categories"] == 1)]
    by_metric = rows.drop_duplicates("metric").set_index("metric")
    if not {"false_alarm_rate", "miss_rate"} <= set(by_metric.index):
        return []
    alarms, misses = by_metric.loc["false_alarm_rate"], by_metric.loc["miss_rate"]
    kind, rate, n_held = alarms["variant"], alarms["promise"], alarms["n_held"]
    if kind not in ("fpr", "miss") or pd.isna(
        rate
    ):  # a confidence, of which one folder says nothing
        return []
    told, n = (alarms, "n_normal") if kind == "fpr" else (misses, "n_abnormal")
    wrong = round(told["value"] * told[n])
    # The promise is an average over held-out sets: the rate of one is Beta(k, n + 1 - k).
    k = int(rate * (n_held + 1) + 1e-9)
    p = stats.betabinom(int(told[n]), k, n_held + 1 - k).sf(wrong - 1)
    text = (
        f"set on held-out images for {kind} {rate:g} ({told['name']}, {told['dataset']} "
        f"{told['category']}): of the images judged later {100 * alarms['value']:.1f} % of the "
        f"normal ones are called abnormal and {100 * misses['value']:.1f} % of the abnormal ones "
        f"normal. {'More than promised.' if p < 0.05 else 'No breach of the promise is shown.'}"
    )
    block = FAILS if p < 0.05 else HOLDS
    return [Finding(block, "A user's threshold", text, page(rows), **about(rows))]


FINDERS: list[Callable[[pd.DataFrame], list[Finding]]] = [
    *(_audit, _ranks, _places, _unlabelled, _promised)
]
