"""What a profile's last study took: `python tests/bench/bench_study.py [profile]`.

Reads the executed notebooks and the records that the study left in `results/<profile>`. The start
of a cell is papermill, the kernel and everything up to the end of the first code cell that imports;
its share of all seconds is to stay below the limit. Cells that found their runs in the store are
short, so the share says something after a study from nothing. Processor seconds hold papermill and
the kernel of a cell; what the fork server took to import the libraries is not among them.
"""

import argparse
import json
import os
import re
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from adlib.host import paths

LIMIT = 0.25  # of the seconds of all cells


@dataclass(frozen=True)
class Cell:
    """One executed notebook; times in seconds, `began` since 1970."""

    name: str
    began: float
    seconds: float
    cpu: float
    start: float
    failed: bool


def read(executed: Path) -> Cell:
    """Read an executed notebook and the record beside it.

    Raises:
        ValueError: no code cell of the notebook was run up to its end.
    """
    record = json.loads(executed.with_suffix(".json").read_text(encoding="utf-8"))
    content = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    times = [c["metadata"].get("papermill", {}) for c in content]
    imports = [
        time["end_time"]
        for cell, time in zip(content, times, strict=True)
        if cell["cell_type"] == "code"
        and time.get("end_time")
        and re.search(r"^\s*(import|from) ", "".join(cell["source"]), re.M)
    ]
    if not imports:
        raise ValueError(f"{executed}: no cell with an import was run; run the notebook again")
    first = min(t["start_time"] for t in times if t.get("start_time"))
    # The record's start has whole seconds, so both times are taken from the notebook.
    loaded = datetime.fromisoformat(imports[0]) - datetime.fromisoformat(first)
    return Cell(
        "/".join(executed.with_suffix("").parts[-3:]),
        datetime.fromisoformat(record["started"]).timestamp(),
        record["duration_s"],
        record.get("cpu_s", float("nan")),  # records of earlier versions lack it
        record["startup_s"] + loaded.total_seconds(),
        record["status"] != "done",
    )


def wall(cells: list[Cell]) -> tuple[float, float]:
    """Seconds from the first start to the last end, and how many of them no cell ran."""
    cells = sorted(cells, key=lambda cell: cell.began)
    end, idle = cells[0].began, 0.0
    for cell in cells:
        idle += max(0.0, cell.began - end)
        end = max(end, cell.began + cell.seconds)
    return end - cells[0].began, idle


def main(arguments: list[str] | None = None) -> None:
    """Print the figures of the last study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("PROFILE", "quick")  # `make bench PROFILE=cpu`
    parser.add_argument("profile", nargs="?", default=default)
    profile = parser.parse_args(arguments).profile
    folder = paths.results_root() / profile / "cells"
    cells = [read(path) for path in sorted(folder.glob("*/*/[!.]*.ipynb"))]
    if not cells:
        sys.exit(f"no executed notebook in {folder}: run `make study PROFILE={profile}` first")
    cpu = sum(cell.cpu for cell in cells)
    total, start = sum(cell.seconds for cell in cells), sum(cell.start for cell in cells)
    lasted, idle = wall(cells)
    files = folder.glob("runs/*/record.json")
    records = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    peaks = [r["peak_memory_mb"]["host"] for r in records if "peak_memory_mb" in r]
    peak = f"{max(peaks):8.0f} MB in {len(peaks)} runs" if peaks else "       - no run"
    kept = "met" if start <= LIMIT * total else "MISSED"
    print(f"profile {profile}")
    print(f"{'cell':70}{'processor':>10}{'wall':>10}")
    for cell in sorted(cells, key=lambda cell: -cell.cpu):
        print(f"{cell.name:70}{cell.cpu:8.1f} s{cell.seconds:8.1f} s")
    print(f"{'cells':34}{len(cells):8d}    {sum(cell.failed for cell in cells)} failed")
    print(f"{'sum of their processor seconds':34}{cpu:8.1f} s   {cpu / 60:.1f} min")
    print(f"{'sum of their seconds':34}{total:8.1f} s")
    print(f"{'papermill, kernel start, imports':34}{start:8.1f} s")
    print(f"{'  share':34}{start / total:8.1%}   at most {LIMIT:.0%}: {kept}")
    print(f"{'wall time, first start to last end':34}{lasted:8.1f} s   idle {idle:.1f} s")
    print(f"{'peak memory':34}{peak}")


if __name__ == "__main__":
    main()
