"""Industrial benchmarks: every layout as its publisher has it, and what is refused."""

import shutil
import zipfile

import numpy as np
import pytest
from data_trees import mvtec_tree, save
from industrial_trees import (
    SHAPE,
    ad_2_tree,
    btad_tree,
    dagm_tree,
    loco_tree,
    spot,
    visa_tree,
)

import adlib.data as data
from adlib.data import download as downloads
from adlib.data.dataset import Archive


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


TREES = {
    "mpdd": ("tubes", lambda root: mvtec_tree(root / "mpdd" / "tubes", counts=(5, 2, 3))),
    "visa": ("candle", visa_tree),
    "btad": ("02", lambda root: btad_tree(root / "btad" / "02")),
    "dagm": ("Class3", lambda root: dagm_tree(root / "dagm" / "Class3")),
    "mvtec_loco": ("pushpins", lambda root: loco_tree(root / "mvtec_loco" / "pushpins")),
    "mvtec_ad_2": ("vial", lambda root: ad_2_tree(root / "mvtec_ad_2" / "vial")),
}
COUNTS = {  # normal and abnormal images of training, then of test
    "mpdd": (5, 0, 2, 3),
    "visa": (5, 0, 2, 3),
    "btad": (4, 0, 2, 3),
    "dagm": (5, 2, 4, 3),
    "mvtec_loco": (6, 0, 3, 5),
    "mvtec_ad_2": (6, 0, 3, 2),
}


def loaded(name, root):
    category, tree = TREES[name]
    return tree(root), lambda: data.load(name, category, root)


# ---- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TREES)
def test_missing_data_and_slips_of_the_pen(tmp_path, name):
    """Would catch an error without the page, the folder expected or the nearest category."""
    category, _ = TREES[name]
    with pytest.raises(FileNotFoundError, match="Get .* from https://") as error:
        data.load(name, category, tmp_path)
    assert str(tmp_path / name / category) in str(error.value)
    assert data.info(name).homepage in str(error.value)
    with pytest.raises(ValueError, match=f"'{category}'"):
        data.load(name, category + "x", tmp_path)


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("visa", "Data/Masks/Anomaly/001.png"),
        ("btad", "ground_truth/ko/0001.png"),
        ("mvtec_ad_2", "test_public/ground_truth/bad/001_regular_mask.png"),
        ("mvtec_loco", "ground_truth/structural_anomalies/001"),
    ],
)
def test_an_abnormal_image_without_its_mask(tmp_path, name, mask):
    """Would catch an abnormal image whose lost mask makes it count as normal in pixel metrics."""
    folder, load = loaded(name, tmp_path)
    path = folder / mask
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        load()
    assert path.name.partition("_")[0].removesuffix(".png") in str(error.value)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("visa", "Data/Images/Anomaly/001.JPG"),
        ("dagm", "Test/0003.PNG"),
        ("mvtec_ad_2", "test_public/bad/001_regular.png"),
        ("mvtec_loco", "test/logical_anomalies/001.png"),
    ],
)
def test_a_mask_without_its_image(tmp_path, name, image):
    """Would catch a defect that is lost from a test without a word."""
    folder, load = loaded(name, tmp_path)
    (folder / image).unlink()
    with pytest.raises(ValueError, match="mask.* without an image"):
        load()


@pytest.mark.parametrize("name", TREES)
def test_missing_folders_are_named(tmp_path, name):
    """Would catch a set without one of its parts that lists as if it were whole."""
    folder, load = loaded(name, tmp_path)
    shutil.rmtree(folder / {"visa": "Data/Images/Normal", "dagm": "Train"}.get(name, "train"))
    with pytest.raises(FileNotFoundError) as error:
        load()
    assert str(folder) in str(error.value)


def test_a_split_of_visa_that_does_not_fit(tmp_path):
    """Would catch an image of no part, or one of the split that was never unpacked."""
    folder, load = loaded("visa", tmp_path)
    split = folder.parent / "split_csv" / "1cls.csv"
    text = split.read_text()
    split.write_text(text.replace(",train,normal,candle", ",training,normal,candle", 1))
    with pytest.raises(ValueError, match="split 'training' where train or test is expected"):
        load()
    split.write_text(text.replace("Normal/0000.JPG", "Normal/9999.JPG"))
    with pytest.raises(ValueError, match=r"0000\.JPG: a file without a line in .*1cls\.csv"):
        load()
    split.write_text(text.replace("test,anomaly", "train,anomaly", 1))
    with pytest.raises(ValueError, match=r"000\.JPG: abnormal, but for training"):
        load()
    split.write_text(text)
    (folder / "Data" / "Images" / "Normal" / "0000.JPG").unlink()
    with pytest.raises(ValueError, match=r"0000\.JPG: a line without a file"):
        load()
    split.write_text(text.replace("split", "part", 1))
    with pytest.raises(ValueError, match="no column split"):
        load()
    split.unlink()
    with pytest.raises(FileNotFoundError, match=r"1cls\.csv: no such file"):
        load()


# ---- what is listed ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TREES)
def test_parts_labels_and_masks(tmp_path, name):
    """Would catch images in another part, turned labels, and masks beside the wrong image."""
    _, load = loaded(name, tmp_path)
    listed = load()
    counts, table = listed.counts(), listed.table
    keys = [f"n_{part}_{label}" for part in ("train", "test") for label in ("normal", "abnormal")]
    assert tuple(counts[key] for key in keys) == COUNTS[name]
    assert list(table["path"]) == sorted(table["path"])
    assert ((table["mask"] != "") == (table["label"] == 1)).all()
    assert ((table["kind"] == "good") == (table["label"] == 0)).all()
    assert listed.has_masks
    split = data.one_class(listed, validation=0)
    assert not split.labels_of("train").any()
    assert len(split.test) == sum(COUNTS[name][2:])


@pytest.mark.parametrize("name", ["visa", "btad", "dagm", "mvtec_ad_2"])
def test_masks_belong_to_their_images(tmp_path, name):
    """Would catch masks in another order, and class numbers of VisA that count as normal."""
    _, load = loaded(name, tmp_path)
    listed = load()
    masks = [listed._opened_mask(row) for row in np.flatnonzero(listed.table["label"])]
    expected = [1, 2, 3, 1, 2] if name == "dagm" else [1, 2, 3][: len(masks)]
    assert [int(mask.sum()) for mask in masks] == expected  # Test before Train
    assert all(mask[0, : mask.sum()].all() for mask in masks)


def test_joined_masks_of_loco(tmp_path):
    """Would catch all masks of an image but one left out, and a change in any of them unseen."""
    folder, load = loaded("mvtec_loco", tmp_path)
    listed = load()
    assert data.kinds(listed) == {"logical_anomalies": 2, "structural_anomalies": 3}
    rows = np.flatnonzero(listed.table["label"])
    for row, number in zip(rows, [0, 1, 0, 1, 2], strict=True):
        mask = listed._opened_mask(row)
        assert mask.sum() == number + 1
        assert mask[: number + 1, number].all()
    print_before, small = listed.fingerprint(), listed.masks(side=3).clone()
    where = folder / "ground_truth" / "structural_anomalies" / "002" / "002.png"
    save(where, np.full(SHAPE, 9, np.uint8))
    assert load().fingerprint() != print_before
    assert (load().masks(side=3) != small).any()


def test_private_images_of_mvtec_ad_2_are_left_out(tmp_path):
    """Would catch images without labels in a test, or their number unknown."""
    folder, load = loaded("mvtec_ad_2", tmp_path)
    assert load().counts()["n_left_out"] == 6
    assert not load().table["path"].str.contains("private").any()
    shutil.rmtree(folder / "test_private")
    assert load().counts()["n_left_out"] == 3
    assert "left out images 3 instead of 552" in data.differences(load())


def test_visa_as_tools_convert_it(tmp_path):
    """Would catch a converted copy that is not found, or official images passed over for it."""
    mvtec_tree(tmp_path / "visa" / "visa_pytorch" / "candle", counts=(3, 2, 2))
    assert len(data.load("visa", "candle", tmp_path)) == 7
    visa_tree(tmp_path)
    assert len(data.load("visa", "candle", tmp_path)) == 10


def test_masks_and_images_of_btad_in_other_formats(tmp_path):
    """Would catch a product whose images are PNG, or BMP with BMP masks, that is refused."""
    for ending in (".png", ".bmp"):
        folder = btad_tree(tmp_path / ending / "btad" / "03", ending)
        for path in [*(folder / "ground_truth" / "ko").iterdir()][:1]:
            save(path.with_suffix(".bmp"), spot(0))
            path.unlink()
        assert data.load("btad", "03", tmp_path / ending).has_masks


def test_published_counts():
    """Would catch counts that left the totals which the publishers and others print."""
    totals = {
        "visa": (8659, 962, 1200),
        "btad": (1799, 451, 290),
        "mpdd": (888, 176, 282),
        "mvtec_loco": (1778 + 305, 575, 561 + 432),
        "mvtec_ad_2": (2528 + 302, 379, 705),
    }
    for name, expected in totals.items():
        counts = data.info(name).expected.values()
        keys = "n_train_normal", "n_test_normal", "n_test_abnormal"
        assert tuple(sum(each[key] for each in counts) for key in keys) == expected
    private = [each["n_left_out"] for each in data.info("mvtec_ad_2").expected.values()]
    assert sum(private) == 2 * 2045
    dagm = data.info("dagm").expected
    assert all(sum(dagm[f"Class{i}"].values()) == (150 if i < 7 else 300) for i in range(1, 11))


# ---- download ------------------------------------------------------------------------------------


def fetched(monkeypatch, name, category, archive, root, counts):
    """Call `download` with an archive that lies where the program keeps one."""
    known = data.info(name)
    monkeypatch.setitem(known.expected, category, counts)
    monkeypatch.setattr(downloads, "_archive", lambda *_: archive)
    return downloads.download(name, category, root)


def zipped(path, tree, top, extra=()):
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(tree.rglob("*")):
            if file.is_file():
                packed.write(file, f"{top}{file.relative_to(tree).as_posix()}")
        for member in extra:
            packed.writestr(member, b"/etc/passwd")
    return path


def test_zip_archive_with_a_folder_around_it(tmp_path, monkeypatch):
    """Would catch BTAD's archive, which has a folder around its products, unpacked to nothing."""
    tree = tmp_path / "tree"
    btad_tree(tree / "01")
    btad_tree(tree / "02")
    archive = zipped(tmp_path / "btad.zip", tree, "BTech_Dataset_transformed/")
    counts = {"n_train_normal": 4, "n_test_normal": 2, "n_test_abnormal": 3}
    root = tmp_path / "root"
    fetched(monkeypatch, "btad", "01", archive, root, counts)
    assert len(data.load("btad", "01", root)) == 9
    assert not (root / "btad" / "02").exists()


def test_what_categories_share_is_unpacked_with_them(tmp_path, monkeypatch):
    """Would catch a category of VisA without the split that says what is for training."""
    visa_tree(tmp_path / "tree")
    archive = zipped(tmp_path / "visa.zip", tmp_path / "tree" / "visa", "")
    counts = {"n_train_normal": 5, "n_test_normal": 2, "n_test_abnormal": 3}
    root = tmp_path / "root"
    fetched(monkeypatch, "visa", "candle", archive, root, counts)
    assert len(data.load("visa", "candle", root)) == 10
    assert sorted(path.name for path in (root / "visa").iterdir() if path.is_dir()) == [
        "candle", "split_csv",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "mode", "message"),
    [
        ("../outside.png", 0, "leads out"),
        ("01/link.png", 0o120777, "a link or a device"),
    ],
)
def test_hostile_zip_archives(tmp_path, monkeypatch, name, mode, message):
    """Would catch a zip archive that writes outside the data folder, or holds a link."""
    btad_tree(tmp_path / "tree" / "01")
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    archive = zipped(tmp_path / "btad.zip", tmp_path / "tree", "", [member])
    with pytest.raises(ValueError, match=message):
        fetched(monkeypatch, "btad", "01", archive, tmp_path / "root", {})
    assert not (tmp_path / "root" / "btad" / "01").exists()


def test_damaged_zip_archive(tmp_path, monkeypatch):
    """Would catch changed bytes of an archive installed as images."""
    btad_tree(tmp_path / "tree" / "01", ".png")
    archive = zipped(tmp_path / "btad.zip", tmp_path / "tree", "")
    with zipfile.ZipFile(archive) as packed:
        first = packed.infolist()[0]
    content = bytearray(archive.read_bytes())
    content[first.header_offset + 80] ^= 255
    archive.write_bytes(content)
    with pytest.raises(ValueError, match="damaged or truncated archive"):
        fetched(monkeypatch, "btad", "01", archive, tmp_path / "root", {})
    assert not (tmp_path / "root" / "btad" / "01").exists()


def test_sets_that_are_fetched_by_hand(tmp_path):
    """Would catch a set without a published checksum that is fetched all the same."""
    for name, page in [("mpdd", "github.com/stepanje/MPDD"), ("dagm", "zenodo.org/records")]:
        with pytest.raises(ValueError, match=f"by hand from https://{page}"):
            downloads.download(name, root=tmp_path)
    for name in ("visa", "btad", "mvtec_loco", "mvtec_ad_2"):
        known = data.info(name)
        assert isinstance(known.archive, Archive) and len(known.archive.sha256) == 64
        assert known.lies_in[0] == f"{name}/{{category}}"
