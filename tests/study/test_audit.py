"""The audit: traps on cases whose effect is known, and that nothing else can reach them."""

import ast
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from adlib import metrics, plots
from adlib.host import paths
from adlib.study import audit, curve, faults, traps
from adlib.study import rows as schema

CLASSES = np.arange(0, 60), np.arange(60, 100)
LABELS = np.repeat([0, 1], [60, 40])
AUDIT = paths.home() / "notebooks" / "beyond" / "audit.ipynb"
FAULTS = AUDIT.with_name("implementation_errors.ipynb")


def sources():
    """Every source of the package and of the notebooks, those of the audit left out.

    `curve` makes the rows of form "authors", which a printed number is judged by.
    """
    own = *(Path(module.__file__) for module in (audit, traps, faults, curve)), AUDIT, FAULTS
    for path in sorted((paths.home() / "adlib").rglob("*.py")):
        if path not in own:
            yield path, path.read_text(encoding="utf-8")
    for path in sorted((paths.home() / "notebooks").glob("*/*.ipynb")):
        if path not in own:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
            yield path, "\n".join(code)


def reaches_the_audit(code):
    """Whether code imports `adlib.study.audit`, `traps` or `faults`, or scores in training mode."""
    own = {f"adlib.study.{name}" for name in ("audit", "traps", "faults")}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import) and own & {n.name for n in node.names}:
            return True
        if isinstance(node, ast.ImportFrom):
            where = "adlib.study" if node.level else ""
            module = ".".join(filter(None, (where, node.module)))
            if own & {module, *(f"{module}.{n.name}" for n in node.names)}:
                return True
        if isinstance(node, ast.Attribute) and node.attr == "score_in_training_mode":
            return True
    return False


def scored(seed=0, shift=1.0):
    """Scores of `LABELS` on a coarse grid, with ties."""
    drawn = np.random.default_rng(seed).normal(size=len(LABELS)) + shift * LABELS
    return np.round(drawn * 4) / 4


def made_run(scores, key="a", labels=LABELS):
    """What the ledger needs of a run."""
    table = pd.DataFrame({"path": np.arange(len(labels)), "label": labels, "split": "test"})
    record = {"description": {"protocol": "one_class", "seed": 0, "settings": {}, "budget": {}}}
    return SimpleNamespace(
        key=key, scores=table.assign(score=scores), part=lambda _: (labels, scores), record=record
    )


def test_nothing_else_reaches_the_audit():
    """Would catch a trap that a result of the study could use by mistake."""
    found = {path.name: reaches_the_audit(code) for path, code in sources()}
    assert len(found) > 50 and not any(found.values()), found
    assert all("audit alone" in module.__doc__ for module in (audit, traps, faults))
    bad = (
        "import adlib.study.audit",
        "from adlib.study import audit, results",
        "from . import audit",
        "from adlib.study.audit import worth",
        "from .audit import worth",
        "from adlib.study import traps",
        "from adlib.study import faults, profiles",
        "from adlib.study.traps import in_mode",
        "detector.score_in_training_mode(pixels)",
    )
    assert all(map(reaches_the_audit, bad))


def test_one_class_only_is_named():
    """Would catch a bootstrap of one class that passes in silence."""
    same = traps.measured(metrics.auroc, scored())
    with pytest.raises(ValueError, match="One class only"):
        audit.worth(np.zeros(100), same, same)


def test_every_trap_of_the_notebook_is_one_argument():
    """Would catch a trap whose sides are not one function of `traps`, given two arguments.

    `test_traps` holds what these functions give without a trap against the plain numbers.
    """
    cells = json.loads(AUDIT.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    added, bound = [], {}
    for node in ast.walk(ast.parse(code)):
        assert not isinstance(node, ast.Lambda | ast.FunctionDef)
        if isinstance(node, ast.Assign):
            left, right = node.targets[0], node.value
            several = isinstance(left, ast.Tuple) and isinstance(right, ast.Tuple)
            pairs = zip(left.elts, right.elts, strict=True) if several else [(left, right)]
            for name, value in pairs:
                bound.setdefault(ast.unparse(name), []).append(ast.unparse(value))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ledger.add":
            added.append([ast.unparse(argument) for argument in node.args])
    assert len(added) == code.count("ledger.add(") == 9
    for _, _, _, _, _, number, flattering, honest, *_ in added:
        assert flattering != honest
        assert all(value.startswith(("partial(traps.", "partial(of,")) for value in bound[number])


def test_two_runs_of_a_trap_differ_in_one_setting():
    """Would catch a trap of two settings, and a run that is compared with itself."""
    run, area = made_run(scored()), partial(traps.of_run, metrics.auroc)
    ledger, other = audit.Ledger(), made_run(scored(shift=2.0), "b")

    def add():
        ledger.add(audit.TRAININGS, "a trap", "X", "auROC", run, area, other, run)

    with pytest.raises(ValueError, match="a trap: runs a and b differ in nothing, not in one"):
        add()
    other.record["description"]["settings"] = {"bias": "authors"}
    add()
    other.record["description"]["scores_of"] = "a"  # other scores of the same weights
    add()
    other.record["description"]["scores_of"] = "c"
    with pytest.raises(ValueError, match="differ in scores_of, bias, not"):
        add()


def test_the_bootstrap_is_paired():
    """Would catch sides resampled apart: the same scores would differ from themselves."""
    same = traps.measured(metrics.auroc, scored())
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
    sides = [traps.at_threshold("recall", scores, 0.5) for scores in (right, fewer)]
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
        sides = [traps.measured(metrics.auroc, noise + shift * labels) for shift in (1.0, 0.5)]
        _, low, high = audit.worth(labels, *sides, resamples=300)["difference_points"]
        hits += low <= truth <= high
    assert 34 <= hits <= 40


def test_the_ledger_says_what_one_training_cannot():
    """Would catch a difference within that of other seeds, or without any, told as an effect."""
    ledger, honest = audit.Ledger(), scored(shift=0.5)
    run, area = made_run(honest), partial(traps.of_run, metrics.auroc)

    def add(trap, shift, method="X"):
        other = made_run(scored(shift=shift), key=trap)
        other.record["description"]["seed"] = 1
        ledger.add(audit.TRAININGS, trap, method, "auROC", run, area, other, run)

    add("little", 1.0)
    assert ledger.between_seeds() == (-np.inf, np.inf) and not ledger.table().told.any()
    add(audit.CONTROL, 0.7, "X (1)")
    add(audit.CONTROL, 0.6, "X (2)")
    add("much", 4.0)
    ledger.add(audit.THRESHOLDS, "same", "X", "auROC", run, area, run, run, "Known.")
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
        ledger.add(audit.TRAININGS, "t", "X", "auROC", run, area, elsewhere, run)


def test_rows_of_the_ledger():
    """Would catch rows that cannot be written, points that are no difference, a run mistaken."""
    ledger, run = audit.Ledger(), made_run(scored())
    other, area = made_run(scored(shift=2.0), "b"), partial(traps.of_run, metrics.auroc)
    other.record["description"]["seed"] = 1
    ledger.add(audit.SCORES, "t", "X", "auROC", run, area, other, run, "Known.")
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


def test_a_best_of_is_held_against_shuffled_labels():
    """Catches "raises the number" said of a choice that raises it where nothing can be told."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30)
    candidates = rng.normal(size=(20, 60))  # scores that know nothing of the labels

    def best(normal, abnormal):
        return np.max([traps.measured(metrics.auroc, c)(normal, abnormal) for c in candidates], 0)

    last = traps.measured(metrics.auroc, candidates[-1])
    chance = audit.by_chance(labels, best, last)
    assert 8 < chance < 20  # the best of 20 of spread 7.5 points
    assert audit.by_chance(labels, last, last) == 0
