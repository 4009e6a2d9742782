"""Thresholds that promise a miss rate, and how well the promises hold on held-out images.

An image counts as abnormal when ``score >= threshold``; a *miss* is an abnormal image with
``score < threshold``. Every rule here takes the scores of abnormal images and gives one of them,
the k-th smallest, as threshold; the rules differ in k. What they promise needs one thing only: that
these images and the images to come are *exchangeable* (drawn alike, in any order, from one source)
and that the detector has seen none of them. The distribution of the scores does not matter, nor
how good the detector is: a poor one keeps its promise and pays with false alarms.

Ties can only lower the miss rate. Break them by lot: a new image then comes before the k-th
smallest of n scores with probability k / (n + 1). A miss must lie strictly below that score, so it
comes before it however the lot falls; a new image tied with the threshold is always caught.

Everywhere, `abnormal_scores` are (n,) finite scores of abnormal calibration images, n >= 1; `beta`
is the allowed miss rate and `delta` the allowed probability that the calibration images mislead,
both between 0 and 1, both excluded. Anything else is a ValueError that names it. A threshold
is in units of the scores, and ``-inf`` (everything is abnormal) with fewer than `images_needed`.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from adlib.metrics.curves import checked, finite_vector

CARRIED = 1e-4  # of the largest score: what another batch, device or export changes at most
_ROUNDING = 1e-9  # of float64: 0.29 * 100 is 28.999999999999996, and means 29


def lowest_abnormal(abnormal_scores: ArrayLike) -> float:
    """Lowest score given: the zero-false-negative rule (Bougaham et al. 2024).

    On the test images themselves it is an *oracle* and misses nothing by definition. On n other
    abnormal images it is *deployable* and promises a miss rate of 1 / (n + 1) on average, not of
    zero: it is `conformal_threshold` with ``beta = 1 / (n + 1)``.
    """
    return float(finite_vector(abnormal_scores, "abnormal_scores").min())


def conformal_threshold(abnormal_scores: ArrayLike, beta: float) -> float:
    """Split-conformal threshold: an abnormal image is missed with probability at most `beta`.

    The k-th smallest of n scores, k = floor(beta (n + 1)). The rank of a new abnormal image among
    the n + 1 is uniform, so P(miss) <= k / (n + 1) <= beta, with equality on the left without ties
    (Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World; Angelopoulos & Bates
    2023, Conformal Prediction: A Gentle Introduction). The probability is over the calibration
    images *and* the new one: the *mean* miss rate over calibration sets. One set's rate is
    distributed as Beta(k, n + 1 - k) and often lies above `beta` (n = 9, beta = 0.1: in 39 of 100
    sets); a promise for the set at hand is `high_probability_threshold`.
    """
    scores = finite_vector(abnormal_scores, "abnormal_scores")
    _check_share(beta, "beta")
    return _smallest(scores, int(beta * (scores.size + 1) + _ROUNDING))


def high_probability_threshold(abnormal_scores: ArrayLike, beta: float, delta: float) -> float:
    """Threshold whose miss rate is at most `beta`, for a share 1 - `delta` of calibration sets.

    The k-th smallest of n scores with the largest k for which P(Bin(n, beta) <= k - 1) <= delta.
    Its miss rate is at most Beta(k, n + 1 - k) distributed, which exceeds `beta` with just that
    probability. Two well-known procedures give the same k: the highest score whose k - 1 misses
    among the n keep Clopper and Pearson's upper limit (1934, `miss_rate_limit`) at or below
    `beta`; and Learn-then-Test, which raises the threshold as long as the binomial test rejects
    "more than beta is missed" (Angelopoulos, Bates, Candes, Jordan & Lei 2021, fixed sequence).
    """
    scores = finite_vector(abnormal_scores, "abnormal_scores")
    _check_share(beta, "beta")
    _check_share(delta, "delta")
    misled = special.bdtr(np.arange(scores.size), scores.size, beta)  # rises with k - 1
    return _smallest(scores, int((misled <= delta * (1 + _ROUNDING)).sum()))


def between_scores(scores: ArrayLike, threshold: float) -> float:
    """Lower a threshold until it lies between two scores and rounding takes neither across.

    A score at the threshold stays at or above it. Where two scores lie closer than rounding may
    carry them (`CARRIED` of the largest one), the next gap below is taken.

    Args:
        scores: (n,), those that set the threshold.
        threshold: one of them, or any other number.

    Returns:
        Just below the upper score of the gap, as far as rounding may carry either; below all
        scores, as far from the lowest.
    """
    below = np.sort(finite_vector(scores, "scores"))
    room = max(CARRIED * np.abs(below).max(), np.finfo(np.float64).tiny)
    below = below[below <= threshold][::-1]
    if below.size == 0:
        return threshold
    gaps = np.append(below[:-1] - below[1:], np.inf)
    first = np.argmax(gaps > 2 * room)
    return float(below[first] - min(2 * room, gaps[first] / 2))


def images_needed(beta: float, delta: float | None = None) -> int:
    """Abnormal calibration images from which on a threshold is finite.

    Without `delta`, `conformal_threshold` needs ceil(1 / beta) - 1 images; with it,
    `high_probability_threshold` needs ceil(log delta / log(1 - beta)). The number is at least 1,
    and with just so many the threshold is the lowest score.
    """
    _check_share(beta, "beta")
    if delta is None:
        return max(1, int(np.ceil((1 - _ROUNDING) / beta)) - 1)
    _check_share(delta, "delta")
    return max(1, int(np.ceil((np.log(delta) + _ROUNDING) / np.log1p(-beta))))


def miss_rate_limit(misses: int, n: int, delta: float) -> float:
    """Upper limit on the miss rate after `misses` of `n` abnormal images were missed.

    One-sided, exact (Clopper & Pearson 1934): the limit lies below the true rate with probability
    at most `delta`. The threshold must not depend on these images.

    Args:
        misses: Missed images, 0 to `n`.
        n: Abnormal images, at least 1.
        delta: Allowed probability of a limit that is too low.

    Returns:
        A rate above ``misses / n``, at most 1.
    """
    if not (n >= 1 and 0 <= misses <= n):
        raise ValueError(f"{misses} misses of {n} images: need 0 <= misses <= n and n >= 1.")
    _check_share(delta, "delta")
    return 1.0 if misses == n else float(special.betainccinv(misses + 1, n - misses, delta))


def redivided(
    labels: ArrayLike,
    scores: ArrayLike,
    rule: Callable[[np.ndarray], float],
    n_calibration: int,
    divisions: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Apply a rule to the held-out images of one detector, divided anew many times.

    In every division, `n_calibration` abnormal images drawn at random set the threshold and the
    other abnormal images and all normal ones are tested by it. The images are those of validation
    and test together: the detector saw neither, nor was anything chosen by them, so their scores
    are exchangeable and any division is as good as the one of the protocol. One detector is one
    training; what another training or split would change is not in the table.

    By drawing at random, the exchangeability that the promises need is *made* true. Without ties
    the misses then follow one distribution (negative hypergeometric) for every detector; what the
    table says about a detector are its false alarms. Whether a promise survives abnormal images of
    another kind or source is seen only where calibration and test are divided by kind or source.

    Args:
        labels: As for every metric, see `adlib.metrics`.
        scores: Likewise.
        rule: Takes the abnormal calibration scores (n_calibration,), gives a threshold; for example
            ``functools.partial(conformal_threshold, beta=0.1)``.
        n_calibration: At least 1, and fewer than there are abnormal images.
        divisions: How often, at least 1.
        seed: The same seed and labels give the same divisions, so that detectors and rules compare
            in pairs.

    Returns:
        One row a division: `threshold`; `misses` of `n_abnormal` test images and `miss_rate`;
        `false_alarms` of `n_normal` images and `false_alarm_rate`; `accuracy` over both, so its
        value depends on how many of each there are.

    Raises:
        ValueError: Counts out of range, or a rule that gives NaN.
    """
    labels, scores = checked(labels, scores)
    normal, abnormal = np.sort(scores[labels == 0]), scores[labels == 1]
    if not 1 <= n_calibration < abnormal.size:
        raise ValueError(
            f"n_calibration is {n_calibration}: of the {abnormal.size} abnormal images at least "
            "one must calibrate and at least one be tested."
        )
    if divisions < 1:
        raise ValueError(f"divisions is {divisions}; at least 1 is needed.")
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.tile(abnormal, (divisions, 1)), axis=1)
    thresholds = np.array([rule(row) for row in drawn[:, :n_calibration]], dtype=np.float64)
    if np.isnan(thresholds).any():
        raise ValueError("The rule gave NaN; a threshold is a number, or infinite.")
    test = drawn[:, n_calibration:]
    misses = (test < thresholds[:, None]).sum(axis=1)
    false_alarms = normal.size - np.searchsorted(normal, thresholds)
    return pd.DataFrame({
        "threshold": thresholds,
        "misses": misses,
        "n_abnormal": test.shape[1],
        "miss_rate": misses / test.shape[1],
        "false_alarms": false_alarms,
        "n_normal": normal.size,
        "false_alarm_rate": false_alarms / normal.size,
        "accuracy": 1 - (misses + false_alarms) / (test.shape[1] + normal.size),
    })  # fmt: skip


def promise_held(table: pd.DataFrame, beta: float) -> dict[str, float]:
    """Means over the divisions of a `redivided` table, and how often at most `beta` was missed.

    Hold `misses_per_100` against the promise of `conformal_threshold`, which is on the mean. The
    promise of `high_probability_threshold` is on the miss rate among all images to come; the test
    images are a small sample of these, so the *measured* rate scatters around it and `held` may lie
    below 1 - delta although the promise is kept. The divisions share their images and are no
    independent trials, hence no interval for `held`.

    Args:
        table: One rule and detector, from `redivided`.
        beta: Promised miss rate.

    Returns:
        `misses_per_100` abnormal test images, `held` (share of the divisions), `accuracy`,
        `false_alarm_rate`.

    Raises:
        ValueError: An empty table.
    """
    _check_share(beta, "beta")
    if table.empty:
        raise ValueError("The table has no divisions.")
    return {
        "misses_per_100": float(100 * table.miss_rate.mean()),
        "held": float((table.miss_rate <= beta + _ROUNDING).mean()),
        "accuracy": float(table.accuracy.mean()),
        "false_alarm_rate": float(table.false_alarm_rate.mean()),
    }


def _smallest(scores: np.ndarray, k: int) -> float:
    """Return the k-th smallest score, ``-inf`` for k = 0; k is cut to the number of scores."""
    return float(np.sort(scores)[min(k, scores.size) - 1]) if k else float("-inf")


def _check_share(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} is {value}; it must lie between 0 and 1, both excluded.")
