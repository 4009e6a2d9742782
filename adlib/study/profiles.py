"""Profiles: which cells a study has and with which settings and budget a method is run in them.

The numbers stand in `profiles.toml`. Nothing here imports torch, so that the engine can plan in
no time.
"""

import difflib
import json
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from adlib.data.sets import ALL, at_hand
from adlib.host import paths

ALL_SETS = "all data sets"  # stands for the data set in rows and tables of several
CYCLEGAN_SETS = (
    *(("mvtec_ad", category) for category in ("screw", "wood", "tile", "hazelnut")),
    *(("brain_mri", "brain"), ("breast_ultrasound", "breast"), ("malaria", "cell")),
    *(("pcam", "lymph_node"), ("oct", "retina")),
)
# Augmentation by data set in the Cycle-GAN authors' code; "hard" elsewhere.
AUGMENTATION = {"pcam": "light", "malaria": "light", "oct": "flip"}
BUDGET = ("steps", "batch", "precision", "snapshots")


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def names() -> list[str]:
    """Names of the profiles."""
    return [name for name in _file() if name not in ("papers", "methods", "published")]


def load(name: str) -> dict[str, Any]:
    """Give what `profiles.toml` says of a profile. Raises ValueError for an unknown name."""
    if name not in names():
        raise ValueError(f"no profile {name!r}; there are {', '.join(names())}")
    return _file()[name]


def datasets_of(paper: str, notebook: str = "*") -> list[str]:
    """Names of the data sets whose numbers a paper prints, or one of its tables and figures."""
    named = _file()["papers"][paper]
    return list(named.get(notebook, named["*"]))


def papers(profile: str) -> list[str]:
    """Folders of the papers that a profile has a section for."""
    return [name for name, value in load(profile).items() if isinstance(value, dict)]


def methods(paper: str, profile: str = "") -> list[str]:
    """Names of the methods whose rows a paper's tables get from own runs, or in one profile."""
    without = load(profile)[paper].get("without", []) if profile else []
    return [name for name in _file()["methods"][paper] if name not in without]


def differs(paper: str, method: str) -> str:
    """Why a method of ours is not the one that a paper's table means; "" where it is."""
    return _file()["methods"][paper].get(method, {}).get("differs", "")


def published(paper: str) -> dict[str, dict[str, list]]:
    """Settings of a paper or its authors' code: detector -> setting -> [value, source]."""
    return _file()["published"].get(paper, {})


def method(
    profile: str, paper: str, name: str, dataset: str, category: str, mode: str
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Detector, settings and budget of a method for a category.

    Later ones win: the CBiGAN paper's image sizes and rotation, the profile's for objects or
    textures, for the detector, for the data set, the method's own, the profile's for the method.

    Args:
        profile: name of the profile.
        paper: folder of the paper.
        name: name of the method in the tables.
        dataset: name of the data set.
        category: its category.
        mode: `object` or `texture`.

    Raises:
        ValueError: unknown profile or method.
    """
    section, known = load(profile)[paper], _file()["methods"][paper]
    if name not in known:
        near = difflib.get_close_matches(name, known) or known
        raise ValueError(f"no method {name!r} in {paper}; did you mean {', '.join(near)}?")
    own = known[name] | section.get("methods", {}).get(name, {})
    detector = own.pop("detector")
    own.pop("differs", None)
    values = (geometry(category, mode) if paper == "cbigan" else {}) | section.get(mode, {})
    if detector == "CycleGAN":
        values |= {"augmentation": AUGMENTATION.get(dataset, "hard")}
    values |= section["detectors"].get(detector, {})
    values |= section.get("by_dataset", {}).get(dataset, {}) | own
    budget = {key: values.pop(key) for key in BUDGET if key in values}
    return detector, values, budget


def geometry(category: str, mode: str) -> dict[str, Any]:
    """Image side, patch side and rotation of the CBiGAN paper (section V-B) for a category."""
    if mode == "texture":
        return {"side": 512, "patch": 64, "rotation": (0.0, 45.0)}
    free = category in (
        "bottle",
        "hazelnut",
        "metal_nut",
        "screw",
    )  # orientation says nothing there
    return {"side": 128, "rotation": (-45.0, 45.0) if free else (0.0, 0.0)}


@dataclass(frozen=True)
class Cell:
    """One execution of a notebook, and the names of its files.

    Attributes:
        profile: name of the profile.
        paper: folder of the notebook, for instance `cbigan`.
        notebook: name of the notebook without suffix.
        dataset: name of the data set.
        category: its category.
        seed: of split and training.
        after: cells that make the runs this one looks at, so it is better started later.
    """

    profile: str
    paper: str
    notebook: str
    dataset: str
    category: str
    seed: int
    after: tuple["Cell", ...] = ()

    @property
    def id(self) -> str:
        """`<dataset>-<category>-s<seed>`, with characters that file names do not like replaced."""
        text = f"{self.dataset}-{self.category}-s{self.seed}"
        return "".join(c if c.isalnum() or c in "-_." else "_" for c in text)

    @property
    def folder(self) -> Path:
        """`results/<profile>/cells/<paper>/<notebook>`, which is not versioned."""
        return paths.results_root() / self.profile / "cells" / self.paper / self.notebook

    def file(self, suffix: str) -> Path:
        """Path of this cell's file with the given ending, for instance `.csv`."""
        return self.folder / f"{self.id}{suffix}"


def notebooks(paper: str) -> dict[str, dict[str, Any]]:
    """Notebooks of a paper and what their metadata (`metadata.adlib`) say of their grid.

    `grid` is `seeds` (every category and seed), `categories` (first seed only) or `once`; `after`
    names the notebook whose runs it looks at.
    """
    found = {}
    for file in sorted((paths.home() / "notebooks" / paper).glob("*.ipynb")):
        found[file.stem] = json.loads(file.read_text(encoding="utf-8"))["metadata"]["adlib"]
    return found


def sets(profile: str, paper: str, notebook: str = "") -> list[tuple[str, str]]:
    """Data sets and categories of a paper in a profile, or of one notebook, at hand or not."""
    section = load(profile)[paper]
    chosen = section.get("notebooks", {}).get(notebook, section["sets"])
    return [(s, c) for s, named in chosen.items() for c in (ALL[s] if named == "*" else named)]


def all_sets(profile: str, paper: str) -> list[tuple[str, str]]:
    """`sets` of all notebooks of a paper, each pair once."""
    named = (sets(profile, paper, notebook) for notebook in ("", *notebooks(paper)))
    return list(dict.fromkeys(pair for pairs in named for pair in pairs))


def cells(profile: str, paper: str | None = None) -> list[Cell]:
    """All cells of a profile whose data are at hand, those that train first.

    Args:
        profile: name of the profile.
        paper: one paper's cells only.
    """
    made: list[Cell] = []
    for folder in [paper] if paper else papers(profile):
        plan = notebooks(folder)
        for name, what in sorted(plan.items(), key=lambda item: "after" in item[1]):
            first = what.get("after")
            for where in _grid(profile, folder, name, what["grid"]):
                after = (Cell(profile, folder, first, *where),) if first else ()
                made.append(Cell(profile, folder, name, *where, after=after))
    known = {cell.file("") for cell in made}  # a cell waits only for cells that the study has
    return [
        replace(cell, after=tuple(c for c in cell.after if c.file("") in known)) for cell in made
    ]


def _grid(profile: str, paper: str, notebook: str, grid: str) -> list[tuple[str, str, int]]:
    """(data set, category, seed) of a notebook's cells: `seeds`, `categories` or `once`."""
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
