"""Listing of images: layouts, catalogue, and what is refused by name alone."""

import os
import shutil

import pytest
from data_trees import magnetic_tile_tree, mvtec_tree, save, two_folder_tree

import adlib.data as data
from adlib.data import synthetic


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


def pixels(side=8):
    return synthetic.generate("object", side, 1, 0, 0)[0][0]


def test_empty_folders_are_named(tmp_path):
    """Catches a set without normal or without abnormal images that lists as if it were whole."""
    folder = mvtec_tree(tmp_path / "mvtec_ad" / "screw")
    for part in ["train/good", "test/good", "test/blot"]:
        kept = tmp_path / "kept"
        shutil.move(folder / part, kept)
        (folder / part).mkdir()
        with pytest.raises(ValueError, match="empty") as error:
            data.load("mvtec_ad", "screw", tmp_path)
        assert str(folder / part) in str(error.value)
        shutil.rmtree(folder / part)
        shutil.move(kept, folder / part)


def test_mvtec_layout(tmp_path):
    """Catches wrong labels, kinds, parts or masks, unsorted rows and paths that are not posix."""
    mvtec_tree(tmp_path / "mvtec_ad" / "screw", counts=(3, 2, 4))
    images = data.load("mvtec_ad", "screw", tmp_path)
    table = images.table
    assert list(table["path"]) == sorted(table["path"])
    assert table["path"].iloc[-1] == "mvtec_ad/screw/train/good/0002.png"
    row = table[table["path"] == "mvtec_ad/screw/test/blot/0001.png"].iloc[0]
    assert (row["label"], row["kind"], row["part"]) == (1, "blot", "test")
    assert row["mask"] == "mvtec_ad/screw/ground_truth/blot/0001_mask.png"
    assert (table.loc[table["label"] == 0, "mask"] == "").all()
    assert images.counts()["n_train_normal"] == 3
    assert (images.counts()["n_test_normal"], images.counts()["n_test_abnormal"]) == (2, 4)
    assert images.mode == "object"
    assert images.has_masks


def test_mvtec_layout_without_masks_and_with_jpg(tmp_path):
    """Catches a layout that insists on masks, or on PNG for images and masks."""
    mvtec_tree(tmp_path / "mvtec_ad" / "wood", masks=False)
    images = data.load("mvtec_ad", "wood", tmp_path)
    assert images.mode == "texture"
    assert not images.has_masks
    with pytest.raises(ValueError, match="no masks"):
        images.masks(side=8)
    mvtec_tree(tmp_path / "wood_surface", suffix=".jpg")
    assert data.load("wood_surface", "wood", tmp_path).has_masks


def test_magnetic_tile_layout(tmp_path):
    """Catches masks listed as images, masks of normal images, and kinds named after folders."""
    magnetic_tile_tree(tmp_path / "magnetic_tile", 6, 4)
    images = data.load("magnetic_tile", "tile", tmp_path)
    assert images.counts()["n_normal"] == 6
    assert images.counts()["n_abnormal"] == 4
    assert set(images.table["kind"]) == {"good", "blowhole", "crack"}
    assert images.table["path"].str.endswith(".jpg").all()
    assert ((images.table["mask"] != "") == (images.table["label"] == 1)).all()


@pytest.mark.parametrize("kinds", [False, True])
def test_own_folder(tmp_path, kinds):
    """Catches two-folder sets that lose kinds, and paths not relative to the right root."""
    folder = two_folder_tree(tmp_path / "mine", 5, 4, kinds)
    (folder / "normal" / ".DS_Store").write_bytes(b"x")
    relative = data.load("folder", "mine", tmp_path)
    absolute = data.load("folder", folder)
    assert relative.table["path"].iloc[-1] == "mine/normal/good_0004.png"
    assert absolute.table["path"].iloc[-1] == "normal/good_0004.png"
    assert set(relative.table["kind"]) == (
        {"good", "blot", "scratch"} if kinds else {"good", "abnormal"}
    )
    assert relative.fingerprint() != absolute.fingerprint()  # paths are part of it
    shutil.rmtree(folder / "abnormal")
    assert data.load("folder", folder).counts()["n_abnormal"] == 0
    mvtec_tree(tmp_path / "other")
    assert data.load("folder", "other", tmp_path).has_masks


def test_unknown_names_suggest_the_nearest():
    """Catches an error that does not help with a slip of the pen."""
    with pytest.raises(ValueError, match="mvtec_ad"):
        data.load("mvtec", "screw")
    with pytest.raises(ValueError, match="'screw'"):
        data.load("mvtec_ad", "screws")
    with pytest.raises(ValueError, match="There is: mono, poly"):
        data.load("elpv", "zzz")


def test_missing_data_say_where_to_get_them(tmp_path):
    """Catches a missing folder reported without the page to get it from or the folder expected."""
    with pytest.raises(FileNotFoundError, match="mvtec.com") as error:
        data.load("mvtec_ad", "screw", tmp_path)
    assert "adlib data get mvtec_ad screw" in str(error.value)
    assert str(tmp_path / "mvtec_ad" / "screw") in str(error.value)
    two_folder_tree(tmp_path / "cells")
    with pytest.raises(FileNotFoundError, match="'cells'"):
        data.load("folder", "cell", tmp_path)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(FileNotFoundError, match="normal/"):
        data.load("folder", "nothing", tmp_path)


def test_masks_and_images_must_pair(tmp_path):
    """Catches a mask without image, or an abnormal image without mask, passed over in silence."""
    folder = mvtec_tree(tmp_path / "mvtec_ad" / "screw")
    mask = folder / "ground_truth" / "blot" / "0000_mask.png"
    image = folder / "test" / "blot" / "0000.png"
    for gone, named in [(image, mask), (mask, image)]:
        kept = gone.read_bytes()
        gone.unlink()
        with pytest.raises(ValueError, match="without") as error:
            data.load("mvtec_ad", "screw", tmp_path)
        assert str(named) in str(error.value)
        gone.write_bytes(kept)
    shutil.rmtree(folder / "test" / "blot")
    with pytest.raises(ValueError, match="without images"):
        data.load("mvtec_ad", "screw", tmp_path)


def test_strange_files_are_named(tmp_path):
    """Catches files that are skipped in silence because they are not images, or share a name."""
    folder = mvtec_tree(tmp_path / "mvtec_ad" / "screw")
    note = folder / "train" / "good" / "notes.txt"
    note.write_text("x")
    with pytest.raises(ValueError, match="not an image by its name") as error:
        data.load("mvtec_ad", "screw", tmp_path)
    assert str(note) in str(error.value)
    note.unlink()
    save(folder / "test" / "blot" / "0000.jpg", pixels())
    with pytest.raises(ValueError, match="share a name"):
        data.load("mvtec_ad", "screw", tmp_path)
    (folder / "test" / "blot" / "0000.jpg").unlink()
    save(folder / "train" / "bad" / "0.png", pixels())
    with pytest.raises(ValueError, match="only train/good"):
        data.load("mvtec_ad", "screw", tmp_path)


def test_links_out_of_the_data_folder(tmp_path):
    """Catches a symbolic link, to a file or a folder, that reads from outside the data folder."""
    root = tmp_path / "data"
    folder = two_folder_tree(root / "mine")
    outside = save(tmp_path / "outside" / "normal" / "x.png", pixels())
    link = folder / "normal" / "link.png"
    try:
        link.symlink_to(outside)
    except OSError:
        pytest.skip("symbolic links cannot be made here")
    with pytest.raises(ValueError, match="leads out") as error:
        data.load("folder", "mine", root)
    assert str(link) in str(error.value)
    link.unlink()
    link.symlink_to(folder / "normal" / "good_0000.png")
    assert data.load("folder", "mine", root).counts()["n_normal"] == 11
    (root / "linked").symlink_to(outside.parents[1], target_is_directory=True)
    with pytest.raises(ValueError, match="leads out"):
        data.load("folder", "linked", root)


def test_pipes_are_not_waited_for(tmp_path):
    """Catches a set whose digests wait for ever for the other end of a pipe."""
    folder = two_folder_tree(tmp_path / "mine")
    os.mkfifo(folder / "normal" / "pipe.png")
    with pytest.raises(ValueError, match=r"pipe\.png: a pipe, a device or a link to nothing"):
        data.load("folder", folder)


def test_catalogue_is_complete():
    """Catches a set without licence, source, note or mode, or counts that left the paper's."""
    for name in data.names():
        known = data.info(name)
        assert known.title
        assert known.note
        assert set(known.modes.values()) <= {"object", "texture"}
        assert list(known.expected) in ([], data.categories(name))
        if name not in ("folder", "synthetic"):
            assert known.licence
            assert known.citation
            assert known.homepage.startswith("https://")
    expected = data.info("mvtec_ad").expected.values()
    totals = [sum(counts[key] for counts in expected) for key in next(iter(expected))]
    assert totals == [3629, 467, 1258]
    assert sum(mode == "texture" for mode in data.info("mvtec_ad").modes.values()) == 5


def test_sets_that_come_with_packages():
    """Catches a change of the packages' contents and of which images count as normal."""
    for category, expected in data.info("elpv").expected.items():
        counts = data.load("elpv", category).counts()
        assert {key: counts[key] for key in expected} == expected
    images = data.load("digits", "3")
    assert len(images) == 1797
    assert set(images.table.loc[images.table["label"] == 0, "kind"]) == {"3"}
    assert images.pixels([0], channels=1).shape == (1, 1, 8, 8)
    assert images.pixels().max() == 255
