"""Judge the images of a folder as they come, for as long as wanted.

The folder is looked at again and again (no notification of the system is needed, so network drives
work). A file is judged when its size and time of change are the same in two looks, and still the
same after it has been read: while it grows it waits. What was judged stands in the log, and the log
alone says it after a restart.
"""

import math
import os
import socket
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from adlib.deploy import image_folders, judging, outputs
from adlib.deploy.decision_log import DecisionLog, Entry, File, file_state
from adlib.deploy.decisions import CalibratedDetector
from adlib.deploy.judging import Judged
from adlib.deploy.page import Page
from adlib.host import files
from adlib.host.files import expanded


def watch(
    detector: CalibratedDetector,
    folder: str | Path,
    log_file: str | Path = "decisions.jsonl",
    page_file: str | Path | None = None,
    masks_dir: str | Path | None = None,
    interval: float = 2.0,
    once: bool = False,
    stop: threading.Event | None = None,
) -> Counter:
    """Judge what lies and comes in a folder and in those below it, each file once.

    Args:
        detector: with its threshold.
        folder: images, and what else is there, which is passed over.
        log_file: gets a JSON line a file: time, path, size, mtime_ns, score, threshold, decision,
            error, mask; see `adlib.deploy.decision_log.Entry`. Files that have a line there are not
            judged again, by another detector neither.
        page_file: HTML page of today's decisions, the worst first, that needs no server.
        masks_dir: gets masks as `judging.score_folder` writes them; earlier ones stay.
        interval: seconds between two looks.
        once: end when the files that are there and complete are judged.
        stop: when set, the watch ends after the file in work.

    Returns:
        How often it was decided "normal", "abnormal" and "" (no decision).

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a bad interval, results that cannot be written or would replace something else,
            a log that another watch writes, masks of a detector without a pixel threshold.

    Warns:
        UserWarning: the folder, one below it or a file cannot be looked at, or the page cannot be
            written.
    """
    if not (0 < interval < math.inf):
        raise ValueError(f"interval={interval}: a number of seconds above 0 is needed")
    folder, log_file = expanded(folder), expanded(log_file)
    page_file = expanded(page_file) if page_file else None
    masks_dir = expanded(masks_dir).absolute() if masks_dir else None
    before = _look(folder)
    if page_file and page_file.resolve() == log_file.resolve():
        raise ValueError(f"{page_file}: the page would replace the log; name another file")
    if masks_dir:
        judging.check_pixels(detector)
        outputs.check_apart(masks_dir, folder)
        outputs.check_masks(masks_dir, filter(None, (log_file, page_file)))
    stop = stop or threading.Event()
    with _alone(log_file):
        log = DecisionLog(log_file)
        page = Page(page_file, detector, folder, log) if page_file else None
        watched = _Watch(detector, folder, log, page, masks_dir, interval)
        while not stop.wait(interval):
            try:
                now = _look(folder)
            except OSError as error:
                warnings.warn(f"{folder}: {error}; it is tried again", stacklevel=2)
                now = set()
            watched.judge(now & before, stop)
            before = now
            if once:
                break
        return watched.counts


class _Watch:
    """What a watch holds between two looks."""

    def __init__(
        self,
        detector: CalibratedDetector,
        folder: Path,
        log: DecisionLog,
        page: Page | None,
        masks_dir: Path | None,
        interval: float,
    ) -> None:
        self.detector, self.folder, self.log, self.page = detector, folder, log, page
        self.masks_dir, self.interval = masks_dir, interval
        self.counts: Counter = Counter()

    def judge(self, complete: set[File], stop: threading.Event) -> None:
        """Judge the complete files that have no line, the oldest first."""
        new = sorted(complete - self.log.judged, key=lambda file: (file.mtime_ns, file.path))
        names, by_name = [file.path for file in new], {file.path: file for file in new}
        settings = self.detector.framing, self.detector.convert
        written = time.monotonic()
        read = image_folders.batches(self.folder, names, 1, *settings) if names else ()
        for (name,), pictures, errors in read:
            if stop.is_set():
                break
            self._judge(by_name[name], pictures, errors)
            if time.monotonic() - written > self.interval:
                self._show()
                written = time.monotonic()
        self._show()

    def _show(self) -> None:
        """Bring the page up to date; judging goes on where it cannot be written."""
        try:
            if self.page:
                self.page.write()
        except OSError as error:
            warnings.warn(f"{self.page.path}: {error}; it is tried again", stacklevel=2)

    def _judge(self, file: File, pictures: list, errors: dict[str, str]) -> None:
        """Write the line of a file, unless it is no longer what was seen."""
        wants_maps = bool(self.page or self.masks_dir)
        (row,), judged = judging.decided(
            self.detector, [file.path], pictures, errors, 1, wants_maps
        )
        if file_state(self.folder, file.path) != file:
            return  # it grows, was replaced or is gone: the next look tells
        one = judged[0] if judged else None
        mask = self._mask(one) if one and self.masks_dir else None
        when = datetime.now().astimezone().isoformat(timespec="seconds")
        entry = Entry(when, *file, *row[1:], mask=mask)
        self.log.append(entry)
        self.counts[row.decision] += 1
        if self.page:
            self.page.add(entry, one)

    def _mask(self, one: Judged) -> str:
        flagged = judging.flagged(self.detector, one.picture, one.maps)
        return str(outputs.save_mask(self.masks_dir, one.picture.name, flagged))


def _look(folder: Path) -> set[File]:
    """The images that are there; what vanishes meanwhile is left out."""
    found = image_folders.walked(folder)
    for why in found.closed.values():
        warnings.warn(why, stacklevel=3)
    states = (file_state(folder, name) for name in found.images)
    return {file for file in states if file}


@contextmanager
def _alone(log_file: Path) -> Iterator[None]:
    """Hold the lock on a log; who holds it stands in a file beside it."""
    who = log_file.with_name(f".{log_file.name}.watcher")
    try:
        with outputs.alone(log_file, "log"):
            since = datetime.now().astimezone().isoformat(timespec="seconds")
            files.write_text(who, f"process {os.getpid()} on {socket.gethostname()} since {since}")
            try:
                yield
            finally:
                who.unlink(missing_ok=True)
    except outputs.TakenError as error:
        holder = who.read_text(encoding="utf-8") if who.exists() else "a process"
        raise ValueError(f"{error} ({holder} watches)") from None
