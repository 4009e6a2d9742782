"""From what the executions of a study left to what `results/` keeps under version control.

An execution writes its own files to `results/<profile>/cells/<paper>/<notebook>/`. Collected are,
per profile:

    <paper>/<notebook>.csv                        the rows of all cells
    <paper>/<notebook>__<cell>__<picture>.png     pictures of the profile's first seed
    cells.csv                                     how each execution went
    notes.csv                                     texts that rows refer to
    runs.csv, runs.tar.xz                         the runs behind the rows: facts, and scores

What a cell left replaces all that was collected of it before. Cells that are still to run, and
cells whose data this machine lacks, stay as they are; cells that the study no longer has go. A
notebook that runs once in a study has one cell, on the first data at hand: the newest replaces
another one.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from adlib.host.files import atomic
from adlib.study import packs, pictures, profiles, rows
from adlib.study.engine.execute import DONE, FAILED
from adlib.study.profiles import Cell

KEY = ["paper", "notebook", "cell"]
CELL = [*KEY, "dataset", "category", "seed"]
STATE = ["status", "error", "started", "duration_s", "cpu_s", "commit", "dirty"]
Key = tuple[str, str, str]


def collect(profile: str, results: Path) -> None:
    """Bring the versioned files of a profile in the folder `results` up to date.

    A cell that left a broken record, table or picture counts as failed. A collected table that is
    broken stays as it is, and is named on stderr, where cells that stay need it.

    Raises:
        ValueError: two cells give one number.
    """
    folder, planned = results / profile, profiles.cells(profile)
    executed = {cell: record for cell in planned if (record := _record(results, cell))}
    executed = {cell: _whole(results, cell, record) for cell, record in executed.items()}
    if not executed:
        return
    before = _states(folder / "cells.csv")
    stays = _stays(profile, before, planned, set(executed))
    first = profiles.load(profile)["seeds"][0]
    for paper, notebook in sorted({key[:2] for key in {*map(_key, executed), *before} - stays}):
        own = [cell for cell in executed if (cell.paper, cell.notebook) == (paper, notebook)]
        done = [cell for cell in own if executed[cell]["status"] == DONE]
        with _broken_named(profile):
            _collect_rows(folder / paper / f"{notebook}.csv", done, stays)
        pictured = [cell for cell in done if cell.seed == first]
        _collect_pictures(folder / paper, notebook, pictured, stays)
    with _broken_named(profile):
        rows.drop_unused_notes(folder)
    states = {key: state for key, state in before.items() if key in stays}
    states |= {_key(cell): _state(cell, record) for cell, record in executed.items()}
    table = pd.DataFrame([states[key] for key in sorted(states)], columns=CELL + STATE)
    _write(table, folder / "cells.csv")
    _collect_runs(folder)


@contextmanager
def _broken_named(profile: str) -> Iterator[None]:
    """Say on stderr which table is broken, and go on."""
    try:
        yield
    except rows.BrokenTableError as error:
        print(f"{profile}: {error} Run its cells again, or get it again.", file=sys.stderr)


def _key(cell: Cell) -> Key:
    return cell.paper, cell.notebook, cell.id


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def _states(path: Path) -> dict[Key, dict]:
    """What `cells.csv` says of every cell that was collected before."""
    if not path.is_file():
        return {}
    table = pd.read_csv(path, keep_default_na=False, dtype=str)
    return {tuple(row[name] for name in KEY): row for row in table.to_dict("records")}


def _state(cell: Cell, record: dict) -> dict:
    """One row of `cells.csv`."""
    place = (*_key(cell), cell.dataset, cell.category, cell.seed)
    return dict(zip(CELL, place, strict=True)) | {name: record.get(name) for name in STATE}


def _stays(
    profile: str, before: dict[Key, dict], planned: list[Cell], executed: set[Cell]
) -> set[Key]:
    """Cells of which the study keeps what was collected before; says which lack their data."""
    waiting = {_key(cell) for cell in planned if cell not in executed}
    once = {
        (cell.paper, cell.notebook)
        for cell in executed
        if profiles.notebooks(cell.paper)[cell.notebook]["grid"] == "once"
    }
    missing = set(profiles.missing(profile))
    sets = {key: f"{state['dataset']}/{state['category']}" for key, state in before.items()}
    lacking = {key for key, name in sets.items() if name in missing and key[:2] not in once}
    if lacking:
        print(
            f"{profile}: cells that stay as they were collected before ({len(lacking)}), because "
            f"this machine lacks their data: {', '.join(sorted({sets[key] for key in lacking}))}",
            file=sys.stderr,
        )
    return waiting | lacking


def _record(results: Path, cell: Cell) -> dict:
    """The record of an execution; empty where there was none."""
    file = cell.file(".json", results)
    if not file.is_file():
        return {}
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        return {"status": FAILED, "error": f"{file.name}: not JSON ({error}). Run the cell again."}


def _whole(results: Path, cell: Cell, record: dict) -> dict:
    """The record of an execution, failed where a table or a picture that it left is broken."""
    written = cell.file(".csv", results)
    try:
        if record["status"] == DONE and written.is_file():
            rows.typed(rows.texts(written), written.name)
        if record["status"] == DONE:
            for picture in written.parent.glob(f"{cell.id}__*.png"):
                pictures.look(picture)
    except ValueError as error:
        said = str(error).replace(f"{written.parent}{os.sep}", "")
        return record | {"status": FAILED, "error": f"{said} Run the cell again."}
    return record


def _collect_rows(path: Path, done: list[Cell], stays: set[Key]) -> None:
    tables = []
    place = path.parent.name, path.stem
    if path.is_file() and any(key[:2] == place for key in stays):
        before = rows.read(path)
        tables.append(before[[(*place, cell) in stays for cell in before["cell"]]])
    for cell in done:
        written = cell.file(".csv", path.parents[2])
        if written.is_file():
            tables.append(rows.typed(rows.texts(written), written))
    if not any(map(len, tables)):
        path.unlink(missing_ok=True)
        return
    table = pd.concat(tables, ignore_index=True)
    rows.refuse_repeats(table)
    rows.write(table, path)


def _collect_pictures(folder: Path, notebook: str, cells: list[Cell], stays: set[Key]) -> None:
    for old in folder.glob(f"{notebook}__*__*.png"):
        if (folder.name, notebook, old.name.split("__")[1]) not in stays:
            old.unlink()
    for cell in cells:
        cell_folder = cell.file("", folder.parents[1]).parent
        for picture in cell_folder.glob(f"{cell.id}__*.png"):
            with atomic(folder / f"{notebook}__{picture.name}") as temporary:
                shutil.copyfile(picture, temporary)


def _collect_runs(profile: Path) -> None:
    """Pack the runs that rows name, and those whose weights these scored."""
    archive = profile / "runs.tar.xz"
    before = packs.read(archive) if archive.is_file() else {}
    folders = (file.parent for file in (profile / "cells" / "runs").glob("*/record.json"))
    runs = before | {folder.name: packs.Packed(packs.contents(folder)) for folder in folders}
    named: set[str] = set()
    for path in profile.glob("*/*.csv"):
        try:
            named |= set(rows.texts(path)["run"])
        except (rows.BrokenTableError, KeyError):  # which it named is not known
            named |= set(before)
    named &= set(runs)
    named |= {runs[key].record["description"].get("scores_of") for key in named} & set(runs)
    packed = {key: runs[key] for key in named}
    if packed and packed != before:  # a pack of hundreds takes many seconds to write
        write_runs(profile, packed)


def write_runs(profile: Path, runs: dict[str, packs.Packed]) -> None:
    """Write `runs.tar.xz` and `runs.csv` of a profile."""
    packs.write(((key, runs[key].files) for key in sorted(runs)), profile / "runs.tar.xz")
    _write(packs.table((key, runs[key].record) for key in sorted(runs)), profile / "runs.csv")
