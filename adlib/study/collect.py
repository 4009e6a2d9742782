"""From what the executions of a study left to what `results/` keeps under version control.

An execution writes its own files to `results/<profile>/cells/<paper>/<notebook>/`. Collected are,
per profile:

    <paper>/<notebook>.csv                        the rows of all cells
    <paper>/<notebook>__<cell>__<picture>.png     pictures of the profile's first seed
    cells.csv                                     how each execution went
    notes.csv                                     texts that rows refer to
    runs.csv, runs.tar.xz                         the runs behind the rows: facts, and scores

Rows of a cell that was executed replace those it had before. Rows of cells that this machine has
not executed, for want of data for instance, stay as they are.
"""

import json
import shutil
from pathlib import Path

import pandas as pd

from adlib.host.files import atomic
from adlib.study import packs, profiles, rows
from adlib.study.profiles import Cell

DONE, FAILED, UNFINISHED = "done", "failed", "unfinished"  # what can become of a cell
CELL = ["paper", "notebook", "cell", "dataset", "category", "seed"]
STATE = ["status", "error", "started", "duration_s", "cpu_s", "commit", "dirty"]


def collect(profile: str, results: Path) -> None:
    """Bring the versioned files of a profile up to date with the executions at hand."""
    folder = results / profile
    executed = {}
    for cell in profiles.cells(profile):
        left = [_folder(folder, cell) / f"{cell.id}{end}" for end in (".json", ".csv", ".ipynb")]
        if any(file.is_file() for file in left):
            executed[cell] = _record(left[0])
    if not executed:
        return
    notes = rows.read_notes(folder)
    for paper, notebook in sorted({(cell.paper, cell.notebook) for cell in executed}):
        cells = [cell for cell in executed if (cell.paper, cell.notebook) == (paper, notebook)]
        _collect_rows(folder / paper / f"{notebook}.csv", cells, executed, notes)
        _collect_pictures(folder / paper, notebook, cells, executed)
    rows.write_notes(folder, notes)
    states = [_state(cell, record) for cell, record in executed.items()]
    _collect_cells(folder / "cells.csv", pd.DataFrame(states, columns=CELL + STATE))
    _collect_runs(folder)


def _folder(profile: Path, cell: Cell) -> Path:
    return profile / "cells" / cell.paper / cell.notebook


def _record(file: Path) -> dict:
    """The record of an execution; it is written last, so without one it was cut off."""
    if not file.is_file():
        return {"status": UNFINISHED}
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: not JSON ({error}). Run its cell again.") from error


def _collect_rows(
    path: Path, cells: list[Cell], executed: dict[Cell, dict], notes: dict[str, str]
) -> None:
    tables = []
    if path.is_file():
        before = rows.read(path)
        tables.append(before[~before["cell"].isin([cell.id for cell in cells])])
    for cell in cells:
        written = _folder(path.parents[1], cell) / f"{cell.id}.csv"
        if executed[cell]["status"] == DONE and written.is_file():
            texts = pd.read_csv(written, dtype=str, keep_default_na=False)
            tables.append(rows.typed(texts, written))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=rows.COLUMNS)
    rows.refuse_repeats(table, (*rows.KEYS, "seed"))
    if len(table):
        table = table.sort_values("cell", kind="stable")
        rows.write(table, path, notes)
    else:
        path.unlink(missing_ok=True)


def _collect_pictures(
    folder: Path, notebook: str, cells: list[Cell], executed: dict[Cell, dict]
) -> None:
    first = min(cell.seed for cell in cells)
    for cell in cells:
        for old in folder.glob(f"{notebook}__{cell.id}__*.png"):
            old.unlink()
        if cell.seed == first and executed[cell]["status"] == DONE:
            for picture in sorted(_folder(folder.parent, cell).glob(f"{cell.id}__*.png")):
                with atomic(folder / f"{notebook}__{picture.name}") as temporary:
                    shutil.copyfile(picture, temporary)


def _state(cell: Cell, record: dict) -> dict:
    place = [cell.paper, cell.notebook, cell.id, cell.dataset, cell.category, cell.seed]
    status = record.get("status")
    state = {name: record.get(name) for name in STATE}
    state["status"] = status if status in (DONE, FAILED) else UNFINISHED
    return dict(zip(CELL, place, strict=True)) | state


def _collect_cells(path: Path, states: pd.DataFrame) -> None:
    keys = ["paper", "notebook", "cell"]
    if path.is_file():
        before = pd.read_csv(path, keep_default_na=False, dtype=str)
        new = set(map(tuple, states[keys].to_numpy()))
        kept = [tuple(key) not in new for key in before[keys].to_numpy()]
        states = pd.concat([before[kept], states.astype(object)])
    with atomic(path) as temporary:
        states.sort_values(keys).to_csv(temporary, index=False, lineterminator="\n")


def _collect_runs(folder: Path) -> None:
    """Pack the runs that rows name, and those whose weights these scored."""
    archive = folder / "runs.tar.xz"
    runs = dict(packs.read(archive)) if archive.is_file() else {}
    for record in sorted((folder / "cells" / "runs").glob("*/record.json")):
        runs[record.parent.name] = packs.Packed(packs.contents(record.parent))
    named = {key for path in folder.glob("*/*.csv") for key in _named(path)}
    named |= {runs[key].record["description"].get("scores_of", "") for key in named & set(runs)}
    kept = {key: run for key, run in runs.items() if key in named}
    if kept:
        write_runs(folder, kept)


def write_runs(folder: Path, runs: dict[str, packs.Packed]) -> None:
    """Write `runs.tar.xz` and `runs.csv` of a profile."""
    packs.write({key: run.files for key, run in runs.items()}, folder / "runs.tar.xz")
    table = pd.DataFrame([packs.flat(key, runs[key].record) for key in sorted(runs)])
    with atomic(folder / "runs.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def _named(path: Path) -> set[str]:
    return set(pd.read_csv(path, usecols=["run"], dtype=str, keep_default_na=False)["run"]) - {""}
