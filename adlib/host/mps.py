"""NVIDIA's MPS: processes that compute on one GPU at the same time instead of by turns."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

CONTROL = "nvidia-cuda-mps-control"
# In a process of its own: whoever has used the GPU once stays with or without MPS.
PROBE = "import torch; torch.zeros(1, device='cuda')"


@contextmanager
def shared_gpu() -> Iterator[bool]:
    """Start MPS for the processes that start inside the block, and end it after; tell if it runs.

    Where the program is missing or does not work, a line says so, and processes take turns.
    It has not been run on a machine with a GPU yet.
    """
    with tempfile.TemporaryDirectory(prefix="adlib-mps-") as folder:
        places = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        problem = _start(places)
        if problem:
            print(f"no MPS, processes take turns on the GPU: {problem}", file=sys.stderr)
            yield False
            return
        before = {name: os.environ.get(name) for name in places}
        os.environ |= places
        try:
            yield True
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
            _quit(places)


def _start(places: dict[str, str]) -> str:
    """Start the daemon; what went wrong, or ""."""
    if (program := shutil.which(CONTROL)) is None:
        return f"{CONTROL} is not installed"
    if problem := _call([program, "-d"], places):
        return problem
    if problem := _call([sys.executable, "-c", PROBE], places):
        _quit(places)
        return problem
    return ""


def _quit(places: dict[str, str]) -> None:
    if problem := _call([CONTROL], places, "quit\n"):
        print(problem, file=sys.stderr)


def _call(command: list[str], places: dict[str, str], text: str = "") -> str:
    """Run a program; "", or what it said last where it failed.

    It writes to a file, because a pipe would stay open as long as a daemon that it starts.
    """
    with tempfile.TemporaryFile("w+") as output:
        code = subprocess.run(
            command,
            env=os.environ | places,
            input=text,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        ).returncode
        output.seek(0)
        said = output.read().strip().splitlines()
    return f"{command[0]} ended with {code}: {said[-1] if said else 'no word'}" if code else ""
