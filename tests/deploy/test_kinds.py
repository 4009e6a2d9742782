"""Kinds of defects, as folders name them, from the user's folders to a detector's facts."""

import numpy as np
import pytest
from data_trees import save

from adlib import deploy
from adlib.deploy import decisions, image_folders

SPOT, HIDDEN = "spot", "none\nat all"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A detector of 24 plain pictures, checked on two kinds of defects; one cannot be seen."""
    root, rng = tmp_path_factory.mktemp("kinds"), np.random.default_rng(0)
    names = [f"normal/{i}.png" for i in range(24)]
    names += [f"abnormal/{SPOT}/deep/{i}.png" for i in range(4)]
    names += [f"abnormal/{HIDDEN}/{i}.png" for i in range(5)] + ["abnormal/alone.png"]
    for name in names:
        squares = rng.integers(60, 180, (8, 8, 3), np.uint8)  # no near-copies of each other
        picture = squares.repeat(4, 0).repeat(4, 1)
        if SPOT in name:
            picture[8:20, 8:20] = 0
        save(root / name, picture)
    made = deploy.train(root / "normal", root / "abnormal", target="fpr 0.1", side=32)
    return made, root


def test_the_folder_below_names_the_kind(trained):
    """Would catch a kind of a folder further below, and normal images that get one."""
    _, root = trained
    table = image_folders.image_set(root / "normal", root / "abnormal").table
    assert set(table.kind[table.label == 0]) == {"good"}
    kinds = table.kind[table.label == 1].value_counts().to_dict()
    assert kinds == {SPOT: 4, HIDDEN: 5, image_folders.UNNAMED: 1}


def test_misses_are_counted_by_kind(trained, tmp_path):
    """Would catch a kind of defect that is always missed behind a good rate over all kinds."""
    made, _ = trained
    held = decisions.load(made.save(tmp_path / "m.safetensors")).facts["held_out"]
    found = {kind: n["abnormal"] for kind, n in held["kinds"].items()}
    assert found == {SPOT: 4, HIDDEN: 5, image_folders.UNNAMED: 1}
    assert sum(n["misses"] for n in held["kinds"].values()) == held["misses"]
    assert held["kinds"][SPOT]["misses"] == 0 and held["kinds"][HIDDEN]["misses"] >= 3
    misses = held["kinds"][HIDDEN]["misses"]
    assert rf"(none\nat all {misses} of 5" in str(made) and "\n" not in str(made)


def test_a_line_stays_one(trained):
    """Would catch a line that grows with the number of kinds, or names what is never missed."""
    made, _ = trained
    made.facts["held_out"]["kinds"] |= {f"k{i}": {"abnormal": 9, "misses": i} for i in range(9)}
    assert "(k8 8 of 9, k7 7 of 9, k6 6 of 9, " in str(made)
    assert str(made).endswith("more)") and SPOT not in str(made)


def test_no_kind_is_good(tmp_path):
    """Would catch normal images of a test folder that count as abnormal ones."""
    grey = np.zeros((8, 8), np.uint8)
    for name in ("normal/good/0.png", "test/good/1.png", "test/spot/2.png"):
        save(tmp_path / name, grey)
    with pytest.raises(ValueError, match=r"test holds good/, so .* folder of its abnormal images"):
        image_folders.image_set(tmp_path / "normal", tmp_path / "test")


def test_without_named_kinds_there_are_none(trained):
    """Would catch a kind "abnormal" that repeats the sum."""
    _, root = trained
    deep = root / "abnormal" / SPOT / "deep"
    made = deploy.train(root / "normal", deep, side=32, target="fpr 0.1")
    assert made.facts["held_out"]["abnormal"] == 4 and "kinds" not in made.facts["held_out"]
