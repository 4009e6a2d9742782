"""Submissions to the benchmark server of MVTec AD 2."""

import struct
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from data_trees import save
from industrial_trees import SHAPE, ad_2_tree, loco_tree
from PIL import Image

from adlib import data
from adlib.deploy import submission


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def split(tmp_path):
    """A small category of MVTec AD 2, of which an eighth of the training images is held out."""
    ad_2_tree(tmp_path / "data" / "mvtec_ad_2" / "vial")
    return data.one_class(data.load("mvtec_ad_2", "vial", tmp_path / "data"))


class Brightness:
    """Stands for a detector: the map is the first channel, times `unit`."""

    def __init__(self, unit: float = 1.0):
        self.unit, self.settings = unit, SimpleNamespace(side=6, channels=3)

    def anomaly_map(self, images, batch):
        assert len(images) and images.shape[1:] == (3, 6, 6)
        return images[:, 0].numpy().astype(np.float32) * self.unit


def read_tiff(path):
    """Values of a TIFF file by its tags, which are read here as the standard describes them."""
    content = path.read_bytes()
    order, magic, start = struct.unpack("<2sHI", content[:8])
    assert (order, magic) == (b"II", 42)
    (n,) = struct.unpack_from("<H", content, start)
    tags = {}
    for i in range(n):
        tag, kind, count, _ = struct.unpack_from("<HHII", content, start + 2 + 12 * i)
        assert count == 1
        form = {3: "<H", 4: "<I"}[kind]
        (tags[tag],) = struct.unpack_from(form, content, start + 2 + 12 * i + 8)
    assert list(tags) == sorted(tags)
    assert struct.unpack_from("<I", content, start + 2 + 12 * n) == (0,)  # no other page
    # 16 bits, not compressed, one value a pixel, floating point
    assert [tags[tag] for tag in (258, 259, 277, 339)] == [16, 1, 1, 3]
    width, height, strip = tags[256], tags[257], content[tags[273] :]
    assert tags[278] == height and tags[279] == len(strip) == 2 * width * height
    return np.frombuffer(strip, "<f2").reshape(height, width)


# ---- bad input -----------------------------------------------------------------------------------


def test_what_cannot_be_submitted(split, tmp_path):
    """Would catch a submission of another set, or one that replaces an earlier one."""
    loco_tree(tmp_path / "data" / "mvtec_loco" / "pushpins")
    other = data.one_class(data.load("mvtec_loco", "pushpins", tmp_path / "data"))
    with pytest.raises(ValueError, match="mvtec_loco/pushpins: only images of mvtec_ad_2"):
        submission.write(Brightness(), other, tmp_path / "out")
    with pytest.raises(ValueError, match="holds out no image"):
        submission.write(Brightness(), replace(split, validation=split.test[:0]), tmp_path / "out")
    with pytest.raises(ValueError, match=r"held-out images is 0\.0"):
        submission.write(Brightness(0), split, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    submission.write(Brightness(), split, tmp_path / "out")
    with pytest.raises(ValueError, match="vial is there already"):
        submission.write(Brightness(), split, tmp_path / "out")


def test_a_failure_leaves_nothing_behind(split, tmp_path):
    """Would catch half a category that the server counts as a whole one."""
    private = tmp_path / "data" / "mvtec_ad_2" / "vial" / "test_private_mixed"
    private.rename(private.with_name("elsewhere"))
    with pytest.raises(FileNotFoundError, match="test_private_mixed"):
        submission.write(Brightness(), split, tmp_path / "out")
    private.with_name("elsewhere").rename(private)

    class Infinite(Brightness):
        calls = 0

        def anomaly_map(self, images, batch):
            self.calls += 1
            return super().anomaly_map(images, batch) * np.float32(np.inf if self.calls > 3 else 1)

    with pytest.raises(ValueError, match=r"000_mixed\.png: its map has values"):
        submission.write(Infinite(), split, tmp_path / "out", batch=2)
    assert not list((tmp_path / "out").iterdir())


# ---- what is written -----------------------------------------------------------------------------


def test_files_are_those_that_the_server_expects(split, tmp_path):
    """Would catch other names or folders, public images among them, or a left-over folder."""
    out = submission.write(Brightness(), split, tmp_path / "out")
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert found == sorted(
        f"{kind}/vial/{test}/{i:03d}_{light}{ending}"
        for kind, ending in [("anomaly_images", ".tiff"), ("anomaly_images_thresholded", ".png")]
        for test, light in [("test_private", "regular"), ("test_private_mixed", "mixed")]
        for i in range(3)
    )
    assert sorted(path.name for path in out.iterdir()) == [
        "anomaly_images", "anomaly_images_thresholded",
    ]  # fmt: skip


@pytest.mark.parametrize("unit", [1.0, 1e-7])
def test_maps_have_the_size_and_order_of_the_images(split, tmp_path, unit):
    """Would catch maps of the detector's side, turned ones, and small values that 16 bits lose."""
    private = tmp_path / "data" / "mvtec_ad_2" / "vial" / "test_private"
    picture = np.zeros((*SHAPE, 3), np.uint8)
    picture[:, -3:] = np.arange(0, 60, 10, dtype=np.uint8)[:, None, None]  # brighter to the bottom
    save(private / "000_regular.png", picture)
    out = submission.write(Brightness(unit), split, tmp_path / "out", batch=2)
    values = read_tiff(out / "anomaly_images" / "vial" / "test_private" / "000_regular.tiff")
    assert values.shape == SHAPE and values.dtype == np.float16
    assert (values[:, 0] == 0).all()
    assert (np.diff(values[:, -1].astype(float)) > 0).all()
    validation = split.pixels("validation", 6, 3).numpy()[:, 0].astype(np.float32) * np.float32(
        unit
    )
    scale = 2.0 ** -np.floor(np.log2(validation.max()))
    assert values[-1, -1] == pytest.approx(50 * unit * scale, rel=2**-10)


def test_flagged_pixels(split, tmp_path):
    """Would catch other values than 0 and 255, and another rule than the one that is stated."""
    held = split.pixels("validation", 6, 3).numpy()[:, 0].astype(float)
    usual = held.mean() + 3 * held.std()
    private = tmp_path / "data" / "mvtec_ad_2" / "vial" / "test_private"
    picture = np.full((*SHAPE, 3), 100, np.uint8)
    save(private / "001_regular.png", picture)
    for folder, threshold, flagged in [("a", 100.0, 255), ("b", 100.5, 0), ("c", None, 0)]:
        out = submission.write(Brightness(), split, tmp_path / folder, threshold)
        where = out / "anomaly_images_thresholded" / "vial" / "test_private" / "001_regular.png"
        image = Image.open(where)
        assert (image.mode, image.size) == ("L", SHAPE[::-1])
        assert set(np.unique(image)) == {flagged}
    assert usual > 100
    assert submission._held_out(Brightness(), split, 2)[0] == pytest.approx(usual)
