"""The audit's statistics: each is the package's own number but for what a trap changes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectors import SMALL

from adlib import data, metrics, models
from adlib.models.training import Budget
from adlib.study import runs
from adlib.study.beyond import traps

CLASSES = np.arange(0, 60), np.arange(60, 100)
LABELS = np.repeat([0, 1], [60, 40])


def scored(seed=0, shift=1.0):
    """Scores of `LABELS` on a coarse grid, with ties."""
    drawn = np.random.default_rng(seed).normal(size=len(LABELS)) + shift * LABELS
    return np.round(drawn * 4) / 4


def drawn(rows=30, seed=0):
    """Test sets drawn anew."""
    rng = np.random.default_rng(seed)
    return [rng.choice(own, (rows, len(own))) for own in CLASSES]


def test_bad_input_is_named():
    """Would catch NaN scores and a mistyped rate or threshold that pass in silence."""
    with pytest.raises(ValueError, match="scores: 1 of 2 are NaN"):
        traps.measured(metrics.auroc, [1.0, np.nan])
    with pytest.raises(KeyError, match="f1"):
        traps.at_threshold("f1", scored(), 0.5)
    with pytest.raises(KeyError, match="worst"):
        traps.at_threshold("F1", scored(), "worst")


def test_statistics_are_the_metrics():
    """Would catch rates that differ from the package's own, a swapped class, or a tie lost."""
    scores = scored()
    for name in ("auroc", "best_accuracy", "zfn_accuracy", "max_balanced_accuracy", "best_f1"):
        metric = getattr(metrics, name)
        assert traps.measured(metric, scores)(*CLASSES) == pytest.approx(metric(LABELS, scores))
    rates = {
        "accuracy": metrics.accuracy_at,
        "balanced accuracy": metrics.balanced_accuracy_at,
        "F1": metrics.f1_at,
        "recall": lambda *given: 1 - metrics.miss_rate_at(*given),
    }
    for limit in (-np.inf, 0.5, np.inf):
        for name, rate in rates.items():
            value = traps.at_threshold(name, scores, limit)(*CLASSES)
            assert value == pytest.approx(rate(LABELS, scores, limit))


@pytest.mark.parametrize("metric", [metrics.auroc, metrics.best_accuracy, metrics.zfn_accuracy])
def test_without_its_trap_a_number_is_the_plain_one(metric):
    """Would catch a trap that changes two things: sums for maxima beside a score a batch."""
    rng = np.random.default_rng(3)
    maps = rng.normal(size=(100, 3, 4)) + LABELS[:, None, None]
    image, features = scored(1), scored(2)
    sums, last = maps.sum((1, 2)), 0.9 * image + 0.1 * features
    honest = {
        "one score a batch": (traps.per_batch(metric, maps, 1), sums),
        "sum for maximum": (traps.of_maps(metric, maps, "maximum"), maps.max((1, 2))),
        "the same with its trap": (traps.of_maps(metric, maps, "sum"), sums),
        "snapshot": (traps.best_of(metric, [last]), last),
        "lambda": (traps.weighed(metric, image, features, [0.1]), last),
        "another run": (traps.of_run(metric, SimpleNamespace(part=lambda _: (LABELS, last))), last),
    }
    for trap, (number, scores) in honest.items():
        assert number(*CLASSES) == pytest.approx(metric(LABELS, scores), abs=1e-12), trap


def test_thresholds_of_the_test_are_the_oracle_metrics():
    """Would catch a threshold picked by labels that is not what the papers print."""
    scores = scored()
    for rate, oracle in (
        ("accuracy", metrics.best_accuracy),
        ("balanced accuracy", metrics.max_balanced_accuracy),
        ("F1", metrics.best_f1),
    ):
        best = traps.at_threshold(rate, scores, traps.BEST)(*CLASSES)
        assert best == pytest.approx(oracle(LABELS, scores))
        each = [traps.at_threshold(rate, scores, limit)(*CLASSES) for limit in set(scores)]
        assert best >= max(each) - 1e-12
    zfn = traps.at_threshold("accuracy", scores, traps.lowest_abnormal)(*CLASSES)
    assert zfn == pytest.approx(metrics.zfn_accuracy(LABELS, scores))
    recall = traps.at_threshold("recall", scores, traps.lowest_abnormal)(*drawn())
    assert (recall == 1).all()


def test_a_choice_on_the_test_is_made_anew_in_every_resample():
    """Would catch candidates chosen once and resampled afterwards, which hides the optimism."""
    candidates = [scored(seed) for seed in range(4)]
    each = [traps.measured(metrics.auroc, scores)(*drawn()) for scores in candidates]
    best = traps.best_of(metrics.auroc, candidates)(*drawn())
    assert len(set(np.argmax(each, axis=0))) > 1
    np.testing.assert_array_equal(best, np.max(each, axis=0))


def test_a_range_of_the_test_moves_with_it():
    """Would catch scaling by the whole set in a resample, or one outlier that changes nothing."""
    scores = scored()
    rule = traps.share_of_range(0.2)
    got = traps.at_threshold("F1", scores, rule)(*drawn())
    for value, *numbers in zip(got, *drawn(), strict=True):
        own = scores[np.concatenate(numbers)]
        scaled = (own - own.min()) / (own.max() - own.min())
        assert value == pytest.approx(metrics.f1_at(LABELS, scaled + 1e-12, 0.2))
    outlier = scores + 100 * (scores == scores.max())
    assert traps.at_threshold("F1", outlier, rule)(*CLASSES) < 0.3 < got.min()


@pytest.mark.parametrize("metric", [metrics.auroc, metrics.best_accuracy, metrics.zfn_accuracy])
def test_batch_sums_written_out(metric):
    """Would catch batches of both classes, a last batch lost or counted as a full one, and ties."""
    sums = np.round(np.random.default_rng(1).normal(size=100) + LABELS)  # so that batches tie
    tied = False
    got = traps.per_batch(metric, sums[:, None, None], batch=8)(*drawn())
    for value, *numbers in zip(got, *drawn(), strict=True):
        scores = []
        for own in numbers:
            order = np.random.default_rng(0).permutation(len(own))
            for part in np.split(own[order], range(8, len(own), 8)):
                scores += [sums[part].sum()] * len(part)
        tied |= bool(set(scores[:60]) & set(scores[60:]))
        assert value == pytest.approx(metric(LABELS, np.array(scores)))
    assert tied


def test_a_picture_of_batches_has_the_scores_of_the_statistic():
    """Would catch a picture of other batches than those that the number is about."""
    maps = np.random.default_rng(2).normal(size=(100, 3, 4)) + LABELS[:, None, None]
    for batch in (1, 8, 64):
        scores = traps.scores_of_batches(LABELS, maps, batch)
        value = traps.per_batch(metrics.auroc, maps, batch)(*CLASSES)
        assert value == pytest.approx(metrics.auroc(LABELS, scores))
        assert len(np.unique(scores)) == -(-60 // batch) + -(-40 // batch)
    alone = traps.scores_of_batches(LABELS, maps, 1)
    np.testing.assert_allclose(alone, maps.sum((1, 2)))


def test_batch_sums_lift_full_batches_and_sink_a_small_last_one():
    """Would catch batch sums taken for means, which are as good with a small last batch."""
    rng = np.random.default_rng(0)
    for extra, lifted in ((0, True), (4, False)):
        n = 160 + extra  # four abnormal images in the last batch score below every normal batch
        labels = np.repeat([0, 1], [160, n])
        sums = np.r_[rng.normal(1, 0.1, 160), rng.normal(1.3, 0.15, n)]
        classes = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
        for metric in (metrics.auroc, metrics.best_accuracy, metrics.zfn_accuracy):
            alone = traps.measured(metric, sums)(*classes)
            batch = traps.per_batch(metric, sums[:, None, None], 16)(*classes)
            if lifted:
                assert alone < batch == 1
            elif metric is metrics.zfn_accuracy:
                assert batch == pytest.approx(n / (n + 160)) and batch < alone
            else:
                assert batch < 1


def test_training_mode_follows_the_order_and_evaluation_mode_does_not():
    """Would catch a sorted test set that leaks nothing, or scores handed back in another order."""
    torch.manual_seed(0)
    detector = models.build("GANomaly", **SMALL["GANomaly"])
    labels = np.tile([0, 1], 16)
    noise = torch.randint(0, 60, (32, 1, 32, 32), dtype=torch.uint8)
    pixels = noise + 120 * torch.from_numpy(labels).to(torch.uint8)[:, None, None, None]
    by_class, shuffled = np.argsort(labels, kind="stable"), np.random.default_rng(0).permutation(32)
    a, b = (traps.scores_in_mode(detector, pixels, o, True, 16) for o in (by_class, shuffled))
    assert np.abs(a - b).max() > 0.1 * np.abs(a).max()
    whole = [traps.scores_in_mode(detector, pixels, o, True, 32) for o in (by_class, shuffled)]
    np.testing.assert_allclose(*whole, rtol=1e-3)  # one batch of all: the order says nothing
    honest = detector.score(pixels)
    for order in (by_class, shuffled):
        scores = traps.scores_in_mode(detector, pixels, order, False, 16)
        np.testing.assert_allclose(scores, honest, rtol=1e-4)


def test_snapshots_end_with_the_scored_weights():
    """Would catch snapshots out of order, or raw weights where averaged ones are scored."""
    split = data.one_class(data.load("synthetic", "object"))
    settings = SMALL["CBiGAN"] | {"learning_rate": 1e-3}
    run = runs.get("CBiGAN", split, Budget(steps=6, batch=4, snapshots=2), **settings)
    first, last = traps.snapshot_scores(run)
    np.testing.assert_allclose(last, run.part("test")[1], rtol=1e-5)
    assert not np.allclose(first, last, rtol=1e-5)
    ends = [runs.rescored(run, split, weight_of_features=w).part("test")[1] for w in (0.0, 1.0)]
    again = traps.weighed(metrics.auroc, *ends, [0.1])  # the weight that the run was scored with
    classes = [np.flatnonzero(run.part("test")[0] == label) for label in (0, 1)]
    assert again(*classes) == pytest.approx(metrics.auroc(*run.part("test")))
    run = runs.get("CBiGAN", split, Budget(steps=1, batch=4), **settings)
    (only,) = traps.snapshot_scores(run)
    np.testing.assert_array_equal(only, run.part("test")[1])
