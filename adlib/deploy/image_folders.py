"""Images of any folder, read a few at a time and converted by the rules of `adlib.data.decode`."""

import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from PIL import Image
from torch import Tensor

from adlib.data import cache, decode, layouts
from adlib.data.decode import Conversion
from adlib.data.images import ImageSet, decoding
from adlib.deploy.framing import Framing, Picture
from adlib.host.files import expanded

UNNAMED = "abnormal"  # kind of abnormal images that no folder names
_PLAIN = Conversion()
_OF_A_SET = {"train", "test", "ground_truth", "normal", "abnormal"}  # folders of known layouts
_NORMAL = "good"  # kind of normal images, here and in known layouts


@dataclass(frozen=True)
class Listing:
    """What lies in a folder and below it, sorted by name; names are posix, from the folder on.

    Attributes:
        images: files that are images by their names.
        others: what else lies there, by name, with what it is.
        closed: folders that cannot be read, by name, with the reason.
    """

    images: list[str]
    others: dict[str, str]
    closed: dict[str, str]


def listed(folder: str | Path) -> Listing:
    """List a folder as `walked` does; one without any image is a ValueError."""
    found = walked(folder)
    if not found.images and not found.closed:
        raise ValueError(
            f"{folder}: no image in it by name ({' '.join(decode.SUFFIXES)}), nor in the folders "
            "below it."
        )
    return found


def walked(folder: str | Path) -> Listing:
    """List a folder and all folders below it.

    Hidden files and what file managers and servers leave behind do not count. A linked folder is
    not entered, and neither a pipe nor a device is opened. A missing folder is a FileNotFoundError,
    one that cannot be read a PermissionError.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; images are expected there.")
    images, others, closed = [], {}, {}

    def note(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise error
        name = f"{Path(error.filename).relative_to(folder).as_posix()}/"
        closed[name] = f"{error.filename}: the folder cannot be read ({error.strerror})."

    for where, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(filter(layouts.is_listed, folders))
        above = Path(where).relative_to(folder)
        for name in folders:
            if Path(where, name).is_symlink():
                others[f"{(above / name).as_posix()}/"] = "a linked folder, which is not entered"
        for name in filter(layouts.is_listed, files):
            if what := _oddity(Path(where, name)):
                others[(above / name).as_posix()] = what
            else:
                images.append((above / name).as_posix())
    return Listing(sorted(images), dict(sorted(others.items())), dict(sorted(closed.items())))


def _oddity(path: Path) -> str:
    """Why a file is no image to be opened; empty where it is, or where a look at it fails."""
    if path.suffix.lower() not in decode.SUFFIXES:
        return "not an image by its name"
    try:
        return "" if stat.S_ISREG(path.stat().st_mode) else "a pipe or a device"
    except OSError:  # a link to nothing: reading it gives the reason
        return ""


def image_set(
    normal: str | Path, abnormal: str | Path | None = None, convert: Conversion = _PLAIN
) -> ImageSet:
    """Images of a folder of normal ones and, if given, of a folder of abnormal ones.

    Folders below count too. Images of the second folder keep their absolute path. Their kind is the
    folder that they lie in directly below it, as "scratch" of `abnormal/scratch/1.png`, else
    "abnormal".

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no image, something that is no image or cannot be read, a folder inside the
            other, a whole data set in place of its normal images, or a folder `good` of abnormal
            ones.
    """
    folders = [expanded(folder).resolve() for folder in (normal, abnormal) if folder]
    for one, other in permutations(folders, 2):
        if one.is_relative_to(other):
            raise ValueError(
                f"{one} lies in {other}: normal and abnormal images need folders apart."
            )
    rows = []
    for label, folder in enumerate(folders):
        found = listed(folder)
        of_a_set = _OF_A_SET | ({_NORMAL} if label else set())
        if parts := sorted(of_a_set.intersection(name.partition("/")[0] for name in found.images)):
            raise ValueError(
                f"{folder} holds {parts[0]}/, so it is a data set; give the folder of its "
                f"{'abnormal' if label else 'normal'} images."
            )
        for why in found.closed.values():
            raise ValueError(f"{why} Make it readable or move it elsewhere.")
        for name, what in found.others.items():
            raise ValueError(
                f"{folder / name}: {what}, where only images are expected "
                f"({' '.join(decode.SUFFIXES)}). Move it elsewhere."
            )
        where = f"{folder.as_posix()}/" if label else ""
        for name in found.images:
            first, below, _ = name.partition("/")
            kind = (first if below else UNNAMED) if label else _NORMAL
            rows.append((where + name, label, kind, "", ""))
    table = layouts.table(rows)
    return ImageSet("folder", str(folders[0]), folders[0], table, "object", convert=convert)


def framed(path: Path, name: str, framing: Framing, convert: Conversion = _PLAIN) -> Picture:
    """Read a file as the picture `name`. One that cannot be read is a ValueError that names it."""
    with decoding(path):
        image = decode.open_image(path, convert)
        return Picture(name, image.size, framing.cut(image))


def batches(
    folder: Path,
    names: Sequence[str],
    size: int,
    framing: Framing,
    convert: Conversion = _PLAIN,
) -> Iterator[tuple[Sequence[str], list[Picture], dict[str, str]]]:
    """Read files of about `size` tiles at a time; the next ones are decoded meanwhile.

    Yields:
        The batch's names; the pictures of those that could be read, in their order; and by name why
        the others could not.
    """

    def read(name: str) -> Picture | str:
        try:
            return framed(folder / name, name, framing, convert)
        except Exception as error:  # whatever one file raises, the others are judged
            return " ".join(str(error).split())

    step = max(1, size // framing.tiles**2)
    chunks = [names[start : start + step] for start in range(0, len(names), step)] or [[]]
    with ThreadPoolExecutor(cache.WORKERS) as pool:
        ahead = pool.map(read, chunks[0])
        for chunk, following in zip(chunks, [*chunks[1:], []], strict=True):
            waiting, ahead = ahead, pool.map(read, following)
            results = dict(zip(chunk, waiting, strict=True))
            errors = {name: error for name, error in results.items() if isinstance(error, str)}
            yield chunk, [results[name] for name in chunk if name not in errors], errors


def write(folder: str | Path, images: Tensor) -> None:
    """Write uint8 images `(N, C, H, W)` as PNG files `0000.png`, `0001.png`, ..."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).squeeze(2).numpy()).save(folder / f"{i:04d}.png")
