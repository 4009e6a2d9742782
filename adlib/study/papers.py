"""The papers: what the files of a folder under `notebooks/` say of one.

`paper.toml` describes it, `published.csv` has its numbers, `others.csv` those of other people.

A paper is a folder: its name is the paper's name in results, profiles and links. Nothing here
imports torch.
"""

import difflib
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import pandas as pd

from adlib import data
from adlib.host import paths

PROFILES = "profiles"  # the folder beside the papers' that holds the profiles
ALL_SETS = "all data sets"  # stands for the data set in rows and tables of several
MEANS = {
    "mean_textures": "mean of textures",
    "mean_objects": "mean of objects",
    "mean_overall": "mean of all",
}
# Where a published value comes from, and why it is no target for ours; "" where it is one.
ORIGINS = {
    "own": "",
    "quoted": "the paper quotes its value from another work, not from an own run",
    "leaderboard": "a leaderboard does not say what gave its value",
}
# Columns of `published.csv`, under our names. `printed_as` has what the paper prints instead: its
# table, then "; " and the names, or the value, that are not ours.
PUBLISHED = [
    *("table", "dataset", "category", "method", "metric", "value"),
    *("printed_as", "origin", "source", "note"),
]
# Columns of `others.csv`, numbers of other people's implementations: `tables` are notebooks with
# ours (`<paper>/<notebook>` of another paper); the name of our protocol begins with `protocol`.
OTHERS = [
    *("tables", "dataset", "category", "method", "metric", "value"),
    *("protocol", "form", "implementation", "source", "note"),
]
T = TypeVar("T")
CHECKS = (  # of claims, see `adlib.study.verdict.claims`
    *("leads", "paired", "not_behind", "everywhere", "falls_less", "groups", "below_chance"),
    *("faster", "misses", "contaminated"),
)
PROTOCOLS = {
    function.__name__: function
    for function in (
        data.one_class,
        data.one_class_anomalous,
        data.one_class_normal,
        data.inliers_against_clutter,
        data.pooled_balanced,
    )
}
EVERY = "*"  # stands for every method


@dataclass(frozen=True)
class Claim:
    """A statement of a paper that rows can check."""

    id: str  # short, and no other claim of the paper has it
    text: str  # the paper's words, at most 25 of them, or ours where `quoted` is false
    place: str  # section, page or abstract in which it stands
    table: str  # notebook whose rows check it; `<paper>/<notebook>` where another folder has it
    metric: str  # of these rows
    method: str  # that it is about
    check: str = "leads"  # a function of `adlib.study.verdict.claims`, which says what it decides
    # Methods that it is compared with; all of the table by default. The check `groups` compares
    # means over categories instead.
    over: tuple[str, ...] = ()
    # Category or mean that it is about; by default the one that covers most.
    category: str = ""
    categories: tuple[str, ...] = ()  # several, where it is about each of them
    variant: str = ""  # of the rows
    quoted: bool = True  # whether `text` is the paper's own
    reading: str = ""  # what of it is tested, where the words leave that open

    @property
    def words(self) -> str:
        """The statement, in quotation marks where the words are the paper's."""
        return f"“{self.text}”" if self.quoted else self.text


@dataclass(frozen=True)
class Trains:
    """Runs that a notebook asks for in every cell; see `adlib.study.trainings.splits`."""

    protocol: str  # a name of `PROTOCOLS`
    arguments: dict[str, Any] = field(default_factory=dict)  # of it, beside images and seed
    methods: tuple[str, ...] = ()  # all that the profile keeps by default
    methods_of: str = ""  # option of the profile that names the methods instead
    # Method, or "*" for all -> option of the profile that says on how many images of either label
    # it is tested; all of them by default.
    drawn: dict[str, str] = field(default_factory=dict)
    variant: str = ""  # of the rows; only rows without one stand beside published numbers
    official_parts: bool = False  # only for sets that have official parts


@dataclass(frozen=True)
class Paper:
    """One folder under `notebooks/`: its name, the folder, and the keys of its `paper.toml`."""

    name: str
    folder: Path
    title: str  # short name in tables
    citation: str  # authors, title, place and year
    datasets: dict[str, list]  # whose numbers the paper prints: by notebook, "*" for all others
    across: list[str]  # notebooks whose tables set several data sets side by side and average them
    by_metric: list[str]  # notebooks whose tables have the metrics, not the categories, as columns
    groups: dict[str, dict]  # data set -> name of a mean -> categories that the paper averages
    names: dict[str, str]  # our name of a data set -> the name as printed
    methods: dict[str, dict]  # `detector`, its settings, `differs`: why it is not what is meant
    not_run: dict[str, str]  # method of its tables that no profile runs -> why
    # Detector -> setting -> [value, source] of the paper or its code; `by_dataset` has those that
    # differ.
    authors: dict[str, dict]
    object: dict[str, Any]  # settings for categories shown whole
    texture: dict[str, Any]  # settings for those cut into patches
    by_category: dict[str, dict]  # settings that differ for a category
    detectors: dict[str, dict]  # settings of a detector; its `by_dataset` holds those that differ
    # Notebook -> how the authors came by its numbers, where that is not how we do: these are judged
    # by rows of the form "authors" alone.
    evaluation: dict[str, str]
    trains: dict[str, list]  # notebook -> `Trains` that it asks for
    options: dict[str, str]  # what the paper's notebooks ask a profile for -> what it means
    claims: list[Claim]
    profiles: dict[str, dict]  # profile -> this paper's section of it, which wins over the file's

    @property
    def prints(self) -> bool:
        """Whether the paper prints numbers; false for a folder of tables that no paper has."""
        return any(self.datasets.values())

    def datasets_of(self, notebook: str = "*") -> list[str]:
        """Names of the data sets whose numbers the paper prints, or one of its notebooks."""
        return self.datasets.get(notebook, self.datasets.get("*", []))

    def title_of(self, dataset: str) -> str:
        """Name of a data set as the paper prints it, else as the catalogue has it."""
        known_here = dataset in data.names()
        return self.names.get(dataset, data.info(dataset).title if known_here else dataset)

    @property
    def published(self) -> pd.DataFrame:
        """Rows of `published.csv` as text, columns `paper` and `PUBLISHED`; none without the file.

        Raises:
            ValueError: a column is missing or unknown, a value is no number, an origin unknown.
        """
        rows = _numbers(self.folder / "published.csv", PUBLISHED)
        for origin in rows["origin"].unique():
            known(origin, ORIGINS, f"{self.folder / 'published.csv'}: origin")
        return rows.assign(paper=self.name)

    @property
    def others(self) -> pd.DataFrame:
        """Rows of `others.csv` as text, one a table: columns `paper`, `table` and `OTHERS`.

        Raises a ValueError as `published` does.
        """
        rows = _numbers(self.folder / "others.csv", OTHERS)
        rows = rows.assign(table=rows["tables"].str.split()).explode("table", ignore_index=True)
        places = [name.rpartition("/") for name in rows["table"]]
        papers = [folder or self.name for folder, _, _ in places]
        return rows.assign(paper=papers, table=[table for _, _, table in places]).astype(str)

    def authors_of(self, detector: str, dataset: str) -> dict[str, list]:
        """Setting -> [value, source] that the authors have for a detector on a data set."""
        values = dict(self.authors[detector])
        return values | values.pop("by_dataset", {}).get(dataset, {})

    def settings(self, detector: str, dataset: str, category: str, mode: str) -> dict[str, Any]:
        """Settings that the paper chooses by mode, category, detector and data set."""
        values = {"texture": self.texture, "object": self.object}[mode]
        own = dict(self.detectors.get(detector, {}))
        different = own.pop("by_dataset", {}).get(dataset, {})
        values = values | self.by_category.get(category, {}) | own | different
        return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _numbers(file: Path, columns: list[str]) -> pd.DataFrame:
    """A table of numbers as text; without the file, one without rows."""
    rows = pd.DataFrame(columns=columns, dtype=str)
    if file.is_file():
        # As text: "0.60" keeps its last place, and a method named "NA" stays one.
        rows = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
    if list(rows.columns) != columns:
        raise ValueError(f"{file}: the columns must be {', '.join(columns)}")
    try:
        pd.to_numeric(rows["value"])
    except ValueError as error:
        raise ValueError(f"{file}: column value: {error}") from error
    return rows


def known(name: str, names: Iterable[str], where: str) -> None:
    """Raise a ValueError with the nearest names, or all, unless `name` is one of `names`."""
    names = list(names)
    if name not in names:
        near = difflib.get_close_matches(name, names) or names
        raise ValueError(f"{where}: no {name!r}; did you mean {', '.join(near)}?")


def checked(values: dict[str, Any], types: dict[str, Any], where: str) -> dict[str, Any]:
    """Give `values` back if every key is one of `types` and every value of its type.

    Raises:
        ValueError: an unknown key, with the nearest one, or a value of another type.
    """
    for key, value in values.items():
        known(key, types, where)
        kind, inner = get_origin(types[key]) or types[key], get_args(types[key])
        if kind is not Any and not isinstance(value, kind):
            raise ValueError(f"{where}: {key} = {value!r} is no {kind.__name__}")
        if kind is dict and inner:
            checked(value, dict.fromkeys(value, inner[1]), f"{where}: {key}")
    return values


def empty(types: dict[str, Any]) -> dict[str, Any]:
    """The empty value of every type: "" for `str`, {} for `dict[str, list]`."""
    return {key: (get_origin(kind) or kind)() for key, kind in types.items()}


def until_changed(function: Callable[[Path], T]) -> Callable[[Path], T]:
    """Keep what a function reads from a file until the file changes."""
    kept = lru_cache(lambda file, _: function(file))
    return wraps(function)(lambda file: kept(file, file.stat().st_mtime_ns))


@until_changed
def read_toml(file: Path) -> dict[str, Any]:
    """Content of a TOML file; a ValueError that names the file where it is not valid."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file}: {error}") from error


@until_changed
def _read(file: Path) -> Paper:
    types = {f.name: f.type for f in fields(Paper) if f.name not in ("name", "folder")}
    values = empty(types) | checked(read_toml(file), types, str(file))
    if not values["title"]:
        raise ValueError(f"{file}: a title is missing")
    for dataset, means in values["groups"].items():
        checked(means, dict.fromkeys(MEANS, list), f"{file}: groups.{dataset}")
    for method, settings in values["methods"].items():
        if "detector" not in settings:
            raise ValueError(f"{file}: methods.{method} names no detector")
        if method in values["not_run"]:
            raise ValueError(f"{file}: {method} stands in methods and in not_run")
    values["claims"] = [_claim(claim, file) for claim in values["claims"]]
    named = [claim.id for claim in values["claims"]]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise ValueError(f"{file}: two claims have the id {twice[0]!r}")
    values["trains"] = {
        notebook: [_trains(one, notebook, values, file) for one in asked]
        for notebook, asked in values["trains"].items()
    }
    return Paper(file.parent.name, file.parent, **values)


def _claim(values: dict[str, Any], file: Path) -> Claim:
    where = f"{file}: a claim"
    lists = {"over": list, "categories": list}
    checked(values, {f.name: f.type for f in fields(Claim)} | lists, where)
    if lacking := {"id", "text", "place", "table", "metric", "method"} - set(values):
        raise ValueError(f"{where} lacks {', '.join(sorted(lacking))}")
    where = f"{file}: claim {values['id']}"
    known(values.get("check", "leads"), CHECKS, f"{where}: check")
    folder, _, table = values["table"].rpartition("/")
    notebooks = (file.parent.parent / folder if folder else file.parent).glob("*.ipynb")
    known(table, [path.stem for path in notebooks], f"{where}: table")
    if len(values["text"].split()) > 25:
        raise ValueError(f"{where} is longer than 25 words: {values['text']}")
    return Claim(**values | {name: tuple(values.get(name, ())) for name in lists})


def _trains(asked: dict[str, Any], notebook: str, paper: dict[str, Any], file: Path) -> Trains:
    where = f"{file}: trains.{notebook}"
    known(notebook, [path.stem for path in file.parent.glob("*.ipynb")], f"{file}: trains")
    checked(asked, {f.name: f.type for f in fields(Trains)} | {"methods": list}, where)
    if "protocol" not in asked:
        raise ValueError(f"{where} names no protocol")
    known(asked["protocol"], PROTOCOLS, f"{where}: protocol")
    drawn = asked.get("drawn", {})
    for method in [*asked.get("methods", ()), *drawn]:
        known(method, [*paper["methods"], EVERY], where)
    for option in filter(None, [asked.get("methods_of"), *drawn.values()]):
        known(option, paper["options"], where)
    return Trains(**asked | {"methods": tuple(asked.get("methods", ()))})


def read(folder: Path | None = None) -> dict[str, Paper]:
    """All papers by name, those that print numbers first.

    Args:
        folder: where the papers' folders lie; `notebooks/` of the checkout by default.

    Raises:
        ValueError: a file is not valid; the message names it.
    """
    files = sorted((folder or paths.home() / "notebooks").glob("*/paper.toml"))
    # The profile of the papers' own budgets is called "paper" too.
    papers = [_read(file) for file in files if file.parent.name != PROFILES]
    return {paper.name: paper for paper in sorted(papers, key=lambda paper: not paper.prints)}


def load(name: str) -> Paper:
    """One paper of the checkout; a ValueError with the nearest names where there is none."""
    papers = read()
    known(name, papers, "papers")
    return papers[name]


def groups(papers: dict[str, Paper], name: str, dataset: str) -> dict[str, list[str]]:
    """Means over the categories of a data set: a paper's own, else the first other paper's."""
    ordered = sorted(papers.values(), key=lambda paper: paper.name != name)
    return next((paper.groups[dataset] for paper in ordered if dataset in paper.groups), {})
