"""Thresholds with a promise: held against simulated scores whose true miss rate is known."""

import functools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from adlib import metrics
from adlib.metrics import thresholds

RULES = {
    "lowest": thresholds.lowest_abnormal,
    "conformal": functools.partial(thresholds.conformal_threshold, beta=0.2),
    "probable": functools.partial(thresholds.high_probability_threshold, beta=0.3, delta=0.2),
}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
GRID = 0.5  # of the tied scores


def true_miss_rates(rule, n, tied=False, sets=2000):
    """Miss rate among all abnormal images, N(2, 1), at the thresholds of many calibration sets."""
    scores = np.random.default_rng(n).normal(2, 1, (sets, n))
    if tied:
        scores = np.round(scores / GRID) * GRID
    found = np.array([rule(row) for row in scores])
    return stats.norm.cdf(found - (GRID / 2 if tied else 0), loc=2)  # P(score < threshold)


def held_out(seed=0, n_normal=25, n_abnormal=20):
    """Labels and scores in mixed order, without ties."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1], [n_normal, n_abnormal]))
    return labels, rng.normal(2 * labels, 1)


@each_rule
def test_one_image_sets_its_own_score_or_none(rule):
    """Would catch a threshold invented from one image where it can promise nothing."""
    expected = 3.0 if rule is thresholds.lowest_abnormal else -np.inf
    assert rule([3.0]) == expected
    assert thresholds.conformal_threshold([3.0], 0.5) == 3.0
    assert thresholds.high_probability_threshold([3.0], 0.9, 0.1) == 3.0


@each_rule
def test_identical_scores_are_all_caught(rule):
    """Would catch a threshold above tied scores, which would miss all of them at once."""
    assert rule(np.full(40, 7.0)) == 7.0


@each_rule
def test_threshold_is_a_plain_float_among_the_scores_whatever_their_order(rule):
    """Would catch an unsorted order statistic, interpolation, and a NumPy scalar coming back."""
    scores = np.random.default_rng(1).normal(size=40)
    threshold = rule(scores)
    assert type(threshold) is float
    assert threshold in scores
    assert rule(scores[::-1]) == threshold
    assert rule(np.exp(scores)) == pytest.approx(np.exp(threshold))


def test_rank_of_the_conformal_threshold():
    """Would catch k one too large or small, floor(beta n), and rounding of beta (n + 1)."""
    for beta in (0.01, 0.29, 0.57, 0.58, 0.9, 0.99):  # 0.29 * 100 and 0.58 * 100 fall short
        assert thresholds.conformal_threshold(np.arange(1, 100), beta) == round(100 * beta)
    assert thresholds.conformal_threshold(np.arange(1, 99), 0.1) == 9  # floor(9.9)
    assert thresholds.conformal_threshold([1.0, 2.0], 1 - 1e-12) == 2.0
    assert thresholds.conformal_threshold(np.arange(9), 0.1) == thresholds.lowest_abnormal(range(9))


@pytest.mark.parametrize("tied", [False, True], ids=["continuous", "tied"])
@pytest.mark.parametrize(("n", "k"), [(39, 4), (30, 3), (12, 1)])
def test_conformal_promise_is_kept_on_average_and_not_by_waste(n, k, tied):
    """Would catch a mean true miss rate above k / (n + 1) <= beta, or far below without ties."""
    rates = true_miss_rates(functools.partial(thresholds.conformal_threshold, beta=0.1), n, tied)
    slack = 4 * stats.beta(k, n + 1 - k).std() / np.sqrt(len(rates))
    assert rates.mean() <= k / (n + 1) + slack
    assert tied or rates.mean() >= k / (n + 1) - slack


def test_lowest_of_n_promises_one_in_n_plus_one():
    """Would catch the rule of zero misses sold as such on images other than those it saw."""
    rates = true_miss_rates(thresholds.lowest_abnormal, 24)
    assert rates.mean() == pytest.approx(1 / 25, abs=4 * 0.04 / np.sqrt(2000))


@pytest.mark.parametrize("tied", [False, True], ids=["continuous", "tied"])
@pytest.mark.parametrize(("n", "beta", "delta"), [(60, 0.1, 0.1), (30, 0.2, 0.05), (22, 0.1, 0.1)])
def test_high_probability_promise_is_kept_for_a_share_of_the_sets(n, beta, delta, tied):
    """Would catch k one too large (more than delta break it) or one too small (binomial value)."""
    rule = functools.partial(thresholds.high_probability_threshold, beta=beta, delta=delta)
    broken = (true_miss_rates(rule, n, tied) > beta).mean()
    assert broken <= delta + 4 * np.sqrt(delta / 2000)
    k = int(rule(np.arange(1, n + 1)))
    exact = stats.binom.cdf(k - 1, n, beta)
    assert exact <= delta < stats.binom.cdf(k, n, beta)
    assert tied or broken == pytest.approx(exact, abs=4 * np.sqrt(exact / 2000))


def test_conformal_makes_no_promise_for_the_set_at_hand():
    """Would catch the two promises mixed up: the conformal one breaks far more often than 0.1."""
    rates = true_miss_rates(functools.partial(thresholds.conformal_threshold, beta=0.1), 9)
    assert (rates > 0.1).mean() == pytest.approx(0.9**9, abs=0.05)


def test_high_probability_equals_clopper_pearson_and_learn_then_test():
    """Would catch a departure from either published procedure, on scores with ties."""
    rng = np.random.default_rng(0)
    for n in (5, 23, 64):
        for beta, delta in ((0.05, 0.1), (0.1, 0.05), (0.3, 0.2), (0.6, 0.01)):
            scores = np.sort(np.round(rng.normal(size=n), 1))
            found = thresholds.high_probability_threshold(scores, beta, delta)
            limits = [thresholds.miss_rate_limit(k, n, delta) for k in range(n)]
            kept = scores[np.array(limits) <= beta]
            assert found == (kept[-1] if kept.size else -np.inf)
            reached = -np.inf
            for threshold in np.unique(scores):
                misses = np.sum(scores < threshold)
                if stats.binomtest(misses, n, beta, alternative="less").pvalue > delta:
                    break
                reached = threshold
            assert found == reached


def test_miss_rate_limit_equals_scipy():
    """Would catch a two-sided limit, delta for 1 - delta, and a limit below 1 with all missed."""
    for misses, n in ((0, 1), (1, 1), (0, 30), (3, 30), (29, 30), (30, 30)):
        for delta in (0.01, 0.1, 0.5):
            interval = stats.binomtest(misses, n, alternative="less").proportion_ci(1 - delta)
            assert thresholds.miss_rate_limit(misses, n, delta) == pytest.approx(interval.high)


@pytest.mark.parametrize("beta", [0.01, 1 / 49, 0.05, 0.1, 0.2, 0.29, 1 / 3, 0.5, 0.9, 0.999])
def test_images_needed_are_the_fewest_with_a_finite_threshold(beta):
    """Would catch a number one too high or low, above all where 1 / beta or the logs come out."""
    scores = np.arange(2000.0)
    for delta in (None, 0.5, 0.1, 0.05, (1 - beta) ** 2, (1 - beta) ** 3, 0.99999):
        if delta is None:
            rule = functools.partial(thresholds.conformal_threshold, beta=beta)
        else:
            rule = functools.partial(thresholds.high_probability_threshold, beta=beta, delta=delta)
        n = thresholds.images_needed(beta, delta)
        assert type(n) is int
        assert rule(scores[:n]) == 0
        assert n == 1 or rule(scores[: n - 1]) == -np.inf


def test_images_needed_are_the_known_numbers():
    """Would catch an agreement of two wrong formulas."""
    assert [thresholds.images_needed(b) for b in (0.01, 0.05, 0.1, 0.5)] == [99, 19, 9, 1]
    assert [thresholds.images_needed(b, 0.05) for b in (0.01, 0.05, 0.1)] == [299, 59, 29]
    assert thresholds.images_needed(0.1, 0.729) == 3  # 0.9^3 and 0.8^3, in float64 a little more
    assert thresholds.high_probability_threshold([1.0, 2.0, 3.0], 0.1, 0.729) == 1
    assert thresholds.high_probability_threshold([1.0, 2.0, 3.0], 0.2, 0.512) == 1
    assert thresholds.images_needed(0.5, 0.125) == 3


@each_rule
def test_redivided_equals_a_loop(rule):
    """Would catch calibration images among the tested, normals as misses, and >= turned to >."""
    labels, scores = held_out()
    scores = np.round(scores)  # most scores are tied, calibration and test images as well
    table = thresholds.redivided(labels, scores, rule, 12, divisions=30)
    assert (table.n_abnormal == 8).all()
    assert (table.n_normal == 25).all()
    abnormal = scores[labels == 1]
    drawn = np.random.default_rng(0).permuted(np.tile(abnormal, (30, 1)), axis=1)
    for row, order in zip(table.itertuples(), drawn, strict=True):
        assert sorted(order) == sorted(abnormal)
        assert row.threshold == rule(order[:12])
        assert row.misses == np.sum(order[12:] < row.threshold)
        assert row.miss_rate == row.misses / 8
        assert row.false_alarms == np.sum(scores[labels == 0] >= row.threshold)
        assert row.false_alarm_rate == row.false_alarms / 25
        tested = np.repeat([1, 0], [8, 25]), np.concatenate([order[12:], scores[labels == 0]])
        assert row.accuracy == pytest.approx(metrics.accuracy_at(*tested, row.threshold))


def test_redivided_without_a_threshold_calls_everything_abnormal():
    """Would catch misses or spared normals where the rule has too few images."""
    table = thresholds.redivided(*held_out(), RULES["conformal"], 3, divisions=5)
    assert (table.threshold == -np.inf).all()
    assert (table.misses == 0).all()
    assert (table.false_alarm_rate == 1).all()
    assert table.accuracy.to_numpy() == pytest.approx(17 / 42)


def test_redivided_repeats_with_its_seed_and_pairs_the_rules():
    """Would catch an unseeded division, or other divisions for another rule or detector."""
    labels, scores = held_out()
    divide = functools.partial(thresholds.redivided, labels, n_calibration=10, divisions=40)
    first = divide(scores, RULES["lowest"])
    pd.testing.assert_frame_equal(first, divide(scores, RULES["lowest"]))
    assert not first.equals(divide(scores, RULES["lowest"], seed=1))
    assert not first.duplicated().all()
    pd.testing.assert_series_equal(first.misses, divide(np.exp(scores), RULES["lowest"]).misses)
    assert (first.threshold <= divide(scores, RULES["conformal"]).threshold).all()


@pytest.mark.parametrize(("n", "beta", "k"), [(12, 0.1, 1), (19, 0.2, 4)])
def test_redivided_misses_follow_the_negative_hypergeometric_law(n, beta, k):
    """Would catch a biased division: calibration from one end, or images drawn with repetition."""
    rule = functools.partial(thresholds.conformal_threshold, beta=beta)
    table = thresholds.redivided(*held_out(n_abnormal=36), rule, n, divisions=4000)
    law = stats.nhypergeom(36, 36 - n, k)
    found = np.bincount(table.misses, minlength=37 - n) / 4000
    assert found == pytest.approx(law.pmf(np.arange(37 - n)), abs=4 * np.sqrt(0.25 / 4000))
    mean = thresholds.promise_held(table, beta)["misses_per_100"]
    assert mean == pytest.approx(100 * k / (n + 1), abs=400 * law.std() / (36 - n) / np.sqrt(4000))


def test_promise_held_is_the_mean_over_the_divisions():
    """Would catch a rate just at the promise counted as broken, and shares taken for per cent."""
    table = pd.DataFrame({
        "miss_rate": [0.0, 0.1, 0.101, 0.099], "accuracy": [0.5, 0.7, 0.9, 0.9],
        "false_alarm_rate": [1.0, 0.5, 0.0, 0.1],
    })  # fmt: skip
    assert thresholds.promise_held(table, 1 - 0.9) == pytest.approx(  # 0.09999999999999998
        {"misses_per_100": 7.5, "held": 0.75, "accuracy": 0.75, "false_alarm_rate": 0.4}
    )


@each_rule
@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], "at least one value"),
        ([[1.0, 2.0]], "must be a vector"),
        ([1.0, np.nan], "abnormal_scores: 1 of 2 are NaN"),
        ([-np.inf, 1.0, 2.0], "1 of 3 are infinite"),
    ],
)
def test_bad_scores_are_named(rule, scores, message):
    """Would catch a threshold made out of scores that have none."""
    with pytest.raises(ValueError, match=message):
        rule(scores)


@pytest.mark.parametrize("share", [0, 1, 5, -0.1, np.nan])
def test_bad_levels_are_named(share):
    """Would catch per cent for shares, and a promise of zero misses or of none."""
    table = pd.DataFrame({"miss_rate": [0.0], "accuracy": [1.0], "false_alarm_rate": [0.0]})
    for name, call in (
        ("beta", lambda: thresholds.conformal_threshold([1.0], share)),
        ("beta", lambda: thresholds.high_probability_threshold([1.0], share, 0.1)),
        ("delta", lambda: thresholds.high_probability_threshold([1.0], 0.1, share)),
        ("beta", lambda: thresholds.images_needed(share)),
        ("delta", lambda: thresholds.images_needed(0.1, share)),
        ("delta", lambda: thresholds.miss_rate_limit(0, 1, share)),
        ("beta", lambda: thresholds.promise_held(table, share)),
    ):
        with pytest.raises(ValueError, match=f"{name} is {share}; it must lie between 0 and 1"):
            call()


def test_bad_counts_are_named():
    """Would catch calibration without images or without a test, and misses out of nowhere."""
    for misses, n in ((0, 0), (-1, 3), (4, 3)):
        with pytest.raises(ValueError, match=f"{misses} misses of {n} images"):
            thresholds.miss_rate_limit(misses, n, 0.1)
    labels, scores = held_out()
    for n in (0, 20, 21):
        with pytest.raises(ValueError, match=f"n_calibration is {n}: of the 20 abnormal"):
            thresholds.redivided(labels, scores, RULES["lowest"], n)
    with pytest.raises(ValueError, match="divisions is 0"):
        thresholds.redivided(labels, scores, RULES["lowest"], 5, divisions=0)
    with pytest.raises(ValueError, match="rule gave NaN"):
        thresholds.redivided(labels, scores, lambda _: np.nan, 5)
    with pytest.raises(ValueError, match="all 3 images are abnormal"):
        thresholds.redivided([1, 1, 1], [1.0, 2.0, 3.0], RULES["lowest"], 1)
    with pytest.raises(ValueError, match="no divisions"):
        thresholds.promise_held(pd.DataFrame({"miss_rate": []}), 0.1)
