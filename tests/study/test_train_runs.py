"""Runs trained by several processes for a time: killed, stopped, gone on with, packed."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import active_children
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from adlib.host import paths
from adlib.study import packs, runs, train_runs, trainings

CPU = torch.device("cpu")
PROFILE = """
title = "Toy"
about = "A toy."
seeds = [0, 1]
[detectors.GANomaly]
width = 2
latent = 4
batch = 4
[detectors.EGBAD]
width = 2
steps = 2
batch = 4
[ganomaly]
without = ["AnoGAN", "f-AnoGAN"]
[ganomaly.sets]
[ganomaly.notebooks.table1_mnist]
digits = ["3"]
[ganomaly.object]
side = 32
channels = 1
[ganomaly.detectors.GANomaly]
steps = {steps}
snapshots = 1
"""


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """Writes the profile `toy`: GANomaly of so many steps and a short EGBAD, two seeds each."""
    monkeypatch.setenv("ADLIB_PROFILES", str(tmp_path))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    return lambda steps: (tmp_path / "toy.toml").write_text(PROFILE.format(steps=steps))


def until(condition, process=None):
    """Wait until something holds; a process that should bring it about must not have ended."""
    for _ in range(3000):
        if condition():
            return
        assert process is None or process.poll() is None, process.communicate()[1][-2000:]
        time.sleep(0.1)
    pytest.fail("nothing has happened for five minutes")


def begun():
    """Trainings of the store that have begun and not ended: their sessions' files and times."""
    found = {}
    for path in paths.runs_root().glob(f"*/{runs.SESSION}"):
        with suppress(FileNotFoundError):  # it has just ended
            found[path] = path.stat().st_mtime_ns
    return found


def group_is_gone(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
def test_killed_at_random_it_ends_as_runs_made_one_by_one(profile, tmp_path, monkeypatch, capfd):
    """Would catch a pack of half a run, workers that outlive a kill, and other scores after it."""
    profile(300)  # some tenths of a second at least, so that a kill just after a start meets it
    file, rng = tmp_path / "out.tar", random.Random(0)
    command = f"-m adlib train-runs --profile toy --minutes 9 --jobs 2 --device cpu --pack {file}"
    first = subprocess.Popen(
        [sys.executable, *command.split()],
        cwd=paths.home(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(begun, first)
    time.sleep(rng.uniform(0, 0.3))
    first.kill()
    first.communicate()
    until(lambda: group_is_gone(first.pid))
    whole = packs.read(file) if file.exists() else {}
    assert all({"history.csv", "split.json"} <= set(run.files) for run in whole.values())

    before = begun()

    def kill_one():
        until(lambda: begun().items() - before.items())
        time.sleep(rng.uniform(0, 0.2))
        rng.choice(active_children()).kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    assert train_runs.train("toy", 9, file, 2, CPU) == 1
    killer.join()
    assert "FAILED" in (errors := capfd.readouterr().err) and "its process ended with -9" in errors
    assert train_runs.train("toy", 9, file, 2, CPU) == 0
    last = capfd.readouterr().out.splitlines()[-1]
    assert "0 not started, 0 failed" in last and "holds 4 runs" in last
    packed, wanted = packs.read(file), trainings.wanted("toy", CPU)
    assert set(packed) == {one.key for one in wanted} and len(packed) == 4
    monkeypatch.setenv("ADLIB_RUNS", str(tmp_path / "one by one"))
    for one in wanted:
        np.testing.assert_array_equal(made(one).scores.score, packed[one.key].scores.score)


def made(one):
    """The run of a training, as a notebook asks for it."""
    return runs.get(one.detector, one.split(), one.budget, one.cell.seed, "cpu", **one.settings)


def train(monkeypatch, file, end):
    """Train for an hour that ends when two trainings have begun; how long it is said to have been.

    The end is the signal SIGTERM, or a clock that jumps.
    """
    jump = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + jump[0])
    monkeypatch.setattr(train_runs, "time", clock)
    before = begun()

    def watch():
        until(lambda: len(begun().items() - before.items()) == 2)
        if end == "signal":
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            jump[0] = 3600.0

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return train_runs.train("toy", 60, file, 2, CPU)
    finally:
        watcher.join()


def steps_of(keys):
    """Steps of the checkpoints of runs."""
    files = [paths.runs_root() / key / "checkpoint.pt" for key in keys]
    return [torch.load(file, weights_only=True)["step"] for file in files]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
def test_the_end_of_its_time_leaves_checkpoints_and_a_pack(profile, tmp_path, monkeypatch, capsys):
    """Would catch a deadline or a SIGTERM that loses trainings, and one begun from nothing."""
    profile(100_000)
    file = tmp_path / "out.tar.xz"
    short = next(one for one in trainings.wanted("toy", CPU) if one.method == "EGBAD")
    made(short)
    assert train(monkeypatch, file, "signal") == 0
    waiting = [path.parent.name for path in begun()]
    first = steps_of(waiting)
    assert len(waiting) == 2 and min(first) > 0
    printed = capsys.readouterr()
    assert "2 stopped with a checkpoint, 1 not started, 0 failed" in printed.out
    assert "SIGTERM: stopping" in printed.err
    assert set(packs.read(file)) == {short.key}
    assert train(monkeypatch, file, "clock") == 0
    assert [path.parent.name for path in begun()] == waiting
    assert all(b > a for a, b in zip(first, steps_of(waiting), strict=True))
