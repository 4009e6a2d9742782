"""Collecting: what versioned tables keep, replace and leave out."""

import hashlib
import json

import pandas as pd
import pytest
from PIL import Image

from adlib.study import collect, packs, profiles, rows
from adlib.study.profiles import Cell

CELLS = [Cell("toy", "cbigan", "table9", "elpv", category, 0) for category in ("mono", "poly")]
CELLS.append(Cell("toy", "cbigan", "table9", "elpv", "mono", 1))


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A results folder of a profile with three cells."""
    monkeypatch.setenv("ADLIB_RESULTS", str(tmp_path))
    monkeypatch.setattr(profiles, "cells", lambda _: CELLS)
    monkeypatch.setattr(profiles, "missing", lambda _: [])
    monkeypatch.setattr(profiles, "load", lambda _: {"seeds": [0, 1]})
    monkeypatch.setattr(profiles, "notebooks", lambda _: {"table9": {"grid": "seeds"}})
    return tmp_path


def execute(cell, value, status="done", run=""):
    """Leave what an execution leaves."""
    cell.folder.mkdir(parents=True, exist_ok=True)
    row = dict.fromkeys(rows.COLUMNS, "") | {
        "paper": cell.paper, "table": cell.notebook, "cell": cell.id, "dataset": cell.dataset,
        "category": cell.category, "method": "A", "metric": "auroc", "value": value,
        "seed": cell.seed, "note": f"note of {cell.category}", "run": run,
    }  # fmt: skip
    pd.DataFrame([row]).to_csv(cell.file(".csv"), index=False)
    Image.new("L", (4, 4)).save(cell.file("__p.png"))
    record = {"status": status, "error": "" if status == "done" else "E", "cpu_s": 1.5}
    cell.file(".json").write_text(json.dumps(record), encoding="utf-8")


def values(results):
    """{cell: value} of the collected table."""
    table = rows.read(results / "toy" / "cbigan" / "table9.csv")
    return dict(zip(table["cell"], table["value"], strict=True))


def test_new_rows_replace_those_of_their_cell_alone(results):
    """Catches rows of the last study beside older ones of the same cell, and lost other cells."""
    for cell, value in zip(CELLS, (0.1, 0.2, 0.3), strict=True):
        execute(cell, value)
    collect.collect("toy", results)
    first = {path.name: path.read_bytes() for path in (results / "toy").rglob("*.csv")}
    collect.collect("toy", results)
    assert first == {path.name: path.read_bytes() for path in (results / "toy").rglob("*.csv")}
    for path in (results / "toy" / "cells").rglob("*.*"):
        path.unlink()
    execute(CELLS[0], 0.5)
    collect.collect("toy", results)
    assert values(results) == {CELLS[0].id: 0.5, CELLS[1].id: 0.2, CELLS[2].id: 0.3}
    states = pd.read_csv(results / "toy" / "cells.csv")
    assert len(states) == 3 and (states["status"] == "done").all()


@pytest.mark.parametrize("status", ["failed", "unfinished"])
def test_a_cell_that_failed_has_no_number(results, status):
    """Catches the number of an earlier execution beside the failure of the last."""
    for cell in CELLS[:2]:
        execute(cell, 0.1)
    collect.collect("toy", results)
    execute(CELLS[0], 0.9, status)
    collect.collect("toy", results)
    assert values(results) == {CELLS[1].id: 0.1}
    states = pd.read_csv(results / "toy" / "cells.csv").set_index("cell")["status"]
    assert states[CELLS[0].id] == status
    pictures = {path.name for path in (results / "toy" / "cbigan").glob("*.png")}
    assert pictures == {f"table9__{CELLS[1].id}__p.png"}


@pytest.mark.parametrize(
    ("suffix", "content", "said"),
    [
        (".csv", b"", "mono-s0.csv: no table (No columns to parse from file)"),
        (".csv", b"paper,table\n1,2\n", "mono-s0.csv: lacks the columns"),
        (".csv", b"\xff\xfe\x00", "mono-s0.csv: no table"),
        (".csv", ",".join(rows.COLUMNS).encode() + b"\ncbigan", "its last line is cut off"),
        ("__p.png", None, "mono-s0__p.png: a broken picture"),
        (".json", b'{"status": "do', "mono-s0.json: not JSON"),
    ],
)
def test_what_is_broken_is_named_and_the_rest_is_collected(results, suffix, content, said):
    """Catches one cut or empty file of one cell that stops the collection of all others."""
    for cell in CELLS[:2]:
        execute(cell, 0.1)
    collect.collect("toy", results)
    file = CELLS[0].file(suffix)
    file.write_bytes(file.read_bytes()[:50] if content is None else content)
    collect.collect("toy", results)
    assert values(results) == {CELLS[1].id: 0.1}
    states = pd.read_csv(results / "toy" / "cells.csv").set_index("cell")
    assert states["status"].to_dict() == {CELLS[0].id: "failed", CELLS[1].id: "done"}
    error = states["error"][CELLS[0].id]
    assert said in error and error.endswith("Run the cell again.")


def test_a_broken_table_that_is_still_needed_stays(results, capsys):
    """Catches a collected table, with numbers of cells that have not run here, written over."""
    for cell in CELLS:
        execute(cell, 0.1)
    collect.collect("toy", results)
    CELLS[1].file(".json").unlink()
    table = results / "toy" / "cbigan" / "table9.csv"
    content = table.read_bytes()
    table.write_bytes(content[:-20])
    collect.collect("toy", results)
    assert table.read_bytes() == content[:-20]
    assert f"{table}: " in capsys.readouterr().err
    execute(CELLS[1], 0.2)
    collect.collect("toy", results)  # all of its cells have run: it is written anew
    assert values(results) == {CELLS[0].id: 0.1, CELLS[1].id: 0.2, CELLS[2].id: 0.1}


def test_what_the_machine_lacks_stays_and_is_named(results, monkeypatch, capsys):
    """Catches numbers that vanish because a data set is not at hand, and a silent mixture."""
    for cell in CELLS:
        execute(cell, 0.1)
    collect.collect("toy", results)
    collected = {path: path.read_bytes() for path in (results / "toy").glob("**/*.*")}
    monkeypatch.setattr(profiles, "cells", lambda _: [CELLS[0], CELLS[2]])
    monkeypatch.setattr(profiles, "missing", lambda _: ["elpv/poly"])
    CELLS[1].file(".json").unlink()
    execute(CELLS[0], 0.5)
    collect.collect("toy", results)
    assert "collected before (1)" in (said := capsys.readouterr().err) and "elpv/poly" in said
    assert values(results) == {CELLS[0].id: 0.5, CELLS[1].id: 0.1, CELLS[2].id: 0.1}
    picture = results / "toy" / "cbigan" / f"table9__{CELLS[1].id}__p.png"
    assert picture.read_bytes() == collected[picture]


def test_what_the_study_has_no_more_goes(results, monkeypatch):
    """Catches rows, pictures, notes and states of a cell that the profile has dropped."""
    for cell in CELLS:
        execute(cell, 0.1)
    collect.collect("toy", results)
    monkeypatch.setattr(profiles, "cells", lambda _: [CELLS[0], CELLS[2]])
    collect.collect("toy", results)
    assert values(results) == {CELLS[0].id: 0.1, CELLS[2].id: 0.1}
    assert len(list((results / "toy" / "cbigan").glob("*.png"))) == 1
    assert pd.read_csv(results / "toy" / "notes.csv")["text"].tolist() == ["note of mono"]
    assert set(pd.read_csv(results / "toy" / "cells.csv")["cell"]) == {CELLS[0].id, CELLS[2].id}


def test_a_notebook_that_runs_once_has_one_cell(results, monkeypatch):
    """Catches a number that stands twice because another data set came first on this machine."""
    monkeypatch.setattr(profiles, "notebooks", lambda _: {"table9": {"grid": "once"}})
    for cell, missing in ((CELLS[1], []), (CELLS[0], ["elpv/poly"])):
        monkeypatch.setattr(profiles, "cells", lambda _, cell=cell: [cell])
        monkeypatch.setattr(profiles, "missing", lambda _, missing=missing: missing)
        execute(cell, 0.1)
        collect.collect("toy", results)
        assert values(results) == {cell.id: 0.1}


def test_a_table_whose_collection_was_cut_off_can_be_read(results, monkeypatch):
    """Catches a table that refers to a note that was not written yet."""
    execute(CELLS[0], 0.1)

    def killed(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(rows, "drop_unused_notes", killed)
    with pytest.raises(KeyboardInterrupt):
        collect.collect("toy", results)
    assert values(results) == {CELLS[0].id: 0.1}


def test_pictures_are_of_the_first_seed(results):
    """Catches a picture a seed, of which nobody needs more than one, and one of a later seed."""
    execute(CELLS[2], 0.1)
    collect.collect("toy", results)
    assert not list((results / "toy" / "cbigan").glob("*.png"))
    for cell in CELLS:
        execute(cell, 0.1)
    collect.collect("toy", results)
    pictures = {path.name for path in (results / "toy" / "cbigan").glob("*.png")}
    assert pictures == {f"table9__{cell.id}__p.png" for cell in CELLS[:2]}


def test_runs_that_rows_name_are_packed(results):
    """Catches a number whose run is not there, and a run that no row names any more."""
    keys = []
    for seed in (0, 1):
        description = {
            "detector": "A", "dataset": "elpv", "category": "mono", "protocol": "p", "seed": seed,
            "settings": {}, "budget": {"steps": 1}, "images": "", "split": "", "code": "",
        }  # fmt: skip
        keys.append(packs.digest(description))
        folder = results / "toy" / "cells" / "runs" / keys[-1]
        folder.mkdir(parents=True)
        (folder / "scores.csv").write_text("path,label,kind,split,score\n")
        record = {
            "description": description, "status": "done", "machine": {"processor": "P"},
            "versions": {"torch": "2"}, "counts": {"train": 1},
            "files": {"scores.csv": hashlib.sha256(
                (folder / "scores.csv").read_bytes()).hexdigest()},
        }  # fmt: skip
        (folder / "record.json").write_text(json.dumps(record))
    execute(CELLS[0], 0.1, run=keys[0])
    collect.collect("toy", results)
    assert set(packs.read(results / "toy" / "runs.tar.xz")) == {keys[0]}
    assert pd.read_csv(results / "toy" / "runs.csv")["run"].tolist() == [keys[0]]
