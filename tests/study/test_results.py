"""What a cell writes: rows and pictures."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from data_trees import mvtec_tree
from matplotlib import pyplot as plt
from PIL import Image

from adlib import data
from adlib.study import results, rows
from adlib.study.profiles import Cell

CELL = Cell("smoke", "cbigan", "table2_balanced_accuracy", "synthetic", "object", 0)


def test_rows_are_checked_and_filled_in():
    """Would catch a mistyped column, a row without value, and a CSV without its origin."""
    with pytest.raises(ValueError, match="no such column: valeu; there are paper"):
        results.write_rows(CELL, [{"method": "A", "metric": "auroc", "valeu": 1}])
    with pytest.raises(ValueError, match="rows without value"):
        results.write_rows(CELL, [{"method": "A", "metric": "auroc", "value": float("nan")}])
    with pytest.raises(ValueError, match="two rows for A, auroc, synthetic, object"):
        results.write_rows(CELL, [{"method": "A", "metric": "auroc", "value": 1}] * 2)
    assert not CELL.file(".csv").exists()
    results.write_rows(CELL, [{"method": "A", "metric": "auroc", "value": 0.5}])
    (row,) = pd.read_csv(CELL.file(".csv")).to_dict("records")
    assert list(row) == rows.COLUMNS
    filled = (row["paper"], row["category"], row["seed"], row["cell"])
    assert filled == ("cbigan", "object", 0, CELL.id)
    own = {"method": "A", "metric": "auroc", "value": 0.5, "dataset": "elpv", "seed": 2}
    table = results.write_rows(CELL, [own, {"method": "A", "metric": "auroc", "value": 0.5}])
    assert table[["dataset", "category", "seed"]].to_numpy().tolist() == [
        ["elpv", "object", 2], [CELL.dataset, "object", 0],
    ]  # fmt: skip


def test_pictures_carry_their_caption():
    """Would catch a caption that is lost between notebook and report."""
    figure, _ = plt.subplots(figsize=(1, 1))
    results.save_picture(CELL, figure, "p", "What it shows.")
    with Image.open(CELL.file("__p.png")) as image:
        assert image.text["Description"] == "What it shows."


def test_a_run_without_its_way():
    """Would catch snapshots that nobody looks at, or another run where there are none."""
    split = data.one_class(data.load("synthetic", "object"), seed=0)
    run = results.run(CELL, "CBiGAN", split, snapshots=False)
    assert run.curve() == {} and not run.steps
    assert "curve.safetensors" not in run.record["files"]
    again = results.run(CELL, "CBiGAN", split)
    assert again.key == run.key and len(again.curve()["steps"]) == 2


def test_rows_of_a_run():
    """Would catch a deployable number that looks at test labels."""
    split = data.one_class(data.load("synthetic", "object"), seed=0)
    run = results.run(CELL, "AE-L2", split)
    oracle = results.metric_row("AE-L2", run, "max_balanced_accuracy")
    deployable = results.deployable_row("AE-L2", run)
    assert (oracle["form"], deployable["form"]) == ("oracle", "deployable")
    assert oracle["value"] >= deployable["value"]
    assert np.isnan(oracle["low"])  # picked on these labels: no interval covers
    assert deployable["low"] <= deployable["value"] <= deployable["high"]
    f1 = results.deployable_row("AE-L2", run, metric="f1")
    assert (f1["metric"], f1["form"]) == ("f1", "deployable")
    assert f1["value"] <= results.metric_row("AE-L2", run, "best_f1")["value"]
    labels, scores = run.part("validation")
    assert (labels == 0).all()
    assert (scores >= results.deployable_threshold(run, fpr=0.0)).sum() == 0
    labels, scores = run.part("test")
    above = scores >= results.oracle_threshold(run)
    balanced = (above[labels == 1].mean() + 1 - above[labels == 0].mean()) / 2
    assert balanced == pytest.approx(oracle["value"])
    assert (CELL.folder.parents[1] / "runs" / run.key / "record.json").is_file()
    n = run.record["counts"]["validation_normal"]
    assert run.record["counts"]["held_out_normal"] == n
    assert (deployable["promise"], deployable["n_held"]) == (0.05, n)


def test_reasons_against_a_comparison():
    """Would catch numbers of other data, counts or budgets set against the paper's."""
    images = data.load("synthetic", "object")
    reason = results.comparable(CELL, images)
    assert reason == "synthetic instead of MVTec AD"


def counts_of(monkeypatch, category, counts):
    """Let the catalogue expect few images of a category of MVTec AD, of its published size."""
    keys = ("n_train_normal", "n_test_normal", "n_test_abnormal")
    monkeypatch.setitem(
        data.info("mvtec_ad").expected, category, dict(zip(keys, counts, strict=True))
    )


def test_other_counts_and_larger_inputs_are_not_the_papers_data(tmp_path, monkeypatch):
    """Catches MVTec AD with other counts, or enlarged for a network, taken for the paper's."""
    monkeypatch.setenv("ADLIB_DATA", str(tmp_path))
    mvtec_tree(tmp_path / "mvtec_ad" / "screw")
    cell = Cell("paper", "cbigan", "table3_auroc", "mvtec_ad", "screw", 0)
    reason = results.comparable(cell, data.load("mvtec_ad", "screw"))
    assert "train normal images" in reason and "instead of 320" in reason
    assert "16 px instead of 1024 px" in reason
    beyond = Cell("paper", "beyond", "audit", "mvtec_ad", "screw", 0)
    named = results.comparable(beyond, data.load("mvtec_ad", "screw"))
    assert named.startswith("no paper prints this number; ") and "instead of 320" in named
    assert "smaller" not in results.note_on(cell, data.load("mvtec_ad", "screw"))


@pytest.mark.parametrize(
    ("category", "side", "suffix", "why"),
    [
        ("screw", 128, ".png", ""),  # what CBiGAN sees of objects
        ("screw", 127, ".png", "images of 127 px instead of 1024 px"),
        ("screw", 128, ".jpg", "from a lossy JPEG copy"),
        ("tile", 128, ".png", "images of 128 px instead of 840 px"),  # cut from 512 px
        ("tile", 512, ".png", ""),
    ],
)
def test_a_copy_no_smaller_than_the_input_is_comparable(
    tmp_path, monkeypatch, category, side, suffix, why
):
    """Catches the official images called others for their size, and a worse copy taken for them."""
    monkeypatch.setenv("ADLIB_DATA", str(tmp_path))
    counts_of(monkeypatch, category, (2, 1, 1))
    mvtec_tree(tmp_path / "mvtec_ad" / category, "texture", (2, 1, 1), side, suffix=suffix)
    images = data.load("mvtec_ad", category)
    cell = Cell("paper", "cbigan", "table3_auroc", "mvtec_ad", category, 0)
    assert results.comparable(cell, images, "CBiGAN") == why
    noted = "made smaller from" in results.note_on(cell, images, "CBiGAN")
    assert noted == ("instead" not in why)
    assert "px instead of" in "; ".join(data.differences(images))  # `adlib data check` tells


def test_rows_of_a_table_note_a_smaller_copy(monkeypatch):
    """Catches a table without the note, and a note in the place of the threshold's own."""
    images = data.load("synthetic", "object")
    run = results.run(CELL, "AE-L2", data.one_class(images, seed=0))
    monkeypatch.setattr(data, "reduced", lambda images, side: f"no smaller than {side} px")
    area, deployable = results.table_rows(CELL, images, {"AE-L2": run}, ("auroc",))
    assert area["note"] == f"no smaller than {run.record['description']['settings']['side']} px"
    assert deployable["note"].startswith("Threshold at no more than 5%")


def test_each_method_is_asked_for_its_own_side(tmp_path, monkeypatch):
    """Catches one side for all methods: here Cycle-GAN sees 64 px and PatchCore 256 px."""
    monkeypatch.setenv("ADLIB_DATA", str(tmp_path))
    counts_of(monkeypatch, "screw", (2, 1, 1))
    mvtec_tree(tmp_path / "mvtec_ad" / "screw", counts=(2, 1, 1), side=100)
    images = data.load("mvtec_ad", "screw")
    cell = Cell("paper", "cyclegan", "table_accuracy_zfn", "mvtec_ad", "screw", 0)
    assert results.comparable(cell, images, "Cycle-GAN") == ""
    assert "made smaller from 1024 to 100 px" in results.note_on(cell, images, "Cycle-GAN")
    for method in ("PatchCore", "no method of the paper", ""):
        assert "instead of 1024 px" in results.comparable(cell, images, method)


def test_rows_of_other_code_say_so():
    """Catches a number of another commit's code that passes for one of this code."""
    labels, scores = np.repeat([0, 1], 8), np.linspace(0, 1, 16)
    record = {"commit": "c0ffee123456789", "description": {"protocol": "one_class"}}
    run = SimpleNamespace(part=lambda _: (labels, scores), record=record, key="r", other_code=True)
    for row in (
        results.metric_row("A", run, "auroc"),
        results.deployable_row("A", run, note="A note."),
        *results.zfn_rows("A", run),
    ):
        assert row["note"].endswith("Made by other code, at c0ffee1234.")
    assert results.deployable_row("A", run, note="A note.")["note"].startswith("A note.")
    run.other_code = False
    assert "other code" not in str(results.zfn_rows("A", run))
