"""Files that are written: nobody meets half of one, and nothing else's place is taken."""

import errno
import os
import stat
from pathlib import Path

import pytest

from adlib.host import files


def test_a_file_gets_the_mode_of_a_new_one(tmp_path):
    """Would catch files that nobody but their owner can read, because a writer makes them so."""

    def private(path):
        path.unlink(missing_ok=True)
        path.write_text("x")
        path.chmod(0o600)

    before = os.umask(0o027)
    try:
        with files.atomic(tmp_path / "a.txt") as temporary:
            private(temporary)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_names_that_stand_for_a_text():
    """Would catch two texts of one file name, a name that a disk cannot hold, or a changed one."""
    for plain in ("mono", "metal_nut", "3_inlier_categories", "a-b.c", "a" * 60):
        assert files.slug(plain) == plain
    texts = ["part 1", "part_1", "Part_1", "part/1", "pärt_1", "pa\u0308rt_1", "a\udcff", "a\udcfe"]
    texts += ["a" * 215, "a" * 216, "/tmp/" + "b/" * 2000, ""]
    names = [files.slug(text) for text in texts]
    assert len({name.lower() for name in names}) == len(texts)
    for name in names:
        assert name.isascii() and len(name) <= 69 and not set(name) & set("/\\ :{}")


def test_a_failure_leaves_what_was_there(tmp_path):
    """Would catch half a file in the place of a whole one, and a temporary one left over."""
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(KeyError), files.atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "before"


def test_every_name_that_a_disk_can_hold(tmp_path):
    """Would catch a temporary name that is too long where the file's own is not."""
    for name in ("a" * 251 + ".csv", "\U0001f600" * 60 + ".csv"):
        files.write_text(tmp_path / name, "x")
        files.check_output(tmp_path / name, lambda _: True, "a table")
        assert (tmp_path / name).read_text() == "x"


def test_places_that_cannot_take_a_result_are_named(tmp_path, monkeypatch):
    """Would catch a place that is found to be unusable only when all work is done."""
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    for path, said in [
        (tmp_path, "is a folder"),
        (tmp_path / "file" / "below" / "a.csv", "file is a file"),
        (tmp_path / "pipe", "a device or a pipe"),
        (tmp_path / "file", "is not a table of this program's"),
        (Path("/proc/a.csv"), "cannot be written"),  # not even by root
    ]:
        with pytest.raises(ValueError, match=said):
            files.check_output(path, lambda _: False, "a table")

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ValueError, match="No space left on device"):
        files.check_output(tmp_path / "new" / "a.csv", lambda _: False, "a table")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pipe"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_tilde_is_the_home_folder_or_a_name(monkeypatch, tmp_path):
    """Would catch a folder named `~` in the working directory, and a crash for `~nobody`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.expanded("~/a.csv") == tmp_path / "a.csv"
    assert files.expanded("~no such user/a.csv") == Path("~no such user/a.csv")
