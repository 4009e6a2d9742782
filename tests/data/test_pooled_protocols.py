"""Protocols that pool the parts, train with both labels and test on as many of either."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from data_trees import mnist_tree, mvtec_tree, noise, save

import adlib.data as data


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


def sizes(split) -> dict[str, tuple[int, int]]:
    """Normal and abnormal images of each part."""
    counts = {p: np.bincount(split.labels_of(p), minlength=2) for p in data.PARTS}
    return {part: (int(n), int(m)) for part, (n, m) in counts.items()}


def assert_sound(split):
    """No image and no content on two sides, clean training, a balanced test, parts in order."""
    digests = np.array(split.images.digests())
    for sides in ([set(split.rows(p)) for p in data.PARTS],
                  [set(digests[split.rows(p)]) for p in data.PARTS]):  # fmt: skip
        assert not any(a & b for i, a in enumerate(sides) for b in sides[:i])
    assert not split.labels_of("train").any()
    assert split.labels_of("abnormal").all()
    normal, abnormal = sizes(split)["test"]
    assert normal == abnormal > 0
    for part in data.PARTS:
        assert (np.diff(split.rows(part)) > 0).all()


def tree(folder: Path, n_normal: int, **kinds: int) -> data.ImageSet:
    """Set of `n_normal` normal images and of so many of each kind, all different."""
    pictures = iter(noise(n_normal + sum(kinds.values()), 6, 6))
    for name, n in {"normal": n_normal, **kinds}.items():
        where = folder / ("normal" if name == "normal" else f"abnormal/{name}")
        for i in range(n):
            save(where / f"{i:03d}.png", next(pictures))
    return data.load("folder", folder)


def leave_blot(images, *args, **options):
    """`leave_one_kind_out` of the kind blot, to be called like `pooled_balanced`."""
    return data.leave_one_kind_out(images, "blot", *args, **options)


BOTH = pytest.mark.parametrize("protocol", [data.pooled_balanced, leave_blot])

# ---- bad input -----------------------------------------------------------------------------------


@BOTH
def test_bad_shares_and_sets_without_abnormal_images(tmp_path, protocol):
    """Would catch a share taken as a count or a percentage, and a test on normal images alone."""
    images = tree(tmp_path / "mine", 8, blot=4, scratch=4)
    for share in (-0.1, 1, 20):
        with pytest.raises(ValueError, match="validation must be"):
            protocol(images, validation=share)
    shutil.rmtree(tmp_path / "mine" / "abnormal")
    with pytest.raises(ValueError, match="no abnormal images"):
        protocol(data.load("folder", tmp_path / "mine"))
    with pytest.raises(ValueError, match="no abnormal images"):
        protocol(data.load("digits", "all"))


def test_too_few_images_to_pool(tmp_path):
    """Would catch a split with an empty test, training or validation part."""
    for n_normal, n_abnormal in [(1, 8), (8, 1)]:
        images = tree(tmp_path / f"{n_normal}", n_normal, blot=n_abnormal)
        with pytest.raises(ValueError, match=f"{n_normal} normal and {n_abnormal} abnormal"):
            data.pooled_balanced(images)
    images = tree(tmp_path / "a", 8, blot=2)
    with pytest.raises(ValueError, match=r"1 labelled abnormal image\(s\) are too few to hold 1"):
        data.pooled_balanced(images)
    assert sizes(data.pooled_balanced(images, validation=0)) == {
        "train": (7, 0), "abnormal": (0, 1), "validation": (0, 0), "test": (1, 1),
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"1 normal image\(s\) are too few"):
        data.pooled_balanced(tree(tmp_path / "b", 2, blot=8))


def test_kinds_that_cannot_be_left_out(tmp_path):
    """Would catch a slip of the pen, or a training without any abnormal image."""
    images = tree(tmp_path / "a", 8, blot=4, scratch=4)
    with pytest.raises(ValueError, match=r"no abnormal kind 'blott'. Did you mean 'blot'\?"):
        data.leave_one_kind_out(images, "blott")
    with pytest.raises(ValueError, match="There is: blot, scratch"):
        data.leave_one_kind_out(images, "good")
    with pytest.raises(ValueError, match=r"one abnormal kind only \(blot\)"):
        data.leave_one_kind_out(tree(tmp_path / "b", 8, blot=4), "blot")
    with pytest.raises(ValueError, match="1 normal and 8 abnormal"):
        data.leave_one_kind_out(tree(tmp_path / "c", 1, blot=4, scratch=4), "blot")
    few = tree(tmp_path / "d", 8, blot=4, scratch=1)
    with pytest.raises(ValueError, match="labelled abnormal"):
        data.leave_one_kind_out(few, "blot")
    assert sizes(data.leave_one_kind_out(few, "blot", validation=0))["abnormal"] == (0, 1)


def test_only_copies_are_left_to_train_on(tmp_path):
    """Would catch a training without abnormal images where all of them stand in the test, too."""
    tree(tmp_path / "mine", 8, blot=2, scratch=1)
    shutil.copy(*(tmp_path / "mine/abnormal" / p for p in ("blot/001.png", "scratch/000.png")))
    images = data.load("folder", tmp_path / "mine")
    with pytest.raises(ValueError, match="no labelled abnormal image is left"):
        data.leave_one_kind_out(images, "blot", validation=0)


# ---- what is in which part -----------------------------------------------------------------------


def test_pooled_balanced_counts(tmp_path):
    """Would catch official parts kept apart, or a test that is not half of the smaller class."""
    mvtec_tree(tmp_path / "mine", counts=(30, 11, 13))
    images = data.load("folder", tmp_path / "mine")
    split = data.pooled_balanced(images, seed=1)
    assert split.protocol == "pooled and balanced"
    assert split.seed == 1
    assert sizes(split) == {
        "train": (28, 0), "abnormal": (0, 6), "validation": (7, 1), "test": (6, 6),
    }  # fmt: skip
    assert_sound(split)
    assert (
        set(split.table("test")["part"]) == set(split.table("train")["part"]) == {"train", "test"}
    )
    theirs = data.pooled_balanced(images, seed=1, validation=0)
    assert sizes(theirs) == {
        "train": (35, 0), "abnormal": (0, 7), "validation": (0, 0), "test": (6, 6),
    }  # fmt: skip
    assert theirs.lists()["test"] == split.lists()["test"]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((320, 41, 119), (59, 302, 60)),  # screw
        ((391, 40, 70), (35, 396, 35)),  # hazelnut
        ((230, 33, 84), (42, 221, 42)),  # tile
        ((247, 19, 60), (30, 236, 30)),  # wood
    ],
)
def test_counts_that_follow_from_the_paper(counts, expected):
    """Would catch sizes other than the authors' code gives on MVTec AD."""
    # The rows alone decide, so a set in memory stands in for the images.
    train, good, bad = counts
    rows = [(f"a{i:03d}", 0, "good", "train" if i < train else "test", "")
            for i in range(train + good)]  # fmt: skip
    rows += [(f"b{i:03d}", 1, "bad", "test", "") for i in range(bad)]
    images = data.ImageSet(
        "mvtec_ad", "x", Path(), data.layouts.table(rows), "object", arrays=noise(len(rows), 4, 4)
    )
    split = data.pooled_balanced(images, validation=0)
    n, n_normal, n_abnormal = expected
    assert sizes(split)["test"] == (n, n)
    assert sizes(split)["train"] == (n_normal, 0)
    assert sizes(split)["abnormal"] == (0, n_abnormal)


def test_more_abnormal_than_normal_images(tmp_path):
    """Would catch a test sized by the abnormal images where the normal ones are fewer."""
    split = data.pooled_balanced(tree(tmp_path / "mine", 7, blot=20))
    assert sizes(split) == {
        "train": (3, 0), "abnormal": (0, 14), "validation": (1, 3), "test": (3, 3),
    }  # fmt: skip


def test_leave_one_kind_out_counts(tmp_path):
    """Would catch the left-out kind in training or validation, or a test that is not balanced."""
    mvtec_tree(tmp_path / "mine", counts=(30, 11, 13))  # 7 blots and 6 scratches
    images = data.load("folder", tmp_path / "mine")
    split = data.leave_one_kind_out(images, "scratch", seed=1)
    assert split.protocol == "pooled, kind scratch left out of training"
    assert sizes(split) == {
        "train": (28, 0), "abnormal": (0, 6), "validation": (7, 1), "test": (6, 6),
    }  # fmt: skip
    assert_sound(split)
    assert data.kinds(images) == {"blot": 7, "scratch": 6}
    assert set(split.table("test")["kind"]) == {"good", "scratch"}
    assert set(split.table("abnormal")["kind"]) == {"blot"}
    assert set(split.table("validation")["kind"]) == {"good", "blot"}
    # Tests of one seed share their normal images as far as they go.
    other = data.leave_one_kind_out(images, "blot", seed=1).table("test")
    here = split.table("test")
    assert set(here["path"][here["label"] == 0]) < set(other["path"][other["label"] == 0])


def test_kind_larger_than_half_of_the_normal_images(tmp_path):
    """Would catch images of the left-out kind that go into training because the test is full."""
    images = tree(tmp_path / "mine", 8, blot=10, scratch=5)
    split = data.leave_one_kind_out(images, "blot")
    assert sizes(split) == {
        "train": (3, 0), "abnormal": (0, 4), "validation": (1, 1), "test": (4, 4),
    }  # fmt: skip
    assert_sound(split)
    assert not split.dropped
    known = np.concatenate([split.table(p)["kind"] for p in ("abnormal", "validation")])
    assert "blot" not in known


def test_sets_of_classes(tmp_path):
    """Would catch the category's class taken for abnormal, or classes that are no kinds."""
    mnist_tree(tmp_path, (6, 3))
    images = data.load("mnist", "3", tmp_path)
    split = data.pooled_balanced(images)
    assert sizes(split) == {
        "train": (4, 0), "abnormal": (0, 62), "validation": (1, 15), "test": (4, 4),
    }  # fmt: skip
    assert_sound(split)
    assert set(split.table("train")["kind"]) == {"3"}
    assert data.kinds(images) == {digit: 9 for digit in "012456789"}
    split = data.leave_one_kind_out(images, "7")
    assert set(split.table("test")["kind"]) == {"3", "7"}
    assert sizes(split)["test"] == (4, 4)
    assert_sound(split)


def test_what_a_split_can_do_with_abnormal_validation_images(tmp_path):
    """Would catch parts that only work as long as all validation images are normal."""
    images = tree(tmp_path / "mine", 40, blot=20, scratch=20)
    split = data.pooled_balanced(images)
    assert sizes(split)["validation"] == (4, 4)
    small = split.subsample(3)
    assert sizes(small)["validation"] == sizes(small)["test"] == (3, 3)
    assert split.pixels("validation", 6, 1).shape == (8, 1, 6, 6)
    assert split.table("validation")["label"].sum() == 4


# ---- seeds and order -----------------------------------------------------------------------------


@BOTH
def test_seeds_are_repetitions(tmp_path, protocol):
    """Would catch a test that is the same for all seeds, or lists that change between runs."""
    images = tree(tmp_path / "mine", 30, blot=12, scratch=12)
    first, again, other = (protocol(images, seed).lists() for seed in (0, 0, 1))
    assert first == again
    for part in data.PARTS[:1] + data.PARTS[2:]:
        assert first[part] != other[part]


def test_recorded_lists():
    """Would catch draws that change: stored runs could no longer be compared with new ones."""
    images = data.load("synthetic", "texture")
    validation = data.pooled_balanced(images, seed=0).lists()["validation"]
    assert [path for path in validation if "good" not in path] == [
        "test/blot/0001", "test/blot/0006",
    ]  # fmt: skip
    test = data.leave_one_kind_out(images, "blot", seed=0).lists()["test"]
    assert [int(path[-4:]) for path in test if "good" in path] == [
        5, 18, 19, 13, 17, 25, 28, 29, 32, 35, 38, 56,
    ]  # fmt: skip


@BOTH
def test_order_of_the_file_listing(tmp_path, monkeypatch, protocol):
    """Would catch a split that depends on the order in which a file system lists its files."""
    tree(tmp_path / "mine", 20, blot=8, scratch=8)
    lists = protocol(data.load("folder", tmp_path / "mine")).lists()
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(sorted(listed(path))[::-1]))
    assert protocol(data.load("folder", tmp_path / "mine")).lists() == lists


@BOTH
def test_colour_plays_no_part(tmp_path, protocol):
    """Would catch a split that depends on what the images look like."""
    lists = []
    for name, shape in [("a", (6, 6)), ("b", (6, 6, 3))]:
        folder = tmp_path / name / "mine"
        for i, picture in enumerate(noise(40, *shape)):
            where = "normal" if i < 24 else "abnormal/blot" if i < 32 else "abnormal/scratch"
            save(folder / where / f"{i:03d}.png", picture)
        lists.append(protocol(data.load("folder", folder)).lists())
    assert lists[0] == lists[1]


# ---- byte-identical copies -----------------------------------------------------------------------


@BOTH
def test_copies_are_never_on_two_sides(tmp_path, protocol):
    """Would catch copies that a draw tears apart, or that vanish without a note."""
    tree(tmp_path / "mine", 16, blot=8, scratch=8)
    for folder in ("normal", "abnormal/blot", "abnormal/scratch"):
        for path in sorted((tmp_path / "mine" / folder).iterdir())[::2]:
            shutil.copy(path, path.with_name(f"copy_{path.name}"))
    images = data.load("folder", tmp_path / "mine")
    dropped = 0
    for seed in range(8):
        split = protocol(images, seed)
        assert_sound(split)
        assert sizes(split)["test"] == (12, 12)
        used = sum(len(split.rows(part)) for part in data.PARTS)
        assert used + len(split.dropped) == len(images)
        assert all("same bytes as the" in note["reason"] for note in split.dropped)
        dropped += len(split.dropped)
    assert dropped


@BOTH
def test_copies_between_the_classes(tmp_path, protocol):
    """Would catch an image that is normal and abnormal at once and stays in the split."""
    tree(tmp_path / "mine", 16, blot=8, scratch=8)
    shutil.copy(tmp_path / "mine/normal/003.png", tmp_path / "mine/abnormal/blot/copy.png")
    split = protocol(data.load("folder", tmp_path / "mine"))
    assert {n["path"] for n in split.dropped} == {"normal/003.png", "abnormal/blot/copy.png"}
    assert_sound(split)
    assert sizes(split)["test"] == (7, 7)


def test_copies_between_kinds(tmp_path):
    """Would catch a left-out image that is trained on under the name of another kind."""
    tree(tmp_path / "mine", 8, blot=8, scratch=6)
    for i in range(8):  # four of these blots are in no part of the split
        shutil.copy(*(tmp_path / f"mine/abnormal/{p}{i:03d}.png" for p in ("blot/", "scratch/c")))
    split = data.leave_one_kind_out(data.load("folder", tmp_path / "mine"), "blot")
    assert [n["path"] for n in split.dropped] == [f"abnormal/scratch/c00{i}.png" for i in range(8)]
    assert "same bytes as the left-out image abnormal/blot/000.png" in split.dropped[0]["reason"]
    assert sizes(split)["abnormal"] == (0, 5)
