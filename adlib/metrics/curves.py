"""What the metrics share: checks of their input, and metrics as functions of the ROC counts.

A curve metric takes false and true positives (..., T) over falling thresholds, from (0, 0) to
(all normals, all abnormals), and returns (...,). One resample of a bootstrap is one row.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike


def finite_vector(values: ArrayLike, name: str) -> np.ndarray:
    """Float64 vector, or a ValueError that names what is wrong with it."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name} must be a vector with at least one value, not {values.shape}.")
    if np.isnan(values).any():
        raise ValueError(f"{name}: {int(np.isnan(values).sum())} of {values.size} are NaN.")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: {int(np.isinf(values).sum())} of {values.size} are infinite.")
    return values


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Labels (int64) and scores (float64), or a ValueError that says what is wrong with them."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(
            f"labels and scores must be vectors of equal length, not {labels.shape} "
            f"and {scores.shape}."
        )
    scores = finite_vector(scores, "scores")
    classes = np.unique(labels)
    if not np.isin(classes, (0, 1)).all():
        raise ValueError(f"labels must be 0 (normal) or 1 (abnormal), not {classes[:5].tolist()}.")
    if classes.size < 2:
        only = "normal" if classes[0] == 0 else "abnormal"
        raise ValueError(f"One class only: all {labels.size} images are {only}.")
    return labels.astype(np.int64), scores


def auroc(fp: np.ndarray, tp: np.ndarray) -> np.ndarray:
    """Area under the curve by trapezoids."""
    return np.trapezoid(tp, fp, axis=-1) / (fp[..., -1] * tp[..., -1])


def average_precision(fp: np.ndarray, tp: np.ndarray) -> np.ndarray:
    """Precision summed over the steps of recall."""
    precision = tp[..., 1:] / np.maximum(tp[..., 1:] + fp[..., 1:], 1)
    return (np.diff(tp, axis=-1) * precision).sum(axis=-1) / tp[..., -1]


def max_balanced_accuracy(fp: np.ndarray, tp: np.ndarray) -> np.ndarray:
    """Largest (TPR + TNR) / 2."""
    return (tp / tp[..., -1:] + 1 - fp / fp[..., -1:]).max(axis=-1) / 2


def best_accuracy(fp: np.ndarray, tp: np.ndarray) -> np.ndarray:
    """Largest (TP + TN) / N."""
    return (tp + fp[..., -1:] - fp).max(axis=-1) / (fp[..., -1] + tp[..., -1])


def zfn_accuracy(fp: np.ndarray, tp: np.ndarray) -> np.ndarray:
    """(TP + TN) / N at the highest threshold that misses nothing."""
    no_miss = tp == tp[..., -1:]
    correct = np.where(no_miss, tp + fp[..., -1:] - fp, 0)
    return correct.max(axis=-1) / (fp[..., -1] + tp[..., -1])


def best_f1(fp: np.ndarray, tp: np.ndarray) -> np.ndarray:
    """Largest 2 TP / (2 TP + FP + FN)."""
    return (2 * tp / (tp + fp + tp[..., -1:])).max(axis=-1)


def vectorised(curve_metric: Callable, scores: np.ndarray) -> Callable:
    """Statistic of image numbers (..., n_normal) and (..., n_abnormal); scores are sorted once."""
    # rank 0 is the highest score; tied scores share a rank, so a threshold never parts them
    distinct, rank = np.unique(-scores, return_inverse=True)

    def cumulated(drawn: np.ndarray, axis: int) -> np.ndarray:
        drawn = np.moveaxis(np.asarray(drawn), axis, -1)
        rows = rank[drawn].reshape(-1, drawn.shape[-1])
        cells = rows + np.arange(len(rows))[:, None] * distinct.size
        counts = np.bincount(cells.ravel(), minlength=len(rows) * distinct.size)
        counts = counts.reshape(*drawn.shape[:-1], distinct.size).cumsum(axis=-1)
        start = np.zeros((*drawn.shape[:-1], 1))
        return np.concatenate([start, counts], axis=-1)

    def statistic(normal: np.ndarray, abnormal: np.ndarray, axis: int = -1) -> np.ndarray:
        return curve_metric(cumulated(normal, axis), cumulated(abnormal, axis))

    return statistic
