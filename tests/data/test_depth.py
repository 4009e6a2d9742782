"""Number formats, pages and masks: the right value of each kind of file, or a named error."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from data_trees import save
from PIL import Image

from adlib.data import Conversion, decode

RAMP = np.arange(64 * 64).reshape(64, 64)  # 12 bits, each value once
WIDE = RAMP * 16 + 15  # 16 bits
COLOUR = np.stack([WIDE, WIDE.T, WIDE[::-1]], -1)
TWELVE = np.rint(RAMP * 255 / 4095)
SIXTEEN = np.rint(WIDE * 255 / 65535)


def tiff(path: Path, values: np.ndarray, raw: bytes = b"", order: str = "<", **tags: int) -> Path:
    """Write a TIFF of one strip, whose header says what the tags say of the `values`."""
    raw, (height, width) = raw or values.tobytes(), values.shape[:2]
    channels = values.shape[2] if values.ndim == 3 else 1
    bits = tags.get("bits", 8 * values.itemsize)
    if packed := tags.get("compression", 1) == 8:
        raw = zlib.compress(raw)
    entries = [
        (256, [width]), (257, [height]), (258, [bits] * channels), (259, [8 if packed else 1]),
        (262, [tags.get("photometric", 2 if channels >= 3 else 1)]), (273, [8]), (277, [channels]),
        (278, [height]), (279, [len(raw)]), (284, [tags.get("planar", 1)]),
        *([(338, [tags["extra"]])] if "extra" in tags else []),
        (339, [tags.get("numbers", 1)] * channels),
    ]  # fmt: skip
    behind = 8 + len(raw) + 2 + 12 * len(entries) + 4
    table, tail = struct.pack(order + "H", len(entries)), b""
    for tag, content in entries:
        code = "I" if tag in (273, 279) else "H"
        field = struct.pack(f"{order}{len(content)}{code}", *content).ljust(4, b"\0")
        if len(field) > 4:
            field, tail = struct.pack(order + "I", behind + len(tail)), tail + field
        table += struct.pack(order + "HHI", tag, 4 if code == "I" else 3, len(content)) + field
    magic = b"II*\0" if order == "<" else b"MM\0*"
    start = struct.pack(order + "I", 8 + len(raw))
    path.write_bytes(magic + start + raw + table + bytes(4) + tail)
    return path


def png16(path: Path, values: np.ndarray, colour_type: int) -> Path:
    """Write a PNG of 16 bits a channel, also of the kinds that Pillow cannot write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    size = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour_type, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in values))
    body = chunk(b"IHDR", size) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def read(path: Path, **said: object) -> np.ndarray:
    return np.asarray(decode.open_image(path, Conversion(**said)))


def test_grey_of_more_than_8_bits(tmp_path):
    """Would catch levels lost, byte orders mixed up, and files whose 0 is white turned over."""
    bits = "".join(f"{value:012b}" for value in RAMP.ravel())
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    assert (read(tiff(tmp_path / "12.tif", RAMP, packed, bits=12)) == TWELVE).all()
    little, big = WIDE.astype("<u2"), WIDE.astype(">u2")
    for name, tags in {"plain": {}, "zip": {"compression": 8}}.items():
        assert (read(tiff(tmp_path / f"{name}.tif", little, **tags)) == SIXTEEN).all()
        assert (read(tiff(tmp_path / f"{name}.tif", big, order=">", **tags)) == SIXTEEN).all()
        white = tiff(tmp_path / f"{name}.tif", little, photometric=0, **tags)
        assert (read(white) == 255 - SIXTEEN).all()
    assert (read(png16(tmp_path / "a.png", WIDE, 0)) == SIXTEEN).all()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [1, 8])
def test_colour_of_16_bits(tmp_path, order, compression):
    """Would catch low bytes that are lost, or taken from the wrong side."""
    wanted = np.rint(COLOUR * 255 / 65535)
    path = tmp_path / "a.tif"
    tags = {"order": order, "compression": compression}
    values = COLOUR.astype(order + "u2")
    assert (read(tiff(path, values, **tags)) == wanted).all()
    with_alpha = np.dstack([values, np.full_like(WIDE, 65535)]).astype(order + "u2")
    assert (read(tiff(path, with_alpha, extra=2, **tags)) == wanted).all()
    assert (read(tiff(path, with_alpha, extra=0, **tags)) == wanted).all()
    narrow = tiff(path, (COLOUR // 16).astype(order + "u2"), **tags)
    assert (read(narrow, range=(0, 4095)) == np.rint((COLOUR // 16) * 255 / 4095)).all()


def test_png_colour_of_16_bits(tmp_path):
    """Would catch 12 bits in 16 of which 16 levels are left, and alpha taken for a colour."""
    path, twelve = tmp_path / "a.png", COLOUR // 16
    wanted = np.rint(twelve * 255 / 4095)
    assert (read(png16(path, twelve, 2), range=(0, 4095)) == wanted).all()
    with pytest.raises(ValueError, match=r"from 0 to 4095.*range=.*\(0, 4095\) for 12 bits"):
        read(path)
    clear = np.dstack([twelve, np.full_like(RAMP, 65535)])
    clear[:8, :, 3] = 0
    wanted[:8] = 255
    assert (read(png16(path, clear, 6), range=(0, 4095)) == wanted).all()
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(WIDE[:, :32].astype(np.uint16)).save(path, exif=turned)
    assert (read(path) == np.rot90(SIXTEEN[:, :32], -1)).all()


NOTHING_SAID = {  # values, tags, their range, and what the message says
    "signed 8-bit": ((RAMP % 256 - 128).astype("i1"), {"numbers": 2}, (-128, 127), "-128 to 127"),
    "signed 16-bit": ((RAMP - 2000).astype("<i2"), {"numbers": 2}, (-2000, 2095), "-2000 to 2095"),
    "signed 32-bit": ((RAMP % 256).astype("<i4"), {"numbers": 2}, (0, 255), "0 to 255"),
    "32-bit": ((RAMP * 10**6).astype("<u4"), {}, (0, 4095 * 10**6), "0 to 4095000000"),
    "floating-point": (RAMP.astype("<f4") / 4096, {"numbers": 3}, (0, 4095 / 4096), "0.0 to 0.9"),
}


@pytest.mark.parametrize("numbers", NOTHING_SAID)
def test_numbers_without_a_range_ask_for_it(tmp_path, numbers):
    """Would catch 0 to 255 in 32 bits of which two levels are left, and signed taken unsigned."""
    values, tags, limits, message = NOTHING_SAID[numbers]
    path = tiff(tmp_path / "a.tif", values, **tags)
    with pytest.raises(ValueError, match=f"a.tif.*{numbers} picture run from {message}.*range="):
        read(path)
    with pytest.raises(ValueError, match=f"is {numbers}; 8-bit grey or RGB is expected"):
        decode.open_image(path)
    low, high = limits
    wanted = np.rint((values.astype(float) - low) * 255 / (high - low))
    assert (read(path, range=limits) == wanted).all()
    with pytest.raises(ValueError, match="outside the range"):
        read(path, range=(low, (low + high) / 2))


def test_layouts_that_cannot_be_read_are_named(tmp_path):
    """Would catch planes of 16 bits read as noise, which Pillow gives as plain 8-bit colour."""
    planes = np.ascontiguousarray(COLOUR.transpose(2, 0, 1)).astype("<u2").tobytes()
    planar = tiff(tmp_path / "planar.tif", COLOUR.astype("<u2"), planes, planar=2)
    grey_alpha = png16(tmp_path / "la.png", np.dstack([WIDE, WIDE]), 4)
    for path in (planar, grey_alpha):
        with pytest.raises(ValueError, match=f"{path.name}: 16-bit pixels.*another layout"):
            read(path)
        with pytest.raises(ValueError, match="16-bit"):
            decode.open_image(path)


@pytest.mark.parametrize("said", [{"range": (5, 5)}, {"range": (0, np.nan)}, {"page": 0}])
def test_what_is_said_is_checked(said):
    """Would catch a range that divides by zero, and a page from the end."""
    with pytest.raises(ValueError, match=next(iter(said))):
        Conversion(**said)


def test_alpha_that_hides_everything(tmp_path):
    """Would catch pictures that come out white: BMP with header V4, BGRA of a camera."""
    colour = np.stack([RAMP % 256] * 3 + [RAMP * 0], -1).astype(np.uint8)
    save(tmp_path / "a.png", colour)
    assert (read(tmp_path / "a.png") == colour[..., :3]).all()
    Image.fromarray(colour).convert("LA").save(tmp_path / "la.png")
    assert (read(tmp_path / "la.png") == colour[..., 0]).all()
    pixels = colour[::-1, :, [2, 1, 0, 3]].tobytes()
    head = struct.pack("<IiiHHIIiiII", 108, 64, 64, 1, 32, 3, len(pixels), 2835, 2835, 0, 0)
    head += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    start = struct.pack("<IHHI", 122 + len(pixels), 0, 0, 122)
    (tmp_path / "v4.bmp").write_bytes(b"BM" + start + head.ljust(108, b"\0") + pixels)
    assert (read(tmp_path / "v4.bmp") == colour[..., :3]).all()


def paged(path: Path, *pages: tuple[int, int, int]) -> Path:
    """Write a TIFF with a page of each (side, grey, NewSubfileType)."""
    first, *others = (Image.new("L", (side, side), grey) for side, grey, _ in pages)
    for picture, (_, _, kind) in zip([first, *others], pages, strict=True):
        picture.encoderinfo = {"tiffinfo": {254: kind}}
    first.save(path, save_all=True, append_images=others, tiffinfo={254: pages[0][2]})
    return path


def test_pages(tmp_path):
    """Would catch a preview taken for the picture, and a stack read by its first page."""
    path = tmp_path / "a.tif"
    for pages in [((8, 90, 0), (4, 20, 1)), ((4, 20, 1), (8, 90, 0)), ((8, 90, 0), (8, 1, 4))]:
        assert (read(paged(path, *pages)) == np.full((8, 8), 90)).all()
        assert decode.image_size(path) == (8, 8)
    stack = paged(path, (8, 10, 2), (4, 20, 1), (6, 30, 2))
    for convert in (False, True):
        with pytest.raises(ValueError, match=r"a.tif holds 2 full pages.*page=1 to page=2"):
            decode.open_image(stack, convert)
    assert (read(stack, page=2) == np.full((6, 6), 30)).all()
    assert decode.image_size(stack, Conversion(page=2)) == (6, 6)
    with pytest.raises(ValueError, match="holds 2 full pages"):
        read(stack, page=3)
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(ValueError, match="2 full pages or frames"):
        read(tmp_path / "a.webp")
    assert read(tmp_path / "a.webp", page=2)[0, 0].tolist() == [0, 0, 255]
    frames[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=frames[1:])
    assert read(tmp_path / "a.jpg")[0, 0, 0] > 250


def mask_of(path: Path, values: np.ndarray, **options: object) -> np.ndarray:
    image = save(path.with_name("image.png"), np.zeros(values.shape[:2], np.uint8))
    return decode.open_mask(save(path, values.astype(np.uint8), **options), image)


def test_masks_of_labels(tmp_path):
    """Would catch all but the largest label, or all but the brightest colour, taken as normal."""
    labels = np.zeros((32, 32), int)
    labels[4:8, 4:8], labels[20:30, 20:30] = 1, 3
    path = tmp_path / "mask.png"
    assert (mask_of(path, labels) == (labels > 0)).all()
    assert (mask_of(path, labels * 50) == (labels > 0)).all()
    many = np.arange(32 * 32).reshape(32, 32) // 64  # 0 to 15
    assert (mask_of(path, many) == (many > 0)).all()
    colours = np.zeros((4, 3), int)
    colours[1], colours[3] = (255, 0, 0), (0, 0, 120)
    assert (mask_of(path, colours[labels]) == (labels > 0)).all()
    palette = Image.fromarray(labels.astype(np.uint8)).convert("P")
    palette.putpalette(colours.astype(np.uint8).tobytes())
    palette.save(path)
    assert (decode.open_mask(path, tmp_path / "image.png") == (labels > 0)).all()


def test_masks_of_shades(tmp_path):
    """Would catch noise of a JPEG or a soft edge that grows a defect, and labels lost in noise."""
    truth = np.zeros((32, 32), bool)
    truth[8:24, 8:24] = True
    path = tmp_path / "mask.jpg"
    assert (mask_of(path, truth * 255, quality=50) == truth).all()
    soft = 255 - 15 * np.abs(np.arange(32) - 16) + np.zeros((32, 1), int)
    assert (mask_of(tmp_path / "soft.png", soft) == (soft > 127)).all()
    with pytest.raises(ValueError, match=r"mask.jpg: values 0, .*labels or the noise"):
        mask_of(path, truth * 3, quality=95)
    near = truth * 255
    near[8, 8] = 1
    with pytest.raises(ValueError, match=r"values 0, 1, 255 .*labels or the noise"):
        mask_of(tmp_path / "near.png", near)
    deep = tmp_path / "deep.png"
    png16(deep, np.dstack([truth * 3] * 3), 2)
    with pytest.raises(ValueError, match="a mask must be 8-bit.* it is 16-bit"):
        decode.open_mask(deep, tmp_path / "image.png")
