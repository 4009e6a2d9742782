"""What the audit measures: statistics of which one argument is the trap.

For the audit alone. Much of this looks at test labels or at other test images on purpose, so no
other module of the package may import it, and a test sees to that.

A *statistic* takes numbers of normal and of abnormal test images, `(..., n_normal)` and
`(..., n_abnormal)`, and gives one value a row. A row is a test set drawn anew; a rule that looks at
the test set looks at that one. Every function that makes one takes last what a trap changes.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from adlib import metrics, models
from adlib.metrics.curves import finite_vector, vectorised
from adlib.study import runs

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
Rule = Callable[..., np.ndarray]  # scores of normal and abnormal test images to a threshold

BEST = "best on the test"  # the threshold at which a rate is highest
_RATES = {  # of false and true positives among n normal and p abnormal images; more is better
    "accuracy": lambda fp, tp, n, p: (tp + n - fp) / (n + p),
    "balanced accuracy": lambda fp, tp, n, p: (tp / p + 1 - fp / n) / 2,
    "F1": lambda fp, tp, n, p: 2 * tp / (tp + fp + p),
    "recall": lambda fp, tp, n, p: tp / p,
}
_BEST = {
    "accuracy": metrics.best_accuracy,
    "balanced accuracy": metrics.max_balanced_accuracy,
    "F1": metrics.best_f1,
}
_OF_A_MAP = {
    "maximum": lambda maps: maps.max((1, 2)),
    "sum": lambda maps: maps.sum((1, 2), dtype=np.float64),
}


def measured(metric: Callable, scores: ArrayLike) -> Statistic:
    """Statistic of a metric without a threshold of ours.

    Args:
        metric: `auroc`, `average_precision` or an oracle metric of `adlib.metrics`.
        scores: (N,) finite numbers.
    """
    return vectorised(metric.curve, finite_vector(scores, "scores"))


def of_run(metric: Callable, run: runs.Run) -> Statistic:
    """Statistic of the scores of a run; see `measured`."""
    return measured(metric, run.part("test")[1])


def scores_in_mode(
    detector: models.Detector, pixels: Tensor, order: np.ndarray, training: bool, batch: int = 64
) -> np.ndarray:
    """GANomaly's scores in evaluation mode, or by the statistics of test batches.

    Args:
        detector: a GANomaly.
        pixels: uint8 `(N, C, side, side)`.
        order: (N,) numbers of the images, in which batches are filled.
        training: whether the network is in training mode.
        batch: images that share their statistics then; 64 in the authors' code.

    Returns:
        float64 `(N,)`, in the order of `pixels`.
    """
    scores = np.empty(len(order))
    score = detector.score_in_training_mode if training else detector.score
    scores[order] = score(pixels[order], batch)
    return scores


def in_mode(
    metric: Callable, detector: models.Detector, pixels: Tensor, order: np.ndarray, training: bool
) -> Statistic:
    """Statistic of GANomaly's scores in either mode; see `measured` and `scores_in_mode`."""
    return measured(metric, scores_in_mode(detector, pixels, order, training))


def best_of(metric: Callable, candidates: Iterable[ArrayLike]) -> Statistic:
    """Statistic of whichever scores are best on the test set itself.

    Args:
        metric: as in `measured`.
        candidates: (N,) scores of every snapshot or setting that is tried.
    """
    each = [measured(metric, scores) for scores in candidates]
    return lambda normal, abnormal: np.max([one(normal, abnormal) for one in each], axis=0)


def weighed(
    metric: Callable, image: np.ndarray, features: np.ndarray, weights: Iterable[float]
) -> Statistic:
    """Statistic of CBiGAN's scores at whichever weight lambda is best on the test set itself.

    Args:
        metric: as in `measured`.
        image: (N,) distances of images and reconstructions, the scores at lambda = 0.
        features: (N,) distances of the critic's features, those at lambda = 1.
        weights: values of lambda that are tried.
    """
    return best_of(metric, [(1 - weight) * image + weight * features for weight in weights])


def of_maps(metric: Callable, maps: np.ndarray, taken: str) -> Statistic:
    """Statistic of the `maximum` or the `sum` of every image's anomaly map.

    Args:
        metric: as in `measured`.
        maps: (N, H, W).
        taken: which of the two.
    """
    return measured(metric, _OF_A_MAP[taken](maps))


def per_batch(metric: Callable, maps: np.ndarray, batch: int, seed: int = 0) -> Statistic:
    """Statistic of one score a batch, the sum of its maps, given to every image of the batch.

    Normal and abnormal images are in batches of their own, filled at random; the last batch of
    either may be smaller. This is what Bougaham et al. 2024 do with PaDiM and PatchCore (their
    order is that of an unsorted folder). Batches of one are `of_maps` with the sum.

    Args:
        metric: as in `measured`.
        maps: (N, H, W) anomaly maps.
        batch: images in a batch.
        seed: of the order.
    """
    sums = finite_vector(_OF_A_MAP["sum"](maps), "sums")

    def statistic(normal: np.ndarray, abnormal: np.ndarray) -> np.ndarray:
        (low, fp), (high, tp) = (
            (_totals(sums[drawn], batch, seed), _sizes(drawn.shape[-1], batch))
            for drawn in (normal, abnormal)
        )
        scores = np.concatenate([low, high], axis=-1)
        order = np.argsort(-scores, axis=-1, kind="stable")
        scores = np.take_along_axis(scores, order, axis=-1)
        # A threshold never parts batches of the same score: each point moves to the last of them.
        last = np.where(np.diff(scores, append=np.nan) != 0, np.arange(order.shape[-1]), order.size)
        last = np.minimum.accumulate(last[..., ::-1], axis=-1)[..., ::-1]
        counts = (np.r_[fp, 0 * tp], np.r_[0 * fp, tp])
        start = np.zeros((*order.shape[:-1], 1))
        curve = (np.take_along_axis(c[order].cumsum(-1), last, axis=-1) for c in counts)
        return metric.curve(*(np.concatenate([start, c], axis=-1) for c in curve))

    return statistic


def scores_of_batches(labels: ArrayLike, maps: np.ndarray, batch: int, seed: int = 0) -> np.ndarray:
    """Scores `(N,)` that `per_batch` gives the images of the test set as it is, for a picture.

    Args:
        labels: (N,) of 0 and 1.
        maps: (N, H, W) anomaly maps.
        batch: images in a batch.
        seed: of the order.
    """
    labels, sums = np.asarray(labels), _OF_A_MAP["sum"](maps)
    scores = np.empty(len(labels))
    for own in (np.flatnonzero(labels == label) for label in (0, 1)):
        totals = _totals(sums[own], batch, seed)
        scores[own[_order(len(own), seed)]] = np.repeat(totals, _sizes(len(own), batch))
    return scores


def _order(n: int, seed: int) -> np.ndarray:
    """Order in which the images of a class fill their batches."""
    return np.random.default_rng(seed).permutation(n)


def _sizes(n: int, batch: int) -> np.ndarray:
    """Images in each batch of a class of `n`; the last one may be smaller."""
    return np.diff([*range(0, n, batch), n])


def _totals(sums: np.ndarray, batch: int, seed: int) -> np.ndarray:
    """Totals `(..., batches)` of the sums `(..., n)` of one class."""
    n = sums.shape[-1]
    return np.add.reduceat(sums[..., _order(n, seed)], range(0, n, batch), axis=-1)


def at_threshold(rate: str, scores: ArrayLike, threshold: float | str | Rule) -> Statistic:
    """Statistic of a rate at a threshold.

    Args:
        rate: `accuracy`, `balanced accuracy`, `F1` or `recall`.
        scores: (N,) finite numbers.
        threshold: fixed beforehand, `BEST`, or a rule, which takes the scores of a test set's
            normal and abnormal images, `(..., n)` each, and gives its threshold `(...)`.
    """
    scores, function = finite_vector(scores, "scores"), _RATES[rate]
    if isinstance(threshold, str):
        return measured({BEST: _BEST}[threshold][rate], scores)

    def statistic(normal: np.ndarray, abnormal: np.ndarray) -> np.ndarray:
        sides, limit = (scores[normal], scores[abnormal]), threshold
        if callable(threshold):
            limit = np.asarray(threshold(*sides))[..., None]
        fp, tp = ((side >= limit).sum(axis=-1) for side in sides)
        return function(fp, tp, normal.shape[-1], abnormal.shape[-1])

    return statistic


def lowest_abnormal(normal: np.ndarray, abnormal: np.ndarray) -> np.ndarray:
    """Rule of "zero false negatives": the lowest abnormal score."""
    return abnormal.min(-1)


def share_of_range(share: float) -> Rule:
    """Rule at a share of the way from the lowest to the highest score of all sides given."""

    def rule(*sides: np.ndarray) -> np.ndarray:
        scores = np.concatenate(sides, axis=-1)
        return scores.min(-1) * (1 - share) + scores.max(-1) * share

    return rule


def snapshot_scores(run: runs.Run) -> list[np.ndarray]:
    """Scores `(N,)` of test images by every weights kept on the way; the last are the final ones.

    A run that kept none has the final ones alone.
    """
    curve, test = run.curve(), (run.scores["split"] == "test").to_numpy()
    return list(curve["scores"][:, test]) if curve else [run.part("test")[1]]
