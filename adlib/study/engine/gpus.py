"""Which GPU a cell of a study uses: several small cells share one, a slot each."""

import getpass
import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

SLOTS = "ADLIB_GPU_SLOTS"  # device numbers with commas; one that stands twice holds two cells


def _devices(text: str) -> list[str]:
    return [device for device in text.replace(" ", "").split(",") if device]


def slots(count: int | None, each: int) -> list[str]:
    """Devices of this machine's slots, `each` slots on every GPU; none without a GPU.

    `ADLIB_GPU_SLOTS` names all slots by hand. Else `CUDA_VISIBLE_DEVICES` names the GPUs, or they
    are the first `count`; None stands for one if `nvidia-smi` finds any.

    Raises:
        ValueError: `count` is no number of GPUs.
    """
    if SLOTS in os.environ:
        return _devices(os.environ[SLOTS])
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        devices = _devices(os.environ["CUDA_VISIBLE_DEVICES"])
    else:
        count = int(_has_gpu()) if count is None else count
        if not isinstance(count, int) or count < 0:
            raise ValueError(f"GPUS={count}, but it must be a number of GPUs: 0, 1, 2, ...")
        devices = [str(number) for number in range(count)]
    return devices * each  # a cell takes the first free one: GPUs fill evenly


def _has_gpu() -> bool:
    with suppress(OSError):
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False)
        return listed.returncode == 0 and bool(listed.stdout.strip())
    return False


@contextmanager
def slot() -> Iterator[None]:
    """Hold one of the listed slots for this process and show only its GPU to the kernel.

    `ADLIB_GPU_SLOTS`, else `CUDA_VISIBLE_DEVICES`, lists them. Waits for a free one. The lock dies
    with the process.
    """
    named = _devices(os.environ.get(SLOTS, ""))
    devices = named or _devices(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    if not named and len(devices) < 2:  # a scheduler gave this job its device: nothing to choose
        yield
        return
    folder = Path(tempfile.gettempdir()) / f"adlib-gpu-{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    locks = {
        FileLock(folder / f"{device}-{devices[:i].count(device)}.lock"): device
        for i, device in enumerate(devices)
    }
    for lock in itertools.cycle(locks):
        with suppress(Timeout):
            lock.acquire(timeout=0.1)
            break
    os.environ["CUDA_VISIBLE_DEVICES"] = locks[lock]
    try:
        yield
    finally:
        lock.release()
