"""From image files to arrays of one size: what is accepted, converted and how it is resized.

Accepted as they are: 8-bit grey and 8-bit RGB (1, 2 and 4 bits of grey fill the range). Anything
else is an error unless `convert` is set (True, or a `Conversion`); then

- an EXIF orientation is applied (the picture is turned the way a viewer shows it);
- alpha is composited on white, also where a palette carries transparency; an alpha channel that is
  0 everywhere hides the whole picture, which nobody means, so it counts as none;
- a palette, CMYK, YCbCr, LAB or HSV picture becomes RGB by Pillow's conversion (no colour profile);
- a 1-bit picture becomes grey 0 and 255;
- a set that mixes grey and colour is accepted: grey gets three equal channels, and where one
  channel is asked for colour becomes ITU-R 601 luma;
- more than 8 bits a channel become 8 by the rule of numbers.

The rule of numbers: the value v becomes round(255 (v - black) / (white - black)), the same for
every picture, never stretched by what one picture holds. `Conversion.range` says black and white.
Without it they are what the file says, 0 and the largest value of its bits: 4095 in a packed 12-bit
TIFF, 65535 in 16 bits. It is an error, which names the values and asks for `range`, where

- the file says nothing: signed, 32-bit and floating-point values;
- a 16-bit picture stays below a quarter of 65535: it may be dark, or hold 10, 12 or 14 bits;
- a value lies outside the range.

The tags MaxSampleValue (of one picture) and sBIT (bits before scaling) say no range.

Pages: of an MPO file (phones) the first is taken, of a TIFF the only one that is no reduced copy or
mask of another. Several full pages or frames are an error, unless `Conversion.page` takes one.

Size: any up to `LARGEST` bytes decoded, which are 268 megapixels of colour (four bytes each) and
1,073 of grey; a larger picture is an error. Pillow's own limit is lifted to as many pixels.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from adlib.data import depth

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
RULE = "bilinear-antialiased-2"  # part of the cache key: changes with any change of rules here
LARGEST = 2**30  # bytes of a picture as Pillow holds it
Image.MAX_IMAGE_PIXELS = LARGEST
_LARGE = 2**28  # bytes from which on pictures are decoded one at a time, whatever the threads
_TURN = threading.Lock()
_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)  # orientations that swap width and height
_SUBFILE, _OLD_SUBFILE = 254, 255  # tags of TIFF
_MODES = {
    "1": "1-bit", "P": "palette", "PA": "palette", "LA": "grey with alpha", "La": "grey with alpha",
}  # fmt: skip
_FEW = 5  # values up to which a mask holds labels, not shades
_LABELS = 32  # a lossless mask with all values below this holds labels
_NOISE = 8  # a value up to this beside white may be noise or a label


@dataclass(frozen=True)
class Conversion:
    """How to convert what is not plain, where a file leaves it open.

    Attributes:
        range: values that become black and white in pictures of more than 8 bits a channel.
        page: which full page or frame of a file to take, from 1.
    """

    range: tuple[float, float] | None = None
    page: int | None = None

    def __post_init__(self) -> None:
        if self.range is not None:
            low, high = self.range
            if not -inf < low < high < inf:
                raise ValueError(f"range={self.range}: two numbers, black below white, are needed")
        if self.page is not None and self.page < 1:
            raise ValueError(f"page={self.page}: pages count from 1")


def _said(convert: bool | Conversion) -> Conversion:
    """What the user says of range and page."""
    return convert if isinstance(convert, Conversion) else Conversion()


@contextmanager
def _reading(path: Path, fault: str = "damaged or truncated image") -> Iterator[None]:
    """Turn what Pillow raises into a ValueError that names the file."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: {fault} ({error}). Get it again or remove it.") from error


def _too_large(path: Path, of: str = "") -> ValueError:
    return ValueError(
        f"{path}: a picture{of} that takes more than {LARGEST:,} bytes decoded, the most that is "
        "read. Save it smaller, or cut it into several."
    )


def _bytes(image: Image.Image) -> int:
    """Bytes that an opened picture takes in memory."""
    wide = 2 if image.mode.startswith("I;16") else 4
    return image.width * image.height * (1 if image.mode in ("1", "L", "P") else wide)


def _opened(path: Path, convert: bool | Conversion = False) -> Image.Image:
    """Open a file at the page that is its picture, the header only."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: listed, but no longer there. Load the data set again.")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty (0 bytes). Get it again or remove it.")
    with _reading(path, "not an image that can be read"):
        image = Image.open(path)
        pages = _full_pages(image)
    page = _said(convert).page
    if page is None and len(pages) > 1 or page and page > len(pages):
        image.close()
        raise ValueError(
            f"{path} holds {len(pages)} full pages or frames. Save each as a file of its own, or "
            f"say which one counts in every file: page=1 to page={len(pages)}."
        )
    with _reading(path):
        image.seek(pages[(page or 1) - 1])
    if _bytes(image) > LARGEST:
        image.close()
        raise _too_large(path, f" of {image.width:,} x {image.height:,} pixels")
    return image


def _full_pages(image: Image.Image) -> list[int]:
    """Pages or frames that are pictures of their own."""
    pages = range(getattr(image, "n_frames", 1))
    if image.format == "MPO":
        return [0]
    if image.format != "TIFF" or len(pages) == 1:
        return list(pages)
    full = []
    for page in pages:
        image.seek(page)
        # Bit 0: a reduced copy; bit 2: a mask; in the old tag 2 is a reduced copy.
        aside = image.tag_v2.get(_SUBFILE, 0) & 0b101 or image.tag_v2.get(_OLD_SUBFILE) == 2
        full += [] if aside else [page]
    return full or [0]


def _oddity(image: Image.Image) -> str:
    """Why a picture is not plain 8-bit grey or RGB; empty where it is."""
    if numbers := depth.numbers(image):
        return numbers
    if image.mode not in ("L", "RGB"):
        return _MODES.get(image.mode, f"of pixel type {image.mode}")
    if "transparency" in image.info:
        return f"{'grey' if image.mode == 'L' else 'RGB'} with a transparent colour"
    return ""


def _eight_bits(
    image: Image.Image, coding: str, numbers: str, path: Path, convert: bool | Conversion
) -> Image.Image:
    """A loaded picture of other numbers as 8-bit "L", "RGB" or "RGBA", turned by EXIF."""
    colour = coding in depth.OTHER_BYTE
    if "transparency" in image.info or (image.mode[0] not in "LIF" and not colour):
        raise ValueError(
            f"{path}: {numbers} pixels with a transparent colour, or in another layout than grey, "
            "RGB or RGBA, pixel by pixel, cannot be read. Save it as 8-bit or 16-bit grey or RGB."
        )
    values, alpha = np.asarray(ImageOps.exif_transpose(image)), None
    if colour:
        with _opened(path, convert) as again, _reading(path):
            depth.keep_other_byte(again)
            low = np.asarray(ImageOps.exif_transpose(again))
        alpha = values[..., 3] if image.mode == "RGBA" else None
        values = (values.astype(np.uint16) << 8 | low)[..., :3]
    levels = depth.levels(values, numbers, _said(convert).range, path)
    if depth.white_is_zero(image):
        levels = 255 - levels
    return Image.fromarray(levels if alpha is None else np.dstack([levels, alpha]))


def _eight_bit_modes(image: Image.Image) -> Image.Image:
    """A picture of 8-bit numbers as "L" or "RGB"."""
    if image.mode == "1":
        return image.convert("L")
    target = "L" if image.mode in ("L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getextrema()[3] != (0, 0):
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        image = image.convert("RGB")
    return image if image.mode == target else image.convert(target)


def open_image(path: Path, convert: bool | Conversion = False) -> Image.Image:
    """Read a picture as 8-bit grey ("L") or RGB, loaded.

    An empty, damaged, too large or non-image file, one of several pages and one whose numbers have
    no agreed range are ValueErrors that name file and way out; without `convert` so is a picture of
    other pixels, and one that EXIF turns.
    """
    with _opened(path, convert) as image, _TURN if _bytes(image) > _LARGE else nullcontext():
        oddity, numbers, coding = _oddity(image), depth.numbers(image), depth.coding(image)
        with _reading(path):
            image.load()
            orientation = image.getexif().get(_ORIENTATION, 1)
        if convert and numbers:
            return _eight_bit_modes(_eight_bits(image, coding, numbers, path, convert))
        if convert:
            with _reading(path):  # an upright picture is not copied
                upright = image if orientation == 1 else ImageOps.exif_transpose(image)
                return _eight_bit_modes(upright)
    if oddity:
        raise ValueError(
            f"{path}: the image is {oddity}; 8-bit grey or RGB is expected. Convert the file, or "
            "load with convert=True (rules in adlib.data.decode)."
        )
    if orientation != 1:
        raise ValueError(
            f"{path}: EXIF says the picture is to be turned (orientation {orientation}). Save it "
            "upright, or load with convert=True, which turns it."
        )
    return image


def image_size(path: Path, convert: bool | Conversion = False) -> tuple[int, int]:
    """Width and height in pixels: as stored, or with `convert` after any EXIF rotation."""
    with _opened(path, convert) as image, _reading(path):
        # Most formats give the orientation without decoding, which takes long for many files.
        turned = convert and image.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE
        return image.size[::-1] if turned else image.size


def open_mask(path: Path, image_path: Path, convert: bool | Conversion = False) -> np.ndarray:
    """Read a mask as booleans (H, W), True = defective.

    A pixel's value is that of its largest channel. Labels count where they are above 0: at most
    five different values, or all below 32, in a lossless file. Shades (soft edges, noise of JPEG)
    count above half of the largest one. ValueErrors: a damaged file, more than 8 bits, alpha, a
    mask of another size than its image, and values that may be labels or noise.
    """
    with _opened(path) as mask:
        if mask.mode not in ("1", "L", "P", "RGB") or depth.numbers(mask):
            raise ValueError(
                f"{path}: a mask must be 8-bit grey, palette or RGB, 0 (black) = normal; it is "
                f"{_oddity(mask)}. Save it so."
            )
        with _reading(path):
            mask.load()
        if mask.size != (size := image_size(image_path, convert)):
            raise ValueError(
                f"{path}: the mask has {mask.width} x {mask.height} pixels but its image "
                f"{image_path} has {size[0]} x {size[1]}. Make them equal, or remove the mask "
                "folder."
            )
        lossy = mask.format in ("JPEG", "MPO", "WEBP")
        values = np.asarray(mask.convert("L" if mask.mode in ("1", "L") else "RGB"))
    values = values if values.ndim == 2 else values.max(2)
    return values > _normal_up_to(values, lossy, path)


def _normal_up_to(values: np.ndarray, lossy: bool, path: Path) -> float:
    """The largest value (H, W) of a mask that is still normal."""
    found = np.flatnonzero(np.bincount(values.ravel()))
    most, few = found[-1], len(found) <= _FEW
    noise = few and most >= 128 and ((found > 0) & (found <= _NOISE)).any()
    if not lossy and noise or lossy and 0 < most < 128:
        raise ValueError(
            f"{path}: values {', '.join(map(str, found[:_FEW]))} up to {most} may be labels or the "
            "noise of a lossy file. Save the mask as PNG, 0 = normal and 255 = defective."
        )
    return 0 if not lossy and (few or most < _LABELS) else most / 2


def resized(image: Image.Image, side: int, channels: int) -> np.ndarray:
    """Resize to a square: uint8 (channels, side, side).

    Antialiased bilinear, so every source pixel counts. A picture that is not square is squeezed
    into the square; nothing is cut off or padded.
    """
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    values = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return values[None] if channels == 1 else values.transpose(2, 0, 1)


def resized_mask(mask: np.ndarray, side: int) -> np.ndarray:
    """Resize a boolean mask (H, W) to (side, side): True where at least half of a pixel's area is.

    A defect too small for that keeps the pixels it covers most, so no defect vanishes.
    """
    if mask.shape == (side, side):
        return mask
    area = Image.fromarray(mask.astype(np.float32)).resize((side, side), Image.Resampling.BOX)
    cover = np.asarray(area)
    most = cover.max()
    return cover >= min(0.5, most) if most > 0 else np.zeros((side, side), bool)
