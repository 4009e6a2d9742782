"""Protocols on classes, with labelled and with unlabelled abnormal training images."""

import shutil

import numpy as np
import pytest
from data_trees import caltech_tree, mnist_tree, mvtec_tree, two_folder_tree

import adlib.data as data


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def mnist(tmp_path):
    """20 training and 10 test images of each digit."""
    mnist_tree(tmp_path / "mnist", (20, 10))
    return lambda category: data.load("mnist", category, tmp_path / "mnist")


@pytest.fixture
def caltech(tmp_path):
    """Classes of 10 to 40 images and 30 of clutter."""
    counts = {"ant": 40, "bat": 20, "cow": 20, "dog": 10, "clutter": 30}
    caltech_tree(tmp_path / "caltech101_64", counts, side=6)
    return lambda n: data.load("caltech101", f"{n}_inlier_categories", tmp_path)


def sizes(split) -> dict[str, tuple[int, int]]:
    """Normal and abnormal images of each part that is not empty."""
    counts = {p: np.bincount(split.labels_of(p), minlength=2) for p in data.PARTS}
    return {part: (int(n), int(m)) for part, (n, m) in counts.items() if n + m}


def assert_sound(split):
    """No content on two sides, a clean validation, abnormal ones abnormal, all parts in order."""
    digests = np.array(split.images.digests())
    sides = [set(digests[split.rows(part)]) for part in data.PARTS]
    assert not any(a & b for i, a in enumerate(sides) for b in sides[:i])
    assert not split.labels_of("validation").any()
    assert split.labels_of("abnormal").all()
    for part in data.PARTS:
        assert (np.diff(split.rows(part)) > 0).all()


def all_protocols(images):
    made = [
        data.one_class(images, 1),
        data.one_class_normal(images, 1),
        data.one_class_anomalous(images, 1),
        data.one_class_anomalous(images, 1, pooled=True),
    ]
    return [*made, *(data.contaminated(split, 0.1) for split in made)]


# ---- bad input -----------------------------------------------------------------------------------


def test_sets_without_abnormal_images(tmp_path, mnist):
    """Would catch a protocol that tests on normal images alone."""
    for protocol in (data.one_class_anomalous, data.one_class_normal):
        with pytest.raises(ValueError, match="mnist/all has no abnormal images"):
            protocol(mnist("all"))
    folder = two_folder_tree(tmp_path / "mine")
    shutil.rmtree(folder / "abnormal")
    with pytest.raises(ValueError, match="no abnormal images"):
        data.one_class_normal(data.load("folder", folder))


def test_shares_out_of_range(mnist, caltech):
    """Would catch a share taken as a count or a percentage."""
    for share in (-0.1, 1, 10):
        for protocol, name in [
            (data.one_class_anomalous, "validation"),
            (data.one_class_anomalous, "test_share"),
            (data.one_class_normal, "labelled"),
            (data.one_class_normal, "train_share"),
        ]:
            with pytest.raises(ValueError, match=name):
                protocol(mnist("3"), **{name: share})
        with pytest.raises(ValueError, match="train_share"):
            data.inliers_against_clutter(caltech(1), train_share=share)
        with pytest.raises(ValueError, match="reserve"):
            data.contaminated(data.one_class(mnist("3")), 0, reserve=share)
    with pytest.raises(ValueError, match="at least 1"):
        data.one_class(mnist("3")).subsample(0)


def test_inliers_that_cannot_be_drawn(caltech, mnist):
    """Would catch classes too small, or too few, that are drawn all the same."""
    with pytest.raises(ValueError, match="3_inlier_categories"):
        data.inliers_against_clutter(mnist("3"))
    with pytest.raises(ValueError, match=r"0 of 4 have at least 80 .*largest has 40.*at_least"):
        data.inliers_against_clutter(caltech(1))
    with pytest.raises(ValueError, match="3 of 4 have at least 20"):
        data.inliers_against_clutter(caltech(5), at_least=20)
    with pytest.raises(ValueError, match="50 outliers are needed for training"):
        data.inliers_against_clutter(caltech(3), at_least=20)
    with pytest.raises(ValueError, match="outliers are needed for the test, but there are 30"):
        data.inliers_against_clutter(caltech(3), at_least=20, train_share=0.5, n_labelled=0)


def test_labelled_ones_need_abnormal_training_images(mnist):
    """Would catch a split without labelled images from a protocol that promises them."""
    for images in (data.load("synthetic", "object"), data.load("digits", "3")):
        with pytest.raises(ValueError, match="one_class_normal"):
            data.with_labelled(images)


def test_contamination_out_of_reach(tmp_path):
    """Would catch a test left without abnormal images, or fewer put in than were asked for."""
    split = data.one_class(data.load("folder", two_folder_tree(tmp_path / "mine", 30, 4)))
    with pytest.raises(ValueError, match="at most reserve = 0.1"):
        data.contaminated(split, 0.2)
    with pytest.raises(
        ValueError, match=r"takes 6 abnormal images .* spare 3 of 4.*most 0.12"
    ) as e:
        data.contaminated(split, 0.1, reserve=0.2)
    allowed = float(str(e.value).rsplit(" ", 1)[1].rstrip("."))
    assert sizes(data.contaminated(split, allowed, reserve=allowed))["test"] == (6, 1)


# ---- what is in which part -----------------------------------------------------------------------


def test_one_class_anomalous_with_official_parts(mnist):
    """Would catch the labels turned round, or abnormal training images missing from the test."""
    images = mnist("3")
    split = data.one_class_anomalous(images)
    assert split.protocol == "one class anomalous, official parts"
    assert sizes(split) == {"train": (162, 0), "validation": (18, 0), "test": (90, 30)}
    assert_sound(split)
    kinds = images.table["kind"].to_numpy()
    assert ((kinds == "3") == (split.labels == 1)).all()
    assert (images.table["part"].to_numpy()[split.train] == "train").all()
    assert images.table["label"].sum() == 270  # the set's own labels stay as they were


def test_one_class_anomalous_pooled(mnist):
    """Would catch shares of the wrong images, and a test that leaves the training part out."""
    split = data.one_class_anomalous(mnist("3"), pooled=True)
    assert split.protocol == "one class anomalous, pooled 80/20"
    assert sizes(split) == {"train": (194, 0), "validation": (22, 0), "test": (54, 30)}
    assert_sound(split)
    assert set(split.table("test").part) == set(split.table("train").part) == {"train", "test"}
    no_parts = data.one_class_anomalous(data.load("digits", "3"))
    assert no_parts.protocol == "one class anomalous, pooled 80/20"
    assert sizes(no_parts)["test"] == (323, 183)


def test_one_class_anomalous_where_no_class_is_singled_out(tmp_path):
    """Would catch sets with defects whose normal images are taken for the anomalous class."""
    images = data.load("folder", mvtec_tree(tmp_path / "mine", counts=(20, 5, 4)))
    split = data.one_class_anomalous(images, validation=0.2)
    assert sizes(split) == {"train": (16, 0), "validation": (4, 0), "test": (5, 4)}
    assert sizes(data.one_class_anomalous(images, pooled=True))["test"] == (5, 4)


def test_one_class_normal(mnist):
    """Would catch official parts kept apart, or labelled images not from every other class."""
    split = data.one_class_normal(mnist("3"))
    assert split.protocol == "one class normal, 10 % of every other class labelled abnormal"
    assert sizes(split) == {
        "train": (19, 0), "abnormal": (0, 27), "validation": (2, 0), "test": (9, 243),
    }  # fmt: skip
    assert_sound(split)
    assert set(split.table("abnormal").kind.value_counts()) == {3}
    assert set(split.table("test").part) == {"train", "test"}
    assert split.pixels("abnormal", side=8).shape == (27, 3, 8, 8)
    none = data.one_class_normal(mnist("3"), labelled=0)
    assert len(none.abnormal) == 0
    assert sizes(none)["test"] == (9, 270)


def test_one_class_normal_without_an_image_to_label(tmp_path):
    """Catches a training without the labelled images that the protocol's name promises."""
    images = data.load("folder", two_folder_tree(tmp_path, 10, 1))
    with pytest.raises(ValueError, match="no abnormal image can be labelled"):
        data.one_class_normal(images)
    assert len(data.one_class_normal(images, labelled=0).abnormal) == 0


def test_one_class_normal_of_two_classes(tmp_path):
    """Would catch kinds of a few images that are never labelled, or of which none is tested."""
    folder = two_folder_tree(tmp_path / "mine", 20, 5, kinds=True)  # 3 blots and 2 scratches
    split = data.one_class_normal(data.load("folder", folder))
    assert split.table("abnormal").kind.tolist() == ["blot", "scratch"]
    assert sizes(split)["test"] == (6, 3)
    elpv = data.one_class_normal(data.load("elpv", "mono"))
    assert len(elpv.abnormal) == 31
    assert_sound(elpv)


def test_with_labelled():
    """Would catch official parts mixed up, or abnormal training images taken for normal."""
    images = data.load("ir_mnist", "digits")
    split = data.with_labelled(images)
    assert split.protocol == "official parts with labelled abnormal images"
    assert sizes(split) == {
        "train": (270, 0), "abnormal": (0, 20), "validation": (30, 0), "test": (61, 60),
    }  # fmt: skip
    assert_sound(split)
    assert set(split.table("test").part) == {"test"}
    assert sizes(data.one_class(images))["train"] == (270, 0)


def test_inliers_against_clutter(caltech):
    """Would catch clutter in training, inliers that are not the first, or a test out of balance."""
    options = {"at_least": 20, "at_most": 20, "n_labelled": 10}
    split = data.inliers_against_clutter(caltech(1), **options)
    assert split.protocol == "1 inlier category against clutter, 10 labelled abnormal"
    assert sizes(split) == {
        "train": (13, 0), "abnormal": (0, 10), "validation": (1, 0), "test": (6, 6),
    }  # fmt: skip
    assert_sound(split)
    test = split.table("test")
    assert set(test.kind[test.label == 1]) == {"clutter"}
    (chosen,) = split.table("train").kind.unique()
    assert set(split.table("abnormal").kind) == {"ant", "bat", "cow", "dog"} - {chosen}
    assert sorted(split.table("abnormal").kind.value_counts()) == [3, 3, 4]
    used = np.concatenate([split.train, split.validation, test.index[test.label == 0]])
    inliers = split.images.table.index[split.images.table.kind == chosen]
    assert sorted(used) == list(inliers[:20])


def test_inliers_against_all_other_classes():
    """Would catch outliers of one class only, or labelled ones that are tested, without clutter."""
    images = data.load("digits", "3_inlier_categories")
    split = data.inliers_against_clutter(images)
    assert split.protocol == ("3 inlier categories against all other classes, 50 labelled abnormal")
    assert sizes(split) == {
        "train": (283, 0), "abnormal": (0, 50), "validation": (32, 0), "test": (135, 135),
    }  # fmt: skip
    assert_sound(split)
    inliers = set(split.table("train").kind)
    assert len(inliers) == 3
    test = split.table("test")
    assert set(test.kind[test.label == 0]) == inliers
    outliers = test.kind[test.label == 1].value_counts()
    assert len(outliers) == 7
    assert set(outliers) == {19, 20}  # 135 = 5 x 19 + 2 x 20


def test_contaminated(mnist):
    """Would catch another share than asked for, or abnormal images that are trained and tested."""
    clean = data.one_class_anomalous(mnist("3"))
    tests = []
    for share, n in [(0, 0), (0.05, 9), (0.1, 18)]:  # of 162: 9 / 171 and 18 / 180
        split = data.contaminated(clean, share)
        assert split.protocol == (
            f"{clean.protocol}, {100 * share:g} % unlabelled abnormal images among the training "
            "images"
        )
        assert sizes(split) == {"train": (162, n), "validation": (18, 0), "test": (90, 12)}
        assert_sound(split)
        assert set(clean.train) <= set(split.train)
        tests.append(split.test.tolist())
    assert tests[0] == tests[1] == tests[2]
    few, many = (set(data.contaminated(clean, s).train) for s in (0.05, 0.1))
    assert few < many


def test_contamination_keeps_what_was_labelled(mnist):
    """Would catch labelled abnormal images lost when unlabelled ones are added."""
    clean = data.one_class_normal(mnist("3"))
    split = data.contaminated(clean, 0.1)
    assert sizes(split)["train"] == (19, 2)
    assert split.abnormal.tolist() == clean.abnormal.tolist()


def test_subsample(mnist):
    """Would catch a label lost from a small test, training images cut, or a silent name."""
    whole = data.one_class_anomalous(mnist("3"))
    split = whole.subsample(20)
    assert sizes(split) == {"train": (162, 0), "validation": (18, 0), "test": (20, 20)}
    assert split.protocol == f"{whole.protocol}; test on at most 20 images of either label"
    assert set(split.test) < set(whole.test)
    assert set(whole.subsample(5).test) < set(split.test)
    assert sizes(whole.subsample(4))["validation"] == (4, 0)
    assert split.subsample(4).whole is split.whole is whole and whole.whole is None
    assert_sound(split)


# ---- seeds and copies ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "protocol",
    [
        data.one_class_normal,
        data.one_class_anomalous,
        lambda images, seed: data.one_class_anomalous(images, seed, pooled=True),
        lambda images, seed: data.contaminated(data.one_class(images, seed), 0.05),
        lambda images, seed: data.one_class_normal(images, seed).subsample(7),
    ],
)
def test_seeds_differ_in_training_alone(protocol, mnist):
    """Would catch a test, or labelled images, that change with the seed."""
    first, again, other = (protocol(mnist("3"), seed).lists() for seed in (1, 1, 2))
    assert first == again
    assert first["test"] == other["test"]
    assert first["abnormal"] == other["abnormal"]
    assert first["validation"] != other["validation"]


def test_seeds_of_contamination_and_of_inliers(mnist, caltech):
    """Would catch seeds that train with the same abnormal images, or on the same classes."""
    images = mnist("3")
    added = [
        set(data.contaminated(data.one_class_anomalous(images, seed), 0.05).train)
        & set(np.flatnonzero(images.table["kind"] == "3"))
        for seed in range(3)
    ]
    assert len(set(map(frozenset, added))) == 3
    options = {"at_least": 10, "n_labelled": 5}
    chosen = {
        data.inliers_against_clutter(caltech(1), seed, **options).table("train").kind.iloc[0]
        for seed in range(20)
    }
    assert chosen == {"ant", "bat", "cow", "dog"}


def test_draws_are_recorded():
    """Would catch draws that change between versions of the code, and stored runs with them."""
    images = data.load("digits", "3")
    split = data.one_class_normal(images)
    assert [int(path[-4:]) for path in split.lists()["abnormal"][:6]] == [0, 11, 12, 17, 31, 68]
    split = data.inliers_against_clutter(data.load("digits", "5_inlier_categories"), 4)
    assert sorted(split.table("train").kind.unique()) == ["2", "4", "5", "8", "9"]


def test_copies_never_stand_on_two_sides(tmp_path):
    """Would catch copies torn apart by any of the draws, over many seeds."""
    folder = two_folder_tree(tmp_path / "mine", 40, 30, kinds=True)
    for path in sorted(folder.rglob("*.png"))[::3]:
        shutil.copy(path, path.with_name(f"copy_{path.name}"))
    shutil.copy(next((folder / "normal").iterdir()), folder / "abnormal" / "blot" / "same.png")
    images = data.load("folder", folder)
    for split in all_protocols(images):
        assert_sound(split)
        used = sum(len(split.rows(part)) for part in data.PARTS)
        assert used + len(split.dropped) == len(images)
        assert any("normal and as abnormal" in note["reason"] for note in split.dropped)


def test_copies_of_clutter_among_labelled_classes(tmp_path):
    """Would catch a labelled training image whose copy is tested under another class's name."""
    folder = caltech_tree(tmp_path / "caltech101_64", {"ant": 20, "bat": 6, "clutter": 6}, side=6)
    for path in (folder / "clutter").iterdir():
        shutil.copy(path, folder / "bat" / f"copy_{path.name}")
    images = data.load("caltech101", "1_inlier_categories", tmp_path)
    split = data.inliers_against_clutter(images, at_least=20, n_labelled=12)
    assert_sound(split)
    assert sizes(split)["abnormal"] == (0, 6)
    assert len(split.dropped) == 6
