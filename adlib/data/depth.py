"""Pixels that are not unsigned and of 8 bits, by the rule of numbers in `adlib.data.decode`."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
_QUARTER = 2**14  # of the range of 16 bits
_ORDERS = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
# Pillow keeps one byte of 16-bit colour; told the opposite byte order, it keeps the other one.
OTHER_BYTE = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBX", "RGBA")
    for order, other in _ORDERS.items()
}


def coding(image: Image.Image) -> str:
    """How the file codes pixels, in Pillow's words; known until they are loaded."""
    arguments = image.tile[0].args if image.tile else ""
    return arguments if isinstance(arguments, str) else str(arguments[0])


def keep_other_byte(image: Image.Image) -> None:
    """Make an opened picture of 16-bit colour load the low bytes; `coding` is in `OTHER_BYTE`."""
    other, args = OTHER_BYTE[coding(image)], image.tile[0].args
    args = other if isinstance(args, str) else (other, *args[1:])
    image.tile = [tile._replace(args=args) for tile in image.tile]


def _tag(image: Image.Image, tag: int, default: int) -> int:
    """The largest value of a TIFF tag; the default for other files."""
    values = image.tag_v2.get(tag, default) if image.format == "TIFF" else default
    return max(np.atleast_1d(values))


def white_is_zero(image: Image.Image) -> bool:
    """Whether 0 is white, which Pillow sees to in 8 bits alone."""
    return _tag(image, _PHOTOMETRIC, 1) == 0


def numbers(image: Image.Image) -> str:
    """What an opened picture's numbers are, for example "16-bit"; empty for plain 8 bits."""
    wide = image.mode.startswith("I;16") or (image.format == "PNG" and ";16" in coding(image))
    bits = _tag(image, _BITS, 16 if wide else 8)
    if image.mode == "F":
        return "floating-point"
    if _tag(image, _SAMPLE_FORMAT, 1) == 2:
        return f"signed {bits}-bit"
    if image.mode == "I":
        return "32-bit"
    return f"{bits}-bit" if bits > 8 else ""


def levels(
    values: np.ndarray, numbers: str, limits: tuple[float, float] | None, path: Path
) -> np.ndarray:
    """Grey levels, uint8, of Pillow's values (any shape) of a picture of such `numbers`.

    `limits` become 0 and 255; None: those that the file says. Where it says none, or values lie
    outside, a ValueError names the values.
    """
    if numbers in ("signed 8-bit", "32-bit"):  # which Pillow takes for the opposite
        values = values.view(np.int8 if numbers == "signed 8-bit" else np.uint32)
    least, most = values.min(), values.max()
    found = f"{path}: the values of this {numbers} picture run from {least} to {most}"
    if limits is None and numbers not in ("12-bit", "16-bit"):
        raise ValueError(f"{found}, and nothing says which are black and white. Give range=.")
    if limits is None and numbers == "16-bit" and most < _QUARTER:
        bits = max(10, int(most).bit_length())
        raise ValueError(
            f"{found}: few bits in a file of 16, or dark? Give range=, for example "
            f"(0, {2**bits - 1}) for {bits} bits or (0, 65535) for a dark one."
        )
    low, high = limits or (0, {"12-bit": 4095, "16-bit": 65535}[numbers])
    if not low <= least <= most <= high:
        raise ValueError(f"{found}, outside the range from {low:g} to {high:g}.")
    exact = values.astype(np.result_type(values, np.float32))
    return np.rint((exact - low) * (255 / (high - low))).astype(np.uint8)
