"""Runs that travel: what a pack holds, what it refuses, and what a run without weights can do."""

import hashlib
import io
import json
import tarfile

import numpy as np
import pytest

from adlib import data
from adlib.cli import main
from adlib.host import paths
from adlib.models.training import Budget
from adlib.study import packs, runs
from adlib.study.packs import PackError

SETTINGS = {"side": 32, "channels": 1, "width": 2}


@pytest.fixture(scope="module")
def split():
    return data.one_class(data.load("synthetic", "object"), seed=0)


def ask(split, seed=0, **more):
    return runs.get("CBiGAN", split, Budget(2, 4, "float32", **more), seed, "cpu", **SETTINGS)


def elsewhere(monkeypatch, tmp_path, name="elsewhere"):
    """Another store."""
    monkeypatch.setenv("ADLIB_RUNS", str(tmp_path / name))
    return paths.runs_root()


def test_an_unpacked_run_gives_its_scores_without_training(split, tmp_path, monkeypatch, capsys):
    """Catches a training where scores are at hand, and scores that change on the way."""
    run = ask(split)
    assert main(["runs", "pack", str(tmp_path / "p.tar.xz")]) == 0
    root = elsewhere(monkeypatch, tmp_path)
    assert main(["runs", "unpack", str(tmp_path / "p.tar.xz")]) == 0
    assert main(["runs", "unpack", str(tmp_path / "p.tar.xz")]) == 0
    assert "1 new runs" in capsys.readouterr().out
    train = runs._train
    monkeypatch.setattr(runs, "_train", lambda *_: pytest.fail("trained"))
    again = ask(split)
    assert again.key == run.key and again.scores.equals(run.scores)
    assert again.history.equals(run.history)
    assert not (root / run.key / "weights.safetensors").exists()
    monkeypatch.setattr(runs, "_train", train)
    scores = again.detector("cpu").score(split.pixels("test", 32, 1))
    printed = capsys.readouterr().out
    assert "has no weights.safetensors: it is trained again" in printed
    assert "agree with those of the run" in printed and "NOT" not in printed
    np.testing.assert_array_equal(np.float32(scores), np.float32(run.part("test")[1]))
    assert main(["runs", "list"]) == 0 and run.key in capsys.readouterr().out


def test_snapshots_that_were_not_kept_are_made(split):
    """Catches training curves that are empty because an equal run was trained without them."""
    assert ask(split).snapshots() == {}
    assert list(ask(split, snapshots=2).snapshots()) == [1, 2]


def test_weights_travel_on_request(split, tmp_path, monkeypatch):
    """Catches weights that are left out although they were asked for."""
    run = ask(split, snapshots=1)
    file = tmp_path / "p.tar.xz"
    packs.pack(paths.runs_root(), file, [run.key], weights=True)
    root = elsewhere(monkeypatch, tmp_path)
    packs.unpack(file, root)
    assert (root / run.key / "weights.safetensors").is_file()
    assert list(ask(split, snapshots=1).snapshots()) == [2]


def test_equal_runs_are_equal_bytes(split, tmp_path):
    """Catches a time or an owner in the archive, which would change it with every collection."""
    ask(split)
    files = [tmp_path / f"{name}.tar.xz" for name in "ab"]
    for file in files:
        packs.pack(paths.runs_root(), file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_runs_of_other_code_only_where_they_are_accepted(split, tmp_path, monkeypatch):
    """Catches the scores of an older loss that pass for those of this one without being asked."""
    with monkeypatch.context() as patch:
        patch.setattr(runs.identity, "code_fingerprint", lambda *_: "older code")
        run = ask(split)
    packs.pack(paths.runs_root(), tmp_path / "p.tar.xz")
    root = elsewhere(monkeypatch, tmp_path)
    packs.unpack(tmp_path / "p.tar.xz", root)
    monkeypatch.setenv("ADLIB_RUNS_OF_OTHER_CODE", "1")
    other = ask(split)
    assert other.key == run.key and other.other_code
    with pytest.raises(runs.RunError, match="only the code of commit .* can make it"):
        other.detector()
    monkeypatch.delenv("ADLIB_RUNS_OF_OTHER_CODE")
    assert not ask(split).other_code and ask(split).key != run.key


def archive(tmp_path, *members):
    """An archive of (name or TarInfo, content)."""
    file = tmp_path / "bad.tar.xz"
    with tarfile.open(file, "w:xz") as tar:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file


def made_run(scores=b"path,label,kind,split,score\n", **description):
    """Key and members of a run."""
    hashes = {"scores.csv": hashlib.sha256(scores).hexdigest()}
    record = json.dumps({"description": description, "files": hashes}).encode()
    key = packs.digest(description)
    return key, [(f"{key}/record.json", record), (f"{key}/scores.csv", scores)]


def link(name, kind, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


KEY, WHOLE = made_run(seed=0)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("/etc/x", b"")], "has no place"),
        ([("../record.json", b"")], "has no place"),
        ([(f"{KEY}/../../record.json", b"")], "has no place"),
        ([(f"{KEY}/run.py", b"")], "has no place"),
        ([(link(f"{KEY}/scores.csv", tarfile.SYMTYPE, "/etc/passwd"), b"")], "has no place"),
        ([(link(f"{KEY}/scores.csv", tarfile.LNKTYPE, "x"), b"")], "has no place"),
        ([*WHOLE, WHOLE[1]], "stands in it twice"),
        (WHOLE[:1], "lacks scores.csv"),
        (WHOLE[1:], "lacks record.json"),
        ([WHOLE[0], (WHOLE[1][0], b"other")], "is not what record.json says"),
        ([(f"{'0' * 16}/{n.split('/')[1]}", c) for n, c in WHOLE], "that of another run"),
        ([(WHOLE[0][0], b"{}"), WHOLE[1]], "no record of a run"),
        ([*WHOLE, (f"{KEY}/split.json", b"{}")], "is not what record.json says"),
    ],
)
def test_what_does_not_belong_into_a_pack_is_refused(tmp_path, members, message):
    """Catches a file outside of the store, a link, edited scores, and half a run."""
    root = tmp_path / "runs"
    with pytest.raises(PackError, match=message):
        packs.unpack(archive(tmp_path, *members), root)
    assert not root.exists() or list(root.iterdir()) == []


def test_a_cut_archive_is_refused(tmp_path):
    """Catches a download that broke off."""
    file = archive(tmp_path, *WHOLE)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(PackError, match="no pack, or only a part"):
        packs.read(file)
    with pytest.raises(FileNotFoundError):
        packs.read(tmp_path / "none.tar.xz")


def test_another_run_of_the_same_key_is_never_overwritten(tmp_path):
    """Catches scores of one's own that a pack replaces."""
    root = tmp_path / "runs"
    packs.unpack(archive(tmp_path, *WHOLE), root)
    (root / KEY / "scores.csv").write_text("mine")
    other, more = made_run(seed=1)
    with pytest.raises(PackError, match="other scores"):
        packs.unpack(archive(tmp_path, *WHOLE, *more), root)
    assert (root / KEY / "scores.csv").read_text() == "mine" and not (root / other).exists()
