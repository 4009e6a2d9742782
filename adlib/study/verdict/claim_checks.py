"""The tests of claims: what the rows of one profile say, see `adlib.study.verdict.claims`."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from adlib.metrics import interval_over_seeds
from adlib.metrics.ranks import FEWEST
from adlib.study.lab.tables import in_words, listed, number
from adlib.study.papers import ALL_SETS, MEANS
from adlib.study.verdict.agreement import ROUNDING
from adlib.study.verdict.claims import (
    FAILS,
    HOLDS,
    MISSES,
    OPEN,
    PATCHED,
    Evidence,
    Rows,
    category_in_words,
    in_place,
    stands,
)


def check(rows: Rows) -> Evidence | None:
    """What the rows say of the claim; None where they do not reach it."""
    if rows.claim.method not in set(rows.means["name"]):
        return None
    return CHECKS[rows.claim.check](rows)


def _side(low: float, high: float) -> str:
    """Outcome by an interval of a difference that is positive where the claim is right."""
    # NaN decides nothing, nor do equal values that rounding sets apart.
    return HOLDS if low > ROUNDING else FAILS if high < -ROUNDING else OPEN


def _t_interval(differences: np.ndarray, fewest: int) -> tuple[float, float]:
    """95 % t interval of a mean, NaN with fewer values than `fewest`."""
    if len(differences) < fewest:
        return np.nan, np.nan
    return interval_over_seeds(differences, bounds=(-np.inf, np.inf))


def _difference(value: float, low: float, high: float) -> str:
    ends = "" if np.isnan(low) else f" ({low:+.3f} to {high:+.3f})"
    return f"{value:+.3f}{ends}".replace("-", "−")


def _leads(rows: Rows) -> Evidence | None:
    """Whether the method is before all others, or those named, by intervals that do not meet."""
    claim, paper = rows.claim, rows.paper
    table = rows.means[rows.means["name"].isin([*rows.others(), claim.method])]
    if claim.category:
        table = table[table["category"] == claim.category]
    mine = table[table["name"] == claim.method]
    if mine.empty:
        return None
    # Where there is a mean over categories it speaks for them.
    place = mine.sort_values("categories", ascending=False, kind="stable").iloc[0]
    same = [table[key] == place[key] for key in ("dataset", "category", "categories")]
    table = table[same[0] & same[1] & same[2]].sort_values("value", ascending=False, kind="stable")
    if len(table) < 2:
        return None
    ranked = list(table.itertuples())
    at, ours = next((i, row) for i, row in enumerate(ranked, 1) if row.name == claim.method)
    best = next(row for row in ranked if row.name != claim.method)
    (low, high), (other_low, other_high) = (
        (row.value, row.value) if pd.isna(row.low) else (row.low, row.high) for row in (ours, best)
    )
    outcome = HOLDS if low > other_high else FAILS if other_low > high else OPEN
    reached = f"{in_words(claim.metric)} {stands(ours)}"
    other, where = f"{best.name} with {stands(best)}", in_place(paper, ours)
    text = {
        HOLDS: f"{claim.method} comes first of {len(ranked)} on {where}: {reached}, before "
        f"{other}.",
        FAILS: f"{claim.method} takes place {at} of {len(ranked)} on {where}: {reached}, behind "
        f"{other}.",
        OPEN: f"{claim.method} cannot be distinguished from {other} on {where}: {reached}; the "
        "intervals meet.",
    }[outcome]
    behind = rows.single[rows.single["name"].isin(table["name"])]
    if place["categories"] > 1:
        names = rows.groups(place["dataset"]).get(place["category"])
        if names and place["dataset"] != ALL_SETS:
            behind = behind[behind["category"].isin(names)]
    else:
        behind = behind[behind["category"] == place["category"]]
    if place["dataset"] != ALL_SETS:
        behind = behind[behind["dataset"] == place["dataset"]]
    return Evidence(outcome, text, behind, _few(rows, int(place["categories"]), place["dataset"]))


def _few(rows: Rows, n: int, dataset: str) -> list[str]:
    """A doubt where fewer categories were run than the paper averages."""
    wanted = rows.groups(dataset).get(rows.claim.category or "mean_overall", [])
    own = dataset in {ALL_SETS, *rows.paper.datasets_of(rows.claim.table)}
    return [f"{n} of {len(wanted)} categories"] if own and n < len(wanted) else []


def _paired(rows: Rows) -> Evidence | None:
    """Whether the method is ahead of each named one on average over the same categories."""
    claim = rows.claim
    table = rows.single
    if claim.category:
        table = table[_in_mean(rows, table, claim.category)]
    by_place = table.pivot_table("value", ["dataset", "category"], "name", sort=False)
    told, outcomes, doubts = [], [], []
    for other in claim.over:
        pairs = by_place.reindex(columns=[claim.method, other]).dropna()
        if pairs.empty:
            doubts.append(f"no run of {other}")
            continue
        differences = (pairs[claim.method] - pairs[other]).to_numpy()
        ends = _t_interval(differences, FEWEST)
        outcomes.append(_side(*ends))
        told.append(
            f"{number(pairs[claim.method].mean())} against {number(pairs[other].mean())} of "
            f"{other}, a mean difference of {_difference(differences.mean(), *ends)} over "
            f"{_n(len(pairs), 'category', 'categories')}"
        )
        sets = pairs.index.get_level_values("dataset").unique()
        doubts += _few(rows, len(pairs), sets[0] if len(sets) == 1 else ALL_SETS)
    if not told:
        return None
    outcome = _all(outcomes) if len(outcomes) == len(claim.over) else _all([*outcomes, OPEN])
    text = f"{claim.method} reaches {in_words(claim.metric)} {'; '.join(told)}."
    behind = table[table["name"].isin([claim.method, *claim.over])]
    return Evidence(outcome, text, behind, list(dict.fromkeys(doubts)))


def _in_mean(rows: Rows, table: pd.DataFrame, mean: str) -> list[bool]:
    """Which rows are of a category that a mean averages."""
    means = {name: rows.groups(name).get(mean, []) for name in table["dataset"].unique()}
    return [row.category in means[row.dataset] for row in table.itertuples()]


def _all(outcomes: list[str]) -> str:
    """Outcome of a claim that is right where all its parts are."""
    if FAILS in outcomes:
        return FAILS
    return HOLDS if set(outcomes) == {HOLDS} else OPEN


def _n(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _everywhere(rows: Rows) -> Evidence | None:
    """Whether the method is ahead of the best of the others in each of several categories."""
    claim, told, outcomes, names = rows.claim, [], [], {rows.claim.method}
    for category in claim.categories:
        seeds = rows.seeds(category)
        others = [name for name in rows.others() if name in seeds]
        if claim.method not in seeds or not others:
            continue
        best = seeds[others].mean().idxmax()
        differences = (seeds[claim.method] - seeds[best]).dropna().to_numpy()
        ends = _t_interval(differences, 2)
        outcomes.append(_side(*ends))
        names.add(best)
        difference = _difference(differences.mean(), *ends)
        told.append(f"{difference} against {best} for {category_in_words(category)}")
    if not told:
        return None
    doubts = []
    if len(told) < len(claim.categories):
        doubts = [f"{len(told)} of {len(claim.categories)} cases"]
    absent = [name for name in claim.over if name not in set(rows.means["name"])]
    doubts += [f"no run of {listed(absent)}"] if absent else []
    text = f"{claim.method}'s {in_words(claim.metric)} differs by {'; '.join(told)}."
    single = rows.single
    behind = single[single["name"].isin(names) & single["category"].isin(claim.categories)]
    return Evidence(_all(outcomes), text, behind, doubts)


def _falls_less(rows: Rows) -> Evidence | None:
    """Whether the method's value falls less than the other's from one category to another."""
    claim, (other,) = rows.claim, rows.claim.over
    first, last = (rows.seeds(name) for name in (claim.categories[0], claim.categories[-1]))
    if any(name not in table for name in (claim.method, other) for table in (first, last)):
        return None
    falls = (last - first).dropna()
    ends = _t_interval(differences := (falls[claim.method] - falls[other]).to_numpy(), 2)
    changes = " and ".join(
        f"{_difference(falls[name].mean(), np.nan, np.nan)} for {name}"
        for name in (claim.method, other)
    )
    text = (
        f"From {category_in_words(claim.categories[0])} to "
        f"{category_in_words(claim.categories[-1])} the {in_words(claim.metric)} changes by "
        f"{changes}, a difference of {_difference(differences.mean(), *ends)}."
    )
    named = rows.single["name"].isin([claim.method, other])
    behind = rows.single[named & rows.single["category"].isin(claim.categories)]
    return Evidence(_side(*ends), text, behind)


def _groups(rows: Rows) -> Evidence | None:
    """Whether the method's mean over one group of categories lies above that over another."""
    claim, table = rows.claim, rows.single[rows.single["name"] == rows.claim.method]
    sides, doubts = [], []
    for mean in (claim.category, *claim.over):
        kept = [
            row.category in rows.groups(row.dataset).get(mean, []) for row in table.itertuples()
        ]
        side = table[kept]
        wanted = max((len(rows.groups(name).get(mean, [])) for name in side["dataset"]), default=0)
        sides.append(side)
        if len(side) < wanted:
            doubts.append(f"{len(side)} of {wanted} categories in the {MEANS[mean]}")
    if any(side.empty for side in sides):
        return None
    first, second = (side["value"].to_numpy() for side in sides)
    ends = np.nan, np.nan
    if min(len(first), len(second)) >= FEWEST:
        found = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
        ends = float(found.low), float(found.high)
    text = (
        f"{claim.method} reaches {in_words(claim.metric)} {number(first.mean())} as "
        f"{category_in_words(claim.category)} ({len(first)}) and {number(second.mean())} as "
        f"{category_in_words(claim.over[0])} ({len(second)}), a difference of "
        f"{_difference(first.mean() - second.mean(), *ends)}."
    )
    return Evidence(_side(*ends), text, pd.concat(sides), doubts)


def _below_chance(rows: Rows) -> Evidence | None:
    """Whether the whole interval lies below 0.5: abnormal images rank as the more normal ones."""
    claim = rows.claim
    found = rows.single[
        (rows.single["name"] == claim.method) & (rows.single["category"] == claim.category)
    ]
    if found.empty:
        return None
    row = next(found.itertuples())
    text = (
        f"{claim.method} on {in_place(rows.paper, row)} has {in_words(claim.metric)} {stands(row)}."
    )
    return Evidence(_side(0.5 - row.high, 0.5 - row.low), text, found)


def _faster(rows: Rows) -> Evidence | None:
    """How many times as long the other method takes to score one image."""
    claim, (other,) = rows.claim, rows.claim.over
    times = rows.runs.pivot_table("value", ["dataset", "category", "seed"], "name", sort=False)
    times = times.reindex(columns=[claim.method, other]).dropna()
    if times.empty:
        return None
    ratios = np.log(times[other] / times[claim.method]).to_numpy()
    text = (
        f"{other} takes {times[other].median():,.0f} ms for an image, {claim.method} "
        f"{times[claim.method].median():.2g} ms: {_times(np.exp(np.median(ratios)))} times as long."
    )
    behind = rows.single[rows.single["name"].isin([claim.method, other])]
    return Evidence(_side(*_t_interval(ratios, 2)), text, behind)


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2g}"


def _misses(rows: Rows) -> Evidence | None:
    """Whether a threshold that is to miss nothing misses nothing, on every data set."""
    found = rows.single[rows.single["name"] == rows.claim.method]
    missing = found[found["value"] > 0]
    limits = found["high"].fillna(1.0)
    outcome = FAILS if len(missing) else HOLDS if (limits <= MISSES).all() else OPEN
    text = (
        f"{rows.claim.method} misses abnormal test images on {len(missing)} of "
        f"{_n(len(found), 'data set', 'data sets')}, {100 * found['value'].mean():.1f} % on "
        f"average; the largest 95 % limit is {100 * limits.max():.1f} %."
    )
    sets = ALL_SETS if found["dataset"].nunique() > 1 else found["dataset"].iloc[0]
    return Evidence(outcome, text, found, _few(rows, len(found), sets))


def _contaminated(rows: Rows) -> Evidence | None:
    """Whether the method withstands abnormal pixels in the largest share of training images."""
    claim, table = rows.claim, rows.single[rows.single["name"] == rows.claim.method]
    table = table[table["variant"].str.endswith(PATCHED)]
    table = table.assign(share=table["x"].astype(float))
    clean = table[(table["share"] == 0) & (table["metric"] == claim.metric)]
    table = table[table["metric"] == "difference_points"]
    if table.empty:
        return None
    share = table["share"].max()
    table = table[table["share"] == share]
    changes = [
        f"{row.value:+.1f} ({row.low:+.1f} to {row.high:+.1f}) on {in_place(rows.paper, row)}"
        for row in table.itertuples()
    ]
    text = (
        (
            f"Abnormal pixels in {100 * share:.0f} % of the normal training images change "
            f"{claim.method}'s {in_words(claim.metric)}, in points, by {', '.join(changes)}"
        )
        .replace("-", "−")
        .replace("auROC", "auROC")
    )
    lost = int((table["high"] < 0).sum())
    if lost:
        return Evidence(FAILS, f"{text}: a loss on {lost} of {len(table)}.", table)
    chance = (clean["low"] <= 0.5).any()
    reading = "no loss is shown" + ", but without them it is at chance already" * bool(chance)
    return Evidence(OPEN, f"{text}: {reading}.", table)


CHECKS: dict[str, Callable[[Rows], Evidence | None]] = {
    "leads": _leads,
    "paired": _paired,
    "everywhere": _everywhere,
    "falls_less": _falls_less,
    "groups": _groups,
    "below_chance": _below_chance,
    "faster": _faster,
    "misses": _misses,
    "contaminated": _contaminated,
}
