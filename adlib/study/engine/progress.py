"""One study of a profile at a time, a line for each finished cell, a report while it goes on.

The process that plans the study follows the records that its cells write, on whichever machine they
run.
"""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from adlib.host import files, paths
from adlib.study.engine.execute import TOUR, UNFINISHED, line, place

LOOK_EVERY_S = 1.0
REPORT_EVERY_S = 600.0  # between two reports of a study that still runs
LINES, WIDTH = 8, 200  # shown of a job's log


class Watch(logging.Handler):
    """Follows the cells of one study of a profile, in a thread of its own.

    As a handler of the engine's log it says why a cell came to no end: that no record can tell.
    """

    def __init__(self, profile: str) -> None:
        super().__init__(logging.ERROR)
        self.profile = profile
        self.alone: FileLock | None = None  # while cells run
        self.began = 0.0
        self.changes: dict[Path, int] = {}  # of each cell's record, as seen last
        self.running: set[Path] = set()
        self.finished: set[Path] = set()
        self.looking = threading.Lock()
        self.over = threading.Event()
        self.follower = threading.Thread(target=self._follow, daemon=True)
        self.reporter = threading.Thread()

    def begin(self, records: list[Path]) -> None:
        """Follow cells that are about to run, by their records `<paper>/<notebook>/<cell>.json`.

        Raises:
            RuntimeError: another study of the profile runs cells in this results folder. Each would
                delete what the other's cells leave.
        """
        if records:
            self.alone = _alone(self.profile)
        self.began = time.time()
        self.changes = {file: _changed(file) for file in records}
        self.follower.start()

    def end(self) -> None:
        """Say what has not been said yet, also of cells that began and did not come to an end."""
        self.over.set()
        self.follower.join()
        self.look(last=True)
        for file in sorted(self.running):
            _say(file, _read(file))
        if self.reporter.ident:
            self.reporter.join()
        if self.alone:
            self.alone.release()

    def _follow(self) -> None:
        while not self.over.wait(LOOK_EVERY_S):
            self.look()

    def look(self, last: bool = False) -> None:
        """Say how the cells ended that ended since the last look.

        The `last` look trusts no file server that shows an old time of change for a while.
        """
        with self.looking:
            for file, before in self.changes.items():
                self.changes[file] = _changed(file)
                if self.changes[file] == before and not (last and file in self.running):
                    continue
                record = _read(file)
                if record["status"] == UNFINISHED:
                    self.running.add(file)
                    continue
                self.running.discard(file)
                self.finished.add(file)
                _say(file, record, self._left())
                self._report(file.parent.name)

    def emit(self, record: logging.LogRecord) -> None:
        """Say why a cell broke off: what the engine knows, and the last lines of its job's log."""
        if getattr(record, "rule_name", "") != "cell":
            return
        file = Path(record.output[0]).with_suffix(".json")
        self.look(last=True)
        if file in self.finished and file not in self.running:
            return  # its notebook failed, and the record has said so
        self.running.discard(file)
        what = f"broke off  {'/'.join(file.parts[-3:-1])}  {file.stem}"
        print(what, file=sys.stderr, flush=True)
        for text in [*(record.rule_msg or "").splitlines()[:2], *_last_lines(record.log)]:
            print(f"       {text[:WIDTH]}", file=sys.stderr, flush=True)

    def _left(self) -> str:
        """How many cells are finished and how long the others may take."""
        finished, cells = len(self.finished), len(self.changes)
        left = (time.time() - self.began) / finished * (cells - finished) / 60
        return f"  [{finished} of {cells}, about {left:.0f} min left]"

    def _report(self, notebook: str) -> None:
        """Build the report after the tour, then every few minutes, while the study goes on."""
        index = paths.results_root() / "report" / "index.html"
        old = index.is_file() and time.time() - index.stat().st_mtime > REPORT_EVERY_S
        if (old or notebook == TOUR) and not self.reporter.is_alive():
            self.reporter = threading.Thread(target=report_so_far, args=(self.profile,))
            self.reporter.start()


def _changed(file: Path) -> int:
    return file.stat().st_mtime_ns if file.is_file() else 0


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def _say(file: Path, record: dict[str, Any], left: str = "") -> None:
    print(line(record, file.parents[1].name) + left, flush=True)
    if record["error"]:
        print(f"       {record['error']}  (see {file})", file=sys.stderr, flush=True)


def _last_lines(logs: list[str]) -> list[str]:
    """The end of what a cluster's job printed before the engine's own words on its failure."""
    found = [Path(log) for log in logs if Path(log).is_file()]
    texts = [log.read_text(encoding="utf-8", errors="replace") for log in found]
    return [
        text for whole in texts for text in whole.split("Error in rule")[0].splitlines()[-LINES:]
    ]


def _alone(profile: str) -> FileLock:
    """The lock of a profile's study, taken; the system frees it when this process ends."""
    folder = paths.results_root() / profile / "cells"
    lock, who = FileLock(folder / ".study.lock", timeout=0), folder / ".study.txt"
    try:
        lock.acquire()
    except Timeout:
        other = who.read_text("utf-8") if who.is_file() else "another process"
        raise RuntimeError(
            f"a study of profile {profile} runs in {folder} already ({other}), and two would "
            "delete each other's cells. Wait for it, or end it."
        ) from None
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    files.write_text(who, f"process {os.getpid()} {place()}, since {since}")
    return lock


def report_so_far(profile: str) -> None:
    """Build the report of a study that still runs, unless another process is about it."""
    results, began = paths.results_root(), time.time()
    index = results / "report" / "index.html"
    command = [sys.executable, "-m", "adlib", "report", "--profile", profile, "--collect"]
    with suppress(Timeout):
        with FileLock(results / paths.REPORT_LOCK, timeout=0):
            pass  # free: the command takes it
        done = subprocess.run(command, check=False)  # it says itself what went wrong
        if done.returncode == 0:  # no newer than what it may not have read yet
            os.utime(index, (began, began))
