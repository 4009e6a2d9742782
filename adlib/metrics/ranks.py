"""Statistics of comparisons: ranks of methods over data sets, tests, and their conclusions.

After Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006. A table
has a row for every data set and a column for every method; higher values are better. The data sets
are the sample: values are averaged over seeds before, or the tests would take repetitions for
further data sets.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from adlib.metrics.curves import checked, finite_vector

FEWEST = 3  # data sets and methods without which a test says nothing
FEW = 5  # data sets below which a test can show next to nothing


def mean_ranks(table: pd.DataFrame) -> pd.Series:
    """Mean rank of every method over the data sets, best first; 1 is best, ties share a rank.

    Args:
        table: data sets by methods, finite, higher is better.

    Raises:
        ValueError: an empty table, a method named twice, or values that are not finite.
    """
    values = table.to_numpy(dtype=np.float64)
    if values.size == 0:
        raise ValueError(f"no values to rank: {len(table)} data sets, {table.shape[1]} methods")
    if not table.columns.is_unique:
        raise ValueError(f"a method is named twice: {', '.join(map(str, table.columns))}")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"{table.columns[column]} has no finite value on {table.index[row]}; leave the data "
            "set or the method out"
        )
    ranks = stats.rankdata(-values, axis=1).mean(0)
    return pd.Series(ranks, table.columns, name="mean rank").sort_values(kind="stable")


def friedman(table: pd.DataFrame) -> tuple[float, float]:
    """Friedman's statistic, corrected for ties, and its p-value by the chi-squared law.

    The law is an approximation, rough for fewer than ten data sets or so.

    Raises:
        ValueError: as in `mean_ranks`, or fewer than three data sets or methods.
    """
    _require_enough(*table.shape)
    mean_ranks(table)  # for its checks
    if (table.nunique(axis=1) == 1).all():  # all methods alike everywhere: nothing to correct
        return 0.0, 1.0
    statistic, p = stats.friedmanchisquare(*table.to_numpy(dtype=np.float64).T)
    return float(statistic), float(p)


def critical_difference(n_methods: int, n_sets: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of two mean ranks: q sqrt(k (k + 1) / (6 n)).

    q is the upper `alpha` point of the studentized range for k methods and infinitely many degrees
    of freedom, divided by the root of two.

    Raises:
        ValueError: fewer than three data sets or methods, or `alpha` outside (0, 1).
    """
    _require_enough(n_sets, n_methods)
    _check_level(alpha)
    q = stats.studentized_range.ppf(1 - alpha, n_methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(n_methods * (n_methods + 1) / (6 * n_sets)))


def groups(ranks: pd.Series, difference: float) -> list[list[str]]:
    """Largest groups of methods, best first, none of which is `difference` or more from another.

    Args:
        ranks: mean ranks of the methods, in any order.
        difference: what parts two methods, see `critical_difference`.
    """
    ranks = ranks.sort_values(kind="stable")
    joined, reached = [], 0
    for first, rank in enumerate(ranks):
        end = int((ranks - rank < difference).sum())
        if end > max(reached, first + 1):
            joined.append(ranks.index[first:end].tolist())
            reached = end
    return joined


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's step-down adjusted p-values, in the order given: compare them with alpha itself.

    Raises:
        ValueError: no value, or one that is not in [0, 1].
    """
    p = finite_vector(p, "p")
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"p-values lie in [0, 1]; got {p.min():g} to {p.max():g}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)).clip(max=1)
    return adjusted


def pairs(table: pd.DataFrame) -> pd.DataFrame:
    """Wilcoxon's signed-rank test of every two methods, two-sided, with Holm's correction.

    Returns:
        One row a pair, smallest p first: `better` and `worse` (by mean rank), `difference` (median
        over data sets, better - worse), `p`, `p_holm`.

    Raises:
        ValueError: as in `friedman`.
    """
    _require_enough(*table.shape)
    rows = []
    for better, worse in combinations(mean_ranks(table).index, 2):
        apart = (table[better] - table[worse]).to_numpy(dtype=np.float64)
        p = stats.wilcoxon(apart).pvalue if apart.any() else 1.0  # no ranks if all are equal
        rows.append((better, worse, float(np.median(apart)), float(p)))
    tests = pd.DataFrame(rows, columns=["better", "worse", "difference", "p"])
    return tests.assign(p_holm=holm(tests.p)).sort_values("p", kind="stable", ignore_index=True)


def conclusions(table: pd.DataFrame, alpha: float = 0.05) -> list[str]:
    """Say in sentences what the table allows to conclude, and what it does not.

    Args:
        table: data sets by methods, see `mean_ranks`.
        alpha: level of the tests.
    """
    (n, k), ranks = table.shape, mean_ranks(table)
    best, last = ranks.index[[0, -1]]
    sentences = [
        f"Over {_counted(n, 'data set')} the mean ranks of {_counted(k, 'method')} run from "
        f"{ranks.iloc[0]:.2f} ({best}) to {ranks.iloc[-1]:.2f} ({last})."
    ]
    if n < FEWEST or k < FEWEST:
        what = _counted(n, "data set") if n < FEWEST else _counted(k, "method")
        few = f"{what}: too few for a test. The ranks describe these data, no more."
        return [*sentences, few]
    statistic, p = friedman(table)
    differ = "differ by more than chance" if p < alpha else "are not shown to differ"
    numbers = f"chi-squared {statistic:.2f}, p = {p:.3g}"
    limit = critical_difference(k, n, alpha)
    most = f"{limit:.2f} ranks, and two methods can be at most {k - 1} apart"
    sentences += [
        f"Friedman's test: the methods {differ} ({numbers}).",
        f"Nemenyi's critical difference is {most}.",
    ]
    if n < FEW:
        smaller = "nothing can be concluded about differences smaller than that"
        sentences.append(f"With {n} data sets {smaller}.")
    if p < alpha:
        apart = [f"{a} before {b}" for a, b in combinations(ranks.index, 2)
                 if ranks[b] - ranks[a] >= limit]  # fmt: skip
        sentences.append(f"Apart by as much: {', '.join(apart) or 'no two methods'}.")
    return [*sentences, _wilcoxon_in_words(table, alpha)]


def sets_needed(methods: int, alpha: float = 0.05) -> int:
    """Fewest data sets with which Wilcoxon's test can show a pair apart after Holm's correction.

    The smallest two-sided p of n differences is 2 / 2^n; Holm multiplies it by the number of pairs.
    """
    pairs_of_methods = methods * (methods - 1) // 2
    return int(np.floor(np.log2(2 * pairs_of_methods / alpha))) + 1


def _wilcoxon_in_words(table: pd.DataFrame, alpha: float) -> str:
    """What the pairwise tests show, or that so few data sets can show nothing."""
    n, k = table.shape
    m = k * (k - 1) // 2
    smallest = min(1.0, m * 2.0 ** (1 - n))
    if smallest >= alpha:
        return (
            f"Wilcoxon's test with {n} data sets cannot give less than p = {2.0 ** (1 - n):.3g}, "
            f"or {smallest:.3g} after Holm's correction for {m} pairs: it has no power to show any "
            f"pair apart. With {sets_needed(k, alpha)} data sets it could."
        )
    significant = pairs(table).query("p_holm < @alpha")
    apart = ", ".join(significant.better + " before " + significant.worse)
    return f"Wilcoxon's test with Holm's correction: {apart or 'no pair'} apart."


def auroc_difference(
    labels: ArrayLike, first: ArrayLike, second: ArrayLike, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Difference of two areas under the ROC curve on the same images, with its interval.

    After DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988: the areas are means over images,
    whose covariance says how far their difference may move with other images of the same kind. It
    does not cover other trainings.

    Args:
        labels: two or more of each class.
        first: scores of one method.
        second: scores of another method for the same images.
        confidence: level of the interval in (0, 1).

    Returns:
        first - second and the ends of the interval.

    Raises:
        ValueError: fewer than two images of either label.
    """
    _check_level(confidence)
    shares = []  # of the other class that every image is on the right side of
    for scores in (first, second):
        labels, scores = checked(labels, scores)
        normal, abnormal = scores[labels == 0], scores[labels == 1]
        if min(normal.size, abnormal.size) < 2:
            raise ValueError(f"{normal.size} normal and {abnormal.size} abnormal images: two each")
        shares.append((_share_below(normal, abnormal), _share_below(abnormal, normal)))
    apart = [a - b for a, b in zip(*shares, strict=True)]
    difference = apart[0].mean()
    error = np.sqrt(sum(own.var(ddof=1) / own.size for own in apart))
    half = stats.norm.ppf((1 + confidence) / 2) * error
    return float(difference), float(difference - half), float(difference + half)


def _share_below(others: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of `others` below each value, ties counted half."""
    others = np.sort(others)
    below, up_to = (np.searchsorted(others, values, side=side) for side in ("left", "right"))
    return (below + up_to) / (2 * others.size)


def pareto_front(cost: ArrayLike, quality: ArrayLike) -> np.ndarray:
    """Which methods no other one beats: none is as good for less, or better for as much.

    Args:
        cost: (N,) lower is better.
        quality: (N,) higher is better.

    Returns:
        bool (N,).
    """
    cost, quality = finite_vector(cost, "cost"), finite_vector(quality, "quality")
    if cost.size != quality.size:
        raise ValueError(f"{cost.size} costs and {quality.size} qualities")
    no_worse = (cost <= cost[:, None]) & (quality >= quality[:, None])
    better = (cost < cost[:, None]) | (quality > quality[:, None])
    return ~(no_worse & better).any(1)


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")


def _require_enough(n_sets: int, n_methods: int) -> None:
    if n_sets < FEWEST or n_methods < FEWEST:
        raise ValueError(
            f"{_counted(n_sets, 'data set')} and {_counted(n_methods, 'method')} are too few for a "
            f"test; it takes {FEWEST} of each"
        )


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"a level of {level}: it must lie between 0 and 1")
