"""The figures that `make bench` prints of the last study."""

import json
from pathlib import Path

import pytest

from adlib.host import paths


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent / "bench")
    import bench_study

    return bench_study


def cell(name, began, *sources):
    """An executed notebook whose cells take 2 s each, and its record of 20 s."""
    folder = paths.results_root() / "toy" / "cells" / "paper" / "table"
    folder.mkdir(parents=True, exist_ok=True)
    stamp = "2026-01-01T10:{:02d}:{:02d}+00:00".format
    cells = []
    for i, source in enumerate(sources):
        times = {"start_time": stamp(began, 1 + 2 * i), "end_time": stamp(began, 3 + 2 * i)}
        kind = "markdown" if source.startswith("#") else "code"
        cells.append({"cell_type": kind, "source": [source], "metadata": {"papermill": times}})
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    record = {"started": stamp(began, 0), "duration_s": 20.0, "startup_s": 1.0, "status": "done"}
    record["cpu_s"] = 15.0 + began
    (folder / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")


def test_no_study(bench):
    """Catches figures of nothing, and a message without the way out."""
    with pytest.raises(SystemExit, match="run `make study PROFILE=toy` first"):
        bench.main(["toy"])


def test_figures(bench, capsys):
    """Catches a start that ends too early or too late, idle time taken for work, the dearest cell
    not first, a wrong peak."""
    cell("a", 0, "# import nothing", "x = 1", "from adlib import data", "import late")
    cell("b", 1, "import torch", "y = 2")
    for name, host in (("one", 900.0), ("two", 1100.0)):
        record = paths.results_root() / "toy" / "cells" / "runs" / name / "record.json"
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps({"peak_memory_mb": {"host": host}}), encoding="utf-8")
    bench.main(["toy"])
    lines = capsys.readouterr().out.split("\n")
    figures = {line[:34].strip(): line[34:].split() for line in lines}
    assert figures["cells"] == ["2", "0", "failed"]
    assert figures["sum of their processor seconds"] == ["31.0", "s", "0.5", "min"]
    assert lines[2].split() == ["paper/table/b", "16.0", "s", "20.0", "s"]
    assert figures["sum of their seconds"] == ["40.0", "s"]
    # a: 1 s, then three cells of 2 s; b: 1 s, then one.
    assert figures["papermill, kernel start, imports"] == ["10.0", "s"]
    assert figures["share"] == ["25.0%", "at", "most", "25%:", "met"]
    assert figures["wall time, first start to last end"] == ["80.0", "s", "idle", "40.0", "s"]
    assert figures["peak memory"] == ["1100", "MB", "in", "2", "runs"]
