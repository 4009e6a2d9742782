"""Intervals: over test images, for metrics whose coverage was simulated, and over training seeds.

`tests/bench/bench_coverage.py` prints how often each interval holds the true value. Numbers picked
on the test labels themselves (the oracle metrics) lean upwards, and no interval here covers them.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit, logit

from adlib.metrics.curves import checked, finite_vector, vectorised

Metric = Callable[[ArrayLike, ArrayLike], float]
TINY = 1e-12
# Metrics at a threshold from elsewhere: functions of the rates of true and of false positives and
# of the share of abnormal images.
_OF_RATES: dict[str, Callable[[float, float, float], float]] = {
    "accuracy": lambda tpr, fpr, share: tpr * share + (1 - fpr) * (1 - share),
    "balanced_accuracy": lambda tpr, fpr, share: (tpr + 1 - fpr) / 2,
    "f1": lambda tpr, fpr, share: 2 * tpr * share / (tpr * share + fpr * (1 - share) + share),
    "miss_rate": lambda tpr, fpr, share: 1 - tpr,
    "false_alarm_rate": lambda tpr, fpr, share: fpr,
}


def interval(
    metric: str,
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float | None = None,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Interval over test images of a metric given by its name; (NaN, NaN) where none covers.

    Args:
        metric: `auroc`, `average_precision`; or, with a `threshold` that was set without these
            labels, `accuracy`, `balanced_accuracy`, `f1`, `miss_rate` or `false_alarm_rate`. No
            other name has an interval.
        labels: (N,) of 0 and 1.
        scores: (N,) finite numbers.
        threshold: images with this score or a higher one count as abnormal.
        confidence: level of the interval in (0, 1).

    Raises:
        ValueError: as in `adlib.metrics.auroc`, or `confidence` outside (0, 1).
    """
    if metric == "auroc":
        return auroc_interval(labels, scores, confidence)
    if metric == "average_precision":
        return average_precision_interval(labels, scores, confidence)
    if threshold is None or metric not in _OF_RATES:
        return np.nan, np.nan
    return _rates_interval(_OF_RATES[metric], labels, scores, threshold, confidence)


def auroc_interval(
    labels: ArrayLike, scores: ArrayLike, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the auROC over images: the hull of three, each of which covers where one fails.

    The first holds all areas whose variance (Hanley and McNeil 1982) the estimate agrees with
    (Newcombe 2006, method 5), so it has a width when the classes are separated perfectly. The
    second has DeLong's variance, which sees classes of unequal spread, on the logit scale. The
    third takes the area for a share of as many images as give that variance (Wilson 1927), and of
    the smaller class where it is zero: where one class hardly spreads, the other's images decide.

    Args:
        labels: (N,) of 0 and 1.
        scores: (N,) finite numbers.
        confidence: level of the interval in (0, 1).

    Raises:
        ValueError: as in `adlib.metrics.auroc`, or `confidence` outside (0, 1).
    """
    labels, scores = checked(labels, scores)
    z = _quantile(confidence)
    normal, abnormal = scores[labels == 0], scores[labels == 1]
    m, n = normal.size, abnormal.size
    ranks = stats.rankdata(np.concatenate([normal, abnormal]))
    below = (ranks[m:] - stats.rankdata(abnormal)) / m  # share of normals below each abnormal one
    above = 1 - (ranks[:m] - stats.rankdata(normal)) / n
    area = min(1.0, max(0.0, float(below.mean())))

    def variance(true: float) -> float:
        pairs = ((m + n) / 2 - 1) * ((1 - true) / (2 - true) + true / (1 + true))
        return true * (1 - true) * (1 + pairs) / (m * n)

    def misfit(true: float) -> float:  # negative where the estimate agrees with a true area
        return (area - true) ** 2 - z * z * variance(true)

    low = brentq(misfit, 0, min(area, 1 - TINY)) if area > 0 else 0.0
    high = brentq(misfit, max(area, TINY), 1) if area < 1 else 1.0
    delong = sum(_variance_of_mean(shares) for shares in (below, above))
    images = min(m, n) if delong == 0 or min(m, n) == 1 else area * (1 - area) / delong
    return _hull((low, high), _on_logit(area, delong, z), _wilson(area, max(images, min(m, n)), z))


def average_precision_interval(
    labels: ArrayLike, scores: ArrayLike, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the average precision over images: the hull of two.

    The first takes it for a share of the abnormal images (Boyd, Eng and Page 2013), by Wilson's
    interval, which has a width at a share of 1. The second has the jackknife's variance, over the
    images of both classes, on the logit scale.

    Args:
        labels: (N,) of 0 and 1.
        scores: (N,) finite numbers.
        confidence: level of the interval in (0, 1).

    Raises:
        ValueError: as in `adlib.metrics.auroc`, or `confidence` outside (0, 1).
    """
    labels, scores = checked(labels, scores)
    z = _quantile(confidence)
    normal, abnormal = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
    n = abnormal.size
    # Images of either class at or above each abnormal one: the precision there is true / all.
    true = n - np.searchsorted(abnormal, abnormal, "left")
    false = normal.size - np.searchsorted(normal, abnormal, "left")
    precision = true / (true + false)
    value, variance = float(precision.mean()), 0.0
    if normal.size > 1:
        fewer = true / np.maximum(true + false - 1, 1)
        sums = _sums_without(normal, abnormal, precision, fewer)
        variance += (normal.size - 1) * (sums / n).var()
    if n > 1:
        fewer = (true - 1) / np.maximum(true + false - 1, 1)
        sums = _sums_without(abnormal, abnormal, precision, fewer) - fewer
        variance += (n - 1) * (sums / (n - 1)).var()
    return _hull(_wilson(value, n, z), _on_logit(value, variance, z))


def _sums_without(
    left_out: np.ndarray, scores: np.ndarray, values: np.ndarray, changed: np.ndarray
) -> np.ndarray:
    """Sum of `values` for each image left out, which turns those at or below it into `changed`.

    `scores` are sorted; `values` and `changed` belong to them.
    """
    reached = np.searchsorted(scores, left_out, "right")
    below = np.concatenate([[0.0], np.cumsum(changed)])
    above = values.sum() - np.concatenate([[0.0], np.cumsum(values)])
    return below[reached] + above[reached]


def _rates_interval(
    function: Callable[[float, float, float], float],
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float,
    confidence: float,
) -> tuple[float, float]:
    """Interval of a function of the two rates at a threshold that these images did not set.

    Each rate has its exact binomial interval (Clopper and Pearson 1934); how far its ends move the
    function is added in quadrature (Zou and Donner 2008).
    """
    labels, scores = checked(labels, scores)
    _quantile(confidence)
    called = scores >= threshold
    counts = [
        (int(called[labels == label].sum()), int((labels == label).sum())) for label in (1, 0)
    ]
    share = counts[0][1] / labels.size
    rates = [hits / n for hits, n in counts]
    value = function(*rates, share)
    moved = []
    for i, (hits, n) in enumerate(counts):
        ends = stats.binomtest(hits, n).proportion_ci(confidence)
        at_ends = [function(*(end if i == j else rates[j] for j in (0, 1)), share) for end in ends]
        moved.append((value - min(at_ends), max(at_ends) - value))
    below, above = (float(np.hypot(*side)) for side in zip(*moved, strict=True))
    return max(0.0, value - below), min(1.0, value + above)


def _variance_of_mean(values: np.ndarray) -> float:
    return float(values.var(ddof=1) / values.size) if values.size > 1 else 0.0


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Interval of a share of `n` (Wilson 1927)."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2) / (1 + z * z / n)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _on_logit(centre: float, variance: float, z: float) -> tuple[float, float]:
    """Interval of a share by the normal distribution of its logit (delta method)."""
    if variance == 0 or not 0 < centre < 1:
        return centre, centre
    half = z * np.sqrt(variance) / (centre * (1 - centre))
    return float(expit(logit(centre) - half)), float(expit(logit(centre) + half))


def _hull(*intervals: tuple[float, float]) -> tuple[float, float]:
    lows, highs = zip(*intervals, strict=True)
    return min(lows), max(highs)


def bootstrap_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    metric: Metric,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval over images, resampled within each class (scipy).

    It says how far the number may move with other test images of the same kind; it knows nothing
    of other training seeds (see `interval_over_seeds`). A perfect separation gives [1, 1], and
    oracle metrics lean upwards in resamples as they do in samples.

    Args:
        labels: As for every metric, see `adlib.metrics`.
        scores: Likewise.
        metric: A function of (labels, scores). `auroc`, `average_precision` and the oracle
            metrics of `adlib.metrics` run vectorised; any other is called once a resample.
        confidence: Level of the interval in (0, 1).
        resamples: Number of resamples, at least 1.
        seed: Seed of the resampling; the same seed gives the same interval.

    Returns:
        (low, high) in units of the metric.

    Raises:
        ValueError: `confidence` outside (0, 1).
    """
    labels, scores = checked(labels, scores)
    _quantile(confidence)
    normal, abnormal = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    curve_metric = getattr(metric, "curve", None)
    if curve_metric is not None:
        statistic = vectorised(curve_metric, scores)
    else:

        def statistic(drawn_normal: np.ndarray, drawn_abnormal: np.ndarray) -> float:
            drawn = np.concatenate([drawn_normal, drawn_abnormal])
            return metric(labels[drawn], scores[drawn])

    interval = stats.bootstrap(
        (normal, abnormal),
        statistic,
        n_resamples=resamples,
        batch=max(1, 2_000_000 // labels.size),  # bounds the memory: about 16 MB an array
        vectorized=curve_metric is not None,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def interval_over_seeds(
    values: ArrayLike,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> tuple[float, float]:
    """Interval for the mean of a metric over training seeds, and over images where given.

    Seeds: Student's t, mean +- t s / sqrt(n). Images: all seeds are scored on the same images, so
    their sampling error does not average out; the mean half-widths (mean value - mean low, mean
    high - mean value) are added in quadrature on each side.

    Args:
        values: (n,) the metric of each seed, n >= 2, or n = 1 with `low` and `high`.
        low: (n,) lower ends of the intervals over images, at the same confidence, or None.
        high: (n,) upper ends, or None.
        confidence: Level of the interval in (0, 1).
        bounds: Range of the metric; the interval is cut to it.

    Returns:
        (low, high) in units of the metric.

    Raises:
        ValueError: Too few or not finite values, only one of `low` and `high`, unequal lengths.
    """
    values = finite_vector(values, "values")
    _quantile(confidence)
    if (low is None) != (high is None):
        raise ValueError("Give both low and high, or neither.")
    if values.size == 1 and low is None:
        raise ValueError("One seed has no spread: give two or more values, or low and high.")
    centre, seeds = values.mean(), 0.0
    if values.size > 1:
        t = stats.t.ppf((1 + confidence) / 2, values.size - 1)
        seeds = t * values.std(ddof=1) / np.sqrt(values.size)
    below = above = seeds
    if low is not None:
        low, high = finite_vector(low, "low"), finite_vector(high, "high")
        if not low.size == high.size == values.size:
            raise ValueError(f"{values.size} values, {low.size} low and {high.size} high ends.")
        below = np.hypot(seeds, max(0.0, centre - low.mean()))
        above = np.hypot(seeds, max(0.0, high.mean() - centre))
    return float(max(bounds[0], centre - below)), float(min(bounds[1], centre + above))


def _quantile(confidence: float) -> float:
    """Two-sided quantile of the normal distribution."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1.")
    return float(stats.norm.ppf((1 + confidence) / 2))
