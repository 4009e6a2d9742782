"""Files that judging a folder leaves: what they may replace, and how names stand in them.

A run replaces and deletes nothing but its own earlier results, which their content marks as such:
a table begins with `COLUMNS`, the text `Software` of a gallery is `GALLERY` and of each mask in a
folder `MASK`. These are set aside under `NAME.previous.SUFFIX` before the first image is read, so
what stands under the names afterwards is of this run.
"""

import csv
import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from adlib.data import decode
from adlib.host import files

GALLERY, MASK = "adlib gallery", "adlib mask"
_HALF = re.compile(r"\..*\.[0-9a-f]{12}\.tmp\.png", re.DOTALL)  # see `files.beside`
_FORMULA = ("=", "+", "-", "@")  # a spreadsheet computes a cell that begins so
_BREAKING = ("Cc", "Cs", "Zl", "Zp")  # controls, bytes that are no text, ends of lines


class Row(NamedTuple):
    """A decision, or why there is none.

    Attributes:
        path: of the image, from the judged folder on.
        score: None without a decision.
        threshold: the image is abnormal when its score is at least this.
        decision: "normal", "abnormal" or "".
        error: why there is no decision, else "".
    """

    path: str
    score: float | None
    threshold: float
    decision: str
    error: str


COLUMNS = Row._fields


class StoppedError(RuntimeError):
    """Judging ended before all images had their row; the message names the rows that are there."""


class TakenError(ValueError):
    """Another run holds the lock on a result."""


def check(
    folder: Path, csv_file: Path, gallery_file: Path | None, masks_dir: Path | None = None
) -> None:
    """Raise a ValueError if the results cannot be written or would replace something else."""
    if csv_file.suffix.lower() in decode.SUFFIXES:
        raise ValueError(f"{csv_file}: a table is no image; give a name that ends in .csv")
    places = [(csv_file, _is_table, "a table of decisions")]
    if gallery_file:
        if gallery_file.suffix.lower() != ".png":
            raise ValueError(f"{gallery_file}: a gallery is a PNG file, so its name ends in .png")
        places.append((gallery_file, partial(_is_marked, GALLERY), "a gallery of decisions"))
    for path in filter(None, (gallery_file, masks_dir)):
        check_apart(path, folder)
    for path, ours, what in places:
        files.check_output(path, ours, what)
        if path.exists():
            files.check_output(_previous(path), ours, what)
    if masks_dir:
        check_masks(masks_dir, [path for path, *_ in places])
        check_masks(_previous(masks_dir))


def check_apart(path: Path, folder: Path) -> None:
    """Raise a ValueError where pictures would be written to the folder of the images."""
    if path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"{path} lies among the images, so it would be scored next time or replace one; write "
            "it elsewhere"
        )


def check_masks(folder: Path, others: Iterable[Path] = ()) -> None:
    """Raise a ValueError unless masks can be written to a folder that holds nothing else.

    Half a mask that a kill has left under its temporary name counts as one. `others` are results
    that are yet to be written, and may not lie there either.
    """
    for path in others:
        if path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{path} lies in {folder}, which holds masks alone")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder for masks")
    files.check_output(folder / "mask.png", partial(_is_marked, MASK), "a mask")
    for where, folders, names in os.walk(folder):
        links = [name for name in folders if Path(where, name).is_symlink()]
        for path in (Path(where, name) for name in links + names):
            ours = _HALF.fullmatch(path.name) or _is_marked(MASK, path)
            if path.is_symlink() or not ours:
                raise ValueError(
                    f"{path} is there and is not a mask of this program's; name another folder for "
                    "masks"
                )


@contextmanager
def table(
    csv_file: Path, gallery_file: Path | None = None, masks_dir: Path | None = None
) -> Iterator[Callable[[Iterable[tuple]], None]]:
    """Yield a function that appends rows to a new table, which gets its name at the end.

    Earlier results of the three names are set aside first. Until the end the rows stand in
    `<csv_file>.<random>.part`; after whatever stops the block they stay there.

    Raises:
        ValueError: another run is writing this table or these masks.
        StoppedError: in place of any other exception of the block.
    """
    part = csv_file.with_name(f"{csv_file.name}.{secrets.token_hex(4)}.part")
    with ExitStack() as locks:
        locks.enter_context(alone(csv_file, "table"))
        if masks_dir:
            locks.enter_context(alone(masks_dir, "folder"))
        try:
            for path in filter(None, (csv_file, gallery_file, masks_dir)):
                set_aside(path)
            with part.open("x", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(COLUMNS)

                def write(rows: Iterable[tuple]) -> None:
                    writer.writerows([_text(value) for value in row] for row in rows)
                    file.flush()

                yield write
            part.replace(csv_file)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise StoppedError(f"{what}; the rows so far stand in {part}") from error


def save_mask(folder: Path, name: str, flagged: np.ndarray) -> Path:
    """Write a mask, bool `(H, W)`, as 8-bit grey PNG of 0 and 255, marked as one.

    `.png` follows the whole name of the image, so `a.jpg` and `a.png` have masks of their own.
    """
    about = PngInfo()
    about.add_text("Software", MASK)
    path = folder / f"{name}.png"
    with files.atomic(path) as temporary:
        Image.fromarray(flagged.astype(np.uint8) * 255).save(temporary, "PNG", pnginfo=about)
    return path


def save_gallery(figure: Figure, path: Path) -> None:
    """Write a gallery as PNG, marked as one."""
    with files.atomic(path) as temporary:
        about = {"Software": GALLERY}
        figure.savefig(temporary, dpi=110, bbox_inches="tight", format="png", metadata=about)


def set_aside(path: Path) -> None:
    """Give an earlier result, a file or a folder of masks, the name `NAME.previous.SUFFIX`."""
    if path.is_dir() and not any(path.iterdir()) or not path.exists():
        return
    if path.is_dir() and _previous(path).exists():
        shutil.rmtree(_previous(path))
    path.replace(_previous(path))


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock on a result; a ValueError where another run holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise TakenError(
            f"{path}: another run is writing this {what}; wait for its end or name another"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _text(value: str | float | None) -> str:
    """A field as it stands in a table."""
    return cell(value) if isinstance(value, str) else "" if value is None else repr(value)


def cell(text: str) -> str:
    """A name or message as it stands in a table, where it can neither tear a row nor compute.

    It is `plain`; what begins with `=`, `+`, `-` or `@`, and is no number, gets an apostrophe in
    front.
    """
    text = plain(text)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def plain(text: str) -> str:
    r"""A text on one line: controls, ends of lines and bytes that are no text as `\r`, `\xff`."""
    return "".join(_written(c) if unicodedata.category(c) in _BREAKING else c for c in text)


def _written(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python holds a byte that is no text
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def _is_table(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline(200).startswith(",".join(COLUMNS).encode())


def _is_marked(mark: str, path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            return picture.format == "PNG" and picture.info.get("Software") == mark
    except Exception:  # whatever a damaged picture raises: it is no picture of ours
        return False
