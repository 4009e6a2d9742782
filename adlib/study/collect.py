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
import shutil
import sys
from pathlib import Path

import pandas as pd

from adlib.host.files import atomic
from adlib.study import packs, profiles, rows
from adlib.study.profiles import Cell

DONE, FAILED, UNFINISHED = "done", "failed", "unfinished"  # what can become of a cell
KEY = ["paper", "notebook", "cell"]
CELL = [*KEY, "dataset", "category", "seed"]
STATE = ["status", "error", "started", "duration_s", "cpu_s", "commit", "dirty"]
Key = tuple[str, str, str]


def collect(profile: str, results: Path) -> None:
    """Bring the versioned files of a profile up to date with the executions at hand.

    Args:
        profile: name of the profile.
        results: folder that holds one folder a profile.

    Raises:
        ValueError: a record is no JSON, a table does not fit the schema, or two cells give one
            number.
    """
    folder, planned = results / profile, profiles.cells(profile)
    records = {cell: _record(folder, cell) for cell in planned}
    executed = {cell: record for cell, record in records.items() if record}
    if not executed:
        return
    before = _states(folder / "cells.csv")
    stays = _stays(profile, before, planned, set(executed))
    for paper, notebook in sorted({key[:2] for key in {*map(_key, executed), *before} - stays}):
        done = [
            cell
            for cell, record in executed.items()
            if (cell.paper, cell.notebook) == (paper, notebook) and record["status"] == DONE
        ]
        _collect_rows(folder / paper / f"{notebook}.csv", done, stays)
        first = profiles.load(profile)["seeds"][0]
        pictured = [cell for cell in done if cell.seed == first]
        _collect_pictures(folder / paper, notebook, pictured, stays)
    rows.drop_unused_notes(folder)
    states = {key: state for key, state in before.items() if key in stays}
    states |= {_key(cell): _state(cell, record) for cell, record in executed.items()}
    with atomic(folder / "cells.csv") as temporary:
        table = pd.DataFrame([states[key] for key in sorted(states)], columns=CELL + STATE)
        table.to_csv(temporary, index=False, lineterminator="\n")
    _collect_runs(folder)


def _key(cell: Cell) -> Key:
    return cell.paper, cell.notebook, cell.id


def _states(path: Path) -> dict[Key, dict]:
    """What `cells.csv` says of every cell that was collected before."""
    if not path.is_file():
        return {}
    table = pd.read_csv(path, keep_default_na=False, dtype=str)
    return {tuple(row[name] for name in KEY): row for row in table.to_dict("records")}


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
    lacking = {
        key: f"{state['dataset']}/{state['category']}"
        for key, state in before.items()
        if f"{state['dataset']}/{state['category']}" in missing and key[:2] not in once
    }
    if lacking:
        print(
            f"{profile}: cells that stay as they were collected before ({len(lacking)}), because "
            f"this machine lacks their data: {', '.join(sorted(set(lacking.values())))}",
            file=sys.stderr,
        )
    return waiting | set(lacking)


def _left(profile: Path, cell: Cell) -> Path:
    """Where a cell's execution left its files, without their endings."""
    return profile / "cells" / cell.paper / cell.notebook / cell.id


def _record(profile: Path, cell: Cell) -> dict:
    """The record of an execution; empty where there was none.

    It is written last: without one, an execution that left anything was cut off.
    """
    left = _left(profile, cell)
    file, others = left.with_name(f"{cell.id}.json"), (f"{cell.id}.csv", f"{cell.id}.ipynb")
    if not file.is_file():
        cut_off = any(left.with_name(name).is_file() for name in others)
        return {"status": UNFINISHED} if cut_off else {}
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: not JSON ({error}). Run its cell again.") from error


def _collect_rows(path: Path, done: list[Cell], stays: set[Key]) -> None:
    tables = []
    if path.is_file():
        before = rows.read(path)
        place = path.parent.name, path.stem
        tables.append(before[[(*place, cell) in stays for cell in before["cell"]]])
    for cell in done:
        written = _left(path.parents[1], cell).with_name(f"{cell.id}.csv")
        if written.is_file():
            texts = pd.read_csv(written, dtype=str, keep_default_na=False)
            tables.append(rows.typed(texts, written))
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
        left = _left(folder.parent, cell)
        for picture in sorted(left.parent.glob(f"{cell.id}__*.png")):
            with atomic(folder / f"{notebook}__{picture.name}") as temporary:
                shutil.copyfile(picture, temporary)


def _state(cell: Cell, record: dict) -> dict:
    """One row of `cells.csv`."""
    place = zip(KEY, _key(cell), strict=True)
    state = {name: record.get(name) for name in STATE}
    if state["status"] not in (DONE, FAILED):
        state["status"] = UNFINISHED
    return dict(place) | {name: getattr(cell, name) for name in CELL[len(KEY) :]} | state


def _collect_runs(profile: Path) -> None:
    """Pack the runs that rows name, and those whose weights these scored."""
    archive = profile / "runs.tar.xz"
    before = packs.read(archive) if archive.is_file() else {}
    runs = dict(before)
    for record in sorted((profile / "cells" / "runs").glob("*/record.json")):
        runs[record.parent.name] = packs.Packed(packs.contents(record.parent))
    named = {key for path in profile.glob("*/*.csv") for key in _named(path)} & set(runs)
    named |= {runs[key].record["description"].get("scores_of") for key in named} & set(runs)
    packed = {key: run for key, run in runs.items() if key in named}
    if packed and packed != before:  # a pack of hundreds takes many seconds to write
        write_runs(profile, packed)


def write_runs(profile: Path, runs: dict[str, packs.Packed]) -> None:
    """Write `runs.tar.xz` and `runs.csv` of a profile."""
    packs.write(((key, runs[key].files) for key in sorted(runs)), profile / "runs.tar.xz")
    table = packs.table((key, runs[key].record) for key in sorted(runs))
    with atomic(profile / "runs.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def _named(path: Path) -> set[str]:
    return set(pd.read_csv(path, usecols=["run"], dtype=str, keep_default_na=False)["run"]) - {""}
