"""How often an interval holds the true value: `python tests/bench/bench_coverage.py [simulations]`.

Scores of normal images are drawn from N(0, 1), those of abnormal ones from a normal distribution of
the spread given, so far apart that the auROC is the one given. Nominal are 95 %. An oracle metric's
true value is what infinitely many images give.
"""

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from adlib import metrics
from adlib.metrics import intervals

SIZES = ((20, 20), (12, 100), (12, 30), (55, 55))  # normal and abnormal test images
AREAS = (0.8, 0.9, 0.97)
SPREADS = (0.3, 1.0, 2.0)
LARGE = 200_000


def draw(rng: np.random.Generator, area: float, spread: float, normal: int, abnormal: int) -> tuple:
    """Labels and scores of one test set."""
    distance = stats.norm.ppf(area) * np.hypot(1, spread)
    scores = [rng.normal(size=normal), distance + spread * rng.normal(size=abnormal)]
    return np.repeat([0, 1], [normal, abnormal]), np.concatenate(scores)


def coverage(
    interval: Callable, metric: Callable, case: tuple, simulations: int, seed: int = 0
) -> tuple[float, float]:
    """Share of test sets whose interval holds the true value, and the mean width."""
    area, spread, normal, abnormal = case
    rng = np.random.default_rng(seed)
    scale = LARGE // (normal + abnormal)
    true = metric(*draw(rng, area, spread, normal * scale, abnormal * scale))
    ends = [interval(*draw(rng, area, spread, normal, abnormal)) for _ in range(simulations)]
    low, high = np.array(ends).T
    return float(((low <= true) & (true <= high)).mean()), float((high - low).mean())


def cases() -> Iterator[tuple[float, float, int, int]]:
    """AuROC, spread of the abnormal scores, normal and abnormal images."""
    for spread in SPREADS:
        for sizes in SIZES:
            for area in AREAS:
                yield area, spread, *sizes


def at(name: str) -> tuple[Callable, Callable]:
    """Interval and metric at a threshold of 1, which no test image has set."""
    metric = getattr(metrics, f"{name}_at")
    return (
        lambda labels, scores: intervals.interval(name, labels, scores, 1.0),
        lambda labels, scores: metric(labels, scores, 1.0),
    )


def bootstrap(metric: Callable) -> tuple[Callable, Callable]:
    """The percentile bootstrap of a metric, and the metric."""
    return lambda *pair: intervals.bootstrap_interval(*pair, metric, resamples=300), metric


WITH_INTERVAL = {
    "auroc": (intervals.auroc_interval, metrics.auroc),
    "average precision": (intervals.average_precision_interval, metrics.average_precision),
    "accuracy": at("accuracy"),
    "balanced accuracy": at("balanced_accuracy"),
    "F1": at("f1"),
    "miss rate": at("miss_rate"),
}
WITHOUT = {
    "auroc, bootstrap": bootstrap(metrics.auroc),
    "max. balanced accuracy, bootstrap": bootstrap(metrics.max_balanced_accuracy),
    "best F1, bootstrap": bootstrap(metrics.best_f1),
    "ZFN accuracy, bootstrap": bootstrap(metrics.zfn_accuracy),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("simulations", nargs="?", type=int, default=1000)
    simulations = parser.parse_args().simulations
    print(f"{'images':>9} {'auROC':>6} {'spread':>6}  coverage (mean width), {simulations} sets")
    for name, pair in {**WITH_INTERVAL, **WITHOUT}.items():
        print(name)
        for case in cases():
            share, width = coverage(*pair, case, simulations)
            area, spread, normal, abnormal = case
            print(
                f"{f'{normal}+{abnormal}':>9} {area:6.2f} {spread:6.1f}  {share:.3f} ({width:.3f})"
            )


if __name__ == "__main__":
    main()
