"""Medical sets: folders, file names and HDF5 files as they are published."""

import shutil

import numpy as np
import pytest
from data_trees import breast_tree, hdf5, noise, oct_tree, pcam_tree, save, two_folder_tree
from torchvision.datasets import PCAM

import adlib.data as data
from adlib.data.arrays import Stored


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


TREES = {
    "brain_mri": ("brain", two_folder_tree),
    "breast_ultrasound": ("breast", breast_tree),
    "malaria": ("cell", two_folder_tree),
    "oct": ("retina", oct_tree),
}

# ---- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TREES, "pcam"])
def test_missing_data_and_unknown_categories(tmp_path, name):
    """Would catch an error that does not say where to get a set, or what its category is called."""
    category, *_ = data.categories(name)
    with pytest.raises(FileNotFoundError, match="Get .* from https://") as error:
        data.load(name, category, tmp_path)
    assert str(tmp_path / name) in str(error.value)
    with pytest.raises(ValueError, match=f"'{category}'"):
        data.load(name, category[:-1], tmp_path)


@pytest.mark.parametrize("name", TREES)
def test_missing_and_empty_folders(tmp_path, name):
    """Would catch a set without one of its classes that lists as if it were whole."""
    category, tree = TREES[name]
    folder = tree(tmp_path / name)
    parts = ["train/DME", "test/NORMAL", "val/CNV"] if name == "oct" else ["normal", "abnormal"]
    for part in parts:
        shutil.move(folder / part, tmp_path / "kept")
        with pytest.raises(FileNotFoundError) as error:
            data.load(name, category, tmp_path)
        assert str(folder / part) in str(error.value)
        (folder / part).mkdir()
        with pytest.raises(ValueError, match="empty") as error:
            data.load(name, category, tmp_path)
        assert str(folder / part) in str(error.value)
        (folder / part).rmdir()
        shutil.move(tmp_path / "kept", folder / part)


def test_breast_files_that_name_no_kind(tmp_path):
    """Would catch masks taken for images, and a kind made up where the name does not tell."""
    folder = breast_tree(tmp_path / "breast_ultrasound")
    for where, name, match in [
        ("abnormal", "benign (1)_mask.png", "a mask by its name"),
        ("normal", "normal (1)_mask_1.png", "a mask by its name"),
        ("abnormal", "unmasked.png", "neither benign nor malignant"),
    ]:
        path = save(folder / where / name, noise(1, 8, 8)[0])
        with pytest.raises(ValueError, match=match) as error:
            data.load("breast_ultrasound", "breast", tmp_path)
        assert str(path) in str(error.value)
        path.unlink()


def test_strange_folders_of_retina(tmp_path):
    """Would catch a class that is passed over without a word."""
    folder = oct_tree(tmp_path / "oct")
    path = save(folder / "train" / "AMD" / "AMD-1-1.jpeg", noise(1, 8, 8)[0])
    with pytest.raises(ValueError, match="only folders CNV, DME, DRUSEN, NORMAL") as error:
        data.load("oct", "retina", tmp_path)
    assert str(path.parent) in str(error.value)


def test_pcam_files_out_of_order(tmp_path):
    """Would catch a file that is missing, cut short or of another shape, and not named."""
    folder = pcam_tree(tmp_path)
    stem = "camelyonpatch_level_2_split_"
    x, y = (folder / f"{stem}valid_{name}.h5" for name in "xy")
    kept = x.read_bytes()
    x.unlink()
    with pytest.raises(FileNotFoundError, match="pcam") as error:
        data.load("pcam", "lymph_node", tmp_path)
    assert str(x) in str(error.value)
    half = (kept[: len(kept) // 2], "not an HDF5 file")
    for content, match in [half, ((folder / f"{stem}train_x.h5").read_bytes(), "3 .* 5|5 .* 3")]:
        x.unlink(missing_ok=True)
        x.write_bytes(content)
        with pytest.raises(ValueError, match=match) as error:
            data.load("pcam", "lymph_node", tmp_path)
        assert f"{stem}valid_" in str(error.value)
    hdf5(x, "x", noise(3, 32, 32, 3))
    with pytest.raises(ValueError, match=r"uint8 of shape \(3, 32, 32, 3\)"):
        data.load("pcam", "lymph_node", tmp_path)
    x.unlink()
    x.write_bytes(kept)
    hdf5(y, "y", np.full((3, 1, 1, 1), 2, np.uint8))
    with pytest.raises(ValueError, match=r"3 labels of \[2\]"):
        data.load("pcam", "lymph_node", tmp_path)


# ---- what is listed ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["brain_mri", "malaria"])
def test_two_folders(tmp_path, name):
    """Would catch labels turned round, and a set that is not found under its own name."""
    category, tree = TREES[name]
    tree(tmp_path / name, 5, 3)
    images = data.load(name, category, tmp_path)
    assert (images.counts()["n_normal"], images.counts()["n_abnormal"]) == (5, 3)
    assert images.table["path"].str.startswith(f"{name}/").all()
    in_abnormal = images.table["path"].str.contains("/abnormal/")
    assert (in_abnormal == (images.table["label"] == 1)).all()
    assert not images.has_masks


def test_small_grey_copies_are_named(tmp_path):
    """Would catch grey cells of one size taken for the official ones, or official ones refused."""
    official = two_folder_tree(tmp_path / "a" / "malaria", 2, 1)
    save(official / "normal" / "larger.png", np.full((20, 24, 3), 7, np.uint8))
    copies = tmp_path / "b" / "malaria"
    for i, name in enumerate(("normal/a.png", "normal/b.png", "abnormal/c.png")):
        save(copies / name, np.full((16, 16), i, np.uint8))
    said = [data.differences(data.load("malaria", "cell", tmp_path / which)) for which in "ab"]
    assert all("normal images" in reasons[0] for reasons in said)
    assert [reasons[2:] for reasons in said] == [
        [], ["images of 16 px instead of various sizes", "grey images instead of colour"],
    ]  # fmt: skip


def test_brain_pictures_of_many_kinds(tmp_path):
    """Would catch official files, some grey and some in colour, that are refused."""
    folder = two_folder_tree(tmp_path / "brain_mri", 2, 2)
    save(folder / "normal" / "grey.png", np.full((16, 16), 7, np.uint8))
    images = data.load("brain_mri", "brain", tmp_path)
    assert images.pixels(channels=1).shape == (5, 1, 16, 16)


@pytest.mark.parametrize("kinds", [False, True])
def test_breast_kinds(tmp_path, kinds):
    """Would catch kinds lost where the official files stand in one folder."""
    breast_tree(tmp_path / "breast_ultrasound", (6, 5, 4), kinds)
    images = data.load("breast_ultrasound", "breast", tmp_path)
    assert images.counts()["n_normal"] == 6
    assert data.kinds(images) == {"benign": 5, "malignant": 4}
    assert set(images.table["kind"][images.table["label"] == 0]) == {"good"}


def test_breast_names_with_words_before_the_official_ones(tmp_path):
    """Would catch names that only the official spelling makes readable."""
    folder = breast_tree(tmp_path / "breast_ultrasound", (3, 2, 2))
    for path in (folder / "abnormal").iterdir():
        path.rename(path.with_name(f"abnormal_{path.name.replace(' ', '_')}"))
    images = data.load("breast_ultrasound", "breast", tmp_path)
    assert data.kinds(images) == {"benign": 2, "malignant": 2}


def test_retina_parts(tmp_path):
    """Would catch the official validation part in the test, or kinds and labels mixed up."""
    folder = oct_tree(tmp_path / "oct", (4, 1, 2))
    images = data.load("oct", "retina", tmp_path)
    counts = images.counts()
    assert [counts[f"n_{p}_normal"] for p in ("train", "test")] == [5, 2]
    assert [counts[f"n_{p}_abnormal"] for p in ("train", "test")] == [15, 6]
    assert data.kinds(images) == {"CNV": 7, "DME": 7, "DRUSEN": 7}
    assert images.pixels([0], 8, 1).shape == (1, 1, 8, 8)
    shutil.rmtree(folder / "val")
    assert data.load("oct", "retina", tmp_path).counts()["n_train_normal"] == 4


# ---- patches in HDF5 files -----------------------------------------------------------------------


def test_pcam_agrees_with_torchvision(tmp_path):
    """Would catch patches beside labels or parts of others: torchvision reads the same files."""
    pcam_tree(tmp_path)
    images = data.load("pcam", "lymph_node", tmp_path)
    assert list(images.table["path"]) == sorted(images.table["path"])
    assert set(images.table["kind"]) == {"good", "metastasis"}
    pixels = images.pixels().permute(0, 2, 3, 1).numpy()
    for part, name in [("train", "train"), ("val", "valid"), ("test", "test")]:
        source = PCAM(tmp_path, part)
        rows = np.flatnonzero(images.table["path"].str.startswith(f"{name}/"))
        assert len(rows) == len(source)
        for row, (picture, label) in zip(
            rows, (source[i] for i in range(len(source))), strict=True
        ):
            assert (pixels[row] == np.asarray(picture)).all()
            assert images.table["label"].iat[row] == label
        expected = "test" if part == "test" else "train"
        assert set(images.table["part"].iloc[rows]) == {expected}
    assert images.sides() == (96, 96)


def test_stored_images_look_like_an_array(tmp_path):
    """Would catch rows counted wrongly where one file ends, and a set read whole to be listed."""
    pcam_tree(tmp_path)
    stored = data.load("pcam", "lymph_node", tmp_path).arrays
    whole = np.concatenate([noise(n, 96, 96, 3, seed=n) for n in (4, 5, 3)])  # test, train, valid
    assert isinstance(stored, Stored)
    assert stored.shape == whole.shape
    for item in [0, 3, 4, 8, 9, -1, np.int64(5)]:
        assert (stored[item] == whole[item]).all()
        assert stored[item].dtype == np.uint8
    assert (np.array(list(stored)) == whole).all()
    with pytest.raises(IndexError):
        stored[12]


def test_digests_of_stored_images(tmp_path):
    """Would catch copies that are not found, and digests of files that have changed since."""
    folder = pcam_tree(tmp_path)
    digests = data.load("pcam", "lymph_node", tmp_path).digests()
    whole = np.concatenate([noise(n, 96, 96, 3, seed=n) for n in (4, 5, 3)])
    assert digests == data.arrays.array_digests(whole)
    hdf5(folder / "camelyonpatch_level_2_split_train_x.h5", "x", whole[[0, 4, 5, 6, 7]])
    images = data.load("pcam", "lymph_node", tmp_path)
    split = data.one_class(images, validation=0)
    assert [note["path"] for note in split.dropped] == ["train/000000"]
