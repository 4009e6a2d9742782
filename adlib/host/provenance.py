"""Where a number comes from: code, versions, machine."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from adlib.host import paths

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pandas", "scikit-learn", "pillow")

CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")  # on Linux


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(paths.home()), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git on this machine: the record says "unknown"
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def commit() -> dict[str, object]:
    """`commit` (or "unknown") and `dirty` (uncommitted changes outside results)."""
    head = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":!results")
    return {"commit": head or "unknown", "dirty": bool(changed) if head else None}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    packages = {name: _version(name) for name in ("adlib", *PACKAGES)}
    return {"python": platform.python_version(), **packages}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """Name of the processor as the system gives it."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:(.*)", info.read_text(), re.M) if info.is_file() else []
    return names[0].strip() if names else platform.processor() or platform.machine()


def machine() -> dict[str, object]:
    """Facts of this machine: system, processor, cores, torch threads, GPU, CUDA."""
    import torch  # here, so that the report can be built without torch

    facts: dict[str, object] = {
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        facts |= {
            "gpu": torch.cuda.get_device_name(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return facts


def forget_peak_memory() -> None:
    """Begin anew with `peak_memory_mb`; of the host where Linux lets a process do so."""
    import torch

    if os.access(CLEAR_REFS, os.W_OK):
        with suppress(OSError):  # some sandboxes show the file and refuse the writing
            CLEAR_REFS.write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _status() -> str:
    """What Linux says of this process; sandboxes may leave out lines, other systems all."""
    return STATUS.read_text() if STATUS.is_file() else ""


def peak_memory_mb() -> dict[str, float]:
    """Largest memory of this process and of the GPU in MB (10^6 bytes).

    It counts from the last `forget_peak_memory`, or from the start of the process.
    """
    import torch

    if sys.platform == "win32":
        import psutil

        host = psutil.Process().memory_info().peak_wset
    elif found := re.search(r"^VmHWM:\s*(\d+) kB", _status(), re.M):
        host = 1024 * int(found[1])
    else:
        import resource

        host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS, else in KB
        host *= 1 if sys.platform == "darwin" else 1024
    peak = {"host": round(host / 1e6, 1)}
    if torch.cuda.is_available():
        peak["gpu"] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    return peak
