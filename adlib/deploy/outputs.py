"""Files that judging a folder leaves: what they may replace, and how names stand in them.

A run replaces and deletes nothing but its own earlier results, which their content marks as such:
a table begins with `COLUMNS`, a gallery's text `Software` is `MARK`. These are set aside under
`NAME.previous.SUFFIX` before the first image is read, so what stands under the names afterwards is
of this run.
"""

import csv
import secrets
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from matplotlib.figure import Figure
from PIL import Image

from adlib.data import decode
from adlib.host import files

COLUMNS = ("path", "score", "threshold", "decision", "error")
MARK = "adlib gallery"
_FORMULA = ("=", "+", "-", "@")  # a spreadsheet computes a cell that begins so
_BREAKING = ("Cc", "Cs", "Zl", "Zp")  # controls, bytes that are no text, ends of lines


class StoppedError(RuntimeError):
    """Judging ended before all images had their row; the message names the rows that are there."""


def check(folder: Path, csv_file: Path, gallery_file: Path | None) -> None:
    """Raise a ValueError if the results cannot be written or would replace something else."""
    if csv_file.suffix.lower() in decode.SUFFIXES:
        raise ValueError(f"{csv_file}: a table is no image; give a name that ends in .csv")
    places = [(csv_file, _is_table, "a table of decisions")]
    if gallery_file:
        if gallery_file.suffix.lower() != ".png":
            raise ValueError(f"{gallery_file}: a gallery is a PNG file, so its name ends in .png")
        if gallery_file.resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                f"{gallery_file} lies among the images, so it would be scored next time or replace "
                "one; write it elsewhere"
            )
        places.append((gallery_file, _is_gallery, "a gallery of decisions"))
    for path, ours, what in places:
        files.check_output(path, ours, what)
        if path.exists():
            files.check_output(_previous(path), ours, what)


@contextmanager
def table(csv_file: Path) -> Iterator[Callable[[Iterable[tuple]], None]]:
    """Yield a function that appends rows to a new table, which gets its name at the end.

    An earlier table is set aside first. Until the end the rows stand in `<csv_file>.<random>.part`;
    after whatever stops the block they stay there.

    Raises:
        ValueError: another run is writing this table.
        StoppedError: in place of any other exception of the block.
    """
    csv_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(csv_file.with_name(f".{csv_file.name}.lock"), timeout=0)
    part = csv_file.with_name(f"{csv_file.name}.{secrets.token_hex(4)}.part")
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"{csv_file}: another run is writing this table; wait for its end or name another file"
        ) from None
    try:
        set_aside(csv_file)
        with part.open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)

            def write(rows: Iterable[tuple]) -> None:
                writer.writerows([cell(value) for value in row] for row in rows)
                file.flush()

            yield write
        part.replace(csv_file)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise StoppedError(f"{what}; the rows so far stand in {part}") from error
    finally:
        lock.release()


def save_gallery(figure: Figure, path: Path) -> None:
    """Write a gallery as PNG, marked as one."""
    with files.atomic(path) as temporary:
        about = {"Software": MARK}
        figure.savefig(temporary, dpi=110, bbox_inches="tight", format="png", metadata=about)


def set_aside(path: Path) -> None:
    """Give an earlier result the name `NAME.previous.SUFFIX`."""
    if path.exists():
        path.replace(_previous(path))


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


def _is_gallery(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            return picture.format == "PNG" and picture.info.get("Software") == MARK
    except Exception:  # whatever a damaged picture raises: it is no gallery of ours
        return False
