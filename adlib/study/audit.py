"""What an evaluation's choices are worth: a number with and without each, on the same images.

For the audit alone. Much of this looks at test labels or at other test images on purpose, so no
other module of the package may import it, and a test sees to that.

A *statistic* takes numbers of normal and of abnormal test images, `(..., n_normal)` and
`(..., n_abnormal)`, and gives one value a row. A row is a test set drawn anew; a rule that looks at
the test set looks at that one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from torch import Tensor

from adlib import models
from adlib.host.device import default_device
from adlib.metrics.curves import checked, finite_vector, vectorised
from adlib.study import rows as schema
from adlib.study import runs

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]

# What a choice inflates. Only the last kind compares two trainings.
SCORES = "auROC, same weights"
THRESHOLDS = "numbers at a threshold, same weights"
TRAININGS = "auROC, one training of each"
CONTROL = "another seed and nothing else"  # how far two trainings differ anyway

_RATES = {  # of false and true positives among n normal and p abnormal images; more is better
    "accuracy": lambda fp, tp, n, p: (tp + n - fp) / (n + p),
    "balanced accuracy": lambda fp, tp, n, p: (tp / p + 1 - fp / n) / 2,
    "F1": lambda fp, tp, n, p: 2 * tp / (tp + fp + p),
    "recall": lambda fp, tp, n, p: tp / p,
}


# ---- statistics ----------------------------------------------------------------------------


def measured(metric: Callable, scores: ArrayLike) -> Statistic:
    """Statistic of a metric without a threshold of ours.

    Args:
        metric: `auroc`, `average_precision` or an oracle metric of `adlib.metrics`.
        scores: (N,) finite numbers.
    """
    return vectorised(metric.curve, finite_vector(scores, "scores"))


def best_of(metric: Callable, candidates: Iterable[ArrayLike]) -> Statistic:
    """Statistic of whichever scores are best on the test set itself.

    Args:
        metric: as in `measured`.
        candidates: (N,) scores of every snapshot or setting that is tried.
    """
    each = [measured(metric, scores) for scores in candidates]
    return lambda normal, abnormal: np.max([one(normal, abnormal) for one in each], axis=0)


def at_threshold(
    rate: str, scores: ArrayLike, threshold: float | Callable[[np.ndarray], np.ndarray]
) -> Statistic:
    """Statistic of a rate at a threshold.

    Args:
        rate: `accuracy`, `balanced accuracy`, `F1` or `recall`.
        scores: (N,) finite numbers.
        threshold: fixed beforehand, or a function that takes all scores of a test set `(..., n)`
            and gives its threshold `(...)`.
    """
    scores, function = finite_vector(scores, "scores"), _RATES[rate]

    def statistic(normal: np.ndarray, abnormal: np.ndarray) -> np.ndarray:
        sides, limit = (scores[normal], scores[abnormal]), threshold
        if callable(threshold):
            limit = np.asarray(threshold(np.concatenate(sides, axis=-1)))[..., None]
        fp, tp = ((side >= limit).sum(axis=-1) for side in sides)
        return function(fp, tp, normal.shape[-1], abnormal.shape[-1])

    return statistic


def share_of_range(share: float) -> Callable[[np.ndarray], np.ndarray]:
    """Threshold at a share of the way from the lowest to the highest score given."""
    return lambda scores: scores.min(-1) * (1 - share) + scores.max(-1) * share


def per_batch(metric: Callable, sums: ArrayLike, batch: int = 16, seed: int = 0) -> Statistic:
    """Statistic of one score a batch, the sum of its maps, given to every image of the batch.

    Normal and abnormal images are in batches of their own, filled at random; the last batch of
    either may be smaller. This is what Bougaham et al. 2024 do with PaDiM and PatchCore (their
    order is that of an unsorted folder).

    Args:
        metric: as in `measured`.
        sums: (N,) sum of every image's anomaly map.
        batch: images in a batch.
        seed: of the order.
    """
    sums = finite_vector(sums, "sums")

    def totals(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = drawn.shape[-1]
        starts = np.arange(0, n, batch)
        shuffled = sums[drawn[..., np.random.default_rng(seed).permutation(n)]]
        return np.add.reduceat(shuffled, starts, axis=-1), np.diff([*starts, n])

    def statistic(normal: np.ndarray, abnormal: np.ndarray) -> np.ndarray:
        (low, fp), (high, tp) = totals(normal), totals(abnormal)
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


# ---- scores --------------------------------------------------------------------------------


def in_training_mode(
    detector: models.Detector, pixels: Tensor, order: np.ndarray, batch: int = 64
) -> np.ndarray:
    """GANomaly's scores by the statistics of test batches, which are filled in the order given.

    Args:
        detector: a GANomaly.
        pixels: uint8 `(N, C, side, side)`.
        order: (N,) numbers of the images.
        batch: images that share their statistics; 64 in the authors' code.

    Returns:
        float64 `(N,)`, in the order of `pixels`.
    """
    scores = np.empty(len(order))
    scores[order] = detector.score_in_training_mode(pixels[order], batch)
    return scores


def snapshot_scores(run: runs.Run, pixels: Tensor) -> list[np.ndarray]:
    """Scores `(N,)` of test images by every weights kept on the way; the last are the final ones.

    A run that kept none has the final ones alone.
    """
    kept = run.snapshots().values()
    device = default_device()
    return [models.load(path, device).score(pixels) for path in kept] or [run.part("test")[1]]


# ---- what a choice is worth ----------------------------------------------------------------


def worth(
    labels: ArrayLike,
    with_trap: Statistic,
    without: Statistic,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float, float]]:
    """Both values and their difference in points, with percentile intervals of a paired bootstrap.

    Test images are drawn anew within each class, the same ones for both sides, so what makes a test
    set easy or hard for both cancels out. Weights, held-out images and thresholds fixed on these
    stay as they are.

    Args:
        labels: (N,) of 0 and 1.
        with_trap: the flattering number.
        without: the honest one.
        confidence: level of the intervals, in (0, 1).
        resamples: number of resamples, at least 1.
        seed: of the resampling.

    Returns:
        (value, low, high) of `with_trap`, `without_trap` and `difference_points`, the latter 100
        times with - without.

    Raises:
        ValueError: one class only, or other labels than 0 and 1.
    """
    labels, _ = checked(labels, np.zeros(len(labels)))
    classes = [np.flatnonzero(labels == label) for label in (0, 1)]
    rng, drawn, left = np.random.default_rng(seed), [], resamples
    while left:
        rows = min(left, max(1, 2_000_000 // len(labels)))  # bounds the memory
        numbers = [rng.choice(own, (rows, len(own))) for own in classes]
        drawn.append([with_trap(*numbers), without(*numbers)])
        left -= rows
    values = [np.float64(side(*classes)) for side in (with_trap, without)]
    sides = [*zip(values, np.concatenate(drawn, axis=-1), strict=True)]
    sides.append(tuple(100 * (a - b) for a, b in zip(*sides, strict=True)))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return {
        name: (float(value), *map(float, np.quantile(resampled, tails)))
        for name, (value, resampled) in zip(
            ("with_trap", "without_trap", "difference_points"), sides, strict=True
        )
    }


@dataclass
class Ledger:
    """Entries of the audit, one a choice and number.

    Attributes:
        entries: what `add` was given and what it found.
    """

    entries: list[dict[str, object]] = field(default_factory=list)

    def add(
        self,
        kind: str,
        trap: str,
        method: str,
        measure: str,
        run: runs.Run,
        with_trap: Statistic,
        without: Statistic,
        note: str = "",
        other: runs.Run | None = None,
        resampled: bool = True,
    ) -> None:
        """Measure what a choice is worth and enter it.

        Args:
            kind: `SCORES`, `THRESHOLDS` or `TRAININGS`.
            trap: the choice in words.
            method: the detector in words.
            measure: the metric in words.
            run: whose test images both sides are about, and whose weights the honest side is of.
            with_trap: the flattering number.
            without: the honest one.
            note: what a reader should know.
            other: the run behind `with_trap`, if it is another one.
            resampled: whether `with_trap` may be resampled. A threshold at the lowest score of the
                test may not: that of a resample is never lower than the sample's, so intervals
                would lie beside the value.

        Raises:
            ValueError: the two runs were tested on different images, so they make no pairs.
        """
        other, images = other or run, ["path", "label", "split"]
        if not other.scores[images].equals(run.scores[images]):
            raise ValueError(f"runs {run.key} and {other.key} were scored on different images")
        labels, _ = run.part("test")
        entry = {"kind": kind, "trap": trap, "method": method, "measure": measure, "note": note}
        entry["label"] = schema.label(method, trap, measure)
        entry |= {"runs": (other, run), "labels": labels}
        found = worth(labels, with_trap, without)
        if not resampled:
            for name in ("with_trap", "difference_points"):
                found[name] = (found[name][0], np.nan, np.nan)
        self.entries.append(entry | found)

    def table(self) -> pd.DataFrame:
        """One row an entry, by kind and falling points.

        `told` says whether a change is told from chance and `reads` what the number does; another
        seed alone may make `seed_low` to `seed_high` points (trainings only).
        """
        rows = []
        for entry in self.entries:
            row = {name: entry[name] for name in ("kind", "label")}
            row |= {name: entry[name][0] for name in ("with_trap", "without_trap")}
            row |= dict(zip(("points", "low", "high"), entry["difference_points"], strict=True))
            row |= dict(zip(("told", "reads"), self._reads(entry), strict=True))
            seeds = self.between_seeds() if entry["kind"] == TRAININGS else (np.nan, np.nan)
            rows.append(row | dict(zip(("seed_low", "seed_high"), seeds, strict=True)))
        kinds = (SCORES, THRESHOLDS, TRAININGS)
        rows.sort(key=lambda row: (kinds.index(row["kind"]), -row["points"]))
        return pd.DataFrame(rows)

    def between_seeds(self, confidence: float = 0.95) -> tuple[float, float]:
        """Points that one more training with another seed may make, nothing else changed.

        Prediction interval of Student's t from the training that all are compared with and the
        entries named `CONTROL`; infinite without any of these.
        """
        points = [0.0, *(e["difference_points"][0] for e in self.entries if e["trap"] == CONTROL)]
        n = len(points)
        if n == 1:
            return -np.inf, np.inf
        spread = np.std(points, ddof=1) * np.sqrt(1 + 1 / n)
        half = spread * stats.t.ppf((1 + confidence) / 2, n - 1)
        return float(np.mean(points) - half), float(np.mean(points) + half)

    def rows(self, **shared: object) -> list[dict[str, object]]:
        """Rows for `results.write_rows`, three an entry: both values and the points.

        Args:
            **shared: further columns.
        """
        rows = []
        for entry in self.entries:
            other, run = entry["runs"]
            normal, abnormal = np.bincount(entry["labels"], minlength=2).tolist()
            same = {
                "method": entry["method"],
                "variant": entry["trap"],
                "measure": entry["measure"],
                "n_normal": normal,
                "n_abnormal": abnormal,
                "protocol": run.record["description"]["protocol"],
                "note": entry["note"],
                "reading": self._reads(entry)[1],
            }
            for name in ("with_trap", "without_trap", "difference_points"):
                value = dict(zip(("value", "low", "high"), entry[name], strict=True))
                key = (run if name == "without_trap" else other).key
                rows.append({"metric": name, **value, **same, "run": key} | shared)
        return rows

    def _reads(self, entry: dict[str, object]) -> tuple[bool, str]:
        """Whether a change of the number is told from chance, and that in words."""
        value, low, high = entry["difference_points"]
        if np.isnan(low):
            return False, "no interval: the lowest score of the test is no average"
        if low <= 0 <= high:
            return False, "no difference shown on these images"
        if entry["trap"] == CONTROL:
            return False, "chance: a seed is no choice"
        if entry["kind"] == TRAININGS:
            least, most = self.between_seeds()
            if least <= value <= most:
                return False, f"within what another seed may make, {least:.0f} to {most:.0f} points"
        return True, "raises the number" if value > 0 else "lowers the number"
