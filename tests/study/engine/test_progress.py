"""What a study says of its cells while it runs."""

import json
import os
import sys
import time
from types import SimpleNamespace

import pytest
from filelock import FileLock

from adlib.host import paths
from adlib.study.engine import execute, progress


@pytest.fixture
def now(monkeypatch):
    """A clock that the test turns."""
    clock = SimpleNamespace(time=time.time())
    monkeypatch.setattr(progress.time, "time", lambda: clock.time)
    return clock


@pytest.fixture
def watch():
    """A watch that looks when the test tells it to."""
    watch = progress.Watch("quick")
    watch.follower.run = lambda: None
    return watch


def record(notebook, cell, status="done", error=""):
    """What a cell leaves; returns the file."""
    file = paths.results_root() / "quick" / "cells" / "cbigan" / notebook / f"{cell}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {"status": status, "error": error, "notebook": f"{notebook}.ipynb"}
    content |= {"parameters": {"seed": 0}, "duration_s": 5.0}
    before = file.stat().st_mtime if file.is_file() else 0.0
    file.write_text(json.dumps(content), encoding="utf-8")
    os.utime(file, (before + 1, before + 1))
    return file


def test_a_line_for_each_cell_of_this_study(watch, now, capsys):
    """Catches records of an earlier study counted, one that is said twice, a failure kept quiet."""
    old, failing = record("table9", "a"), record("table9", "b", "failed", "earlier")
    new = old.with_name("c.json")
    watch.begin([old, failing, new])
    now.time += 240
    watch.look()
    assert capsys.readouterr() == ("", "")
    record("table9", "a", "unfinished")
    record("table9", "b", "failed", "no luck")
    watch.look()
    said = capsys.readouterr()
    line = "failed    5.0 s  cbigan/table9  seed=0  [1 of 3, about 8 min left]\n"
    assert said.out == line
    assert said.err.split() == ["no", "luck", "(see", f"{failing})"]
    record("table9", "a")
    watch.look()
    record("table9", "c")
    watch.end()
    said = capsys.readouterr()
    counts = [text.split("[")[1] for text in said.out.splitlines()]
    assert counts == ["2 of 3, about 2 min left]", "3 of 3, about 0 min left]"] and said.err == ""


def test_a_cell_that_was_cut_off(watch, capsys, tmp_path):
    """Catches a killed cell that nobody hears of, or whose reason stays in a cluster's log."""
    files = [record("table9", cell) for cell in "abc"]
    watch.begin(files)
    record("table9", "a", "unfinished", "still runs, or was killed, on node1")
    record("table9", "b", "unfinished", "still runs, or was killed, on node2")
    record("table9", "c", "failed", "no luck")
    log = tmp_path / "7.log"
    log.write_text("first\n" * 20 + "Killed\nError in rule cell:\n    message: None\n")
    for file in (files[0], files[2]):
        error = {"rule_name": "cell", "output": [str(file.with_suffix(".csv")), "x.done"]}
        error |= {"rule_msg": "SLURM-job '7' failed, status is 'CANCELLED'", "log": [str(log)]}
        watch.emit(SimpleNamespace(**error))
    said = capsys.readouterr().err
    assert said.count("broke off") == 1 and "broke off  cbigan/table9  a\n" in said
    assert "'CANCELLED'" in said and "Killed" in said and said.count("first") < 20
    assert "message: None" not in said
    watch.end()
    assert "on node2" in (said := capsys.readouterr().err) and "node1" not in said


def test_the_report_is_built_while_the_study_runs(watch, monkeypatch):
    """Catches no report after the tour, one after every cell, and two at once."""
    built, status = [], 0

    def build(command, check):
        built.append(command)
        return SimpleNamespace(returncode=status)

    def finish(notebook):
        file = record(notebook, "a")
        watch.begin([file])
        record(notebook, "a")
        watch.end()
        watch.__init__("quick")
        watch.follower.run = lambda: None

    monkeypatch.setattr(progress.subprocess, "run", build)
    index = paths.results_root() / "report" / "index.html"
    finish("audit")
    assert built == [], "one before the tour"
    index.parent.mkdir(parents=True)
    index.touch()
    finish("audit")
    assert built == []
    finish(execute.TOUR)
    old = time.time() - progress.REPORT_EVERY_S - 1
    os.utime(index, (old, old))
    status = 1
    finish("audit")
    assert index.stat().st_mtime == pytest.approx(old), "a failed report looks new"
    wanted = [sys.executable, "-m", "adlib", "report", "--profile", "quick", "--collect"]
    assert built == [wanted, wanted]
    with FileLock(paths.results_root() / ".report.lock"):
        finish("audit")
    assert len(built) == 2, "two studies build at once"
