"""Profiles: which cells a study has and with which settings and budget a method is run in them.

A profile is a file `notebooks/profiles/<name>.toml`; a paper's folder may bring a section of its
own (see `adlib.study.papers`). Nothing here imports torch, so that the engine can plan in no time.
"""

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from adlib.data.sets import ALL, at_hand
from adlib.host import paths
from adlib.host.files import slug
from adlib.study import papers as study_papers
from adlib.study.papers import ALL_SETS as ALL_SETS
from adlib.study.papers import PROFILES, checked, empty, known

VERDICT = "verdict"  # a paper's last notebook: `adlib report` runs it, no study does
BUDGET = ("steps", "batch", "precision", "snapshots", "deterministic")
# A profile: `extends` names the profile whose values it takes where it has none, `papers` those of
# its papers that it keeps, `detectors` the settings and budgets of a detector in all papers.
PROFILE = {"title": str, "about": str, "seeds": list, "gpu": bool}
# What one cell takes, where a profile says nothing else: processor threads, MB of memory, minutes
# at most; and how many cells share one GPU.
NEEDS = {"threads": 1, "mem_mb": 2000, "runtime": 60, "slots": 1}
PROFILE |= dict.fromkeys(NEEDS, int)
ONLY_IN_FILES = {"extends": str, "papers": list, "detectors": dict[str, dict]}
SECTION = {  # of a paper
    "without": list,  # methods that its tables leave out
    "why_without": str,  # why, for the tables to say; follows a colon
    "sets": dict,  # data set -> categories ("*": all)
    "notebooks": dict[str, dict],  # the sets of one notebook
    # Settings, and budgets, of categories shown whole or cut into patches, of a detector in this
    # paper, of a data set and of a method.
    **{"object": dict, "texture": dict, "detectors": dict[str, dict]},
    **{"by_dataset": dict[str, dict], "methods": dict[str, dict]},
}


def _files() -> dict[str, Path]:
    """Profiles of the checkout, and of the folder `ADLIB_PROFILES` where it is set, by name."""
    folders = [paths.home() / "notebooks" / PROFILES, os.environ.get("ADLIB_PROFILES")]
    tables = (sorted(Path(folder).glob("*.toml")) for folder in folders if folder)
    return {file.stem: file for group in tables for file in group}


def names() -> list[str]:
    """Names of the profiles."""
    return list(_files())


def files(name: str) -> list[Path]:
    """Files that a profile is read from: its own, and those of the profiles that it extends.

    Raises:
        ValueError: no profile has this name, or one extends itself.
    """
    chain, every = [], _files()
    while name:
        if name not in every:
            raise ValueError(f"no profile {name!r}; there are {', '.join(every)}")
        if every[name] in chain:
            raise ValueError(f"{every[name]}: this profile extends itself")
        chain.append(every[name])
        name = study_papers.read_toml(every[name]).get("extends", "")
    return chain


def load(name: str) -> dict[str, Any]:
    """Content of a profile: `title`, `about`, `seeds`, `gpu`, `NEEDS`, a section for each paper.

    Raises:
        ValueError: an unknown profile, or a file with an unknown key or a value of another type;
            the message names the file and the nearest key.
    """
    papers = study_papers.read()
    sources = [*files(name), *(paper.folder / "paper.toml" for paper in papers.values())]
    return _load(name, tuple((file, file.stat().st_mtime_ns) for file in sources))


@lru_cache
def _load(name: str, _changed: tuple) -> dict[str, Any]:
    papers, profile = study_papers.read(), {"gpu": False} | NEEDS
    for file in reversed(files(name)):
        values = study_papers.read_toml(file)
        checked(values, PROFILE | ONLY_IN_FILES | dict.fromkeys(papers, dict), str(file))
        for key in set(NEEDS) & set(values):
            if values[key] < 1:
                raise ValueError(f"{file}: {key} = {values[key]}, but it must be at least 1")
        dropped = set(papers) - set(values.get("papers", papers))
        profile = _merged({k: v for k, v in profile.items() if k not in dropped}, values)
        for paper in set(papers) & set(values):
            _check_section(values[paper], papers[paper], f"{file}: {paper}")
    if "seeds" not in profile:
        raise ValueError(f"{files(name)[0]}: seeds are missing")
    for paper in papers.values():
        if name in paper.profiles:
            section = paper.profiles[name]
            _check_section(section, paper, f"{paper.folder / 'paper.toml'}: profiles.{name}")
            profile[paper.name] = _merged(profile.get(paper.name, {}), section)
    default = empty(SECTION) | {"detectors": profile.get("detectors", {})}
    sections = {p: _merged(default, profile[p]) for p in profile if p in papers}
    return {key: value for key, value in profile.items() if key in PROFILE} | sections


def _check_section(section: dict[str, Any], paper: study_papers.Paper, where: str) -> None:
    checked(section, SECTION | dict.fromkeys(paper.options, Any), where)
    for method in [*section.get("without", []), *section.get("methods", {})]:
        known(method, paper.methods, where)
    detectors = {method["detector"] for method in paper.methods.values()}
    for detector in section.get("detectors", {}):
        known(detector, detectors, f"{where}: detectors")


def _merged(old: dict[str, Any], new: dict[str, Any], whole: bool = False) -> dict[str, Any]:
    """Deep merge in which `new` wins. A choice of data is a whole: sets replace sets."""
    both = {k: v for k, v in old.items() if isinstance(v, dict) and isinstance(new.get(k), dict)}
    deep = {k: _merged(v, new[k], k == "notebooks") for k, v in both.items() if k != "sets"}
    return old | new | ({} if whole else deep)


def papers(profile: str) -> list[str]:
    """Folders of the papers that a profile has a section for."""
    return [name for name in load(profile) if name not in PROFILE]


def methods(paper: str, profile: str = "") -> list[str]:
    """Names of the methods whose rows a paper's tables get from own runs, or in one profile."""
    without = load(profile)[paper]["without"] if profile else []
    return [name for name in study_papers.load(paper).methods if name not in without]


def method(
    profile: str, paper: str, name: str, dataset: str, category: str, mode: str
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Detector, settings and budget of a method for a category of a mode (`object`, `texture`).

    Later ones win: the paper's own settings, the profile's for objects or textures, for the
    detector, for the data set, the method's own, the profile's for the method.

    Raises:
        ValueError: unknown profile, paper or method.
    """
    section, source = load(profile)[paper], study_papers.load(paper)
    known(name, source.methods, paper)
    own = source.methods[name] | section["methods"].get(name, {})
    detector = own.pop("detector")
    own.pop("differs", None)
    values = source.settings(detector, dataset, category, mode) | section[mode]
    values |= section["detectors"].get(detector, {}) | section["by_dataset"].get(dataset, {}) | own
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    budget = {key: values.pop(key) for key in BUDGET if key in values}
    return detector, values, budget


@dataclass(frozen=True)
class Cell:
    """One execution of a notebook, and the names of its files."""

    profile: str
    paper: str  # folder of the notebook, for instance `cbigan`
    notebook: str  # without suffix
    dataset: str
    category: str
    seed: int  # of split and training
    after: tuple["Cell", ...] = ()  # cells that make the runs that this one reads

    @property
    def id(self) -> str:
        """`<dataset>-<category>-s<seed>`, the category as `adlib.host.files.slug` writes it."""
        return f"{self.dataset}-{slug(self.category)}-s{self.seed}"

    @property
    def folder(self) -> Path:
        """`<results>/<profile>/cells/<paper>/<notebook>`, which is not versioned."""
        return self.file("").parent

    def file(self, suffix: str, results: Path | None = None) -> Path:
        """Path of this cell's file with the given ending, for instance `.csv`."""
        folder = (results or paths.results_root()) / self.profile / "cells"
        return folder / self.paper / self.notebook / f"{self.id}{suffix}"


def notebooks(paper: str) -> dict[str, dict[str, Any]]:
    """Notebooks of a paper and what their metadata (`metadata.adlib`) say of their grid.

    `grid` is `seeds` (every category and seed), `categories` (first seed only) or `once`; `after`
    names the notebook whose runs it reads. The notebook `VERDICT`, which reads the rows of all
    others, is none of them.
    """
    files = sorted((paths.home() / "notebooks" / paper).glob("*.ipynb"))
    return {
        f.stem: json.loads(f.read_text(encoding="utf-8"))["metadata"]["adlib"]
        for f in files
        if f.stem != VERDICT
    }


def sets(profile: str, paper: str, notebook: str = "") -> list[tuple[str, str]]:
    """Data sets and categories of a paper in a profile, or of one notebook, at hand or not."""
    section = load(profile)[paper]
    chosen = section["notebooks"].get(notebook, section["sets"])
    return [(s, c) for s, named in chosen.items() for c in (ALL[s] if named == "*" else named)]


def all_sets(profile: str, paper: str) -> list[tuple[str, str]]:
    """`sets` of all notebooks of a paper, each pair once."""
    named = (sets(profile, paper, notebook) for notebook in ("", *notebooks(paper)))
    return list(dict.fromkeys(pair for pairs in named for pair in pairs))


def cells(profile: str) -> list[Cell]:
    """All cells of a profile whose data are at hand, those that train first."""
    plan = {
        (paper, notebook, *where): what.get("after")
        for paper in papers(profile)
        for notebook, what in sorted(notebooks(paper).items(), key=lambda item: "after" in item[1])
        for where in _grid(profile, paper, notebook, what["grid"])
    }
    # A cell waits only for cells that the study has.
    firsts = {place: (place[0], first, *place[2:]) for place, first in plan.items()}
    return [
        Cell(profile, *place, after=(Cell(profile, *first),) if first in plan else ())
        for place, first in firsts.items()
    ]


def _grid(profile: str, paper: str, notebook: str, grid: str) -> list[tuple[str, str, int]]:
    """Data set, category and seed of a notebook's cells: `seeds`, `categories` or `once`."""
    here = [pair for pair in sets(profile, paper, notebook) if at_hand(*pair)]
    seeds = load(profile)["seeds"]
    return [
        (dataset, category, seed)
        for seed in (seeds if grid == "seeds" else seeds[:1])
        for dataset, category in (here[:1] if grid == "once" else here)
    ]


def missing(profile: str) -> list[str]:
    """`dataset/category` of the profile that are not at hand, for the engine to name."""
    pairs = {pair for paper in papers(profile) for pair in all_sets(profile, paper)}
    return sorted("/".join(pair) for pair in pairs if not at_hand(*pair))
