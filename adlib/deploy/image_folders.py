"""Images of any folder: listed by name alone, read a few at a time, converted without asking.

What `adlib.data.decode` names under `convert` applies: EXIF turns, alpha on white, 16 bits, grey
and colour side by side.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from adlib.data import cache, decode, layouts
from adlib.data.images import ImageSet

_OF_A_SET = {"train", "test", "ground_truth", "normal", "abnormal"}  # folders of known layouts


def listed(folder: str | Path) -> tuple[list[str], list[str]]:
    """Names of the images in a folder and all folders below it, and of what else lies there.

    Hidden files and those of file managers are left out. A linked folder is not entered but named
    among the rest.

    Returns:
        Two sorted lists, posix, relative to the folder.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; images are expected there.")
    images, others = [], []
    for where, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        above = Path(where).relative_to(folder)
        others += [f"{(above / n).as_posix()}/" for n in folders if Path(where, n).is_symlink()]
        for name in files:
            if not (name.startswith(".") or name.lower() in layouts._OTHERS):
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


def image_set(normal: str | Path, abnormal: str | Path | None = None) -> ImageSet:
    """Images of a folder of normal ones and, if given, of a folder of abnormal ones.

    Folders below count too. Images of the second folder keep their absolute path.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no image, something that is not an image by its name, a folder inside the other,
            or a whole data set in place of its normal images.
    """
    folders = [Path(folder).expanduser().resolve() for folder in (normal, abnormal) if folder]
    if len(folders) == 2:
        for one, other in (folders, folders[::-1]):
            if one.is_relative_to(other):
                raise ValueError(
                    f"{one} lies in {other}: normal and abnormal images need folders apart."
                )
    rows = []
    for label, folder in enumerate(folders):
        names, others = listed(folder)
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
        kind = "abnormal" if label else "good"
        where = f"{folder.as_posix()}/" if label else ""
        rows += [(where + name, label, kind, "", "") for name in names]
    table = layouts.table(rows)
    return ImageSet("folder", str(folders[0]), folders[0], table, "object", convert=True)


def pixels(path: Path, side: int, channels: int) -> np.ndarray:
    """Pixels of one file, uint8 `(channels, side, side)`.

    Raises:
        ValueError: it cannot be read or holds several pages; the message names it.
        FileNotFoundError: it is not there.
    """
    image = decode.open_image(path, convert=True)
    with Image.open(path) as file:
        if (pages := getattr(file, "n_frames", 1)) > 1:
            raise ValueError(
                f"{path} holds {pages} pages or frames; save each as a file of its own"
            )
    return decode.resized(image, side, channels)


def batches(
    folder: Path, names: Sequence[str], size: int, side: int, channels: int
) -> Iterator[tuple[Sequence[str], Tensor, list[str]]]:
    """Read files `size` at a time; the next ones are decoded while a batch is worked on.

    Yields:
        The batch's names; uint8 `(n, channels, side, side)` of those that could be read, in their
        order; and for each name why it could not, "" for those that could.
    """

    def read(name: str) -> np.ndarray | str:
        try:
            return pixels(folder / name, side, channels)
        except (ValueError, OSError) as error:
            return " ".join(str(error).split())

    def gathered(chunk: Sequence[str], waiting: list) -> tuple[Sequence[str], Tensor, list[str]]:
        read = [future.result() for future in waiting]
        good = [image for image in read if not isinstance(image, str)]
        pixels = np.stack(good) if good else np.empty((0, channels, side, side), np.uint8)
        errors = [image if isinstance(image, str) else "" for image in read]
        return chunk, torch.from_numpy(pixels), errors

    ahead: deque = deque()
    with ThreadPoolExecutor(cache.WORKERS) as pool:
        for start in range(0, len(names), size):
            chunk = names[start : start + size]
            ahead.append((chunk, [pool.submit(read, name) for name in chunk]))
            if len(ahead) > 1:
                yield gathered(*ahead.popleft())
        while ahead:
            yield gathered(*ahead.popleft())


def write(folder: str | Path, images: Tensor, names: Sequence[str] = ()) -> Path:
    """Write uint8 images `(N, C, H, W)` as PNG files, by default `0000.png`, `0001.png`, ..."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        name = names[i] if names else f"{i:04d}.png"
        Image.fromarray(image.permute(1, 2, 0).squeeze(2).numpy()).save(folder / name)
    return folder
