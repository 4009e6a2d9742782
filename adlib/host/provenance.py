"""Where a number comes from: code, versions, machine."""

import ast
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

from adlib.host import paths

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pandas", "scikit-learn", "pillow")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(paths.home()), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:  # no git on this machine: the record says "unknown"
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def commit() -> dict[str, object]:
    """`commit` (or "unknown") and `dirty` (uncommitted changes outside results)."""
    found = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":!results")
    return {"commit": found or "unknown", "dirty": bool(changed) if found else None}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version(), "adlib": _version("adlib")}
    return found | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """Name of the processor as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


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


def peak_memory_mb() -> dict[str, float]:
    """Largest memory of this process so far and of the GPU, in MB (10^6 bytes)."""
    import torch

    if sys.platform == "win32":
        import psutil

        host = psutil.Process().memory_info().peak_wset
    else:
        import resource

        # Kilobytes on Linux, bytes on macOS.
        host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        host *= 1 if sys.platform == "darwin" else 1024
    peak = {"host": round(host / 1e6, 1)}
    if torch.cuda.is_available():
        peak["gpu"] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    return peak


def code_fingerprint(*modules: str) -> str:
    """Hash of the code of the named modules and of every `adlib` module they import.

    Comments and docstrings are left out.

    A run carries it, so that a changed loss is another run while a changed comment is not.
    """
    sources: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        spec = importlib.util.find_spec(name) if name not in sources else None
        if spec is None or spec.origin is None:
            continue
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        sources[name] = ast.unparse(_without_docstrings(tree))
        waiting += _imports(tree)
    text = "\n".join(f"{name}\n{sources[name]}" for name in sorted(sources))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return tree


def _imports(tree: ast.Module) -> list[str]:
    """Names of the `adlib` modules that a module imports."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("adlib.")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "adlib":
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in inner if _is_module(name)]
            found += modules or [node.module]
    return found


def _is_module(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return False
    return spec is not None
