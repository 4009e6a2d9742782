"""Intervals over images: how often they hold the true value, and their ends in odd cases."""

import numpy as np
import pytest

from adlib import metrics
from adlib.metrics import intervals


@pytest.fixture(scope="module")
def bench():
    """The simulation of `bench_coverage.py`."""
    import sys
    from pathlib import Path

    folder = str(Path(__file__).parents[1] / "bench")
    sys.path.insert(0, folder)
    try:
        import bench_coverage
    finally:
        sys.path.remove(folder)
    return bench_coverage


@pytest.mark.parametrize("name", ["auroc", "average precision", "balanced accuracy", "F1"])
@pytest.mark.parametrize("sizes", [(20, 20), (12, 100), (12, 30)])
@pytest.mark.parametrize("area", [0.8, 0.97])
def test_nominal_95_percent_cover(bench, name, sizes, area):
    """Catches an interval that is too narrow: the bootstrap's covered 0.82 of some of these.

    At a true coverage of 0.95 a share below 0.91 of 200 comes once in a hundred cases.
    """
    share, width = bench.coverage(*bench.WITH_INTERVAL[name], (area, 1.0, *sizes), 200)
    assert share >= 0.91 and 0 < width < 0.6


def test_unequal_spreads_cover(bench):
    """Catches a variance that takes both classes for alike."""
    for spread, sizes in ((0.1, (12, 100)), (0.5, (12, 100)), (2.0, (20, 20))):
        share, _ = bench.coverage(*bench.WITH_INTERVAL["auroc"], (0.9, spread, *sizes), 200)
        assert share >= 0.91


@pytest.mark.parametrize(("name", "chance"), [("auroc", 0.5), ("average_precision", 5 / 17)])
def test_perfect_separation_keeps_a_width(name, chance):
    """Catches [1, 1]: 12 + 5 images in the right order do not show that all images would be."""
    labels = np.repeat([0, 1], [12, 5])
    low, high = intervals.interval(name, labels, np.arange(17.0))
    assert 0.5 < low < 0.8 and high == 1
    low, high = intervals.interval(name, labels, np.zeros(17))
    assert low < chance < high
    low, high = intervals.interval(name, [0, 1], [0.0, 1.0])
    assert 0 <= low < high <= 1


def test_the_interval_holds_the_estimate_and_grows_with_confidence():
    """Catches ends that are swapped, or an interval beside its own estimate."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        labels = np.repeat([0, 1], rng.integers(2, 30, 2))
        scores = np.round(rng.normal(size=labels.size) + rng.normal() * labels, 1)
        for name in ("auroc", "average_precision"):
            low, high = intervals.interval(name, labels, scores)
            wide_low, wide_high = intervals.interval(name, labels, scores, confidence=0.99)
            assert 0 <= wide_low <= low <= getattr(metrics, name)(labels, scores) <= high
            assert high <= wide_high <= 1


def test_numbers_picked_on_the_test_have_no_interval():
    """Catches an interval for what no interval covers."""
    labels, scores = [0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9]
    for name in ("max_balanced_accuracy", "best_f1", "best_accuracy", "zfn_accuracy", "f1"):
        assert np.isnan(intervals.interval(name, labels, scores)).all()
    low, high = intervals.interval("f1", labels, scores, 0.35)
    assert low < metrics.f1_at(labels, scores, 0.35) < high


@pytest.mark.parametrize(
    "name", ["accuracy", "balanced_accuracy", "f1", "miss_rate", "false_alarm_rate"]
)
def test_metrics_of_rates_are_the_metrics(name):
    """Catches a formula of the rates that is not the metric's."""
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], [13, 29])
    scores = rng.normal(size=42) + labels
    called = scores >= 0.4
    rates = called[labels == 1].mean(), called[labels == 0].mean(), 29 / 42
    expected = getattr(metrics, f"{name}_at")(labels, scores, 0.4)
    assert intervals._OF_RATES[name](*rates) == pytest.approx(expected)
