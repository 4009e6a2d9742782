"""Tables and verdicts computed anew from the packed scores alone."""

import shutil

import pytest

from adlib.cli import main
from adlib.host import paths
from adlib.study import verify

TABLES = ("cbigan/table3_auroc", "cyclegan/table_accuracy_zfn")


@pytest.fixture
def results(tmp_path):
    """A part of the committed results of profile `quick`."""
    source = paths.home() / "results" / "quick"
    folder = tmp_path / "results" / "quick"
    for name in ("cells.csv", "notes.csv", "runs.csv", "runs.tar.xz"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, folder)
    for name in TABLES:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(source / f"{name}.csv", folder / f"{name}.csv")
    return folder.parent


def test_committed_numbers_are_those_of_their_scores(results):
    """Catches a committed number, interval or verdict that its scores do not give."""
    found = verify.verify(results)
    assert found.differences.empty, str(found)
    assert found.checked > 50 and found.verdicts > 400
    assert set(found.unchecked) <= {
        f"table_accuracy_zfn: {name}"
        for name in (
            "n_normal_pooled", "n_abnormal_pooled", "n_test_per_class", "n_train_normal",
            "n_train_abnormal",
        )
    }  # fmt: skip


def test_changed_numbers_are_named(results, capsys):
    """Catches a number that somebody typed, a run that is not there, and facts of other runs."""
    path = results / "quick" / "cbigan" / "table3_auroc.csv"
    text = path.read_text(encoding="utf-8")
    row = text.splitlines()[1]
    value = row.split(",")[11]
    assert 0 < float(value) < 1
    path.write_text(text.replace(value, "0.987", 1), encoding="utf-8")
    runs = results / "quick" / "runs.csv"
    runs.write_text(runs.read_text("utf-8").replace("GANomaly", "CBiGAN", 1), encoding="utf-8")
    assert main(["runs", "verify", "--results", str(results)]) == 1
    printed = capsys.readouterr().out
    assert "quick/cbigan/table3_auroc.csv" in printed and "value is 0.987, computed" in printed
    assert "quick/runs.csv" in printed
