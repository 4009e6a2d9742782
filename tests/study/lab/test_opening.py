"""How a notebook opens, what it trains, and which images it shows."""

import subprocess
import sys

import pandas as pd
import pytest

from adlib import data, study
from adlib.study import profiles
from adlib.study.lab import opening, picking

NAME = "cbigan/table2_balanced_accuracy"
PARAMETERS = {"profile": "smoke", "dataset": "synthetic", "category": "object", "seed": 0}


def test_a_stand_in_is_named_in_the_heading():
    """Would catch a table of other images under the paper's title."""
    cell = study.open(NAME, PARAMETERS)
    text = opening.heading(cell)
    assert "standing in for MVTec AD" in text.splitlines()[0]
    assert "Profile smoke, seed 0: " in text
    assert cell.images.title == "synthetic/object"


def test_a_wrong_name_is_refused_before_anything_runs():
    """Would catch rows under the name of a notebook that does not exist."""
    with pytest.raises(ValueError, match="table2_balanced_accuracy"):
        study.open("cbigan/table2_balanced_acuracy", PARAMETERS)
    with pytest.raises(KeyError, match="seed"):
        study.open(NAME, {k: v for k, v in PARAMETERS.items() if k != "seed"})


def test_what_was_run_is_read_off_the_records():
    """Would catch a table of budgets that tells another run's, or hides that it was smaller."""
    cell = study.open("cbigan/table3_auroc", PARAMETERS)
    found = study.trained(cell)
    table = study.budgets(cell, found).frame.set_index("method")
    assert list(table.index) == list(found)
    steps = found["CBiGAN"].record["description"]["budget"]["steps"]
    assert table.loc["CBiGAN", "steps × batch"].startswith(f"{steps} × ")
    assert "training steps" in table.loc["CBiGAN", "smaller than the paper's"]
    assert table.loc["AE-L2", "smaller than the paper's"] == "not known"


def test_methods_that_need_labels_are_left_out():
    """Would catch a classifier that trains without abnormal images, or a lost backbone's name."""
    cell = study.open("beyond/cost", PARAMETERS)
    found = study.unlabelled(cell, data.one_class(cell.images, 0))
    names = [method.partition(" (")[0] for method in found]
    wanted = profiles.methods("beyond", "smoke")
    labelled = {"Noisy-AnoGAN", "Cycle-GAN", "Classifier"}
    assert names == [method for method in wanted if method not in labelled]
    assert any(name.startswith("PaDiM (") for name in found)
    assert "smaller than the paper's" not in study.budgets(cell, found).frame  # there is no paper


def test_the_telling_images_are_the_extremes():
    """Would catch a worst miss that is no miss, and normal images among the abnormal ones."""
    scores = pd.DataFrame({
        "path": list("abcdefg"), "label": [1, 1, 1, 0, 0, 0, 1], "split": ["test"] * 6 + ["other"],
        "score": [0.9, 0.2, 0.5, 0.1, 0.8, 0.3, 5.0],
    })  # fmt: skip
    run = type("Run", (), {"scores": scores})
    assert list(picking.telling(run).values()) == ["a", "c", "b", "e", "f"]


def test_the_engine_does_not_import_torch():
    """Would catch an export that makes every start of the engine seconds slower."""
    code = "import adlib.study, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
