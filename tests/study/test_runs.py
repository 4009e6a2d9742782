"""The run store: once trained, given back; checked, locked, failed when it failed."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from adlib import data, models
from adlib.host import paths, provenance
from adlib.models import training
from adlib.models.training import Budget, TrainingDivergedError
from adlib.study import identity, packs, runs
from adlib.study.runs import RunError

SETTINGS = {"side": 32, "channels": 1, "width": 2}
BUDGET = Budget(2, 4, "float32", snapshots=1)


@pytest.fixture(scope="module")
def split():
    return data.one_class(data.load("synthetic", "object"), seed=0)


def ask(split, seed=0, **more):
    return runs.get("CBiGAN", split, BUDGET, seed, "cpu", **(SETTINGS | more))


def test_a_run_is_trained_once_and_holds_what_it_says(split, monkeypatch):
    """Would catch a run trained twice, scores in the wrong order, missing provenance."""
    run = ask(split)
    monkeypatch.setattr(runs, "_train", lambda *_: pytest.fail("trained again"))
    assert ask(split).key == run.key
    scores = run.scores
    assert set(scores.columns) == {"path", "label", "kind", "split", "score"}
    test = scores[scores.split == "test"]
    assert test.path.tolist() == split.table("test").path.tolist()
    again = run.detector("cpu").score(split.pixels("test", 32, 1))
    np.testing.assert_array_equal(np.float32(again), np.float32(run.part("test")[1]))
    assert len(run.history) == 2 and list(run.snapshots()) == [2]
    lists = json.loads((run.folder / "split.json").read_text())
    assert len(lists["train"]) == run.record["counts"]["train"] == len(split.train)
    assert {
        "commit",
        "dirty",
        "versions",
        "machine",
        "train_s",
        "peak_memory_mb",
        "started",
    } <= set(run.record)


def test_rescored_runs_keep_the_weights_and_change_the_scores(split, monkeypatch):
    """Would catch a training for another score, scores of other weights, or of another split."""
    run = ask(split)
    monkeypatch.setattr(runs, "_train", lambda *_: pytest.fail("trained again"))
    other = runs.rescored(run, split, "cpu", weight_of_features=1.0)
    assert other.key != run.key and other.record["description"]["scores_of"] == run.key
    assert runs.rescored(run, split, "cpu", weight_of_features=1.0).key == other.key
    detector = run.detector("cpu")
    again = models.build("CBiGAN", **SETTINGS, weight_of_features=1.0).to("cpu")
    again.networks.load_state_dict(detector.networks.state_dict())
    expected = again.score(split.pixels("test", 32, 1))
    np.testing.assert_array_equal(np.float32(expected), np.float32(other.part("test")[1]))
    assert not np.array_equal(other.part("test")[1], run.part("test")[1])
    given_back = other.detector("cpu").score(split.pixels("test", 32, 1))
    np.testing.assert_array_equal(given_back, expected)
    with pytest.raises(ValueError, match="made with other images than the split given"):
        runs.rescored(run, data.one_class(split.images, seed=1), weight_of_features=1.0)


def test_another_description_is_another_run(split, monkeypatch):
    """Would catch a setting, seed, split, budget or changed code that the hash does not see."""
    base = identity.describe(models.build("CBiGAN", **SETTINGS), split, BUDGET, 0)
    other = data.one_class(split.images, seed=1)
    assert packs.digest(base) == packs.digest(json.loads(json.dumps(base)))
    changed = [
        identity.describe(models.build("CBiGAN", **SETTINGS, alpha=0.5), split, BUDGET, 0),
        identity.describe(models.build("CBiGAN", **SETTINGS), other, BUDGET, 0),
        identity.describe(models.build("CBiGAN", **SETTINGS), split, Budget(3, 4), 0),
        identity.describe(models.build("CBiGAN", **SETTINGS), split, BUDGET, 1),
    ]
    monkeypatch.setattr(identity, "code_fingerprint", lambda *_: "other code")
    changed.append(identity.describe(models.build("CBiGAN", **SETTINGS), split, BUDGET, 0))
    assert len({packs.digest(d) for d in (base, *changed)}) == 6


def test_changed_files_are_refused(split):
    """Would catch scores or weights that somebody edited being used as if they were the run's."""
    run = ask(split)
    weights = run.folder / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"x")
    with pytest.raises(
        RunError, match=r"weights\.safetensors is missing or not what record\.json says"
    ):
        run.detector()
    (run.folder / "scores.csv").unlink()
    with pytest.raises(RunError, match="remove .* to train the run again"):
        _ = run.scores


def test_a_diverged_run_is_marked_failed(split):
    """Would catch a failed run that looks as if it had never been tried."""
    with pytest.raises(TrainingDivergedError, match="diverged at step"):
        ask(split, learning_rate=float("inf"))
    (record,) = paths.runs_root().glob("*/record.json")
    assert json.loads(record.read_text())["status"] == "failed"
    with pytest.raises(RunError, match="diverged at step .*; remove .* to try again"):
        ask(split, learning_rate=float("inf"))


def test_scores_that_are_not_numbers_fail_the_run(split):
    """Would catch a last step that ruins the weights after the last look at the losses."""
    with pytest.raises(TrainingDivergedError, match="AutoEncoder gives nan for .* 54 images"):
        runs.get(
            "AutoEncoder", split, Budget(1, 4, "float32"), 0, "cpu", side=32, learning_rate=1e38
        )
    (record,) = paths.runs_root().glob("*/record.json")
    assert json.loads(record.read_text())["status"] == "failed"


def test_changed_snapshots_are_refused(split):
    """Would catch training curves drawn from weights that are not the run's."""
    run = ask(split)
    (snapshot,) = run.snapshots().values()
    snapshot.write_bytes(snapshot.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match="not what record.json says"):
        run.snapshots()


def test_auto_precision_is_resolved_before_the_run_is_named(split, monkeypatch):
    """Would catch a run that goes on in another precision on another machine."""
    keys = []
    for precision in ("float32", "bfloat16"):
        monkeypatch.setattr(runs, "resolve_precision", lambda *_, p=precision: p)
        run = runs.get("CBiGAN", split, Budget(2, 4, "auto"), 0, "cpu", **SETTINGS)
        assert run.record["precision"] == precision
        assert run.record["description"]["budget"]["precision"] == precision
        keys.append(run.key)
    assert keys[0] != keys[1]


def test_two_processes_train_one_run_once(tmp_path):
    """Would catch two askers at once that both train: the loser must find the winner's run."""
    code = (
        "import torch; torch.set_num_threads(1); from adlib import data\n"
        "from adlib.study import runs\n"
        "from adlib.models.training import Budget\n"
        "split = data.one_class(data.load('synthetic', 'object'), seed=0)\n"
        "settings = {'side': 32, 'channels': 1, 'width': 2}\n"
        "run = runs.get('CBiGAN', split, Budget(20, 4, 'float32'), 0, 'cpu', **settings)\n"
        "print(run.key, run.record['started'], run.record['pid'])"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in "ab"
    ]
    printed = {process.communicate()[0] for process in started}
    assert len(printed) == 1 and "None" not in printed.pop()
    assert all(process.returncode == 0 for process in started)


def test_export_leaves_record_and_scores(split, tmp_path):
    """Would catch results that cannot be traced to a run."""
    run = ask(split)
    run.export(tmp_path / "results")
    kept = tmp_path / "results" / run.key
    assert json.loads((kept / "record.json").read_text()) == run.record
    assert (kept / "scores.csv").read_bytes() == (run.folder / "scores.csv").read_bytes()


def test_a_record_counts_the_seconds_before_a_kill(split, monkeypatch):
    """Would catch a cost that is that of the last session alone, and sessions counted twice."""
    monkeypatch.setattr(training, "stop", threading.Event())
    training.stop.set()
    with pytest.raises(training.TrainingStopped):
        ask(split)
    (folder,) = paths.runs_root().glob("*/")
    checkpoint, began = folder / "checkpoint.pt", json.loads((folder / runs.SESSION).read_text())
    os.utime(checkpoint, (began["began"] + 100,) * 2)
    assert runs.spent(folder) == pytest.approx(100, abs=1)
    later = runs.time.time() + 500  # this session is killed before it has a checkpoint
    (folder / runs.SESSION).write_text(json.dumps({"earlier_s": 100.0, "began": later}))
    assert runs.spent(folder) == 100
    training.stop.clear()
    run = ask(split)
    assert 100 <= run.record["train_s"] < 190
    assert not (folder / runs.SESSION).exists() and not checkpoint.exists()


def test_peak_memory_is_that_of_the_run(split):
    """Would catch memory of what the process did before a run that is told as the run's."""
    if not provenance.CLEAR_REFS.exists():
        pytest.skip("this system does not forget a peak of memory")
    before = np.ones(10**8)  # 800 MB
    assert provenance.peak_memory_mb()["host"] > before.nbytes / 1e6
    del before
    provenance.forget_peak_memory()
    here = provenance.peak_memory_mb()["host"]
    assert ask(split).record["peak_memory_mb"]["host"] < here + 700
