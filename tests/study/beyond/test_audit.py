"""The audit: traps on cases whose effect is known, and that nothing else can reach them."""

import ast
import json
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from adlib import metrics, plots
from adlib.host import paths
from adlib.study import curve
from adlib.study import rows as schema
from adlib.study.beyond import audit, choices, faults, traps
from adlib.study.lab import told

CLASSES = np.arange(0, 60), np.arange(60, 100)
LABELS = np.repeat([0, 1], [60, 40])
AUDIT = sorted((paths.home() / "notebooks" / "beyond").glob("audit*.ipynb"))
FAULTS = AUDIT[0].with_name("implementation_errors.ipynb")
TRAPS = (audit, choices, traps, faults)  # the modules that nothing else may reach


def sources():
    """Every source of the package and of the notebooks, those of the audit left out.

    `curve` makes the rows of form "authors", which a printed number is judged by.
    """
    own = *(Path(module.__file__) for module in (*TRAPS, curve)), *AUDIT, FAULTS
    for path in sorted((paths.home() / "adlib").rglob("*.py")):
        if path not in own:
            yield path, path.read_text(encoding="utf-8")
    for path in sorted((paths.home() / "notebooks").glob("*/*.ipynb")):
        if path not in own:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
            yield path, "\n".join(code)


def reaches_the_audit(code):
    """Whether code imports a module of `TRAPS`, or scores in training mode."""
    own = {module.__name__ for module in TRAPS}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import) and own & {n.name for n in node.names}:
            return True
        if isinstance(node, ast.ImportFrom):
            where = "adlib.study.beyond" if node.level else ""
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
    assert all("audit alone" in module.__doc__ for module in TRAPS)
    bad = (
        "import adlib.study.beyond.audit",
        "from adlib.study.beyond import audit, cost",
        "from . import audit",
        "from adlib.study.beyond.audit import worth",
        "from .audit import worth",
        "from adlib.study.beyond import traps",
        "from adlib.study.beyond import faults, weights",
        "from adlib.study.beyond.choices import whole",
        "from adlib.study.beyond.traps import in_mode",
        "detector.score_in_training_mode(pixels)",
    )
    assert all(map(reaches_the_audit, bad))


def test_one_class_only_is_named():
    """Would catch a bootstrap of one class that passes in silence."""
    same = traps.measured(metrics.auroc, scored())
    with pytest.raises(ValueError, match="One class only"):
        audit.worth(np.zeros(100), same, same)


def code_of(notebook):
    """The code of a notebook."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def added(function):
    """What a function of `choices` gives `Ledger.add`, as text, and what its names stand for."""
    calls, bound = [], {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            left, right = node.targets[0], node.value
            several = isinstance(left, ast.Tuple) and isinstance(right, ast.Tuple)
            pairs = zip(left.elts, right.elts, strict=True) if several else [(left, right)]
            bound |= {ast.unparse(name): value for name, value in pairs}
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ledger.add":
            calls.append(node.args)
    for call in calls:
        told_apart = [
            bound[one.value.id].elts if isinstance(one, ast.Starred) else [one] for one in call
        ]
        yield [ast.unparse(one) for part in told_apart for one in part], bound


def test_every_trap_is_one_argument():
    """Would catch a trap whose sides are not one function of `traps`, given two arguments.

    `test_traps` holds what these functions give without a trap against the plain numbers.
    """
    source = Path(choices.__file__).read_text(encoding="utf-8")
    tree, entries = ast.parse(source), 0
    assert not any(isinstance(node, ast.Lambda) for node in ast.walk(tree))
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        for (_, _, _, _, _, number, flattering, honest, *_), bound in added(function):
            assert flattering != honest, function.name
            made = ast.unparse(bound[number])
            assert made.startswith(("partial(traps.", "partial(of, ")), function.name
            entries += 1
    assert entries == source.count("ledger.add(") == 10
    assert not any("ledger.add(" in code_of(notebook) for notebook in AUDIT)


def test_every_choice_has_its_notebook_and_stands_in_the_summary():
    """Would catch a choice that no notebook shows, or that the summary leaves out."""
    source = Path(choices.__file__).read_text(encoding="utf-8")
    functions = {node.name: node for node in ast.parse(source).body
                 if isinstance(node, ast.FunctionDef)
                 and ast.unparse(node.returns or ast.Constant(None)) == "Ledger"}  # fmt: skip
    whole = ast.unparse(functions.pop("whole"))
    shown = {notebook.stem: code_of(notebook) for notebook in AUDIT}
    assert "choices.whole(" in shown.pop("audit")
    assert {f"audit_{name}" for name in functions} == set(shown)
    for name in functions:
        assert f"choices.{name}(" in shown[f"audit_{name}"]
        assert len(re.findall(rf"\b{name}\(", whole)) == 1


def entered():
    """A ledger with a number of every kind: raised, lowered, best of several, none, two seeds."""
    ledger, weak = audit.Ledger(), scored(shift=0.5)
    run, area = made_run(weak), partial(traps.of_run, metrics.auroc)
    best = partial(traps.best_of, metrics.auroc)
    same = partial(traps.at_threshold, "recall", weak)
    for trap, shift in (("lifts", 2.0), ("sinks", -1.0)):
        other = made_run(scored(shift=shift), "b")
        other.record["description"] = other.record["description"] | {"settings": {"x": shift}}
        ledger.add(audit.SCORES, trap, "X", "auROC", run, area, other, run)
    ledger.add(audit.SCORES, "best", "X", "auROC", run, best, [weak, scored(3)], [weak],
               best_of=True)  # fmt: skip
    ledger.add(audit.THRESHOLDS, "no change", "X", "recall", run, same, 0.5, 0.501)
    ledger.add(audit.THRESHOLDS, "lowest", "X", "recall", run, same, traps.lowest_abnormal, 0.5,
               resampled=False)  # fmt: skip
    for trap, shift in ((audit.CONTROL, 0.9), (audit.CONTROL, 0.4), ("bias", 1.0)):
        other = made_run(scored(shift=shift), "c")
        other.record["description"] = other.record["description"] | {"seed": 1}
        ledger.add(audit.TRAININGS, trap, f"X ({shift})", "auROC", run, area, other, run)
    return ledger


def test_what_is_told_of_every_kind_of_number():
    """Would catch a reading that no sentence knows, a sign lost, or a seed counted as a choice."""
    rows = pd.DataFrame(entered().rows())
    found = told.numbers(rows).set_index("variant")
    kinds = ["raises", "lowers", "can only raise", "no difference", "no interval"]
    assert found["begins"].tolist() == [*kinds, told.CONTROL, told.CONTROL, "within"]
    assert (found["n"] == 100).all()
    said, decided = told.of(rows)
    assert len(said) == len(found)
    assert said[1].startswith("With *sinks* the auROC of X is") and "−" in said[1]
    assert "points;" in said[4] and "points (" in said[0]  # one without an interval
    assert decided.startswith("Of 6 numbers: 1 raised by the choice; 1 lowered by the choice;")
    for part in ("other test images would tell", "further test sets", "standard deviation of 3"):
        assert part in decided
    (_, alone) = told.of(rows[rows["variant"] == "lifts"])
    assert alone == "One number: raised by the choice."
    (_, alone) = told.of(rows[rows["variant"] == "bias"])
    assert "Trainings with other seeds would have to say what chance makes." in alone


def test_the_most_telling_of_many_are_told(monkeypatch):
    """Would catch a summary that lists everything, or the smallest of the raised numbers."""
    monkeypatch.setattr(told, "LISTED", 3)
    said, _ = told.of(pd.DataFrame(entered().rows()))
    assert [one.split("*")[1] for one in said] == ["lifts", "best"]


def test_how_many_images_would_tell():
    """Would catch widths for half-widths: four times the images are needed at half the distance."""
    row = {"variant": "a", "method": "X", "measure": "auROC", "begins": "no difference", "n": 100}
    found = pd.DataFrame([row | {"points": 1.0, "low": -1.0, "high": 3.0}])
    assert list(told._more_images(found)) == [
        "Test images that would show a difference of the same size: about 400 for a (X, auROC)."
    ]
    assert list(told._more_images(found.assign(points=0.0))) == []


def test_the_ledger_for_a_reader():
    """Would catch a missing interval written as nan, sides in each other's place, a lost note."""
    ledger = entered()
    ledger.entries[0]["note"] = "known"
    table = ledger.shown()
    assert table.frame[("points", "95 % interval")].tolist()[4] == "none"
    first = table.frame.iloc[0]
    assert float(first["value", "without"]) < float(first["value", "with"])
    assert first["points", "with - without"].startswith("+")
    assert table.notes == ["Lifts: known."]
    assert "nan" not in table._repr_html_()


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
