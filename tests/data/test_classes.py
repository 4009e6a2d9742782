"""Sets of classes: MNIST, CIFAR-10, Caltech and digits, in every form they may lie on disk."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from data_trees import (
    CIFAR_NAMES,
    caltech_tree,
    cifar_archive,
    cifar_batches,
    cifar_tree,
    mnist_tree,
    save,
)

import adlib.data as data
from adlib.data.classes import CIFAR, DIGITS

COPY = "from a lossy JPEG copy"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("name", "category", "place"),
    [
        ("mnist", "3", "MNIST/raw"),
        ("ir_mnist", "all", "MNIST/raw"),
        ("cifar10", "car", "cifar-10-batches-py"),
        ("caltech101", "all", "caltech101/101_ObjectCategories"),
        ("caltech256", "all", "caltech256/256_ObjectCategories"),
    ],
)
def test_missing_sets_say_where_to_get_them(tmp_path, name, category, place):
    """Would catch a missing set reported without its page, or without the folder expected."""
    with pytest.raises(FileNotFoundError, match="ADLIB_DATA") as error:
        data.load(name, category, tmp_path)
    assert str(tmp_path.joinpath(*place.split("/"))) in str(error.value)
    assert data.info(name).homepage in str(error.value)


def test_a_file_of_mnist_that_is_missing_or_cut_short(tmp_path):
    """Would catch images read with the labels of others because a file is not whole."""
    folder = mnist_tree(tmp_path)
    labels = folder / "train-labels-idx1-ubyte"
    whole = labels.read_bytes()
    for content in (whole[:-1], whole[:6], b"\x1f\x8b" + whole[2:], b""):
        labels.write_bytes(content)
        with pytest.raises(ValueError, match="not a whole IDX file") as error:
            data.load("mnist", "3", tmp_path)
        assert str(labels) in str(error.value)
    labels.write_bytes(whole[:7] + bytes([whole[7] - 1]) + whole[8:-1])
    with pytest.raises(ValueError, match="60 train images but 59 labels"):
        data.load("mnist", "3", tmp_path)
    labels.unlink()
    with pytest.raises(FileNotFoundError, match="train-labels-idx1-ubyte.gz"):
        data.load("mnist", "3", tmp_path)


def test_mnist(tmp_path):
    """Would catch digits under another digit's name, or one part's images in the other."""
    mnist_tree(tmp_path)
    images = data.load("mnist", "3", tmp_path)
    table = images.table
    assert list(table["path"]) == sorted(table["path"])
    assert table["path"].str.fullmatch(r"(train|test)/\d/\d{5}").all()
    pixels = images.pixels(channels=1)
    assert pixels.shape == (90, 1, 28, 28)
    assert pixels[:, 0, 0, 0].tolist() == table["kind"].astype(int).tolist()
    assert (table["path"].str.split("/").str[0] == table["part"]).all()
    counts = images.counts()
    assert (counts["n_train_normal"], counts["n_test_normal"]) == (6, 3)
    assert set(table.loc[table["label"] == 0, "kind"]) == {"3"}
    assert not data.load("mnist", "all", tmp_path).table["label"].any()


def test_mnist_packed(tmp_path):
    """Would catch packed files that are not found, or another set for it."""
    mnist_tree(tmp_path / "plain")
    mnist_tree(tmp_path / "packed", packed=True)
    prints = [
        data.load("mnist", "0", tmp_path / name).fingerprint() for name in ("plain", "packed")
    ]
    assert prints[0] == prints[1]


def cifar_forms(tmp_path, monkeypatch) -> dict[str, Path]:
    forms = {name: tmp_path / name for name in ("batches", "jpg", "png", "archive")}
    cifar_batches(forms["batches"], monkeypatch)
    cifar_tree(forms["jpg"] / "cifar10")
    cifar_tree(forms["png"] / "cifar10", suffix=".png")
    cifar_archive(forms["archive"])
    return forms


def test_cifar_in_all_its_forms(tmp_path, monkeypatch):
    """Would catch classes or parts mixed up in one of the forms, or a lossy copy unmarked."""
    notes = {"batches": "", "png": "", "jpg": COPY, "archive": COPY}
    for form, root in cifar_forms(tmp_path, monkeypatch).items():
        images = data.load("cifar10", "car", root)
        table = images.table
        assert images.note == notes[form]
        assert list(table["path"]) == sorted(table["path"])
        assert set(table["kind"]) == set(CIFAR)
        assert set(table.loc[table["label"] == 0, "kind"]) == {"car"}
        n_train, n_test = (5, 1) if form == "batches" else (2, 1)
        assert images.counts()["n_train_normal"] == n_train
        assert images.counts()["n_test_normal"] == n_test
        red = images.pixels(side=32)[:, 0, 0, 0].numpy().astype(int)
        number = red if form == "batches" else np.round(red / 20)
        assert [CIFAR[int(i)] for i in number] == table["kind"].tolist()


def test_cifar_of_other_bytes_is_not_opened(tmp_path, monkeypatch):
    """Would catch pickles that are opened although they are not the official ones."""
    folder = cifar_batches(tmp_path, monkeypatch)
    path = folder / "data_batch_3"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ValueError, match="not the official ones") as error:
        data.load("cifar10", "car", tmp_path)
    assert str(folder) in str(error.value)


def test_cifar_with_a_strange_class(tmp_path):
    """Would catch a folder that is none of the ten classes taken for one."""
    cifar_tree(tmp_path / "cifar10")
    (tmp_path / "cifar10" / "train" / "cat").rename(tmp_path / "cifar10" / "train" / "lynx")
    with pytest.raises(ValueError, match="train/lynx/0000.jpg"):
        data.load("cifar10", "car", tmp_path)
    shutil.rmtree(tmp_path / "cifar10" / "train")
    with pytest.raises(FileNotFoundError, match="train"):
        data.load("cifar10", "car", tmp_path)


def test_archive_is_read_once(tmp_path, monkeypatch):
    """Would catch an archive unpacked at every load, or old pixels after it changed."""
    archive = cifar_archive(tmp_path)
    shutil.rmtree(tmp_path / "tree")
    first = data.load("cifar10", "cat", tmp_path)
    opened = []
    real = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda *a, **k: opened.append(a) or real(*a, **k))
    again = data.load("cifar10", "dog", tmp_path)
    assert not opened
    assert again.digests() == first.digests()
    assert not list(tmp_path.rglob("*.jpg"))
    (next((tmp_path / "cache" / "images").glob("cifar10_jpg*.npy"))).unlink()
    assert data.load("cifar10", "dog", tmp_path).digests() == first.digests()
    assert len(opened) == 1
    (index,) = (tmp_path / "cache" / "images").glob("cifar10_jpg*.json")
    index.write_bytes(index.read_bytes()[:9])
    with pytest.warns(UserWarning, match="cifar10_jpg.*json: the cache file is damaged"):
        assert data.load("cifar10", "dog", tmp_path).digests() == first.digests()
    archive.unlink()
    cifar_archive(tmp_path, per_class=(3, 1))
    assert len(data.load("cifar10", "cat", tmp_path)) == 40


def test_bad_archives_are_named(tmp_path):
    """Would catch a bad image in an archive passed over, or reported without its name."""
    folder = cifar_tree(tmp_path / "tree")
    bad = folder / "test" / "frog" / "0000.jpg"
    for content, message in [(b"no picture", "can be read"), (None, "shape")]:
        if content:
            bad.write_bytes(content)
        else:
            save(bad, np.zeros((32, 31, 3), np.uint8))
        with tarfile.open(tmp_path / "cifar10_jpg.tar.xz", "w:xz") as packed:
            packed.add(folder, "cifar10")
        with pytest.raises(ValueError, match=message) as error:
            data.load("cifar10", "cat", tmp_path)
        assert "cifar10/test/frog/0000.jpg" in str(error.value)
    with tarfile.open(tmp_path / "cifar10_jpg.tar.xz", "w:xz"):
        pass
    with pytest.raises(ValueError, match="no image in it"):
        data.load("cifar10", "cat", tmp_path)


def test_caltech_256(tmp_path):
    """Would catch numbers left in class names, or the two strays of the official archive."""
    folder = tmp_path / "caltech256" / "256_ObjectCategories"
    caltech_tree(folder, {"056.dog": 3, "198.spider": 2, "257.clutter": 4})
    caltech_tree(folder / "056.dog", {"greg": 2})
    (folder / "198.spider" / "RENAME2").write_text("x")
    images = data.load("caltech256", "all", tmp_path)
    assert images.table["kind"].value_counts().to_dict() == {"dog": 3, "spider": 2, "clutter": 4}
    assert not images.table["label"].any()
    assert images.note == ""
    (folder / "198.spider" / "other.txt").write_text("x")
    with pytest.raises(ValueError, match="other.txt"):
        data.load("caltech256", "all", tmp_path)


def test_caltech_101_mixes_grey_and_colour(tmp_path):
    """Would catch a set that is refused because a few of its official images are grey."""
    counts = {"Faces": 3, "BACKGROUND_Google": 2}
    caltech_tree(tmp_path / "a" / "caltech101" / "101_ObjectCategories", counts)
    caltech_tree(tmp_path / "b" / "caltech101_64", counts)
    caltech_tree(tmp_path / "c" / "caltech101_64", {"Faces": 2, "clutter": 3})
    for root, n_clutter in [("a", 2), ("b", 2), ("c", 3)]:
        images = data.load("caltech101", "1_inlier_categories", tmp_path / root)
        assert (images.table["kind"] == "clutter").sum() == n_clutter
        grey = images.table["path"].str.endswith("0000.jpg").to_numpy()
        spread = images.pixels(side=12).float().std(1).mean((1, 2)).numpy()
        assert (spread[grey] == 0).all()
        assert (spread[~grey] > 10).all()
        assert images.note == ("" if root == "a" else "from a copy of small images (caltech101_64)")


def test_categories_share_their_pixels(tmp_path):
    """Would catch a copy of 70,000 images in the cache for each of ten digits."""
    mnist_tree(tmp_path)
    cached = tmp_path / "cache" / "images"
    first = data.load("mnist", "1", tmp_path).pixels(side=16)
    assert (data.load("mnist", "2", tmp_path).pixels(side=16) == first).all()
    assert len(list(cached.iterdir())) == 1
    data.load("mnist", "2", tmp_path).pixels(side=16, channels=1)
    assert len(list(cached.iterdir())) == 2


def test_digits_that_single_no_class_out():
    """Would catch categories for counting or for the inlier protocol that lack images."""
    one, every, three = (data.load("digits", c) for c in ("3", "all", "3_inlier_categories"))
    assert one.digests() == every.digests() == three.digests()
    assert not every.table["label"].any()
    assert not three.table["label"].any()
    assert (one.table["kind"] == every.table["kind"]).all()


def test_published_counts():
    """Would catch counts in the catalogue that do not add up to the published ones."""
    mnist, cifar = (data.info(name).expected for name in ("mnist", "cifar10"))
    for known, classes, train, test in [
        (mnist, DIGITS, 60_000, 10_000),
        (cifar, CIFAR, 50_000, 10_000),
    ]:
        assert sum(known[name]["n_train_normal"] for name in classes) == train
        assert sum(known[name]["n_test_normal"] for name in classes) == test
        assert known["all"]["n_images"] == train + test
    assert sum(data.info("ir_mnist").expected["all"].values()) == 6051
    assert len(CIFAR_NAMES) == len(CIFAR) == 10


def test_the_same_faces_do_not_stand_on_two_sides(tmp_path):
    """Would catch a normal class whose pictures, cut differently, are called abnormal."""
    caltech_tree(tmp_path / "caltech101_64", {"Faces": 2, "Faces_easy": 3, "BACKGROUND_Google": 1})
    assert len(data.load("caltech101", "all", tmp_path)) == 6
    images = data.load("caltech101", "1_inlier_categories", tmp_path)
    assert set(images.table["kind"]) == {"Faces", "clutter"} and images.n_left_out == 3
    assert list(images.table.index) == [0, 1, 2]
