"""Where the study keeps its files. Every folder can be moved with an environment variable."""

import os
import re
from pathlib import Path

REPORT_LOCK = ".report.lock"  # in the results folder: one process at a time builds the report


def home() -> Path:
    """Folder of the checkout, or the working directory where `adlib` was installed without one."""
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()


def _folder(variable: str, default: str) -> Path:
    value = os.environ.get(variable)
    return Path(value).expanduser().resolve() if value else home() / default


def data_root(root: str | Path | None = None) -> Path:
    """Folder that holds the data sets: `root`, else `ADLIB_DATA`, else `data/`."""
    return Path(root).expanduser().resolve() if root else _folder("ADLIB_DATA", "data")


def runs_root() -> Path:
    """Folder of the run store: `ADLIB_RUNS`, else `runs/`."""
    return _folder("ADLIB_RUNS", "runs")


def cache_root() -> Path:
    """Folder of decoded images: `ADLIB_CACHE`, else `.cache/`."""
    return _folder("ADLIB_CACHE", ".cache")


def results_root() -> Path:
    """Folder of tables, pictures and the report: `ADLIB_RESULTS`, else `results/`."""
    return _folder("ADLIB_RESULTS", "results")


def without_folders(text: str) -> str:
    """Leave of every absolute path the file's name; links stay, what is shared names no machine."""
    return re.sub(r"(?<![\w./<:])/(?:[\w.+@~-]+/)+", "…/", text)
