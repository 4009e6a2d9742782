"""Which GPU a cell uses."""

import os
import subprocess
import sys

import pytest

from adlib.study.engine import gpus


@pytest.fixture
def slots(tmp_path, monkeypatch):
    """Set the listed GPUs; lock files go to a folder of this test."""
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("ADLIB_GPU_SLOTS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def choose(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return choose


def test_gpu_slots(slots):
    """Catches two notebooks on one GPU while another is free, and a slot not given back."""
    taken = []
    slots(ADLIB_GPU_SLOTS="4, 7,7")
    with gpus.slot():
        taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
        with gpus.slot():
            taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
            with gpus.slot():
                taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert taken == ["4", "7", "7"]
    with gpus.slot():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4"


def test_gpu_of_a_scheduler_is_left_alone(slots, tmp_path):
    """Catches two jobs of a cluster node, each shown its own GPU as number 0, waiting in turn."""
    slots(CUDA_VISIBLE_DEVICES="0")
    with gpus.slot():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
        assert not list(tmp_path.glob("adlib-gpu-*"))


def test_gpu_slot_of_a_dead_process_is_free(slots, tmp_path):
    """Catches a crash that would block a GPU for good."""
    slots(CUDA_VISIBLE_DEVICES="2,3")
    with gpus.slot():
        lock = next(tmp_path.glob("adlib-gpu-*/2-0.lock"))
    code = (
        "import os, sys, filelock\n"
        "lock = filelock.FileLock(sys.argv[1])\nlock.acquire()\nprint('held', flush=True)\n"
        "sys.stdin.read()\nos._exit(1)"
    )
    command = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        slots(CUDA_VISIBLE_DEVICES="2,3")
        with gpus.slot():
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
        other.kill()
    slots(CUDA_VISIBLE_DEVICES="2,3")
    with gpus.slot():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"


@pytest.mark.parametrize(
    ("variables", "count", "each", "slots"),
    [
        ({}, None, 4, ["0"] * 4),
        ({}, 2, 2, ["0", "1", "0", "1"]),
        ({}, 0, 4, []),
        ({"CUDA_VISIBLE_DEVICES": "GPU-a, 3"}, 1, 2, ["GPU-a", "3", "GPU-a", "3"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, None, 2, []),
        ({"CUDA_VISIBLE_DEVICES": "5", "ADLIB_GPU_SLOTS": "0,0,1"}, 4, 2, ["0", "0", "1"]),
    ],
)
def test_slots_of_this_machine(monkeypatch, variables, count, each, slots):
    """Catches a GPU shared by too few cells or taken uninvited, and slots by hand overruled."""
    monkeypatch.setattr(gpus, "_has_gpu", lambda: True)
    for name in ("CUDA_VISIBLE_DEVICES", "ADLIB_GPU_SLOTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert gpus.slots(count, each) == slots


@pytest.mark.parametrize("count", ["two", -1, 1.5])
def test_a_number_of_gpus_that_is_none(monkeypatch, count):
    """Catches a typing error that would quietly leave GPUs unused."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("ADLIB_GPU_SLOTS", raising=False)
    with pytest.raises(ValueError, match=f"GPUS={count}, but it must be a number of GPUs"):
        gpus.slots(count, 1)


def test_a_machine_without_nvidia_smi(monkeypatch, tmp_path):
    """Catches a study that falls over, or waits for a GPU, where there is none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("ADLIB_GPU_SLOTS", raising=False)
    assert gpus.slots(None, 4) == []
