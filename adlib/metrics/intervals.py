"""Intervals: over test images (bootstrap), and over training seeds (Student's t)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from adlib.metrics.curves import checked, finite_vector, vectorised

Metric = Callable[[ArrayLike, ArrayLike], float]


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
    _check_confidence(confidence)
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
    _check_confidence(confidence)
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


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1.")
