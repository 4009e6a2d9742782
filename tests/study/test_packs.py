"""Runs that travel: what a pack holds, what it refuses, and what a run without weights can do."""

import hashlib
import io
import json
import tarfile

import numpy as np
import pytest
from filelock import FileLock

from adlib import data
from adlib.cli import main
from adlib.host import paths
from adlib.models.training import Budget
from adlib.study import packs, results, runs
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
    assert results.metric_row("x", other, "auroc")["note"].startswith("Made by other code, at")
    with pytest.raises(runs.RunError, match="only the code of commit .* can make it"):
        other.detector()
    with pytest.raises(runs.RunError, match="no such scores, and other code made run"):
        runs.rescored(other, split, "cpu", weight_of_features=1.0)
    monkeypatch.delenv("ADLIB_RUNS_OF_OTHER_CODE")
    assert not ask(split).other_code and ask(split).key != run.key


def test_scores_of_a_run_stay_when_its_weights_are_made_again(split, tmp_path, monkeypatch, capsys):
    """Catches tables and a store that disagree, because another machine trains another network."""
    run = ask(split)
    before = run.scores
    packs.pack(paths.runs_root(), tmp_path / "p.tar.xz")
    root = elsewhere(monkeypatch, tmp_path)
    packs.unpack(tmp_path / "p.tar.xz", root)
    score_parts = runs.training.score_parts

    def other_machine(*given):
        scores = score_parts(*given)
        return scores.assign(score=scores.score + scores.score.std())

    again = ask(split)
    with monkeypatch.context() as patch:
        patch.setattr(runs.training, "score_parts", other_machine)
        again.detector()
    assert "DO NOT agree with those of the run (largest difference 1 " in capsys.readouterr().out
    assert again.scores.equals(before) and ask(split).scores.equals(before)
    assert ask(split).record["made_again"]["score_change"] == pytest.approx(1, rel=1e-3)
    packs.pack(root, tmp_path / "again.tar.xz", weights=True)  # all files are what it records


def test_a_training_that_fails_leaves_an_unpacked_run_alone(split, tmp_path, monkeypatch):
    """Catches good scores that are lost because their weights cannot be made here."""
    ask(split)
    packs.pack(paths.runs_root(), tmp_path / "p.tar.xz")
    packs.unpack(tmp_path / "p.tar.xz", elsewhere(monkeypatch, tmp_path))

    def diverges(*_):
        raise runs.training.TrainingDivergedError("nan")

    again = ask(split)
    with monkeypatch.context() as patch, pytest.raises(runs.training.TrainingDivergedError):
        patch.setattr(runs.training, "score_parts", diverges)
        again.detector()
    assert len(ask(split).scores)


def test_rescored_runs_travel_too(split, tmp_path, monkeypatch):
    """Catches a training for scores of a run's weights that are themselves at hand."""
    run = ask(split)
    rescored = runs.rescored(run, split, "cpu", weight_of_features=1.0)
    packs.pack(paths.runs_root(), tmp_path / "p.tar.xz")
    packs.unpack(tmp_path / "p.tar.xz", elsewhere(monkeypatch, tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(runs, "_train", lambda *_: pytest.fail("trained"))
        again = runs.rescored(ask(split), split, "cpu", weight_of_features=1.0)
    assert again.key == rescored.key and again.scores.equals(rescored.scores)
    assert again.detector("cpu").settings.weight_of_features == 1.0  # by training the first again


def test_the_precision_of_another_machine_serves_where_it_is_left_open(
    split, tmp_path, monkeypatch
):
    """Catches a run of a GPU that is trained again because this machine has no bfloat16."""

    def left_open():
        return runs.get("CBiGAN", split, Budget(2, 4, "auto"), 0, "cpu", **SETTINGS)

    monkeypatch.setattr(runs, "resolve_precision", lambda *_: "bfloat16")
    run = left_open()
    packs.pack(paths.runs_root(), tmp_path / "p.tar.xz")
    packs.unpack(tmp_path / "p.tar.xz", elsewhere(monkeypatch, tmp_path))
    monkeypatch.setattr(runs, "resolve_precision", lambda precision, _: "float32")
    assert left_open().key == run.key and not left_open().other_code
    np.testing.assert_allclose(
        np.float32(left_open().detector("cpu").score(split.pixels("test", 32, 1))),
        np.float32(run.part("test")[1]),
    )
    assert ask(split).key != run.key  # float32 was asked for


def test_a_store_that_disagrees_with_its_record_is_not_packed(split, tmp_path):
    """Catches a pack that its receiver refuses, or a failed run in it."""
    run = ask(split)
    (run.folder / "history.csv").write_text("edited")
    with pytest.raises(PackError, match="history.csv is not what record.json says"):
        packs.pack(paths.runs_root(), tmp_path / "p.tar.xz")
    assert not (tmp_path / "p.tar.xz").exists()
    record = json.loads((run.folder / "record.json").read_text()) | {"status": "failed"}
    (run.folder / "record.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=f"no finished run {run.key}"):
        packs.pack(paths.runs_root(), tmp_path / "p.tar.xz", [run.key])


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
    record = {"description": description, "status": "done", "files": hashes}
    record = json.dumps(record).encode()
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


def plain(tmp_path, *members):
    """A pack of WHOLE, and a sparse member perhaps, as a plain tar."""
    file = tmp_path / "plain.tar"
    with tarfile.open(archive(tmp_path, *members)) as source, tarfile.open(file, "w") as tar:
        for member in source:
            tar.addfile(member, source.extractfile(member))
    return file


def test_a_plain_tar_is_a_pack(split, tmp_path, monkeypatch):
    """Catches a pack that only its writer can read, and an ending that says another format."""
    run = ask(split)
    for name in ("p.tar", "p.tar.xz"):
        packs.pack(paths.runs_root(), tmp_path / name)
    assert tarfile.is_tarfile(tmp_path / "p.tar")
    assert (tmp_path / "p.tar").read_bytes()[:4] != (tmp_path / "p.tar.xz").read_bytes()[:4]
    either = [packs.read(tmp_path / name)[run.key] for name in ("p.tar", "p.tar.xz")]
    assert either[0] == either[1]
    assert packs.unpack(tmp_path / "p.tar", elsewhere(monkeypatch, tmp_path)) == [run.key]
    with pytest.raises(ValueError, match=r"p\.zip: a pack ends in \.tar or \.tar\.xz"):
        packs.pack(paths.runs_root(), tmp_path / "p.zip")


def test_nothing_but_an_earlier_pack_is_replaced(split, tmp_path, capsys):
    """Catches an archive or a photo of the user's that a pack is written over."""
    ask(split)
    other = tmp_path / "other.tar.xz"
    with tarfile.open(other, "w:xz") as tar:
        tar.addfile(tarfile.TarInfo("thesis.tex"))
    photo = tmp_path / "photo.tar"
    photo.write_bytes(b"\xff\xd8\xff" + bytes(5000))
    for file in (other, photo):
        before = file.read_bytes()
        assert main(["runs", "pack", str(file)]) == 2
        assert "is not a pack of runs of this program's" in capsys.readouterr().err
        assert file.read_bytes() == before
    for _ in range(2):
        assert main(["runs", "pack", str(tmp_path / "ours.tar.xz")]) == 0


def test_a_plain_tar_that_is_cut_or_sparse_is_refused(tmp_path):
    """Catches runs that are missing without a word, and zeros that no archive of its size holds."""
    _, more = made_run(seed=1)
    file = plain(tmp_path, *WHOLE, *more)
    content = file.read_bytes()
    for length in (4 * 512, 5 * 512 + 100, 0):  # the first is where the second run begins
        file.write_bytes(content[:length])
        with pytest.raises(PackError, match="no pack, or only a part"):
            packs.read(file)
    sparse = tarfile.TarInfo(f"{KEY}/history.csv")
    sparse.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(10**12)}
    with pytest.raises(PackError, match="has no place"):
        packs.read(archive(tmp_path, *WHOLE, (sparse, b"")))


def test_another_run_of_the_same_key_is_never_overwritten(tmp_path):
    """Catches scores of one's own that a pack replaces."""
    root = tmp_path / "runs"
    packs.unpack(archive(tmp_path, *WHOLE), root)
    (root / KEY / "scores.csv").write_text("mine")
    other, more = made_run(seed=1)
    with pytest.raises(PackError, match="other scores"):
        packs.unpack(archive(tmp_path, *WHOLE, *more), root)
    assert (root / KEY / "scores.csv").read_text() == "mine" and not (root / other).exists()


def test_a_bomb_is_refused_before_it_is_large(tmp_path, monkeypatch):
    """Catches a small archive that fills the memory or the disk, by a member or by a header."""
    monkeypatch.setattr(packs, "SLACK", 0)
    header = tarfile.TarInfo(f"{KEY}/scores.csv")
    header.pax_headers = {"comment": "0" * 10**7}
    for members in ([(WHOLE[1][0], bytes(10**7))], [(header, b"")]):
        with pytest.raises(PackError, match="times its own size"):
            packs.unpack(archive(tmp_path, *members), tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_that_is_being_trained_is_left_alone(tmp_path):
    """Catches a checkpoint that is taken away under a training, or kept beside another's scores."""
    root = tmp_path / "runs"
    (root / KEY).mkdir(parents=True)
    (root / KEY / "checkpoint.pt").touch()
    with FileLock(root / f"{KEY}.lock"), pytest.raises(TimeoutError):
        packs.unpack(archive(tmp_path, *WHOLE), root)
    assert [path.name for path in (root / KEY).iterdir()] == ["checkpoint.pt"]
    assert packs.unpack(archive(tmp_path, *WHOLE), root) == [KEY]
    assert not (root / KEY / "checkpoint.pt").exists()
