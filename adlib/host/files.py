"""Writing files so that a reader never meets half of one, and nothing of the user's is lost."""

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """The path with `~` as the home folder; a name that only looks so stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path's own raises for an unknown user)


def slug(text: str, longest: int = 60) -> str:
    """A file name in place of any text: itself where it is plain, else with a hash.

    Plain are a to z, digits and `-_.`, in at most `longest` characters. Of another text the end is
    kept, which tells more of a path, with `_` for other characters, and eight digits of its
    SHA-256, so that different texts have different names, on disks that ignore case too.
    """
    if re.fullmatch(rf"[a-z0-9_.-]{{1,{longest}}}", text):
        return text
    readable = re.sub(r"[^A-Za-z0-9_.-]", "_", text)[-longest:]
    return f"{readable}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"


def beside(path: Path, ending: str = ".tmp") -> Path:
    """A new hidden name in the folder of `path`, with its suffix, for a file that is being made.

    It is random, because process numbers may be equal on two machines that share a disk, and of
    bounded length, so that every name that a disk can hold has one.
    """
    return path.with_name(f".{path.stem[:40]}.{secrets.token_hex(6)}{ending}{path.suffix}")


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; it takes the place of `path` when the block ends well.

    The temporary name keeps the suffix, because many writers choose the format by it. After an
    exception it is removed and what stood at `path` before is untouched. The file gets the mode of
    a new one (the umask's), whatever mode the writer gives it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path)
    try:
        temporary.touch(exist_ok=False)
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_output(path: Path, ours: Callable[[Path], bool], what: str, room: int = 2**20) -> None:
    """Raise a ValueError unless `path` can be written and holds at most an earlier result.

    Nothing that stands there is changed.

    Args:
        path: of the file that is to be written.
        ours: tells of a file that is there whether it is an earlier result of the same kind.
        what: the result, as messages name it: "a saved detector".
        room: bytes that the disk must take, which is tried.

    Raises:
        ValueError: a folder, something that is no plain file or another file stands there, the
            folder cannot be written, or the disk is full.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file for {what}")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a device or a pipe; name a file for {what}")
    if path.exists() and not ours(path):
        raise ValueError(
            f"{path} is there and is not {what} of this program's, so it is not replaced; name "
            "another file"
        )
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    if not existing.is_dir():
        raise ValueError(f"{path}: {existing} is a file, so nothing can be written below it")
    trial = beside(existing / path.name)
    try:
        trial.write_bytes(bytes(room))
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        trial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 with newlines as they stand."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
