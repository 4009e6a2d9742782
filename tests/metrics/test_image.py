"""Image-level metrics: analytic cases, scikit-learn as reference, intervals, bounds, bad input."""

import functools

import numpy as np
import pytest
from sklearn import metrics as sk

from adlib import metrics

METRICS = [
    metrics.auroc,
    metrics.average_precision,
    metrics.max_balanced_accuracy,
    metrics.best_accuracy,
    metrics.zfn_accuracy,
    metrics.best_f1,
    functools.partial(metrics.f1_at, threshold=0.5),
    functools.partial(metrics.balanced_accuracy_at, threshold=0.5),
    functools.partial(metrics.accuracy_at, threshold=0.5),
]
ORACLE = METRICS[2:6]


def name_of(metric):
    return getattr(metric, "__name__", None) or metric.func.__name__


def sample(seed=0, n=120, shift=1.0, step=0.25):
    """Labels and scores on a coarse grid, so that many scores are tied across the classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    labels[:2] = 0, 1
    return labels, np.round((rng.normal(size=n) + shift * labels) / step) * step


def loop(labels, scores, value):
    """The best of `value(tp, fp, tn, fn)` over every threshold, written out."""
    best = -np.inf
    for threshold in [*np.unique(scores), np.inf]:
        called = scores >= threshold
        tp, fp = np.sum(called & (labels == 1)), np.sum(called & (labels == 0))
        tn, fn = np.sum(~called & (labels == 0)), np.sum(~called & (labels == 1))
        best = max(best, value(tp, fp, tn, fn))
    return best


@pytest.mark.parametrize("metric", METRICS, ids=name_of)
def test_perfect_separation_is_one(metric):
    """Catches a flipped sign, or a threshold that leaves the lowest abnormal image out."""
    assert metric([0, 0, 1, 1], [0.1, 0.2, 0.5, 0.9]) == 1.0


@pytest.mark.parametrize(
    ("metric", "value"),
    list(zip(METRICS[:6], [0.5, 0.25, 0.5, 0.75, 0.25, 0.4], strict=True)),
    ids=map(name_of, METRICS[:6]),
)
def test_constant_score_is_chance(metric, value):
    """Catches ties that are broken by the order of the images (3 normal, 1 abnormal)."""
    for labels in ([0, 0, 0, 1], [1, 0, 0, 0]):
        assert metric(labels, [7.0] * 4) == pytest.approx(value)


def test_values_are_plain_floats_in_the_unit_interval():
    """Catches an array, a NumPy scalar or a percentage coming back."""
    for seed in range(20):
        labels, scores = sample(seed, n=15, shift=-0.5)
        for metric in METRICS:
            value = metric(labels, scores)
            assert type(value) is float
            assert 0 <= value <= 1


def test_rates_at_a_threshold_by_hand():
    """Catches misses and false alarms that are swapped, or a tie that counts as a miss."""
    labels, scores = [0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.5, 0.9, 0.5, 0.4]
    assert metrics.miss_rate_at(labels, scores, 0.5) == 0.5
    assert metrics.false_alarm_rate_at(labels, scores, 0.5) == 0.5
    everything, nothing = -np.inf, np.inf
    assert metrics.miss_rate_at(labels, scores, everything) == 0
    assert metrics.false_alarm_rate_at(labels, scores, everything) == 1
    assert metrics.miss_rate_at(labels, scores, nothing) == 1
    assert metrics.false_alarm_rate_at(labels, scores, nothing) == 0
    for rate in (metrics.miss_rate_at, metrics.false_alarm_rate_at):
        assert type(rate(labels, scores, 0.5)) is float
        with pytest.raises(ValueError, match="threshold is NaN"):
            rate(labels, scores, np.nan)


def test_oracle_metrics_equal_a_loop_over_thresholds():
    """Catches a threshold that parts tied scores, or one that is never tried."""
    for seed in range(10):
        labels, scores = sample(seed)
        assert metrics.max_balanced_accuracy(labels, scores) == pytest.approx(
            loop(labels, scores, lambda tp, fp, tn, fn: (tp / (tp + fn) + tn / (tn + fp)) / 2)
        )
        assert metrics.best_accuracy(labels, scores) == pytest.approx(
            loop(labels, scores, lambda tp, fp, tn, fn: (tp + tn) / (tp + fp + tn + fn))
        )
        assert metrics.best_f1(labels, scores) == pytest.approx(
            loop(labels, scores, lambda tp, fp, tn, fn: 2 * tp / (2 * tp + fp + fn))
        )
        threshold = scores[labels == 1].min()
        assert metrics.zfn_accuracy(labels, scores) == pytest.approx(
            np.mean((scores >= threshold) == labels)
        )


def test_metrics_at_a_threshold_equal_scikit_learn():
    """Catches a score at the threshold called normal, and a division by zero without decisions."""
    labels, scores = sample()
    for threshold in [*np.unique(scores), -np.inf, np.inf]:
        called = scores >= threshold
        assert metrics.f1_at(labels, scores, threshold) == pytest.approx(
            sk.f1_score(labels, called, zero_division=0.0)
        )
        assert metrics.balanced_accuracy_at(labels, scores, threshold) == pytest.approx(
            sk.balanced_accuracy_score(labels, called)
        )
        assert metrics.accuracy_at(labels, scores, threshold) == pytest.approx(
            sk.accuracy_score(labels, called)
        )


def test_oracle_is_never_below_a_fixed_threshold():
    """Catches an oracle that misses thresholds: it must bound every deployable value."""
    labels, scores = sample(3)
    for threshold in np.linspace(scores.min() - 1, scores.max() + 1, 50):
        assert metrics.f1_at(labels, scores, threshold) <= metrics.best_f1(labels, scores)
        assert metrics.balanced_accuracy_at(
            labels, scores, threshold
        ) <= metrics.max_balanced_accuracy(labels, scores)
        assert metrics.accuracy_at(labels, scores, threshold) <= metrics.best_accuracy(
            labels, scores
        )


@pytest.mark.parametrize("fpr", [0.0, 0.05, 0.07, 0.29, 0.5, 1.0])
def test_threshold_at_fpr_is_the_smallest_that_holds(fpr):
    """Catches ties that lift the rate above the target, and rounding of fpr times N."""
    rng = np.random.default_rng(0)
    for scores in (rng.normal(size=100), rng.integers(0, 8, 100).astype(float)):
        threshold = metrics.threshold_at_fpr(scores, fpr)
        assert np.mean(scores >= threshold) <= fpr + 1e-12
        below = np.nextafter(threshold, -np.inf)
        assert fpr == 1 or np.mean(scores >= below) > fpr + 1e-12
    assert np.sum(np.arange(100) >= metrics.threshold_at_fpr(np.arange(100), fpr)) == round(
        100 * fpr
    )


@pytest.mark.parametrize("metric", METRICS, ids=name_of)
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 0], [1.0, 2.0], "all 2 images are normal"),
        ([1, 1], [1.0, 2.0], "all 2 images are abnormal"),
        ([0, 1], [1.0, np.nan], "1 of 2 are NaN"),
        ([0, 1], [1.0, np.inf], "infinite"),
        ([0, 1, 1], [1.0, 2.0], "equal length"),
        ([0, 2], [1.0, 2.0], "must be 0"),
        ([-1, 1], [1.0, 2.0], "must be 0"),
        ([], [], "at least one value"),
    ],
)
def test_bad_input_is_named(metric, labels, scores, message):
    """Catches a number made out of input that has none."""
    with pytest.raises(ValueError, match=message):
        metric(labels, scores)


def test_bad_thresholds_and_levels_are_named():
    """Catches a NaN threshold that calls everything normal, and levels outside their range."""
    for metric in (metrics.f1_at, metrics.accuracy_at, metrics.balanced_accuracy_at):
        with pytest.raises(ValueError, match="threshold is NaN"):
            metric([0, 1], [0.0, 1.0], np.nan)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        metrics.threshold_at_fpr([1.0], 1.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        metrics.bootstrap_interval([0, 1], [0.0, 1.0], metrics.auroc, confidence=95)


@pytest.mark.parametrize("metric", METRICS[:6], ids=name_of)
def test_vectorised_bootstrap_equals_one_call_a_resample(metric):
    """Catches a vectorised formula that drifts from the metric (scikit-learn's for two of them)."""
    labels, scores = sample(1, n=60)
    fast = metrics.bootstrap_interval(labels, scores, metric, resamples=200, seed=4)
    slow = metrics.bootstrap_interval(labels, scores, lambda *a: metric(*a), resamples=200, seed=4)
    assert fast == pytest.approx(slow)


def test_bootstrap_repeats_with_its_seed_and_keeps_both_classes():
    """Catches an unseeded resampling, and resamples that lose a class of two images."""
    labels, scores = sample(2)
    draw = functools.partial(metrics.bootstrap_interval, labels, scores, metrics.auroc)
    assert draw(seed=1) == draw(seed=1)
    assert draw(seed=1) != draw(seed=2)
    low, high = draw()
    assert low < metrics.auroc(labels, scores) < high
    assert np.diff(draw(confidence=0.5)) < high - low
    tiny = metrics.bootstrap_interval([0] * 30 + [1] * 2, np.arange(32.0), metrics.auroc)
    assert tiny == (1.0, 1.0)


def test_interval_over_seeds_covers_the_true_mean():
    """Catches a normal quantile in place of Student's, and image error averaged over seeds."""
    rng = np.random.default_rng(0)
    plain, both = 0, 0
    for _ in range(1000):
        seeds = 0.8 + 0.02 * rng.normal(size=3)
        low, high = metrics.interval_over_seeds(seeds)
        plain += low <= 0.8 <= high
        shared = seeds + 0.03 * rng.normal()  # the same test images for every seed
        low, high = metrics.interval_over_seeds(shared, shared - 0.0588, shared + 0.0588)
        both += low <= 0.8 <= high
    assert 0.93 <= plain / 1000 <= 0.97
    assert 0.94 <= both / 1000 <= 1.0


def test_interval_over_seeds_degenerate_cases():
    """Catches a spread invented from one seed, and an interval outside the metric's range."""
    assert metrics.interval_over_seeds([0.5, 0.5]) == (0.5, 0.5)
    assert metrics.interval_over_seeds([0.7], [0.6], [0.9]) == pytest.approx((0.6, 0.9))
    assert metrics.interval_over_seeds([0.9, 1.0])[1] == 1.0
    with pytest.raises(ValueError, match="One seed"):
        metrics.interval_over_seeds([0.7])
    with pytest.raises(ValueError, match="both low and high"):
        metrics.interval_over_seeds([0.7, 0.8], low=[0.6, 0.7])
    with pytest.raises(ValueError, match="2 values, 1 low"):
        metrics.interval_over_seeds([0.7, 0.8], low=[0.6], high=[0.7])


def test_bounds_hold_for_every_pair_computed_from_scores():
    """Catches a bound that is too tight: no real pair may break it, ties and tiny sets included."""
    for seed in range(300):
        labels, scores = sample(seed, n=4 + seed % 20, shift=seed % 4 - 1, step=0.5)
        balanced = metrics.max_balanced_accuracy(labels, scores)
        assert metrics.check_bounds(balanced, metrics.auroc(labels, scores)) is None


def test_bounds_name_what_is_broken():
    """Catches a bound that is too loose, or rounding of printed values taken for a fault."""
    assert "below 0.5" in metrics.check_bounds(0.48, 0.5)
    assert "below 2B - 1" in metrics.check_bounds(0.98, 0.77)
    assert "above 1 - 2(1 - B)^2" in metrics.check_bounds(0.50, 0.54, tolerance=0.005)
    assert metrics.check_bounds(0.5, 0.5) is None
    assert metrics.check_bounds(0.69, 0.81) is not None
    assert metrics.check_bounds(0.69, 0.81, tolerance=0.005) is None
    with pytest.raises(ValueError, match="finite"):
        metrics.check_bounds(float("nan"), 0.5)
