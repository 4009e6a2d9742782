"""Pixels, masks, digests and the cache: what is decoded, what is refused, what is read again."""

import hashlib
import multiprocessing
import os
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from data_trees import magnetic_tile_tree, mvtec_tree, save, two_folder_tree
from PIL import Image

import adlib.data as data
from adlib.data import decode, synthetic


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


def one_image(folder: Path, name: str = "normal/a.png") -> tuple[data.ImageSet, Path]:
    """A set of two grey images; the second is to be replaced by the test."""
    save(folder / "normal" / "0.png", np.full((8, 8), 100, np.uint8))
    path = folder / name
    if not path.exists():
        save(path, np.full((8, 8), 100, np.uint8))
    return data.load("folder", folder), path


def sixteen_bit_colour(side: int, value: int) -> bytes:
    """A PNG file with 16 bits a channel in RGB, which Pillow cannot write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    row = b"\0" + struct.pack(">H", value) * 3 * side
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * side)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"not a picture", "not an image"), ("half", "truncated")],
)
def test_unreadable_files_are_named(tmp_path, content, message):
    """Catches a bad file that is skipped, or reported without its name."""
    _, path = one_image(tmp_path)
    if content == "half":
        save(path, np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
        content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    images = data.load("folder", tmp_path)
    with pytest.raises(ValueError, match=message) as error:
        images.pixels(side=8)
    assert str(path) in str(error.value)
    assert not list((tmp_path / "cache" / "images").glob("*"))


def palette() -> Image.Image:
    return Image.fromarray(np.full((8, 8), 100, np.uint8)).convert("P")


def half_transparent(mode: str) -> Image.Image:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    return image.convert(mode)


ODD = {  # what is written, what the message says, the value after conversion
    "16-bit": (lambda: Image.fromarray(np.full((8, 8), 25700, np.uint16)), "16-bit", 100),
    "RGBA": (lambda: half_transparent("RGBA"), "RGBA", 127),
    "LA": (lambda: half_transparent("LA"), "alpha", 127),
    "palette": (palette, "palette", 100),
    "1-bit": (lambda: Image.new("1", (8, 8), 1), "1-bit", 255),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_pixel_types(tmp_path, kind):
    """Catches an odd file that loads unasked, or converts to other values than the rules say."""
    make, message, value = ODD[kind]
    images, path = one_image(tmp_path)
    make().save(path)
    with pytest.raises(ValueError, match=message) as error:
        images.pixels(side=8)
    assert str(path) in str(error.value)
    assert "convert=True" in str(error.value)
    converted = data.load("folder", tmp_path, convert=True).pixels(side=8)
    assert converted[0].unique().tolist() == [100]
    assert converted[1].unique().tolist() == [value]


def test_odd_colour_files(tmp_path):
    """Catches CMYK and 16-bit colour, which decode without a word, taken as plain colour."""
    images, path = one_image(tmp_path, "normal/a.jpg")
    Image.new("CMYK", (8, 8), (0, 0, 0, 155)).save(path)
    with pytest.raises(ValueError, match="CMYK"):
        images.pixels(side=8)
    grey = data.load("folder", tmp_path, convert=True).pixels([1], side=8)
    assert (grey.int() - 100).abs().max() <= 2
    path.unlink()
    path = path.with_suffix(".png")
    path.write_bytes(sixteen_bit_colour(8, 100 * 256 + 7))
    images = data.load("folder", tmp_path)
    with pytest.raises(ValueError, match="16-bit"):
        images.pixels(side=8)
    converted = data.load("folder", tmp_path, convert=True).pixels([1], side=8)
    assert converted.unique().tolist() == [100]


def test_a_picture_of_182_megapixels(tmp_path):
    """Catches a picture that Pillow takes for an attack, and a warning of one that is read."""
    path = tmp_path / "large.png"
    Image.new("L", (13_500, 13_500), 77).save(path, compress_level=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode.image_size(path) == (13_500, 13_500)
        assert (decode.resized(decode.open_image(path, True), 4, 1) == 77).all()


def test_the_limit_is_of_bytes_and_named(tmp_path, monkeypatch):
    """Catches a picture that fills the memory, and one that is refused without what is allowed."""
    monkeypatch.setattr(decode, "LARGEST", 4000)
    for mode, side in (("L", 63), ("1", 63), ("RGB", 31)):
        Image.new(mode, (side, side)).save(tmp_path / "a.png")
        assert decode.open_image(tmp_path / "a.png", True).size == (side, side)
        Image.new(mode, (side + 1, side + 1)).save(tmp_path / "a.png")
        size = f"{side + 1} x {side + 1} pixels"
        said = rf"a\.png: a picture of {size} that takes more than 4,000 bytes"
        with pytest.raises(ValueError, match=said):
            decode.open_image(tmp_path / "a.png", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow is asked first
    with pytest.raises(ValueError, match=r"a\.png: a picture that takes more than 4,000 bytes"):
        decode.open_image(tmp_path / "a.png", True)


def test_float_pictures_have_no_way_in(tmp_path):
    """Catches floating-point pixels clipped to 0 and 255 in silence."""
    _, path = one_image(tmp_path, "normal/a.tif")
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(path)
    with pytest.raises(ValueError, match="floating-point"):
        data.load("folder", tmp_path, convert=True).pixels(side=8)


def test_mixed_grey_and_colour(tmp_path):
    """Catches a set whose files differ in kind, where colour alone could tell them apart."""
    images, path = one_image(tmp_path)
    save(path, np.full((8, 8, 3), (255, 0, 0), np.uint8))
    with pytest.raises(ValueError, match="mixes grey and colour") as error:
        images.pixels(side=8)
    assert str(path) in str(error.value)
    converted = data.load("folder", tmp_path, convert=True)
    assert converted.pixels(side=8)[:, :, 0, 0].tolist() == [[100, 100, 100], [255, 0, 0]]
    assert converted.pixels(side=8, channels=1)[:, :, 0, 0].tolist() == [[100], [76]]


def test_exif_rotation(tmp_path):
    """Catches a picture that lies on its side for the detector but not for the viewer."""
    images, path = one_image(tmp_path, "normal/a.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    pixels = np.zeros((8, 16), np.uint8)
    pixels[:, :8] = 200  # left half bright: the top half once it is turned
    save(path, pixels, exif=exif)
    with pytest.raises(ValueError, match="EXIF") as error:
        images.pixels(side=8)
    assert str(path) in str(error.value)
    turned = data.load("folder", tmp_path, convert=True).pixels([1], side=8, channels=1)[0, 0]
    assert turned[:3].min() > 150
    assert turned[5:].max() < 50
    assert decode.image_size(path) == (16, 8)
    assert decode.image_size(path, convert=True) == (8, 16)


def test_mask_of_another_size(tmp_path):
    """Catches a mask that is stretched over its image, and a mask of a kind that is misread."""
    folder = mvtec_tree(tmp_path / "mine")
    path = folder / "ground_truth" / "blot" / "0001_mask.png"
    images = data.load("folder", folder)
    save(path, np.zeros((16, 15), bool))
    with pytest.raises(ValueError, match="15 x 16") as error:
        images.masks(side=8)
    assert str(path) in str(error.value)
    Image.new("RGBA", (16, 16)).save(path)
    with pytest.raises(ValueError, match="a mask must be"):
        images.masks(side=8)


def test_shapes_types_and_order(tmp_path):
    """Catches axes in the wrong order, rows mixed up by threads or index, and wrong types."""
    shades = np.arange(0, 250, 10, dtype=np.uint8)
    for i, shade in enumerate(shades):
        save(tmp_path / "normal" / f"{i:02d}.png", np.full((4, 4, 3), (shade, 1, 2), np.uint8))
    images = data.load("folder", tmp_path)
    pixels = images.pixels(side=6)
    assert pixels.shape == (25, 3, 6, 6)
    assert pixels.dtype == torch.uint8
    assert pixels[:, 0, 0, 0].tolist() == shades.tolist()
    assert pixels[3, :, 0, 0].tolist() == [30, 1, 2]
    index = [7, 3, 3, 24]
    for kind in (list, np.array, torch.tensor):
        assert torch.equal(images.pixels(kind(index), 6), pixels[index])
    assert torch.equal(images.pixels(slice(2, 5), 6), pixels[2:5])
    assert torch.equal(images.pixels(shades > 100, 6), pixels[shades > 100])
    assert images.pixels([], 6).shape == (0, 3, 6, 6)
    assert images.pixels(side=6, channels=1).shape == (25, 1, 6, 6)
    assert images.pixels([1]).shape == (1, 3, 4, 4)
    with pytest.raises(ValueError, match="channels"):
        images.pixels(side=6, channels=4)
    with pytest.raises(ValueError, match="side"):
        images.pixels(side=0)
    with pytest.raises(IndexError):
        images.pixels([25], 6)


def test_sizes_that_differ_need_a_side(tmp_path):
    """Catches images of several sizes handed out at a size nobody chose."""
    magnetic_tile_tree(tmp_path / "magnetic_tile")
    images = data.load("magnetic_tile", "tile", tmp_path)
    with pytest.raises(ValueError, match="side="):
        images.pixels()
    assert images.pixels(side=12, channels=1).shape == (14, 1, 12, 12)
    masks = images.masks(side=12)
    assert (masks.flatten(1).any(1).numpy() == images.table["label"].to_numpy()).all()


def test_resize_is_antialiased():
    """Catches a resize that samples points: stripes one pixel wide then turn black or white."""
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (64, 32)))
    small = decode.resized(stripes, 16, 1)
    assert abs(int(small[0, 8, 8]) - 127) <= 3
    point = np.zeros((64, 64), bool)
    point[10, 33] = True
    assert decode.resized_mask(point, 16).sum() == 1  # a small defect does not vanish
    half = np.zeros((64, 64), bool)
    half[:, :32] = True
    assert decode.resized_mask(half, 16)[:, :8].all()
    assert not decode.resized_mask(half, 16)[:, 8:].any()
    assert not decode.resized_mask(np.zeros((64, 64), bool), 16).any()


def test_masks_are_read_whatever_their_scale(tmp_path):
    """Catches masks of 0 and 1 read as empty, and JPEG noise read as defects."""
    truth = np.zeros((16, 16), bool)
    truth[4:8, 4:8] = True
    image = save(tmp_path / "image.png", np.zeros((16, 16), np.uint8))
    noisy = truth * 250 + np.random.default_rng(0).integers(0, 6, truth.shape)
    for i, values in enumerate([truth * 1, truth * 255, noisy]):
        mask = save(tmp_path / f"{i}.png", values.astype(np.uint8))
        assert (decode.open_mask(mask, image) == truth).all()


def test_cache_is_used_and_renewed(tmp_path, monkeypatch):
    """Catches images decoded at every call, and old pixels after a file changed."""
    folder = two_folder_tree(tmp_path / "mine")
    first = data.load("folder", folder).pixels(side=8)
    opened = []
    real = decode.open_image
    monkeypatch.setattr(decode, "open_image", lambda *a: opened.append(a) or real(*a))
    assert torch.equal(data.load("folder", folder).pixels([3, 1], side=8), first[[3, 1]])
    assert not opened
    before = data.load("folder", folder)
    digests, print_before = before.digests(), before.fingerprint()
    save(folder / "abnormal" / "blot_0000.png", np.full((16, 16, 3), 9, np.uint8))
    after = data.load("folder", folder)
    assert after.pixels([0], side=8).unique().tolist() == [9]
    assert opened
    assert after.digests()[0] != digests[0]
    assert after.digests()[1:] == digests[1:]
    assert after.fingerprint() != print_before


def test_another_file_of_equal_size_and_time_is_seen(tmp_path):
    """Catches old pixels and digests after files were replaced by a tool that keeps their times."""
    folder = two_folder_tree(tmp_path / "mine")
    image = folder / "abnormal" / "blot_0000.png"
    data.load("folder", folder).pixels(side=8)
    digest = data.load("folder", folder).digests()[0]
    before = image.stat()
    content = bytearray(image.read_bytes())
    content[-1] ^= 1  # of the last checksum: equal pixels, other bytes
    (tmp_path / "other").write_bytes(content)
    (tmp_path / "other").replace(image)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert image.stat().st_size == before.st_size
    assert image.stat().st_mtime_ns == before.st_mtime_ns
    assert data.load("folder", folder).digests()[0] != digest
    data.load("folder", folder).pixels(side=8)
    assert len(list((tmp_path / "cache" / "images").iterdir())) == 2


@pytest.mark.parametrize("length", [0, 60, -1])
def test_cache_files_that_are_cut_are_made_again(tmp_path, length):
    """Catches a full disk or a crash of yesterday that makes every run of today fail."""
    folder = two_folder_tree(tmp_path / "mine")
    whole = data.load("folder", folder)
    pixels, digests = whole.pixels(side=32), whole.digests()
    (cached,) = (tmp_path / "cache" / "images").iterdir()
    (stored,) = (tmp_path / "cache" / "digests").iterdir()
    for path in (cached, stored):
        path.write_bytes(path.read_bytes()[:length])
    again = data.load("folder", folder)
    with pytest.warns(UserWarning, match=f"{cached.name}: the cache file is damaged"):
        assert torch.equal(again.pixels(side=32), pixels)
    with pytest.warns(UserWarning, match=f"{stored.name}: the cache file is damaged"):
        assert again.digests() == digests
    assert torch.equal(data.load("folder", folder).pixels(side=32), pixels)


def cached(folder, pipe):
    """Load a folder in another process; its pixels are decoded when `pipe` says so."""
    images = data.load("folder", folder)
    pipe.send("ready")
    pipe.recv()
    pipe.send((os.getpid(), int(images.pixels(side=96).long().sum()), images.fingerprint()))


def test_two_processes_build_one_cache(tmp_path):
    """Catches a half-written cache file read by another process that asks at the same time."""
    folder = two_folder_tree(tmp_path / "mine", 40, 20)
    images = data.load("folder", folder)
    # A fork has torch already; elsewhere than on Linux it would not be safe.
    processes = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pipe, theirs = processes.Pipe()
    other = processes.Process(target=cached, args=(folder, theirs))
    other.start()
    theirs.close()
    assert pipe.recv() == "ready"
    pipe.send("go")
    total = int(images.pixels(side=96).long().sum())
    assert pipe.recv() == (other.pid, total, images.fingerprint())
    other.join()
    assert other.exitcode == 0
    assert total == int(data.load("folder", folder).pixels(side=96).long().sum())
    assert len(list((tmp_path / "cache" / "images").iterdir())) == 1  # nothing temporary is left


def test_digests_are_of_the_bytes(tmp_path):
    """Catches digests of decoded pixels, and fingerprints blind to labels or masks."""
    folder = mvtec_tree(tmp_path / "mine")
    images = data.load("folder", folder)
    path = images.root / images.table["path"].iloc[0]
    assert images.digests()[0] == hashlib.sha256(path.read_bytes()).hexdigest()
    fingerprint = images.fingerprint()
    mask = folder / "ground_truth" / "blot" / "0000_mask.png"
    save(mask, np.zeros((16, 16), bool))
    assert data.load("folder", folder).fingerprint() != fingerprint


def test_synthetic_masks_and_seed():
    """Catches masks beside the defect, defects on normal images, and images without a seed."""
    for category in data.categories("synthetic"):
        images, masks, rows = synthetic.generate(category, 32, 4, 3, 5, seed=1)
        labels = np.array([label for _, label, _, _ in rows])
        assert images.shape == (12, 32, 32, 3)
        assert labels.sum() == 5
        assert (masks.any((1, 2)) == labels).all()
        again = synthetic.generate(category, 32, 4, 3, 5, seed=1)[0]
        assert (images == again).all()
        assert (images != synthetic.generate(category, 32, 4, 3, 5, seed=2)[0]).any()
        for image, mask in zip(images[labels == 1], masks[labels == 1], strict=True):
            inside = image[mask].mean(1)
            assert inside.std() < 1  # a defect is of one shade
    loaded = data.load("synthetic", "object")
    assert loaded.masks().shape == (112, 64, 64)
    assert loaded.fingerprint() == data.load("synthetic", "object").fingerprint()
    assert loaded.fingerprint() != data.load("synthetic", "texture").fingerprint()


def test_large_sets_are_built_in_blocks(tmp_path, monkeypatch):
    """Catches rows lost or doubled between the blocks in which a cache file is written."""
    from adlib.data import cache

    folder = two_folder_tree(tmp_path / "mine", 20, 3)
    whole = data.load("folder", folder).pixels(side=16)
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(cache, "_BLOCK", 1)
    monkeypatch.setattr(cache, "WORKERS", 3)
    assert torch.equal(data.load("folder", folder).pixels(side=16), whole)
