"""A folder that is watched: each file judged once, whatever happens to files and program."""

import errno
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data_trees import save

from adlib import deploy, models
from adlib.deploy import decision_log, decisions, image_folders, judging, outputs
from adlib.deploy.decision_log import DecisionLog
from adlib.deploy.watching import watch


class Looks(threading.Event):
    """Acts between the looks of a watch, one act before each, and then ends it."""

    def __init__(self, *acts):
        super().__init__()
        self.acts = list(acts)

    def wait(self, timeout=None):
        if self.is_set() or not self.acts:
            return True
        self.acts.pop(0)()
        return False


def nothing():
    """Wait for the next look."""


@pytest.fixture(scope="module")
def detector():
    """An untrained detector with thresholds."""
    torch.manual_seed(0)
    made = decisions.calibrate(models.AutoEncoder(side=32, width=2), "fpr 0.05", np.arange(40))
    return replace(made, threshold=0.3, pixel_threshold=0.2)


@pytest.fixture
def folder(tmp_path):
    """Three images, one of them in a folder below."""
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "below/c.png"):
        save(tmp_path / "in" / name, rng.integers(0, 256, (20, 40, 3), np.uint8))
    return tmp_path / "in"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "out" / "log.jsonl"


def lines(log):
    """The log, each line read by itself."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def paths(log):
    return [line["path"] for line in lines(log)]


# ---- what is judged, and when --------------------------------------------------------------


def test_each_file_has_one_line(detector, folder, log, tmp_path):
    """Would catch other decisions than those of a table, and files judged at every look."""
    counts = watch(detector, folder, log, stop=Looks(*[nothing] * 4))
    deploy.score_folder(detector, folder, tmp_path / "d.csv")
    table = outputs.csv.DictReader((tmp_path / "d.csv").open())
    wanted = [(r["path"], float(r["score"]), r["decision"], r["error"]) for r in table]
    found = [(e["path"], e["score"], e["decision"], e["error"]) for e in lines(log)]
    assert [e[0::2] for e in sorted(found)] == [e[0::2] for e in wanted]
    np.testing.assert_allclose([e[1] for e in sorted(found)], [e[1] for e in wanted], rtol=1e-5)
    assert counts.total() == 3
    assert {e["threshold"] for e in lines(log)} == {0.3}
    assert set(lines(log)[0]) == {*decision_log._FIELDS}


def test_a_file_waits_while_it_grows(detector, folder, log):
    """Would catch half a picture that is judged, or logged as damaged."""
    content = (folder / "a.png").read_bytes()
    new, seen = folder / "new.png", []

    def grow(end):
        def act():
            seen.append(new.exists() and "new.png" in paths(log))
            new.write_bytes(content[:end])

        return act

    ends = [10, 100, 1000, len(content)]
    watch(detector, folder, log, stop=Looks(*map(grow, ends), nothing))
    assert seen == [False] * 4
    (line,) = (line for line in lines(log) if line["path"] == "new.png")
    assert line["error"] == "" and line["size"] == len(content)


def test_a_file_that_changes_while_it_is_read_waits(detector, folder, log, monkeypatch):
    """Would catch a decision on a picture that is no longer there, under the name of the new."""
    framed, changed = image_folders.framed, []

    def slow(path, name, *rest):
        picture = framed(path, name, *rest)
        if name == "a.png" and not changed:
            changed.append(path.write_bytes((folder / "b.png").read_bytes() + b"\0"))
        return picture

    monkeypatch.setattr(image_folders, "framed", slow)
    stop = Looks(nothing, lambda: changed.append("a.png" in paths(log)), nothing)
    watch(detector, folder, log, stop=stop)
    assert changed[1:] == [False]
    scores = {line["path"]: line["score"] for line in lines(log)}
    assert len(lines(log)) == 3 and scores["a.png"] == scores["b.png"]


def test_files_that_vanish_are_no_decision(detector, folder, log, monkeypatch):
    """Would catch a watch that ends with an error because a file was taken away."""
    framed = image_folders.framed

    def late(path, *rest):
        if path.name == "b.png":
            path.unlink()
        return framed(path, *rest)

    monkeypatch.setattr(image_folders, "framed", late)
    (folder / "link.png").symlink_to(folder / "nothing.png")
    watch(detector, folder, log, stop=Looks((folder / "a.png").unlink, nothing))
    assert paths(log) == ["below/c.png"]


def test_a_replaced_file_is_judged_anew(detector, folder, log):
    """Would catch a new picture that goes unjudged because its name was there before."""

    def replaced():
        status = (folder / "a.png").stat()
        (folder / "a.png").write_bytes((folder / "a.png").read_bytes())
        os.utime(folder / "a.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1))

    watch(detector, folder, log, stop=Looks(nothing, replaced, nothing, nothing))
    assert sorted(paths(log)) == ["a.png", "a.png", "b.png", "below/c.png"]
    times = [line["mtime_ns"] for line in lines(log) if line["path"] == "a.png"]
    assert times[1] == times[0] + 1


def test_a_file_that_cannot_be_read_has_a_line_with_the_reason(detector, folder, log):
    """Would catch a damaged picture that passes for normal, or is tried at every look."""
    (folder / "bad.png").write_bytes(b"no picture")
    counts = watch(detector, folder, log, stop=Looks(*[nothing] * 3))
    (line,) = (line for line in lines(log) if line["path"] == "bad.png")
    assert (line["score"], line["decision"]) == (None, "") and "bad.png" in line["error"]
    assert counts[""] == 1 and len(lines(log)) == 4


def test_a_stop_ends_after_the_file_in_work(detector, folder, log, monkeypatch):
    """Would catch a file that is half judged, or a whole folder that is judged before the end."""
    stop, decided = Looks(nothing, nothing), judging.decided
    monkeypatch.setattr(judging, "decided", lambda *a: stop.set() or decided(*a))
    watch(detector, folder, log, stop=stop)
    assert len(lines(log)) == 1


def test_once_ends_by_itself(detector, folder, log):
    """Would catch a call in a script that never comes back."""
    counts = watch(detector, folder, log, interval=0.01, once=True)
    assert counts.total() == len(lines(log)) == 3


def test_a_folder_may_be_empty_or_away_for_a_while(detector, folder, log, tmp_path):
    """Would catch a watch of weeks that ends because a network drive was away for a minute."""
    with pytest.raises(FileNotFoundError, match="no such folder"):
        watch(detector, tmp_path / "nothing", log, stop=Looks(nothing))
    (tmp_path / "empty").mkdir()
    watch(detector, tmp_path / "empty", log, stop=Looks(nothing))
    away = tmp_path / "away"
    acts = [lambda: folder.rename(away), lambda: away.rename(folder), nothing]
    with pytest.warns(UserWarning, match="no such folder.*tried again"):
        watch(detector, folder, log, stop=Looks(*acts))
    assert len(lines(log)) == 3


def test_what_cannot_be_looked_at_is_said(detector, folder, log, monkeypatch):
    """Would catch images that nobody judges without a word, or that end the watch."""
    walked, stat = image_folders.walked, Path.stat
    closed = {"closed/": "closed: the folder cannot be read"}
    monkeypatch.setattr(
        image_folders, "walked", lambda where: replace(walked(where), closed=closed)
    )

    def away(path, **more):
        if path.name == "b.png":
            raise OSError(112, "Host is down")
        return stat(path, **more)

    monkeypatch.setattr(Path, "stat", away)
    with pytest.warns(UserWarning) as said:
        watch(detector, folder, log, stop=Looks(nothing))
    texts = {str(one.message) for one in said}
    assert closed["closed/"] in texts and f"{folder / 'b.png'}: Host is down" in texts
    assert sorted(paths(log)) == ["a.png", "below/c.png"]


# ---- restarts ------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before the line", "after the line"])
def test_after_a_kill_every_file_has_one_line(detector, folder, log, monkeypatch, when):
    """Would catch a file that is lost, or judged twice, because the program was killed."""
    done = []

    def killed(*given):
        done.append(1)
        if len(done) == 2:
            raise KeyboardInterrupt
        return original(*given)

    where = (decision_log.json, "dumps") if "before" in when else (os, "fsync")
    original = getattr(*where)
    monkeypatch.setattr(*where, killed)
    with pytest.raises(KeyboardInterrupt):
        watch(detector, folder, log, stop=Looks(nothing, nothing))
    assert len(lines(log)) == (1 if "before" in when else 2)
    monkeypatch.undo()
    watch(detector, folder, log, stop=Looks(nothing, nothing))
    assert sorted(paths(log)) == ["a.png", "b.png", "below/c.png"]


def test_a_torn_line_is_mended_wherever_it_is_torn(detector, folder, log):
    """Would catch a log that no program can read, a changed old line, or a file judged twice."""
    watch(detector, folder, log, stop=Looks(nothing))
    whole = log.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    torn = log.with_name(f"{log.name}.torn")
    for end in range(start, len(whole) + 1):
        for more in (b"", b"\0\0\0") if end < len(whole) else (b"",):
            log.write_bytes(whole[:end] + more)
            kept = 3 if end >= len(whole) - 1 and not more else 2
            assert len(DecisionLog(log).judged) == kept
            assert log.read_bytes() == (whole if kept == 3 else whole[:start])
            assert torn.exists() == (start < end < len(whole) - 1 or bool(more))
            torn.unlink(missing_ok=True)
    log.write_bytes(whole[:-20])
    watch(detector, folder, log, stop=Looks(nothing, nothing))
    assert len(paths(log)) == 3 and log.read_bytes().startswith(whole[:start])
    assert torn.read_bytes() == whole[start:-20] + b"\n"


def test_names_that_are_no_text_are_known_after_a_restart(detector, folder, log):
    """Would catch a file with an odd name that is judged at every start, or that tears a line."""
    content = (folder / "a.png").read_bytes()
    for name in (b"\xff.png", b"line\nbreak.png", b'"quoted".png', "ä.png".encode()):
        (folder / os.fsdecode(name)).write_bytes(content)
    for _ in range(2):
        watch(detector, folder, log, stop=Looks(nothing, nothing))
        assert len(lines(log)) == 7 == len(set(paths(log)))


# ---- places --------------------------------------------------------------------------------


def test_one_watch_writes_a_log_at_a_time(detector, folder, log):
    """Would catch files judged by two watches, and a message that does not say who is at it."""
    said = rf"another run is writing this log.*\(process {os.getpid()} on .* since 20.* watches\)"

    def second():
        with pytest.raises(ValueError, match=said):
            watch(detector, folder, log, stop=Looks(nothing))

    watch(detector, folder, log, stop=Looks(second, nothing))
    watch(detector, folder, log, stop=Looks(nothing))
    assert len(lines(log)) == 3


def test_nothing_of_the_user_is_replaced(detector, folder, tmp_path):
    """Would catch a user's file or the log replaced, and a start that the next one refuses."""
    mine = {"notes.txt": b"my own", "data.jsonl": b'{"time": "now"}\n', "my.html": b"<html></html>"}
    mine["mine/notes.txt"] = b"my own"
    (tmp_path / "mine").mkdir()
    for name, content in mine.items():
        (tmp_path / name).write_bytes(content)
    log = tmp_path / "log.jsonl"
    for given, said in [
        ({"log_file": tmp_path / "notes.txt"}, "is not a log of decisions of this program's"),
        ({"log_file": tmp_path / "data.jsonl"}, r"data\.jsonl: line 1 is no decision"),
        ({"log_file": folder / "a.png"}, "is not a log of decisions"),
        ({"log_file": log, "page_file": tmp_path / "my.html"}, "is not a page of decisions"),
        ({"log_file": log, "page_file": tmp_path / "page.png"}, "its name ends in .html"),
        ({"log_file": log, "masks_dir": folder / "masks"}, "lies among the images"),
        ({"log_file": log, "masks_dir": tmp_path / "mine"}, "is not a mask of this program's"),
        ({"log_file": log, "masks_dir": tmp_path}, r"log\.jsonl lies in .*, which holds masks"),
        ({"log_file": tmp_path / "l.html", "page_file": tmp_path / "l.html"}, "replace the log"),
        ({"log_file": log, "interval": 0}, "interval=0: a number of seconds above 0"),
    ]:
        with pytest.raises(ValueError, match=said):
            watch(detector, folder, stop=Looks(nothing), **given)
    assert {name: (tmp_path / name).read_bytes() for name in mine} == mine
    assert not log.exists() or lines(log) == []


def test_masks_stay_and_their_file_stands_in_the_line(detector, folder, log, tmp_path):
    """Would catch the masks of the days before set aside at every start."""
    for name in (None, "new.png"):
        if name:
            (folder / name).write_bytes((folder / "a.png").read_bytes())
        watch(detector, folder, log, masks_dir=tmp_path / "m", stop=Looks(nothing))
    files = [line["mask"] for line in lines(log)]
    assert len(set(files)) == 4 and all(Path(file).is_file() for file in files)
    plain = replace(detector, pixel_threshold=None)
    with pytest.raises(ValueError, match="no pixel threshold"):
        watch(plain, folder, log, masks_dir=tmp_path / "m", stop=Looks(nothing))


def test_a_page_that_cannot_be_written_stops_no_decision(detector, folder, log, tmp_path):
    """Would catch a line that stands still because the drive of its page is away."""
    page = tmp_path / "show" / "page.html"

    def away():
        page.unlink()
        page.parent.rmdir()
        page.parent.write_text("no folder")

    def back():
        page.parent.unlink()

    with pytest.warns(UserWarning, match=r"page\.html: .*it is tried again"):
        watch(detector, folder, log, page, stop=Looks(away, nothing, back))
    assert len(paths(log)) == 3 and "a.png" in page.read_text()


def test_a_full_disk_is_told_by_the_logs_name(detector, folder, log, monkeypatch):
    """Would catch "No space left on device" without the file, and a decision that counts."""

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(decision_log.os, "fsync", full)
    with pytest.raises(OSError, match=r"log\.jsonl: a line could not be written \(No space"):
        watch(detector, folder, log, stop=Looks(nothing))
