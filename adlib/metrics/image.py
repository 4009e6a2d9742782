"""Metrics of images and their consistency bounds; see `adlib.metrics` for the conventions."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics as sk

from adlib.metrics import curves
from adlib.metrics.curves import checked, finite_vector, vectorised


def _with_curve(metric: Callable) -> Callable:
    """Give a metric its form in `curves`, which a bootstrap runs on all resamples at once."""
    metric.curve = getattr(curves, metric.__name__)
    return metric


@_with_curve
def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: P(abnormal scores above normal), ties counted half.

    The value lies in [0, 1]; 0.5 is chance.
    """
    labels, scores = checked(labels, scores)
    return float(sk.roc_auc_score(labels, scores))


@_with_curve
def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision: sum over thresholds of (R_k - R_{k-1}) P_k, without interpolation.

    The value lies in (0, 1]; chance is the share of abnormal images.
    """
    labels, scores = checked(labels, scores)
    return float(sk.average_precision_score(labels, scores))


@_with_curve
def max_balanced_accuracy(labels: ArrayLike, scores: ArrayLike) -> float:
    """Oracle: the largest (TPR + TNR) / 2 over all thresholds (Carrara et al. 2020, Table II).

    The value lies in [0.5, 1]; 0.5 because "all normal" is always among the thresholds.
    """
    return _oracle(curves.max_balanced_accuracy, labels, scores)


@_with_curve
def best_accuracy(labels: ArrayLike, scores: ArrayLike) -> float:
    """Oracle: the largest accuracy over all thresholds, "all normal" included.

    The value ranges from the larger class's share to 1.
    """
    return _oracle(curves.best_accuracy, labels, scores)


@_with_curve
def zfn_accuracy(labels: ArrayLike, scores: ArrayLike) -> float:
    """Oracle: accuracy at the zero-false-negative threshold, the lowest abnormal score.

    By Bougaham et al. 2024. The threshold depends on one image, so the number is unstable.

    The value ranges from the abnormal share to 1.
    """
    return _oracle(curves.zfn_accuracy, labels, scores)


@_with_curve
def best_f1(labels: ArrayLike, scores: ArrayLike) -> float:
    """Oracle: the largest F1 = 2 TP / (2 TP + FP + FN) over all thresholds.

    The value ranges from the F1 of "all abnormal", 2p / (1 + p) with p the abnormal share, to 1.
    """
    return _oracle(curves.best_f1, labels, scores)


def f1_at(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Deployable: F1 of the abnormal class at a threshold fixed beforehand.

    The value lies in [0, 1]; 0 when nothing is called abnormal.
    """
    tp, fp, fn, _ = _counts(labels, scores, threshold)
    return 2 * tp / (2 * tp + fp + fn)


def accuracy_at(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Deployable: share of images called correctly at a threshold fixed beforehand.

    The value lies in [0, 1]; the abnormal share at ``-inf``, the normal share at ``inf``.
    """
    tp, fp, fn, tn = _counts(labels, scores, threshold)
    return (tp + tn) / (tp + fp + fn + tn)


def balanced_accuracy_at(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Deployable: (TPR + TNR) / 2 at a threshold fixed beforehand, in [0, 1]."""
    tp, fp, fn, tn = _counts(labels, scores, threshold)
    return (tp / (tp + fn) + 1 - fp / (fp + tn)) / 2


def miss_rate_at(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Deployable: share of the abnormal images below a threshold fixed beforehand, 1 - TPR."""
    tp, _, fn, _ = _counts(labels, scores, threshold)
    return 1 - tp / (tp + fn)


def false_alarm_rate_at(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Deployable: share of the normal images not below a threshold fixed beforehand, FPR."""
    _, fp, _, tn = _counts(labels, scores, threshold)
    return fp / (fp + tn)


def threshold_at_fpr(normal_scores: ArrayLike, fpr: float) -> float:
    """Smallest threshold that calls at most a share `fpr` of the given normal images abnormal.

    With k = floor(fpr N) images allowed above it, the threshold is the next float64 above the
    (k + 1)-th highest score. Images tied there are all called normal, so ties can only lower the
    reached rate, never lift it above `fpr`.

    Args:
        normal_scores: (N,) finite scores of held-out normal images.
        fpr: Allowed false-positive rate in [0, 1].

    Returns:
        A threshold in units of the scores; ``-inf`` where every image may be called abnormal.

    Raises:
        ValueError: No scores, scores that are not finite, `fpr` outside [0, 1].
    """
    scores = finite_vector(normal_scores, "normal_scores")
    if not 0 <= fpr <= 1:
        raise ValueError(f"fpr is {fpr}; it must lie in [0, 1].")
    allowed = int(np.floor(fpr * scores.size + 1e-9))  # 0.29 * 100 is 28.999999999999996
    if allowed >= scores.size:
        return float("-inf")
    return float(np.nextafter(np.sort(scores)[::-1][allowed], np.inf))


def check_bounds(balanced_accuracy: float, auroc: float, tolerance: float = 0.0) -> str | None:
    """Say which bound a pair (maximum balanced accuracy B, auROC) of the same scores breaks.

    The ROC curve starts in (0, 0), so B >= 0.5. It passes the point where B is reached and is
    monotone, so auROC >= 2B - 1; no point of it lies more than 2B - 1 above the diagonal, so
    auROC <= 1 - 2(1 - B)^2.

    Args:
        balanced_accuracy: Maximum balanced accuracy.
        auroc: Area under the same ROC curve.
        tolerance: Rounding error of each value: half a unit of the last printed place, so 0.005
            for 0.76. Zero for values that were not rounded.

    Returns:
        None where all hold, else a sentence.

    Raises:
        ValueError: A value that is not finite, or a negative tolerance.
    """
    if not (np.isfinite(balanced_accuracy) and np.isfinite(auroc) and tolerance >= 0):
        raise ValueError(
            f"Need finite values and tolerance >= 0, not {balanced_accuracy}, {auroc}, {tolerance}."
        )
    slack = 1e-9  # of float64 arithmetic
    b_low, b_high = balanced_accuracy - tolerance, min(1.0, balanced_accuracy + tolerance)
    floor, ceiling = 2 * b_low - 1, 1 - 2 * (1 - b_high) ** 2
    if b_high < 0.5 - slack:
        return f"Maximum balanced accuracy {balanced_accuracy:g} is below 0.5."
    if auroc + tolerance < floor - slack:
        return f"auROC {auroc:g} is below 2B - 1 = {floor:.4g} for B = {balanced_accuracy:g}."
    if auroc - tolerance > ceiling + slack:
        bound = f"1 - 2(1 - B)^2 = {ceiling:.4g} for B = {balanced_accuracy:g}"
        return f"auROC {auroc:g} is above {bound}."
    return None


def _counts(labels: ArrayLike, scores: ArrayLike, threshold: float) -> tuple[int, int, int, int]:
    """True and false positives, false and true negatives of checked input."""
    labels, scores = checked(labels, scores)
    if np.isnan(threshold):
        raise ValueError("The threshold is NaN.")
    # Plain counts: scikit-learn takes milliseconds a call, and a bootstrap calls a thousand times.
    called = labels[scores >= threshold]
    tp, n_abnormal = int(called.sum()), int(labels.sum())
    fp = called.size - tp
    return tp, fp, n_abnormal - tp, labels.size - n_abnormal - fp


def _oracle(curve_metric: Callable, labels: ArrayLike, scores: ArrayLike) -> float:
    labels, scores = checked(labels, scores)
    normal, abnormal = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    return float(vectorised(curve_metric, scores)(normal, abnormal))
