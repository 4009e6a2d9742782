"""The audit: traps on cases whose effect is known, and that nothing else can reach them."""

import ast
import json
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from detectors import SMALL

from adlib import data, metrics, models, plots
from adlib.host import paths
from adlib.models.training import Budget
from adlib.study import audit, runs
from adlib.study import rows as schema

CLASSES = np.arange(0, 60), np.arange(60, 100)
LABELS = np.repeat([0, 1], [60, 40])


def sources():
    """Every source of the package and of the notebooks, the audit's own two left out."""
    own = Path(audit.__file__), paths.home() / "notebooks" / "beyond" / "audit.ipynb"
    for path in sorted((paths.home() / "adlib").rglob("*.py")):
        if path not in own:
            yield path, path.read_text(encoding="utf-8")
    for path in sorted((paths.home() / "notebooks").glob("*/*.ipynb")):
        if path not in own:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
            yield path, "\n".join(code)


def reaches_the_audit(code):
    """Whether code imports `adlib.study.audit` or scores in training mode."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import) and any(n.name == "adlib.study.audit" for n in node.names):
            return True
        if isinstance(node, ast.ImportFrom):
            by_name = node.module in (None, "adlib.study") and "audit" in {
                n.name for n in node.names
            }
            inside = "audit" if node.level else "adlib.study.audit"
            if by_name or node.module == inside:
                return True
        if isinstance(node, ast.Attribute) and node.attr == "score_in_training_mode":
            return True
    return False


def scored(seed=0, shift=1.0):
    """Scores of `LABELS` on a coarse grid, with ties."""
    drawn = np.random.default_rng(seed).normal(size=len(LABELS)) + shift * LABELS
    return np.round(drawn * 4) / 4


def drawn(rows=30, seed=0):
    """Test sets drawn anew."""
    rng = np.random.default_rng(seed)
    return [rng.choice(own, (rows, len(own))) for own in CLASSES]


def made_run(scores, key="a", labels=LABELS):
    """What the ledger needs of a run."""
    table = pd.DataFrame({"path": np.arange(len(labels)), "label": labels, "split": "test"})
    record = {"description": {"protocol": "one_class"}}
    return SimpleNamespace(
        key=key, scores=table.assign(score=scores), part=lambda _: (labels, scores), record=record
    )


def test_nothing_else_reaches_the_audit():
    """Would catch a trap that a result of the study could use by mistake."""
    found = {path.name: reaches_the_audit(code) for path, code in sources()}
    assert len(found) > 50 and not any(found.values()), found
    assert "audit alone" in audit.__doc__
    bad = (
        "import adlib.study.audit",
        "from adlib.study import audit, results",
        "from . import audit",
        "from adlib.study.audit import worth",
        "from .audit import worth",
        "detector.score_in_training_mode(pixels)",
    )
    assert all(map(reaches_the_audit, bad))


def test_bad_input_is_named():
    """Would catch a bootstrap of one class, NaN scores and a mistyped rate that pass in silence."""
    same = audit.measured(metrics.auroc, scored())
    with pytest.raises(ValueError, match="One class only"):
        audit.worth(np.zeros(100), same, same)
    with pytest.raises(ValueError, match="scores: 1 of 2 are NaN"):
        audit.measured(metrics.auroc, [1.0, np.nan])
    with pytest.raises(KeyError, match="f1"):
        audit.at_threshold("f1", scored(), 0.5)


def test_statistics_are_the_metrics():
    """Would catch rates that differ from the package's own, a swapped class, or a tie lost."""
    scores = scored()
    for name in ("auroc", "best_accuracy", "zfn_accuracy", "max_balanced_accuracy", "best_f1"):
        metric = getattr(metrics, name)
        assert audit.measured(metric, scores)(*CLASSES) == pytest.approx(metric(LABELS, scores))
    rates = {
        "accuracy": metrics.accuracy_at,
        "balanced accuracy": metrics.balanced_accuracy_at,
        "F1": metrics.f1_at,
        "recall": lambda *given: 1 - metrics.miss_rate_at(*given),
    }
    for limit in (-np.inf, 0.5, np.inf):
        for name, rate in rates.items():
            value = audit.at_threshold(name, scores, limit)(*CLASSES)
            assert value == pytest.approx(rate(LABELS, scores, limit))


def test_a_choice_on_the_test_is_made_anew_in_every_resample():
    """Would catch candidates chosen once and resampled afterwards, which hides the optimism."""
    candidates = [scored(seed) for seed in range(4)]
    each = [audit.measured(metrics.auroc, scores)(*drawn()) for scores in candidates]
    best = audit.best_of(metrics.auroc, candidates)(*drawn())
    assert len(set(np.argmax(each, axis=0))) > 1
    np.testing.assert_array_equal(best, np.max(each, axis=0))


def test_a_range_of_the_test_moves_with_it():
    """Would catch scaling by the whole set in a resample, or one outlier that changes nothing."""
    scores = scored()
    rule = audit.share_of_range(0.2)
    got = audit.at_threshold("F1", scores, rule)(*drawn())
    for value, *numbers in zip(got, *drawn(), strict=True):
        own = scores[np.concatenate(numbers)]
        scaled = (own - own.min()) / (own.max() - own.min())
        assert value == pytest.approx(metrics.f1_at(LABELS, scaled + 1e-12, 0.2))
    outlier = scores + 100 * (scores == scores.max())
    assert audit.at_threshold("F1", outlier, rule)(*CLASSES) < 0.3 < got.min()


@pytest.mark.parametrize("metric", [metrics.auroc, metrics.best_accuracy, metrics.zfn_accuracy])
def test_batch_sums_written_out(metric):
    """Would catch batches of both classes, a last batch lost or counted as a full one, and ties."""
    sums = np.round(np.random.default_rng(1).normal(size=100) + LABELS)  # so that batches tie
    tied = False
    got = audit.per_batch(metric, sums, batch=8)(*drawn())
    for value, *numbers in zip(got, *drawn(), strict=True):
        scores = []
        for own in numbers:
            order = np.random.default_rng(0).permutation(len(own))
            for part in np.split(own[order], range(8, len(own), 8)):
                scores += [sums[part].sum()] * len(part)
        tied |= bool(set(scores[:60]) & set(scores[60:]))
        assert value == pytest.approx(metric(LABELS, np.array(scores)))
    assert tied


def test_batch_sums_lift_full_batches_and_sink_a_small_last_one():
    """Would catch batch sums taken for means, which are as good with a small last batch."""
    rng = np.random.default_rng(0)
    for extra, lifted in ((0, True), (4, False)):
        n = 160 + extra  # four abnormal images in the last batch score below every normal batch
        labels = np.repeat([0, 1], [160, n])
        sums = np.r_[rng.normal(1, 0.1, 160), rng.normal(1.3, 0.15, n)]
        classes = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
        for metric in (metrics.auroc, metrics.best_accuracy, metrics.zfn_accuracy):
            alone = audit.measured(metric, sums)(*classes)
            batch = audit.per_batch(metric, sums)(*classes)
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
    a, b = (audit.in_training_mode(detector, pixels, o, 16) for o in (by_class, shuffled))
    assert np.abs(a - b).max() > 0.1 * np.abs(a).max()
    whole = [audit.in_training_mode(detector, pixels, o, 32) for o in (by_class, shuffled)]
    np.testing.assert_allclose(*whole, rtol=1e-3)  # one batch of all: the order says nothing
    honest = detector.score(pixels)
    np.testing.assert_allclose(detector.score(pixels[by_class], 16), honest[by_class], rtol=1e-4)


def test_snapshots_end_with_the_scored_weights():
    """Would catch snapshots out of order, or raw weights where averaged ones are scored."""
    split = data.one_class(data.load("synthetic", "object"))
    settings = SMALL["CBiGAN"] | {"learning_rate": 1e-3}
    run = runs.get("CBiGAN", split, Budget(steps=6, batch=4, snapshots=2), **settings)
    first, last = audit.snapshot_scores(run, split.pixels("test", 32, 1))
    np.testing.assert_allclose(last, run.part("test")[1], rtol=1e-5)
    assert not np.allclose(first, last, rtol=1e-5)
    run = runs.get("CBiGAN", split, Budget(steps=1, batch=4), **settings)
    (only,) = audit.snapshot_scores(run, split.pixels("test", 32, 1))
    np.testing.assert_array_equal(only, run.part("test")[1])


def test_the_bootstrap_is_paired():
    """Would catch sides resampled apart: the same scores would differ from themselves."""
    same = audit.measured(metrics.auroc, scored())
    found = audit.worth(LABELS, same, same)
    assert found["difference_points"] == (0, 0, 0)
    value, low, high = found["with_trap"]
    assert low < value < high
    assert value == pytest.approx(metrics.auroc(LABELS, scored()), rel=1e-12)  # another sum
    assert found == audit.worth(LABELS, same, same) != audit.worth(LABELS, same, same, seed=1)


def test_a_difference_has_its_sign_and_its_analytic_interval():
    """Would catch a flipped sign, percent for points, and intervals of one side's width."""
    right = np.repeat([0.0, 1.0, 0.0], [60, 30, 10])  # recall 30 of 40 at 0.5
    fewer = np.repeat([0.0, 1.0, 0.0], [60, 20, 20])  # ten of these are missed
    sides = [audit.at_threshold("recall", scores, 0.5) for scores in (right, fewer)]
    value, low, high = audit.worth(LABELS, *sides, resamples=4000)["difference_points"]
    half = 196 * np.sqrt(0.25 * 0.75 / 40)
    assert value == pytest.approx(25)
    assert (low, high) == pytest.approx((25 - half, 25 + half), abs=2.6)  # steps of one image
    assert audit.worth(LABELS, *sides[::-1])["difference_points"][0] == pytest.approx(-25)


def test_the_interval_covers_a_known_difference():
    """Would catch intervals that are far too narrow or that miss the truth by a bias."""
    labels, hits = np.repeat([0, 1], 60), 0
    truth = 100 * (0.76025 - 0.63816)  # Phi(1 / sqrt 2) and Phi(0.5 / sqrt 2)
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(size=120)
        sides = [audit.measured(metrics.auroc, noise + shift * labels) for shift in (1.0, 0.5)]
        _, low, high = audit.worth(labels, *sides, resamples=300)["difference_points"]
        hits += low <= truth <= high
    assert 34 <= hits <= 40


def test_the_ledger_says_what_one_training_cannot():
    """Would catch a difference within that of other seeds, or without any, told as an effect."""
    ledger, honest = audit.Ledger(), scored(shift=0.5)
    run, side = made_run(honest), audit.measured(metrics.auroc, honest)

    def add(trap, shift, method="X"):
        better = scored(shift=shift)
        trained = audit.measured(metrics.auroc, better)
        other = made_run(better, key=trap)
        ledger.add(audit.TRAININGS, trap, method, "auROC", run, trained, side, other=other)

    add("little", 1.0)
    assert ledger.between_seeds() == (-np.inf, np.inf) and not ledger.table().told.any()
    add(audit.CONTROL, 0.7, "X (1)")
    add(audit.CONTROL, 0.6, "X (2)")
    add("much", 4.0)
    ledger.add(audit.THRESHOLDS, "same", "X", "auROC", run, side, side, "Known.")
    table = ledger.table().set_index("label")
    assert table.kind.tolist() == [audit.THRESHOLDS, *[audit.TRAININGS] * 4]
    assert table.points[1:].is_monotonic_decreasing and table.index[1] == "much: X, auROC"
    assert table.told.tolist() == [False, True, False, False, False]
    assert table.reads["little: X, auROC"].startswith("within what another seed may make")
    points = [0, *table.points[table.index.str.startswith(audit.CONTROL)]]
    half = 4.302653 * np.std(points, ddof=1) * np.sqrt(4 / 3)  # Student's t with two degrees
    assert table.seed_high["much: X, auROC"] == pytest.approx(np.mean(points) + half)
    assert np.isnan(table.seed_high["same: X, auROC"])
    with pytest.raises(ValueError, match="runs a and b were scored on different images"):
        elsewhere = made_run(honest, key="b", labels=LABELS[::-1])
        ledger.add(audit.TRAININGS, "t", "X", "auROC", run, side, side, other=elsewhere)


def test_rows_of_the_ledger():
    """Would catch rows that cannot be written, points that are no difference, a run mistaken."""
    ledger, run = audit.Ledger(), made_run(scored())
    sides = [audit.measured(metrics.auroc, scored(shift=shift)) for shift in (2.0, 1.0)]
    other = made_run(scored(), "b")
    ledger.add(audit.SCORES, "t", "X", "auROC", run, *sides, "Known.", other=other)
    rows = pd.DataFrame(ledger.rows(comparable="no paper"))
    assert set(rows) <= set(schema.COLUMNS)
    value = rows.set_index("metric").value
    points = 100 * (value["with_trap"] - value["without_trap"])
    assert value["difference_points"] == pytest.approx(points) and points > 0
    assert rows.run.tolist() == ["b", "a", "b"]
    assert (rows.n_normal == 60).all() and (rows.n_abnormal == 40).all()
    assert rows.note.unique().tolist() == ["Known."]
    assert rows.reading.unique().tolist() == ["raises the number"]


def test_the_picture_groups_and_fills():
    """Would catch rows in the wrong panel, and a filled dot or a band where there is none."""
    table = pd.DataFrame({
        "kind": ["a", "a", "b"], "label": ["x", "y", "z"], "points": [5.0, 1.0, -2.0],
        "low": [3.0, -1.0, -3.0], "high": [7.0, 3.0, -1.0], "told": [True, False, True],
        "with_trap": 0.6, "without_trap": 0.5, "seed_low": [np.nan, np.nan, -6.0],
        "seed_high": [np.nan, np.nan, 4.0],
    })  # fmt: skip
    figure = plots.worth_in_points(table)
    assert [ax.get_title("left") for ax in figure.axes] == ["a", "b"]
    names = [[t.get_text() for t in ax.get_yticklabels()] for ax in figure.axes]
    assert names == [["x", "y"], ["z"]]
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == [5.0, 1.0]
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, True]
    bands = [[patch.get_x() for patch in ax.patches] for ax in figure.axes]
    assert bands == [[], [-6.0]]
    plt.close(figure)
