"""From the results folder to data frames: cells, tidy rows, means over seeds and categories."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from adlib.metrics import interval_over_seeds
from adlib.study import papers
from adlib.study.papers import ALL_SETS

NUMBERS = ["value", "low", "high", "n_normal", "n_abnormal", "seed"]
COLUMNS = [
    *("paper", "table", "dataset", "category", "method", "metric", "form", "value", "low", "high"),
    *("n_normal", "n_abnormal", "seed", "profile", "protocol", "run", "commit", "comparable"),
    "note",
]
# what one number stands for; its rows differ in the seed alone
KEYS = ["profile", "paper", "table", "dataset", "category", "method", "metric", "form"]
_WITHOUT_CATEGORY = [key for key in KEYS if key != "category"]
COUNT = "-"  # the method of rows that describe data, not a detector
DONE, FAILED, UNFINISHED = "done", "failed", "unfinished"  # what can become of a cell


@dataclass(frozen=True)
class Cell:
    """One execution of a notebook: what it left in ``results/<profile>/<paper>/<notebook>/``."""

    profile: str
    paper: str
    notebook: str
    name: str
    folder: Path
    record: dict

    @property
    def status(self) -> str:
        """`DONE`, or else rows and pictures are not shown: `FAILED`, or `UNFINISHED`.

        The record is written last, so files without one are of an execution that was cut off.
        """
        status = self.record.get("status")
        return status if status in (DONE, FAILED) else UNFINISHED

    @property
    def failed(self) -> bool:
        """Whether the execution ended with an error."""
        return self.status == FAILED

    @property
    def error(self) -> str:
        """Last line of the error that says something, or nothing."""
        lines = [line.strip() for line in str(self.record.get("error") or "").splitlines()]
        return next((line for line in reversed(lines) if line), "")

    @property
    def folder_name(self) -> str:
        """``<profile>/<paper>/<notebook>``, in posix form."""
        return f"{self.profile}/{self.paper}/{self.notebook}"

    @property
    def csv(self) -> Path | None:
        """Its tidy rows, if it is done."""
        return self._file(".csv") if self.status == DONE else None

    @property
    def executed(self) -> Path | None:
        """The notebook as it ran."""
        return self._file(".ipynb")

    @cached_property
    def pictures(self) -> list[tuple[Path, str, bool]]:
        """Pictures, captions (PNG text chunk "Description"), whether wide; none if not done."""
        if self.status != DONE:
            return []
        found = []
        for path in sorted(self.folder.glob(f"{self.name}__*.png")):
            with Image.open(path) as image:
                wide = image.width > 2 * image.height
                found.append((path, image.text.get("Description", ""), wide))
        return found

    @property
    def parameters(self) -> dict:
        """What the notebook was run with, filled up from the cell's name."""
        stem, _, seed = self.name.rpartition("-s")
        dataset, _, category = stem.partition("-")
        named = {"dataset": dataset, "category": category, "seed": seed}
        return named | self.record.get("parameters", {})

    def _file(self, suffix: str) -> Path | None:
        path = self.folder / f"{self.name}{suffix}"
        return path if path.is_file() else None


@dataclass(frozen=True)
class Study:
    """All that a report is made of."""

    results: Path
    cells: list[Cell]
    rows: pd.DataFrame
    papers: dict[str, papers.Paper]

    @property
    def profiles(self) -> list[str]:
        """Profiles that left anything, the most faithful to the papers first."""
        order = ["paper", "gpu", "cpu", "quick"]
        found = {cell.profile for cell in self.cells}
        known = [name for name in order if name in found]
        return known + sorted(found - set(order))

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row a number: mean over seeds with its interval, then means over categories."""
        return summarise(self.rows, self.papers)

    @cached_property
    def published(self) -> pd.DataFrame:
        """Published rows of all papers, see `adlib.study.papers.Paper.published`."""
        rows = [paper.published for paper in self.papers.values()]
        return pd.concat(rows, ignore_index=True)

    def groups(self, paper: str, dataset: str) -> dict[str, list[str]]:
        """Means over the categories of a data set in a paper's tables: name -> categories."""
        return papers.groups(self.papers, paper, dataset)

    def runs(self, profile: str) -> dict[str, list[Path]]:
        """Record and scores, where they are there, of the runs that the profile's rows name.

        Other records in the folder are left over from earlier settings and of no concern here.
        """
        named = set(self.rows.loc[self.rows["profile"] == profile, "run"]) - {""}
        folder = self.results / profile / "runs"
        files = (".json", "_scores.csv.gz")
        return {
            run: [p for p in (folder / f"{run}{ending}" for ending in files) if p.is_file()]
            for run in sorted(named)
        }

    def records(self, profile: str) -> dict[str, dict]:
        """Content of those records by the hash of the run."""
        files = self.runs(profile).items()
        return {run: _json(p) for run, paths in files for p in paths if p.suffix == ".json"}


def read(results: Path, notebooks: Path | None = None) -> Study:
    """Read ``results/<profile>/<paper>/<notebook>/`` and what the papers' folders say.

    Args:
        results: folder that holds one folder a profile.
        notebooks: folder that holds one folder a paper; that of the checkout by default.

    Raises:
        FileNotFoundError: `results` does not exist.
        ValueError: A table lacks columns, a record is no JSON, or one number is given twice.
    """
    if not results.is_dir():
        raise FileNotFoundError(f"{results}: no such folder. Run the study, or pass --results.")
    cells = [
        cell
        for folder in sorted(results.glob("*/*/*/"))
        if folder.is_dir() and folder.parts[-3] != "report" and folder.parts[-2] != "runs"
        for cell in _cells(folder)
    ]
    frames = [_rows(cell) for cell in cells if cell.csv]
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)
    _refuse_repeats(rows)
    return Study(results, cells, rows, papers.read(notebooks))


def summarise(rows: pd.DataFrame, known: dict[str, papers.Paper]) -> pd.DataFrame:
    """Mean over seeds of every number, and means over categories, each with a 95 % interval.

    Args:
        rows: tidy rows of cells.
        known: the papers by name, which say what is averaged.

    Returns:
        Columns `KEYS`, value, low, high (NaN where none is known), seeds (how many), n_normal,
        n_abnormal, comparable, note, protocol, runs (tuple of hashes), categories (how many are
        averaged).
    """
    made = []
    for key, group in _grouped(rows, KEYS):
        made.append(key | _over_seeds(group) | {"categories": 1})
    methods = rows[rows["method"] != COUNT]
    for key, group in _grouped(methods, _WITHOUT_CATEGORY):
        groups = papers.groups(known, key["paper"], key["dataset"])
        groups = groups or {"mean_overall": {row["category"] for row in group}}
        for mean, names in groups.items():
            made += _mean(key, mean, [row for row in group if row["category"] in names])
    # Means over the data sets of the tables that have several.
    tables = pd.MultiIndex.from_frame(methods[["paper", "table"]])
    across = methods[tables.isin([(p.name, table) for p in known.values() for table in p.across])]
    across = across.assign(category=across["dataset"] + " " + across["category"], dataset=ALL_SETS)
    for key, group in _grouped(across, _WITHOUT_CATEGORY):
        made += _mean(key, "mean_overall", group)
    columns = [*KEYS, *_over_seeds([]), "categories"]
    return pd.DataFrame(made, columns=columns)


def _grouped(rows: pd.DataFrame, names: list[str]) -> list[tuple[dict, list[dict]]]:
    """Rows that agree in `names`, as dictionaries: frames of a few rows are slow to work with."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows.to_dict("records"):
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return [(dict(zip(names, key, strict=True)), group) for key, group in groups.items()]


def _mean(key: dict, mean: str, rows: list[dict]) -> list[dict]:
    """The mean over the categories of `rows`, if there are several."""
    n = len({row["category"] for row in rows})
    if n < 2:
        return []
    return [key | {"category": mean} | _over_seeds(_over_categories(rows)) | {"categories": n}]


def _cells(folder: Path) -> list[Cell]:
    files = [p for p in folder.iterdir() if p.suffix in (".csv", ".json", ".ipynb")]
    cells = []
    for name in sorted({p.stem for p in files if not p.name.startswith(".")}):
        record = folder / f"{name}.json"
        content = _json(record) if record.is_file() else {}
        cells.append(Cell(*folder.parts[-3:], name, folder, content))
    return cells


def _json(record: Path) -> dict:
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{record}: not JSON ({error}). Run its cell again.") from error


def _table(path: Path, columns: list[str]) -> pd.DataFrame:
    # as text: "0.60" keeps its last place, and a method named "NA" stays one
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(f"{path}: lacks the columns {', '.join(missing)}.")
    return table[columns]


def _rows(cell: Cell) -> pd.DataFrame:
    rows = _table(cell.csv, COLUMNS)
    for column in NUMBERS:
        try:
            rows[column] = pd.to_numeric(rows[column].mask(rows[column] == ""))
        except ValueError as error:
            raise ValueError(f"{cell.csv}: column {column}: {error}.") from error
    named = {"profile": cell.profile, "paper": cell.paper, "table": cell.notebook}
    for column, name in named.items():
        if other := sorted(set(rows[column]) - {name}):
            raise ValueError(f"{cell.csv}: {column} is {other[0]!r}, its folder says {name!r}.")
    return rows.assign(cell=cell.name)


def _refuse_repeats(rows: pd.DataFrame) -> None:
    twice = rows[rows.duplicated([*KEYS, "seed"], keep=False)]
    if len(twice):
        first = twice.iloc[0]
        where = sorted(set(twice["cell"]))
        raise ValueError(
            f"{first['profile']}/{first['paper']}/{first['table']}: {first['method']} "
            f"{first['metric']} of {first['category']}, seed {first['seed']:g}, is given more than "
            f"once, by {', '.join(where[:4])}. Remove the stale files."
        )


def _over_seeds(rows: list[dict]) -> dict:
    values, low, high = (
        np.array([row[name] for row in rows], float) for name in ("value", "low", "high")
    )
    intervals = len(rows) > 0 and bool(np.isfinite(low).all() and np.isfinite(high).all())
    known = np.concatenate([values, low, high])  # a difference of 0.5 points has a low of -2
    difference = any(row["metric"].startswith("difference") for row in rows)
    signed = difference or (known < -1e-9).any()
    bounds = (-np.inf if signed else 0.0, np.inf if signed or (known > 1 + 1e-9).any() else 1.0)
    ends = (np.nan, np.nan)
    spread = len(values) > 1 and np.ptp(values) > 0  # none: a count, the same for every seed
    if np.isfinite(values).all() and (intervals or spread):
        ends = interval_over_seeds(values, *((low, high) if intervals else ()), bounds=bounds)
    counts = {
        name: np.fmax.reduce([float(row[name]) for row in rows], initial=np.nan)
        for name in ("n_normal", "n_abnormal")
    }
    return {
        "value": values.mean() if len(values) else np.nan,
        "low": ends[0],
        "high": ends[1],
        "seeds": len({row["seed"] for row in rows if not np.isnan(row["seed"])}),
        **counts,
        **{name: "; ".join(_said(rows, name)) for name in ("comparable", "note", "protocol")},
        "runs": tuple(_said(rows, "run")),
    }


def _said(rows: list[dict], name: str) -> list[str]:
    """Texts of a column, each once."""
    return [text for text in dict.fromkeys(row[name] for row in rows) if text]


def _over_categories(rows: list[dict]) -> list[dict]:
    """One row a seed: the mean over the categories, for the seeds that all of them have.

    Test images of different categories are different, so their errors are independent and the
    half-widths add in quadrature.
    """
    shared = {name: "; ".join(_said(rows, name)) for name in ("comparable", "protocol")}
    shared |= {"metric": rows[0]["metric"], "note": "", "run": ""}
    shared |= {"n_normal": np.nan, "n_abnormal": np.nan}
    categories = {row["category"] for row in rows}
    made = []
    for seed in sorted({row["seed"] for row in rows}):
        numbers = {
            row["category"]: (row["value"], row["low"], row["high"])
            for row in rows
            if row["seed"] == seed and not np.isnan(row["value"])
        }
        if numbers.keys() != categories:
            continue
        value, low, high = np.array(list(numbers.values()), float).T
        below, above = (np.sqrt(((value - end) ** 2).sum()) / len(value) for end in (low, high))
        mean = value.mean()
        ends = {"value": mean, "low": mean - below, "high": mean + above}
        made.append(shared | {"seed": seed} | ends)
    return made
