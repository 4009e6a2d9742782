"""Splits: parts, seeds, byte-identical copies, and what is stored of them."""

import json
import shutil

import numpy as np
import pytest
from data_trees import mvtec_tree, two_folder_tree

import adlib.data as data


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


def parts(split):
    return {part: set(split.lists()[part]) for part in ("train", "validation", "test")}


def test_too_few_images(tmp_path):
    """Catches a split with an empty training or validation part."""
    for n in (1, 2):
        folder = two_folder_tree(tmp_path / str(n), n, 2)
        with pytest.raises(ValueError, match="too few"):
            data.one_class(data.load("folder", folder))
    split = data.one_class(data.load("folder", two_folder_tree(tmp_path / "3", 3, 2)))
    assert [len(split.rows(part)) for part in ("train", "validation", "test")] == [1, 1, 3]


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_shares_out_of_range(share):
    """Catches a share taken as a count or a percentage."""
    images = data.load("synthetic", "texture")
    with pytest.raises(ValueError, match="validation"):
        data.one_class(images, validation=share)
    with pytest.raises(ValueError, match="test_share"):
        data.one_class(images, test_share=share)


def test_official_parts_stay():
    """Catches test images in training or validation, and abnormal training images."""
    images = data.load("synthetic", "object")
    split = data.one_class(images, seed=3)
    part = images.table["part"].to_numpy()
    assert (part[split.train] == "train").all()
    assert (part[split.validation] == "train").all()
    assert sorted(split.test) == list(np.flatnonzero(part == "test"))
    assert [len(split.train), len(split.validation)] == [58, 6]
    assert not split.labels_of("train").any()
    assert not split.labels_of("validation").any()
    assert split.labels_of("test").sum() == 24
    assert data.one_class(images, validation=0).validation.size == 0


def test_examples_and_needs_of_a_test(tmp_path):
    """Catches an abnormal image shown as a normal one, and a test of one label that is no test."""
    split = data.one_class(data.load("folder", two_folder_tree(tmp_path / "a", 7, 3)))
    rows, labels = split.examples(2)
    assert labels == ["normal", "abnormal", "abnormal"]  # a fifth of seven is one
    assert split.labels[rows].tolist() == [0, 1, 1] and set(rows) <= set(split.test)
    split.check_test(1)
    with pytest.raises(ValueError, match="1 normal and 3 abnormal .* 2 of either are needed"):
        split.check_test(2)
    normal = data.one_class(data.load("folder", two_folder_tree(tmp_path / "b", 7, 0)))
    with pytest.raises(ValueError, match="1 normal and 0 abnormal"):
        normal.check_test()


def test_drawn_parts():
    """Catches overlapping parts, and abnormal images outside the test, where no parts are given."""
    images = data.load("digits", "7")
    split = data.one_class(images, test_share=0.25)
    named = parts(split)
    assert not named["train"] & named["test"]
    assert not named["train"] & named["validation"]
    assert not named["validation"] & named["test"]
    assert len(set.union(*named.values())) == len(images)
    n_normal = images.counts()["n_normal"]
    assert (split.labels_of("test") == 0).sum() == round(0.25 * n_normal)
    assert split.labels_of("test").sum() == images.counts()["n_abnormal"]


def test_pixels_masks_and_table_of_a_part():
    """Catches rows of the table that do not belong to the pixels handed out beside them."""
    images = data.load("synthetic", "texture")
    split = data.one_class(images)
    assert split.pixels("validation", 32, 1).shape == (6, 1, 32, 32)
    table = split.table("test")
    assert (table.index == split.test).all()
    assert (table["label"] == split.labels_of("test")).all()
    marked = split.masks("test").flatten(1).any(1).numpy()
    assert (marked == (split.labels_of("test") == 1)).all()
    assert (split.pixels("test") == images.pixels(split.test)).all()
    with pytest.raises(ValueError, match="tests"):
        split.rows("tests")


def test_all_seeds_are_tested_on_the_same_images():
    """Catches test images that change with the seed: seeds differ in training, not in the test."""
    images = data.load("elpv", "mono")
    first, second = (data.one_class(images, seed) for seed in (0, 1))
    assert first.lists()["test"] == second.lists()["test"]
    assert first.lists()["validation"] != second.lists()["validation"]


def test_seed():
    """Catches a split that changes between runs, or that does not depend on its seed."""
    images = data.load("digits", "0")
    assert data.one_class(images, seed=1).lists() == data.one_class(images, seed=1).lists()
    assert data.one_class(images, seed=1).lists() != data.one_class(images, seed=2).lists()
    # Recorded once: a change breaks the comparison with stored runs.
    first = data.one_class(data.load("synthetic", "texture"), seed=0).lists()["validation"]
    assert [int(path[-4:]) for path in first] == [1, 12, 20, 34, 40, 41]


def test_split_does_not_depend_on_the_folder(tmp_path):
    """Catches a split that differs between machines with the same files elsewhere."""
    one = two_folder_tree(tmp_path / "a" / "mine")
    other = two_folder_tree(tmp_path / "b" / "mine")
    lists = [data.one_class(data.load("folder", folder)).lists() for folder in (one, other)]
    assert lists[0] == lists[1]


def test_copies_across_official_parts(tmp_path):
    """Catches a training image that is byte for byte a test image and is trained on."""
    folder = mvtec_tree(tmp_path / "mine")
    copied = folder / "train" / "good" / "copy.png"
    shutil.copy(folder / "test" / "good" / "0001.png", copied)
    split = data.one_class(data.load("folder", folder))
    assert [item["path"] for item in split.dropped] == ["train/good/copy.png"]
    assert "test/good/0001.png" in split.dropped[0]["reason"]
    assert "train/good/copy.png" not in set.union(*parts(split).values())
    assert "test/good/0001.png" in parts(split)["test"]


def test_copies_never_on_both_sides(tmp_path):
    """Catches copies that a random draw tears apart, over many draws."""
    folder = two_folder_tree(tmp_path / "mine", 8, 2)
    for path in sorted((folder / "normal").iterdir()):
        shutil.copy(path, path.with_name(f"copy_{path.name}"))
    images = data.load("folder", folder)
    digests = np.array(images.digests())
    for seed in range(10):
        split = data.one_class(images, seed)
        sides = [set(digests[split.rows(part)]) for part in ("train", "validation", "test")]
        assert not (sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2])
        used = sum(len(split.rows(part)) for part in ("train", "validation", "test"))
        assert used + len(split.dropped) == len(images)


def test_same_image_under_both_labels(tmp_path):
    """Catches an image that is normal and abnormal at once and enters training or test."""
    folder = two_folder_tree(tmp_path / "mine", 8, 2)
    shutil.copy(folder / "normal" / "good_0000.png", folder / "abnormal" / "same.png")
    split = data.one_class(data.load("folder", folder))
    assert {item["path"] for item in split.dropped} == {
        "abnormal/same.png",
        "normal/good_0000.png",
    }


def test_lists_are_json():
    """Catches NumPy values in what is stored with a run."""
    lists = data.one_class(data.load("synthetic", "texture")).lists()
    assert json.loads(json.dumps(lists)) == lists
