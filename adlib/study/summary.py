"""From the results folder to data frames: cells, tidy rows, means over seeds and categories."""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from adlib.metrics import interval_over_seeds
from adlib.study import departures, packs, papers, pictures, rows
from adlib.study.collect import CELL, STATE
from adlib.study.engine.execute import DONE, FAILED
from adlib.study.papers import ALL_SETS
from adlib.study.profiles import Cell

KEYS = ["profile", *rows.KEYS]  # what one number stands for; its rows differ in the seed alone
SAME = ("name", "reading", "promise", "n_held")  # what rows of one number share beside its key
SHARED = ("comparable", "scale", "protocol")  # of a mean: what is said of any that it averages
# What an interval is about: whether the seeds differ, and whether each has one over images.
ABOUT = {
    (True, True): "trainings and test images",
    (True, False): "trainings",
    (False, True): "test images",
}
_WITHOUT_CATEGORY = [key for key in KEYS if key != "category"]
Place = tuple[str, str, str]  # profile, paper, notebook
COUNT = "-"  # the method of rows that describe data, not a detector


@dataclass(frozen=True)
class Execution:
    """How one cell went, as `cells.csv` tells it, and its files in the folder `results`."""

    results: Path
    cell: Cell
    status: str
    error: str
    started: str
    seconds: float | None
    commit: str
    dirty: bool

    @property
    def failed(self) -> bool:
        """Whether the execution ended with an error."""
        return self.status == FAILED

    @property
    def executed(self) -> Path | None:
        """The notebook as it ran, where it is kept."""
        path = self.cell.file(".ipynb", self.results)
        return path if path.is_file() else None

    @cached_property
    def pictures(self) -> list[tuple[Path, str, bool]]:
        """Pictures, captions, whether wide (see `pictures.look`), without broken pictures."""
        return [(path, *said) for path, said in self._looked.items() if not isinstance(said, str)]

    @cached_property
    def _looked(self) -> dict[Path, tuple[str, bool] | str]:
        """Each picture, and what it says of itself or why it is broken."""
        folder, found = self.results / self.cell.profile / self.cell.paper, {}
        for path in sorted(folder.glob(f"{self.cell.notebook}__{self.cell.id}__*.png")):
            try:
                found[path] = pictures.look(path)
            except ValueError as error:
                found[path] = str(error).replace(f"{folder}{os.sep}", "")
        return found

    def checked(self, broken: dict[Place, str]) -> "Execution":
        """The same, as failed where a picture of it is broken, or its table, as `broken` says."""
        place = self.cell.profile, self.cell.paper, self.cell.notebook
        errors = [broken[place]] if place in broken and self.status == DONE else []
        errors += [said for said in self._looked.values() if isinstance(said, str)]
        error = " ".join(filter(None, [self.error, *errors]))
        return replace(self, status=FAILED, error=error) if errors else self


@dataclass(frozen=True, eq=False)  # one study is another, whatever it holds
class Study:
    """All that a report is made of."""

    results: Path
    executions: list[Execution]
    rows: pd.DataFrame
    papers: dict[str, papers.Paper]

    @property
    def profiles(self) -> list[str]:
        """Profiles that left anything, the most faithful to the papers first."""
        order = ["paper", "gpu", "cpu", "quick"]
        left = {execution.cell.profile for execution in self.executions}
        return [name for name in order if name in left] + sorted(left - set(order))

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row a number: mean over seeds with its interval, then means over categories."""
        scale = departures.scales(self.rows, self.packs, self.papers)
        return summarise(self.rows.assign(scale=scale), self.papers)

    @cached_property
    def published(self) -> pd.DataFrame:
        """Published rows of all papers, see `adlib.study.papers.Paper.published`."""
        return pd.concat([p.published for p in self.papers.values()], ignore_index=True)

    @cached_property
    def others(self) -> pd.DataFrame:
        """Values of other people's implementations, see `adlib.study.papers.Paper.others`."""
        return pd.concat([p.others for p in self.papers.values()], ignore_index=True)

    def groups(self, paper: str, dataset: str) -> dict[str, list[str]]:
        """Means over the categories of a data set in a paper's tables: name -> categories."""
        return papers.groups(self.papers, paper, dataset)

    @cached_property
    def packs(self) -> dict[str, dict[str, packs.Packed]]:
        """Profile to the packed runs behind its rows, by key; a profile without runs is left out.

        One whose `runs.csv` names runs, but whose pack is missing, has none.
        """
        found = {}
        for folder in (self.results / name for name in self.profiles):
            if (archive := folder / "runs.tar.xz").is_file():
                found[folder.name] = packs.read(archive)
            elif (folder / "runs.csv").is_file():
                found[folder.name] = {}
        return found

    def records(self, profile: str) -> dict[str, dict]:
        """Records of the runs that the profile's rows name, by key."""
        named = set(self.rows.loc[self.rows["profile"] == profile, "run"])
        runs = self.packs.get(profile, {}).items()
        return {key: run.record for key, run in runs if key in named}


def read(results: Path, notebooks: Path | None = None, go_on: bool = False) -> Study:
    """Read what `adlib.study.collect` keeps of every profile, and what the papers' folders say.

    In the rows `method` is the whole label, with the variant; `name` is the method alone.

    Folder `notebooks` is that of the checkout by default. With `go_on` a broken table or picture
    makes its executions failed ones, and all others are read.

    Raises:
        FileNotFoundError: `results` does not exist.
        ValueError: One number is given twice, `cells.csv` is broken or, without `go_on`, a table
            is.
    """
    if not results.is_dir():
        raise FileNotFoundError(f"{results}: no such folder. Run the study, or pass --results.")
    executions, tables, broken = [], [], {}
    for file in sorted(results.glob("*/cells.csv")):
        executions += _executions(file, results)
        for path in sorted(file.parent.glob("*/*.csv")):
            try:
                tables.append(_rows(path))
            except rows.BrokenTableError as error:
                if not go_on:
                    raise
                place = path.parents[1].name, path.parent.name, path.stem
                broken[place] = str(error).replace(f"{path.parent}{os.sep}", "")
    if go_on:
        executions = [execution.checked(broken) for execution in executions]
    empty = pd.DataFrame(columns=[*rows.COLUMNS, "name", "profile"])
    table = pd.concat(tables or [empty], ignore_index=True)
    rows.refuse_repeats(table)
    return Study(results, executions, table, papers.read(notebooks))


def _executions(file: Path, results: Path) -> list[Execution]:
    table = rows.texts(file)
    if missing := [name for name in (*CELL, *STATE) if name not in table]:
        raise ValueError(f"{file}: lacks the columns {', '.join(missing)}.")
    executions = []
    for row in table.to_dict("records"):
        place = (row[name] for name in ("paper", "notebook", "dataset", "category"))
        cell = Cell(file.parent.name, *place, int(row["seed"]))
        seconds = float(row["duration_s"]) if row["duration_s"] else None
        said = (row["status"], row["error"], row["started"], seconds, row["commit"])
        executions.append(Execution(results, cell, *said, row["dirty"] == "True"))
    return executions


def _rows(path: Path) -> pd.DataFrame:
    table = rows.read(path)
    for column, name in {"paper": path.parent.name, "table": path.stem}.items():
        if other := sorted(set(table[column]) - {name}):
            raise ValueError(f"{path}: {column} is {other[0]!r}, its place says {name!r}.")
    whole = rows.labels(table)
    table = table.astype(dict.fromkeys(rows.INTEGERS, "float64"))
    return table.assign(name=table["method"], method=whole, profile=path.parents[1].name)


def summarise(table: pd.DataFrame, by_name: dict[str, papers.Paper]) -> pd.DataFrame:
    """Mean over seeds of every number, and means over categories, each with a 95 % interval.

    Rows are those that `read` gives, with `scale`, see `adlib.study.departures.scales`; the papers
    say what is averaged.

    Returns:
        Columns `KEYS` (`x` is None where nothing is swept) and `SAME`, value, low, high (NaN where
        none is known), about (what the interval is about), values (tuple, one a seed), seeds (how
        many), n_normal, n_abnormal, comparable, scale, note, protocol, runs (tuple of keys),
        categories (how many are averaged).
    """
    numbers = [key | _over_seeds(group) | {"categories": 1} for key, group in _grouped(table, KEYS)]
    methods = table[table["method"] != COUNT]
    for key, group in _grouped(methods, _WITHOUT_CATEGORY):
        every = {"mean_overall": {row["category"] for row in group}}
        groups = papers.groups(by_name, key["paper"], key["dataset"]) or every
        for mean, names in groups.items():
            numbers += _mean(key, mean, [row for row in group if row["category"] in names])
    # Means over the data sets of the tables that have several.
    tables = pd.MultiIndex.from_frame(methods[["paper", "table"]])
    across = methods[tables.isin([(p.name, table) for p in by_name.values() for table in p.across])]
    across = across.assign(category=across["dataset"] + " " + across["category"], dataset=ALL_SETS)
    for key, group in _grouped(across, _WITHOUT_CATEGORY):
        numbers += _mean(key, "mean_overall", group)
    return pd.DataFrame(numbers, columns=[*KEYS, *_over_seeds([]), "categories"])


def _grouped(rows: pd.DataFrame, names: list[str]) -> list[tuple[dict, list[dict]]]:
    """Rows that agree in `names`, as dictionaries: frames of a few rows are slow to work with."""
    groups: dict[tuple, list[dict]] = {}
    table = rows.assign(x=rows["x"].astype(object).where(rows["x"].notna(), None))
    for row in table.to_dict("records"):  # None, because no NaN equals another
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return [(dict(zip(names, key, strict=True)), group) for key, group in groups.items()]


def _mean(key: dict, mean: str, rows: list[dict]) -> list[dict]:
    """The mean over the categories of `rows`, if there are several."""
    if (n := len({row["category"] for row in rows})) < 2:
        return []
    own = {"category": mean, "categories": n, "reading": "", "n_held": np.nan}  # not those of one
    return [key | _over_seeds(_over_categories(rows)) | own]


def _over_seeds(rows: list[dict]) -> dict:
    """What rows of one number say together; without rows, that nothing is known."""
    values, low, high = (
        np.array([row[name] for row in rows], float) for name in ("value", "low", "high")
    )
    intervals = len(rows) > 0 and bool(np.isfinite(low).all() and np.isfinite(high).all())
    numbers = np.concatenate([values, low, high])  # a difference of 0.5 points has a low of -2
    difference = any(row["metric"].startswith("difference") for row in rows)
    signed = difference or (numbers < -1e-9).any()
    bounds = (-np.inf if signed else 0.0, np.inf if signed or (numbers > 1 + 1e-9).any() else 1.0)
    ends = (np.nan, np.nan)
    spread = len(values) > 1 and bool(np.ptp(values) > 0)  # none: a count, the same for every seed
    if np.isfinite(values).all() and (intervals or spread):
        ends = interval_over_seeds(values, *((low, high) if intervals else ()), bounds=bounds)
    counts = {
        name: np.fmax.reduce([float(row[name]) for row in rows], initial=np.nan)
        for name in ("n_normal", "n_abnormal")
    }
    return {
        "value": values.mean() if rows else np.nan,
        "low": ends[0],
        "high": ends[1],
        "about": ABOUT[spread, intervals] if np.isfinite(ends[0]) else "",
        "values": tuple(values),
        "seeds": len({row["seed"] for row in rows if not np.isnan(row["seed"])}),
        **counts,
        **{name: "; ".join(_texts(rows, name)) for name in (*SHARED, "note")},
        "runs": tuple(_texts(rows, "run")),
        **{name: rows[0][name] if rows else None for name in SAME},
    }


def _texts(rows: list[dict], name: str) -> list[str]:
    """Texts of a column, each once."""
    return [text for text in dict.fromkeys(row[name] for row in rows) if text]


def _over_categories(rows: list[dict]) -> list[dict]:
    """One row a seed: the mean over the categories, for the seeds that all of them have.

    Test images of different categories are different, so their errors are independent and the
    half-widths add in quadrature.
    """
    shared = {name: "; ".join(_texts(rows, name)) for name in SHARED}
    shared |= {"note": "", "run": "", "n_normal": np.nan, "n_abnormal": np.nan}
    categories = {row["category"] for row in rows}
    means = []
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
        ends = {"value": (mean := value.mean()), "low": mean - below, "high": mean + above}
        means.append(rows[0] | shared | {"seed": seed} | ends)
    return means
