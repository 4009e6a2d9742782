"""From image files to arrays of one size: what is accepted, converted and how it is resized.

Accepted as they are: 8-bit grey and 8-bit RGB. Anything else is an error unless `convert` is set;
then

- an EXIF orientation is applied (the picture is turned the way a viewer shows it);
- alpha is composited on white, also where a palette carries transparency;
- a palette, CMYK, YCbCr, LAB or HSV picture becomes RGB by Pillow's conversion (no colour profile);
- a 1-bit picture becomes grey 0 and 255;
- a 16-bit grey value v becomes round(v / 257), the full range without stretching; 16-bit colour
  keeps its high byte;
- a set that mixes grey and colour is accepted: grey gets three equal channels, and where one
  channel is asked for colour becomes ITU-R 601 luma.

Floating-point and 32-bit pictures have no agreed range and stay an error.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
RULE = "bilinear-antialiased-1"  # part of the cache key: changes with any change of rules here
_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)  # orientations that swap width and height
_MODES = {
    "1": "1-bit", "P": "palette", "PA": "palette", "LA": "grey with alpha", "La": "grey with alpha",
}  # fmt: skip


@contextmanager
def _reading(path: Path, fault: str = "damaged or truncated image") -> Iterator[None]:
    """Turn what Pillow raises into a ValueError that names the file."""
    try:
        yield
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: {fault} ({error}). Get it again or remove it.") from error


def _opened(path: Path) -> Image.Image:
    """Open a file as a picture, its header only."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: listed, but no longer there. Load the data set again.")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty (0 bytes). Get it again or remove it.")
    with _reading(path, "not an image that can be read"):
        return Image.open(path)


def _oddity(image: Image.Image) -> str:
    """Why a picture is not plain 8-bit grey or RGB; empty where it is."""
    coding = str(image.tile[0][3]) if image.tile else ""
    if image.mode.startswith("I;16") or (image.mode in ("I", "RGB") and "16" in coding):
        return "16-bit"
    if image.mode not in ("L", "RGB"):
        return _MODES.get(image.mode, f"of pixel type {image.mode}")
    if "transparency" in image.info:
        return f"{'grey' if image.mode == 'L' else 'RGB'} with a transparent colour"
    return ""


def _converted(image: Image.Image, path: Path) -> Image.Image:
    """Apply the conversion rules of this module; the result is "L" or "RGB"."""
    image = ImageOps.exif_transpose(image)
    no_range = f"{path}: {{}} have no agreed range. Save it as 8 or 16 bits per channel."
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(no_range.format("32-bit values"))
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError(no_range.format("floating-point pixels"))
    if image.mode == "1":
        return image.convert("L")
    target = "L" if image.mode in ("L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert(target)


def open_image(path: Path, convert: bool = False) -> Image.Image:
    """Read a picture as 8-bit grey ("L") or RGB, loaded.

    An empty, damaged or non-image file is a ValueError that names file and way out; without
    `convert` so is a picture of other pixels, and one that EXIF turns.
    """
    with _opened(path) as image:
        oddity = _oddity(image)
        with _reading(path):
            image.load()
            orientation = image.getexif().get(_ORIENTATION, 1)
        if convert:
            return _converted(image, path)
    if oddity:
        raise ValueError(
            f"{path}: the image is {oddity}; 8-bit grey or RGB is expected. Convert the file, or "
            "load with convert=True (16-bit is scaled, alpha is composited on white, the rest "
            "becomes RGB)."
        )
    if orientation != 1:
        raise ValueError(
            f"{path}: EXIF says the picture is to be turned (orientation {orientation}). Save it "
            "upright, or load with convert=True, which turns it."
        )
    return image


def image_size(path: Path, convert: bool = False) -> tuple[int, int]:
    """Width and height in pixels: as stored, or with `convert` after any EXIF rotation."""
    with _opened(path) as image, _reading(path):
        # Most formats give the orientation without decoding, which takes long for many files.
        turned = convert and image.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE
        return image.size[::-1] if turned else image.size


def open_mask(path: Path, image_path: Path, convert: bool = False) -> np.ndarray:
    """Read a mask as booleans (H, W), True = defective.

    Defective is a value above half of the mask's largest one, which reads masks of 0 and 255, of 0
    and 1, and masks with JPEG noise alike. A damaged file, one that is not 1-bit, grey or RGB, and
    a mask of another size than its image are ValueErrors.
    """
    with _opened(path) as mask:
        if mask.mode not in ("1", "L", "RGB"):
            raise ValueError(
                f"{path}: a mask must be 8-bit grey or RGB, 0 = normal and 255 = defective; it is "
                f"{_MODES.get(mask.mode, mask.mode)}. Save it so."
            )
        with _reading(path):
            mask.load()
        if mask.size != (size := image_size(image_path, convert)):
            raise ValueError(
                f"{path}: the mask has {mask.width} x {mask.height} pixels but its image "
                f"{image_path} has {size[0]} x {size[1]}. Make them equal, or remove the mask "
                "folder."
            )
        values = np.asarray(mask.convert("L"))
    return values > values.max() / 2


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
