"""A log of decisions, a JSON line each, that survives whatever ends the program.

A line is written at once and is on the disk before the next image is judged; none is ever changed.
What a crash has left of a last line is moved to `LOG.torn`, so the log stays one of whole lines.
"""

import json
import os
import warnings
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from adlib.host import files

_START = b'{"time": "'  # of every line
_FIELDS = ("time", "path", "size", "mtime_ns", "score", "threshold", "decision", "error", "mask")


class File(NamedTuple):
    """A file in one state: another size or time of change is another file.

    Attributes:
        path: from the watched folder on.
        size: in bytes.
        mtime_ns: time of the last change of content, in nanoseconds.
    """

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Entry:
    """A line of the log.

    Attributes:
        time: when it was judged, local, with the offset to UTC: "2026-11-27T18:02:50+01:00".
        path, size, mtime_ns: see `File`.
        score, threshold, decision, error: see `adlib.deploy.outputs.Row`.
        mask: file of the mask; None where none was written.
    """

    time: str
    path: str
    size: int
    mtime_ns: int
    score: float | None
    threshold: float
    decision: str
    error: str
    mask: str | None = None

    @property
    def file(self) -> File:
        """What was judged."""
        return File(self.path, self.size, self.mtime_ns)

    @property
    def day(self) -> str:
        """The local date, as 2026-11-27."""
        return self.time[:10]


def file_state(folder: Path, path: str) -> File | None:
    """A file as it is now; None where there is none, or a link to nothing.

    None and a UserWarning where it cannot be looked at, as on a drive that is away.
    """
    try:
        status = (folder / path).stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        warnings.warn(f"{folder / path}: {error.strerror}", stacklevel=2)
        return None
    return File(path, status.st_size, status.st_mtime_ns)


def today() -> str:
    """The local date, as `Entry.day`."""
    return datetime.now().astimezone().date().isoformat()


class DecisionLog:
    """A log that is there or is made.

    Attributes:
        judged: the files that have a line.
        entries: today's lines, in their order.

    Raises:
        ValueError: what is there is no log, with the line; or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        files.check_output(path, _is_log, "a log of decisions")
        self.path = path
        self.judged: set[File] = set()
        self.entries: list[Entry] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._read()

    def append(self, entry: Entry) -> None:
        """Write a line; it is on the disk when this returns. Else an OSError names the log."""
        line = json.dumps(asdict(entry)).encode() + b"\n"
        try:
            with self.path.open("ab", buffering=0) as file:
                written = file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise OSError(f"{self.path}: a line could not be written ({error.strerror})") from error
        if written != len(line):
            raise OSError(f"{self.path}: a line could not be written as a whole")
        self._take(entry)

    def _take(self, entry: Entry) -> None:
        self.judged.add(entry.file)
        if self.entries and self.entries[0].day != entry.day:
            self.entries = []
        self.entries.append(entry)

    def _read(self) -> None:
        """Take the lines that are there, and repair the end."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            end = 0
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    self._repair(end, line)
                    break
                if (entry := _parsed(line)) is None:
                    raise ValueError(
                        f"{self.path}: line {number} is no decision; repair the log or name another"
                    )
                self._take(entry)
                end += len(line)

    def _repair(self, end: int, rest: bytes) -> None:
        """End a last line that only lacks its end, or move what is there of it aside."""
        entry = _parsed(rest)
        if entry is None:
            with self.path.with_name(f"{self.path.name}.torn").open("ab") as torn:
                torn.write(rest + b"\n")
            os.truncate(self.path, end)
            return
        with self.path.open("ab") as file:
            file.write(b"\n")
        self._take(entry)


def _parsed(line: bytes) -> Entry | None:
    """The entry of a whole line; None for anything else."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    if not isinstance(values, dict) or set(values) != set(_FIELDS):
        return None
    return Entry(**values)


def _is_log(path: Path) -> bool:
    """Whether a file begins as a log does; an empty one, and zeros of a crash, count."""
    with path.open("rb") as file:
        start = file.read(len(_START)).rstrip(b"\0")
    return _START.startswith(start)
