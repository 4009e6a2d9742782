"""What judging leaves on the disk: today's results alone, and all that is the user's."""

import csv
import os

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from adlib import deploy, models
from adlib.deploy import decisions, image_folders, outputs


@pytest.fixture(scope="module")
def detector():
    """An untrained detector with a threshold."""
    torch.manual_seed(0)
    detector = models.CBiGAN(side=32, width=2)
    return decisions.calibrate(detector, "fpr 0.05", np.linspace(0, 1, 40))


@pytest.fixture
def folder(tmp_path):
    """Three images."""
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    image_folders.write(tmp_path / "in", pixels)
    return tmp_path / "in"


def table(path):
    return pd.read_csv(path, keep_default_na=False)


def test_odd_names_neither_tear_a_row_nor_compute(detector, folder, tmp_path):
    """Would catch a name that makes two rows, a formula in a spreadsheet, or no valid text."""
    content = (folder / "0000.png").read_bytes()
    for name in (
        b"a\rb.png",
        b"a\nc.png",
        b"=1+1.png",
        b"-1.png",
        b"\xff.png",
        "é, ä.png".encode(),
    ):
        (folder / os.fsdecode(name)).write_bytes(content)
    found = deploy.score_folder(detector, folder, tmp_path / "d.csv")
    text = (tmp_path / "d.csv").read_bytes().decode()  # valid UTF-8
    assert len(text.splitlines()) == 10 and found.unreadable == 0
    assert sorted(table(tmp_path / "d.csv").path) == sorted(
        ["0000.png", "0001.png", "0002.png", r"a\rb.png", r"a\nc.png", "'=1+1.png", "'-1.png",
         r"\xff.png", "é, ä.png"]
    )  # fmt: skip
    assert outputs.cell("-1.5") == "-1.5"


def test_an_earlier_result_is_set_aside_before_the_first_image(
    detector, folder, tmp_path, monkeypatch
):
    """Would catch yesterday's table or gallery found under today's name after a crash."""
    files = tmp_path / "d.csv", tmp_path / "g.png"
    deploy.score_folder(detector, folder, *files)
    yesterday = [file.read_bytes() for file in files]

    def crash(images, batch):
        raise RuntimeError("no memory")

    monkeypatch.setattr(detector.detector, "score", crash)
    with pytest.raises(outputs.StoppedError, match=r"no memory; the rows so far stand in .*\.part"):
        deploy.score_folder(detector, folder, *files)
    assert not any(file.exists() for file in files)
    before = [tmp_path / "d.previous.csv", tmp_path / "g.previous.png"]
    assert [file.read_bytes() for file in before] == yesterday
    assert [list(table(file)) for file in tmp_path.glob("*.part")] == [list(outputs.COLUMNS)]
    monkeypatch.undo()
    deploy.score_folder(detector, folder, *files)
    assert len(table(files[0])) == 3
    assert [file.read_bytes() for file in before] == yesterday  # nothing has taken its place


def test_one_run_writes_a_table_at_a_time(detector, folder, tmp_path, capsys):
    """Would catch a table that holds the rows of two runs, or of the other one."""
    row = ("a", "1.0", "0.5", "abnormal", "")
    with outputs.table(tmp_path / "d.csv") as write:
        write([row])
        with pytest.raises(ValueError, match="another run is writing this table"):
            deploy.score_folder(detector, folder, tmp_path / "d.csv")
        assert capsys.readouterr().err == ""  # no bar of progress that hides the message
        write([row])
    assert table(tmp_path / "d.csv").path.tolist() == ["a", "a"]
    deploy.score_folder(detector, folder, tmp_path / "d.csv")  # the lock is free again
    assert len(table(tmp_path / "d.csv")) == 3


def test_nothing_of_the_user_is_replaced_or_deleted(detector, folder, tmp_path):
    """Would catch a picture or a table of the user's lost to a gallery, a table or a set-aside."""
    photo, notes = tmp_path / "photo.png", tmp_path / "notes.csv"
    photo.write_bytes((folder / "0000.png").read_bytes())
    notes.write_text("my,own\n")
    before = {file: file.read_bytes() for file in (photo, notes)}
    for arguments, said in [
        ((tmp_path / "d.csv", photo), "is not a gallery of decisions of this program's"),
        ((notes,), "is not a table of decisions of this program's"),
        ((tmp_path / "same.png", tmp_path / "same.png"), "a table is no image"),
        ((tmp_path / "d.csv", folder / "g.png"), "lies among the images"),
        (("/dev/null",), "a device or a pipe"),
        ((notes / "d.csv",), "notes.csv is a file"),
    ]:
        with pytest.raises(ValueError, match=said):
            deploy.score_folder(detector, folder, *arguments)
    deploy.score_folder(detector, folder, tmp_path / "d.csv")
    (tmp_path / "d.previous.csv").write_text("my,own\n")
    with pytest.raises(ValueError, match=r"d\.previous\.csv is there and is not a table"):
        deploy.score_folder(detector, folder, tmp_path / "d.csv")
    assert {file: file.read_bytes() for file in before} == before
    assert len(table(tmp_path / "d.csv")) == 3  # a refused call changes nothing


def test_a_gallery_says_that_it_is_one(detector, folder, tmp_path):
    """Would catch a gallery that the next run takes for the user's, and refuses to replace."""
    for _ in range(2):
        deploy.score_folder(detector, folder, tmp_path / "d.csv", tmp_path / "g.png")
    with Image.open(tmp_path / "g.png") as picture:
        assert picture.info["Software"] == outputs.GALLERY
    (folder / "0000.png").replace(tmp_path / "h.png")
    (tmp_path / "h.png").write_bytes((tmp_path / "h.png").read_bytes()[:50])
    with pytest.raises(ValueError, match=r"h\.png is there and is not a gallery"):
        deploy.score_folder(detector, folder, tmp_path / "d.csv", tmp_path / "h.png")


def test_folders_that_cannot_be_read_have_a_row(detector, folder, tmp_path, monkeypatch):
    """Would catch images that are passed over in silence, or a folder that stops the others."""
    closed = {"closed/": "closed: the folder cannot be read"}
    names = [path.name for path in folder.iterdir()]
    for images in (names, []):
        listing = image_folders.Listing(images, {}, closed)
        monkeypatch.setattr(image_folders, "listed", lambda _, listing=listing: listing)
        found = deploy.score_folder(detector, folder, tmp_path / "d.csv")
        assert found.unreadable == 1 and found.normal + found.abnormal == len(images)
        with (tmp_path / "d.csv").open(newline="") as file:
            assert [row["error"] for row in csv.DictReader(file)][0] == closed["closed/"]


def test_a_model_takes_the_place_of_a_model_alone(detector, folder, tmp_path):
    """Would catch a photo replaced by a detector, or a training lost to a place that is none."""
    photo = folder / "0000.png"
    before = photo.read_bytes()
    for path, said in [(photo, "is not a saved detector"), (folder, "is a folder")]:
        with pytest.raises(ValueError, match=said):
            detector.save(path)
    assert photo.read_bytes() == before
    with pytest.raises(OSError, match="is kept as ") as error:
        detector.keep(photo / "m.safetensors")
    kept = str(error.value).rpartition("kept as ")[2]
    assert decisions.load(kept).threshold == detector.threshold
    for _ in range(2):
        assert detector.save(tmp_path / "m.safetensors").stat().st_mode & 0o044 == 0o044


def test_models_of_other_versions_are_named(detector, tmp_path, monkeypatch):
    """Would catch a traceback for a setting that this version does not know, or a key it misses."""
    path = detector.save(tmp_path / "m.safetensors")
    build = models.base.build
    monkeypatch.setattr(models.base, "build", lambda name, **s: build(name, **s, colour="red"))
    with pytest.raises(ValueError, match=r"m\.safetensors: .*no setting colour.* Train it again"):
        decisions.load(path)
    monkeypatch.undo()
    monkeypatch.setattr(decisions.json, "loads", lambda _: {})
    with pytest.raises(ValueError, match=r"m\.safetensors: .*lacks 'threshold'"):
        decisions.load(path)
