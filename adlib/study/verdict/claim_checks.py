"""The tests of claims: what the rows of one profile say, see `adlib.study.verdict.claims`."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from adlib.metrics import interval_over_seeds
from adlib.metrics.ranks import FEWEST
from adlib.study.papers import ALL_SETS, MEANS
from adlib.study.rows import PATCHED
from adlib.study.tables import in_words, listed, number, points
from adlib.study.verdict import claims
from adlib.study.verdict.agreement import MARGINS, ROUNDING
from adlib.study.verdict.claims import FAILS, HOLDS, MISSES, OPEN, Evidence, Rows


def check(rows: Rows) -> Evidence | None:
    """What the rows say of the claim; None where they do not reach it."""
    if rows.claim.method not in set(rows.means["name"]):
        return None
    return CHECKS[rows.claim.check](rows)


def _side(low: float, high: float) -> str:
    """Outcome by an interval of a difference that is positive where the claim is right."""
    # NaN decides nothing, nor do equal values that rounding sets apart.
    return HOLDS if low > ROUNDING else FAILS if high < -ROUNDING else OPEN


def _t_interval(differences: np.ndarray, fewest: int, most: float = 1.0) -> tuple[float, float]:
    """95 % t interval of a mean within ±`most`, NaN with fewer values than `fewest`."""
    if len(differences) < fewest:
        return np.nan, np.nan
    return interval_over_seeds(differences, bounds=(-most, most))


def _leads(rows: Rows) -> Evidence | None:
    """Whether the method is before all others, or those named, by intervals that do not meet."""
    claim = rows.claim
    table = rows.means[rows.means["name"].isin([*rows.others(), claim.method])]
    if claim.category:
        table = table[table["category"] == claim.category]
    mine = table[table["name"] == claim.method]
    if mine.empty:
        return None
    # Where there is a mean over categories it speaks for them.
    place = mine.sort_values("categories", ascending=False, kind="stable").iloc[0]
    for key in ("dataset", "category", "categories"):
        table = table[table[key] == place[key]]
    if len(table) < 2:
        return None
    ranked = table.sort_values("value", ascending=False, kind="stable")
    ours = next(ranked[ranked["name"] == claim.method].itertuples())
    best = next(ranked[ranked["name"] != claim.method].itertuples())
    outcome = _side(ours.low - best.high, ours.high - best.low)
    at = 1 + int((ranked["value"] > ours.value + ROUNDING).sum())
    reached = f"{in_words(claim.metric)} {claims.stands(ours)}"
    other, where = f"{best.name} with {claims.stands(best)}", claims.in_place(rows.paper, ours)
    unknown = np.isnan([ours.low, best.low]).any()
    why = "no interval is known" if unknown else "the intervals meet"
    text = {
        HOLDS: f"comes first of {len(ranked)} on {where}: {reached}, before {other}.",
        FAILS: f"takes place {at} of {len(ranked)} on {where}: {reached}, behind {other}.",
        OPEN: f"cannot be distinguished from {other} on {where}: {reached}; {why}.",
    }[outcome]
    behind = _averaged(rows, place, rows.of(*table["name"]))
    return Evidence(
        outcome,
        f"{claim.method} {text}",
        behind,
        _few(rows, int(place["categories"]), place["dataset"]),
    )


def _averaged(rows: Rows, place: pd.Series, single: pd.DataFrame) -> pd.DataFrame:
    """Rows of single categories that stand behind one place, a category or a mean."""
    if place["categories"] == 1:
        single = single[single["category"] == place["category"]]
    if place["dataset"] == ALL_SETS:
        return single
    single = single[single["dataset"] == place["dataset"]]
    names = rows.groups(place["dataset"]).get(place["category"])
    return single[single["category"].isin(names)] if names else single


def _few(rows: Rows, n: int, dataset: str) -> list[str]:
    """A doubt where fewer categories were run than the paper averages."""
    wanted = rows.groups(dataset).get(rows.claim.category or "mean_overall", [])
    own = dataset in {ALL_SETS, *rows.paper.datasets_of(rows.claim.table)}
    return [f"{n} of {len(wanted)} categories"] if own and n < len(wanted) else []


def _paired(rows: Rows) -> Evidence | None:
    """Whether the method is ahead of each named one on average over the same categories.

    The check `not_behind` asks whether it is behind none by a margin that counts.
    """
    claim = rows.claim
    margin = MARGINS[claim.metric] if claim.check == "not_behind" else 0.0
    table = rows.of(claim.method, *claim.over)
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
        outcomes.append(_side(*np.add(ends, margin)))
        told.append(
            f"{number(pairs[claim.method].mean())} against {number(pairs[other].mean())} of "
            f"{other}, a mean difference of {claims.difference(differences.mean(), *ends)} over "
            f"{claims.counted(len(pairs), 'category', 'categories')}"
        )
        sets = pairs.index.get_level_values("dataset").unique()
        doubts += _few(rows, len(pairs), sets[0] if len(sets) == 1 else ALL_SETS)
    if not told:
        return None
    outcome = _all([*outcomes, *[OPEN] * (len(claim.over) - len(outcomes))])
    text = f"{claim.method} reaches {in_words(claim.metric)} {'; '.join(told)}."
    return Evidence(outcome, text, table, list(dict.fromkeys(doubts)))


def _in_mean(rows: Rows, table: pd.DataFrame, mean: str) -> list[bool]:
    """Which rows are of a category that a mean averages."""
    means = {name: rows.groups(name).get(mean, []) for name in table["dataset"].unique()}
    return [row.category in means[row.dataset] for row in table.itertuples()]


def _all(outcomes: list[str]) -> str:
    """Outcome of a claim that is right where all its parts are."""
    if FAILS in outcomes:
        return FAILS
    return HOLDS if set(outcomes) == {HOLDS} else OPEN


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
        ahead = claims.difference(differences.mean(), *ends)
        told.append(f"{ahead} against {best} for {claims.category_in_words(category)}")
    if not told:
        return None
    few = len(told) < len(claim.categories)
    doubts = [f"{len(told)} of {len(claim.categories)} cases"] if few else []
    absent = [name for name in claim.over if name not in set(rows.means["name"])]
    doubts += [f"no run of {listed(absent)}"] if absent else []
    text = f"{claim.method}'s {in_words(claim.metric)} differs by {'; '.join(told)}."
    behind = rows.of(*names)
    behind = behind[behind["category"].isin(claim.categories)]
    return Evidence(_all(outcomes), text, behind, doubts)


def _falls_less(rows: Rows) -> Evidence | None:
    """Whether the method's value falls less than the other's from one category to another."""
    claim, (other,) = rows.claim, rows.claim.over
    first, last = (rows.seeds(name) for name in (claim.categories[0], claim.categories[-1]))
    if any(name not in table for name in (claim.method, other) for table in (first, last)):
        return None
    falls = (last - first).dropna()
    ends = _t_interval(differences := (falls[claim.method] - falls[other]).to_numpy(), 2, 2.0)
    changes = " and ".join(
        f"{claims.difference(falls[name].mean(), np.nan, np.nan)} for {name}"
        for name in (claim.method, other)
    )
    text = (
        f"From {claims.category_in_words(claim.categories[0])} to "
        f"{claims.category_in_words(claim.categories[-1])} the {in_words(claim.metric)} changes by "
        f"{changes}, a difference of {claims.difference(differences.mean(), *ends)}."
    )
    behind = rows.of(claim.method, other)
    behind = behind[behind["category"].isin(claim.categories)]
    return Evidence(_side(*ends), text, behind)


def _groups(rows: Rows) -> Evidence | None:
    """Whether the method's mean over one group of categories lies above that over another."""
    claim, table = rows.claim, rows.of(rows.claim.method)
    sides, doubts = [], []
    for mean in (claim.category, *claim.over):
        side = table[_in_mean(rows, table, mean)]
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
        ends = tuple(np.clip((found.low, found.high), -1, 1))
    text = (
        f"{claim.method} reaches {in_words(claim.metric)} {number(first.mean())} as "
        f"{claims.category_in_words(claim.category)} ({len(first)}) and {number(second.mean())} as "
        f"{claims.category_in_words(claim.over[0])} ({len(second)}), a difference of "
        f"{claims.difference(first.mean() - second.mean(), *ends)}."
    )
    return Evidence(_side(*ends), text, pd.concat(sides), doubts)


def _below_chance(rows: Rows) -> Evidence | None:
    """Whether the whole interval lies below 0.5: abnormal images rank as the more normal ones."""
    claim = rows.claim
    found = rows.of(claim.method)
    found = found[found["category"] == claim.category]
    if found.empty:
        return None
    row = next(found.itertuples())
    where, reached = claims.in_place(rows.paper, row), claims.stands(row)
    text = f"{claim.method} on {where} has {in_words(claim.metric)} {reached}."
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
    return Evidence(_side(*_t_interval(ratios, 2, np.inf)), text, rows.of(claim.method, other))


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2g}"


def _misses(rows: Rows) -> Evidence | None:
    """Whether a threshold that is to miss nothing misses nothing, on every data set."""
    found = rows.of(rows.claim.method)
    missing = found[found["value"] > 0]
    limits = found["high"].fillna(1.0)
    outcome = FAILS if len(missing) else HOLDS if (limits <= MISSES).all() else OPEN
    cases = claims.counted(len(found), "data set", "data sets")
    text = (
        f"{rows.claim.method} misses abnormal test images on {len(missing)} of {cases}, "
        f"{100 * found['value'].mean():.1f} % on average; the largest 95 % limit is "
        f"{100 * limits.max():.1f} %."
    )
    sets = ALL_SETS if found["dataset"].nunique() > 1 else found["dataset"].iloc[0]
    return Evidence(outcome, text, found, _few(rows, len(found), sets))


def _contaminated(rows: Rows) -> Evidence | None:
    """Whether the method withstands abnormal pixels in the largest share of training images."""
    claim, table = rows.claim, rows.of(rows.claim.method)
    table = table[table["variant"].str.endswith(PATCHED)].assign(share=table["x"].astype(float))
    clean = table[(table["share"] == 0) & (table["metric"] == claim.metric)]
    table = table[table["metric"] == "difference_points"]
    if table.empty:
        return None
    table = table[table["share"] == (share := table["share"].max())]
    changes = [
        f"{points(row.value, row.low, row.high)} on {claims.in_place(rows.paper, row)}"
        for row in table.itertuples()
    ]
    text = (
        f"Abnormal pixels in {100 * share:.0f} % of the normal training images change "
        f"{claim.method}'s {in_words(claim.metric)}, in points, by {', '.join(changes)}"
    )
    if lost := int((table["high"] < 0).sum()):
        return Evidence(FAILS, f"{text}: a loss on {lost} of {len(table)}.", table)
    chance = (clean["low"] <= 0.5).any()
    reading = "no loss is shown" + ", but without them it is at chance already" * bool(chance)
    return Evidence(OPEN, f"{text}: {reading}.", table)


CHECKS: dict[str, Callable[[Rows], Evidence | None]] = {
    "leads": _leads,
    "paired": _paired,
    "not_behind": _paired,
    "everywhere": _everywhere,
    "falls_less": _falls_less,
    "groups": _groups,
    "below_chance": _below_chance,
    "faster": _faster,
    "misses": _misses,
    "contaminated": _contaminated,
}
