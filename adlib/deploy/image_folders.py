"""Images of any folder, read a few at a time and converted by the rules of `adlib.data.decode`."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from adlib.data import cache, decode, layouts
from adlib.data.decode import Conversion
from adlib.data.images import ImageSet

_PLAIN = Conversion()
_OF_A_SET = {"train", "test", "ground_truth", "normal", "abnormal"}  # folders of known layouts


def listed(folder: str | Path) -> tuple[list[str], list[str]]:
    """Names of the images in a folder and all folders below it, and of what else lies there.

    Both are sorted, posix, relative to the folder. Hidden files and those of file managers are left
    out. A linked folder is not entered but named among the rest. A folder without any image is a
    ValueError, a missing one a FileNotFoundError.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; images are expected there.")
    images, others = [], []
    for where, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        above = Path(where).relative_to(folder)
        others += [f"{(above / n).as_posix()}/" for n in folders if Path(where, n).is_symlink()]
        for name in filter(layouts.is_listed, files):
            is_image = Path(name).suffix.lower() in decode.SUFFIXES
            (images if is_image else others).append((above / name).as_posix())
    if not images:
        raise ValueError(
            f"{folder}: no image in it by name ({' '.join(decode.SUFFIXES)}), nor in the folders "
            "below it."
        )
    return sorted(images), sorted(others)


def _raise(error: OSError) -> None:
    raise error


def image_set(
    normal: str | Path, abnormal: str | Path | None = None, convert: Conversion = _PLAIN
) -> ImageSet:
    """Images of a folder of normal ones and, if given, of a folder of abnormal ones.

    Folders below count too. Images of the second folder keep their absolute path.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no image, something that is not an image by its name, a folder inside the other,
            or a whole data set in place of its normal images.
    """
    folders = [Path(folder).expanduser().resolve() for folder in (normal, abnormal) if folder]
    for one, other in permutations(folders, 2):
        if one.is_relative_to(other):
            raise ValueError(
                f"{one} lies in {other}: normal and abnormal images need folders apart."
            )
    rows = []
    for label, folder in enumerate(folders):
        names, others = listed(folder)
        kind = "abnormal" if label else "good"
        if parts := sorted(_OF_A_SET.intersection(name.partition("/")[0] for name in names)):
            raise ValueError(
                f"{folder} holds {parts[0]}/, so it is a data set; give the folder of its "
                f"{'abnormal' if label else 'normal'} images."
            )
        if others:
            raise ValueError(
                f"{folder / others[0]}: not an image by its name, where only images are expected "
                f"({' '.join(decode.SUFFIXES)}). Move it elsewhere."
            )
        where = f"{folder.as_posix()}/" if label else ""
        rows += [(where + name, label, kind, "", "") for name in names]
    table = layouts.table(rows)
    return ImageSet("folder", str(folders[0]), folders[0], table, "object", convert=convert)


def pixels(path: Path, side: int, channels: int, convert: Conversion = _PLAIN) -> np.ndarray:
    """Pixels of one file, uint8 `(channels, side, side)`.

    A file that cannot be read is a ValueError that names it.
    """
    return decode.resized(decode.open_image(path, convert), side, channels)


def batches(
    folder: Path,
    names: Sequence[str],
    size: int,
    side: int,
    channels: int,
    convert: Conversion = _PLAIN,
) -> Iterator[tuple[Sequence[str], Tensor, dict[str, str]]]:
    """Read files `size` at a time; the next ones are decoded while a batch is worked on.

    Yields:
        The batch's names; uint8 `(n, channels, side, side)` of those that could be read, in their
        order; and by name why the others could not.
    """

    def read(name: str) -> np.ndarray | str:
        try:
            return pixels(folder / name, side, channels, convert)
        except (ValueError, OSError) as error:
            return " ".join(str(error).split())

    chunks = [names[start : start + size] for start in range(0, len(names), size)]
    with ThreadPoolExecutor(cache.WORKERS) as pool:
        ahead = pool.map(read, chunks[0])
        for chunk, following in zip(chunks, [*chunks[1:], []], strict=True):
            waiting, ahead = ahead, pool.map(read, following)
            results = dict(zip(chunk, waiting, strict=True))
            errors = {name: error for name, error in results.items() if isinstance(error, str)}
            readable = [results[name] for name in chunk if name not in errors]
            images = np.array(readable, np.uint8).reshape(-1, channels, side, side)
            yield chunk, torch.from_numpy(images), errors


def write(folder: str | Path, images: Tensor) -> None:
    """Write uint8 images `(N, C, H, W)` as PNG files `0000.png`, `0001.png`, ..."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).squeeze(2).numpy()).save(folder / f"{i:04d}.png")
