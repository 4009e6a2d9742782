"""Masks beside the decisions: on the picture's own pixels, and nothing of the user's replaced."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from data_trees import save
from detectors import of_brightness
from PIL import Image

from adlib import deploy, models
from adlib.data import decode
from adlib.deploy import decisions, inference, outputs


@pytest.fixture(scope="module")
def detector():
    """A detector whose map is the picture's brightness; pixels are flagged from 100 on."""
    torch.manual_seed(0)
    made = decisions.calibrate(models.AutoEncoder(side=64, width=2), "fpr 0.2", range(9), tiles=2)
    of_brightness(made.detector)
    return replace(made, pixel_threshold=100.0)


@pytest.fixture
def folder(tmp_path):
    """Two pictures of one stem, and one in a folder below, with a bright spot each."""
    for i, name in enumerate(["a.png", "a.bmp", "below/b.png"]):
        picture = np.zeros((90 + i, 200, 3), np.uint8)
        picture[30:50, 120 + i : 150] = 255
        save(tmp_path / "in" / name, picture)
    return tmp_path / "in"


def masks(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_every_picture_has_a_mask_of_its_own_size(detector, folder, tmp_path):
    """Would catch a mask that is shifted, of the network's size, or one picture's for another."""
    deploy.score_folder(detector, folder, tmp_path / "d.csv", masks_dir=tmp_path / "masks")
    assert masks(tmp_path / "masks") == ["a.bmp.png", "a.png.png", "below/b.png.png"]
    for name in pd.read_csv(tmp_path / "d.csv").path:
        picture = np.asarray(Image.open(folder / name))[..., 0]
        file = tmp_path / "masks" / f"{name}.png"
        with Image.open(file) as mask:
            values = np.asarray(mask)
            assert mask.mode == "L" and set(values.ravel()) == {0, 255}
            assert mask.size == picture.shape[::-1]
        wrong = (values == 255) != (picture > 100)
        assert wrong.sum() <= 4 * 50  # beside the spot's edges
        assert (decode.open_mask(file, folder / name) == (values == 255)).all()


def test_a_file_without_a_decision_has_no_mask(detector, folder, tmp_path, monkeypatch):
    """Would catch an all black mask of a picture that nobody has judged."""
    (folder / "c.png").write_bytes(b"no picture")
    found = deploy.score_folder(detector, folder, tmp_path / "d.csv", masks_dir=tmp_path / "m")
    assert found.unreadable == 1 and len(masks(tmp_path / "m")) == 3
    judge = inference.judge
    monkeypatch.setattr(inference, "judge", lambda *a: (judge(*a)[0] * np.nan, judge(*a)[1]))
    deploy.score_folder(detector, folder, tmp_path / "d.csv", masks_dir=tmp_path / "n")
    assert not (tmp_path / "n").exists()


def test_masks_need_a_pixel_threshold(detector, folder, tmp_path):
    """Would catch a run that finds out at its end that nothing says what is abnormal."""
    plain = replace(detector, pixel_threshold=None)
    with pytest.raises(ValueError, match="no pixel threshold.*`pixels=` of adlib.deploy.train"):
        deploy.score_folder(plain, folder, tmp_path / "d.csv", masks_dir=tmp_path / "masks")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_the_file_keeps_the_pixel_threshold(detector, tmp_path):
    """Would catch masks after a restart by another threshold than before."""
    for value in (100.0, None):
        made = replace(detector, pixel_threshold=value)
        assert decisions.load(made.save(tmp_path / "m.safetensors")).pixel_threshold == value


def test_earlier_masks_are_set_aside(detector, folder, tmp_path):
    """Would catch yesterday's mask beside today's, and half a mask that stops all further runs."""
    places = {"csv_file": tmp_path / "d.csv", "masks_dir": tmp_path / "masks"}
    deploy.score_folder(detector, folder, **places)
    (folder / "a.png").unlink()
    for names in (["a.bmp.png", "a.png.png", "below/b.png.png"], ["a.bmp.png", "below/b.png.png"]):
        half = outputs.files.beside(tmp_path / "masks" / "a.png.png")
        half.write_bytes(b"half")
        deploy.score_folder(detector, folder, **places)
        assert masks(tmp_path / "masks") == ["a.bmp.png", "below/b.png.png"]
        assert masks(tmp_path / "masks.previous") == sorted([half.name, *names])


def test_nothing_of_the_user_is_lost_to_masks(detector, folder, tmp_path):
    """Would catch a user's picture replaced or deleted by a mask or by setting masks aside."""
    mine, previous = tmp_path / "mine", tmp_path / "m.previous"
    for place in (mine, previous):
        save(place / "below" / "photo.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "link").symlink_to(folder)
    (tmp_path / "file").touch()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    for masks_dir, said in [
        (mine, r"photo\.png is there and is not a mask of this program's"),
        (tmp_path / "m", r"photo\.png is there and is not a mask"),
        (folder / "masks", "lies among the images"),
        (tmp_path, "is there and is not a mask|lies in"),
        (tmp_path / "linked", "link is there and is not a mask"),
        (tmp_path / "file", "is a file; name a folder"),
        (tmp_path / "d.csv", "holds masks alone"),
    ]:
        with pytest.raises(ValueError, match=said):
            deploy.score_folder(detector, folder, tmp_path / "d.csv", masks_dir=masks_dir)
    with pytest.raises(ValueError, match=r"d\.csv lies in .*/new, which holds masks alone"):
        deploy.score_folder(
            detector, folder, tmp_path / "new" / "d.csv", masks_dir=tmp_path / "new"
        )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == before


def test_one_run_writes_masks_at_a_time(detector, folder, tmp_path):
    """Would catch the masks of two runs in one folder, and a table set aside for a refused run."""
    deploy.score_folder(detector, folder, tmp_path / "d.csv")
    with (
        outputs.table(tmp_path / "other.csv", masks_dir=tmp_path / "masks"),
        pytest.raises(ValueError, match="another run is writing this folder"),
    ):
        deploy.score_folder(detector, folder, tmp_path / "d.csv", masks_dir=tmp_path / "masks")
    assert (tmp_path / "d.csv").exists()
