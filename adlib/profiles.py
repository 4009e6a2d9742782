"""Profiles: which cells a study has and with which settings and budget a method is run in them.

The numbers stand in `profiles.toml`. Nothing here needs torch, so that the engine can plan in no
time.
"""

import difflib
import hashlib
import json
import os
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from adlib import paths

MVTEC_TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
MVTEC_OBJECTS = (
    "bottle", "cable", "capsule", "hazelnut", "metal_nut",
    "pill", "screw", "toothbrush", "transistor", "zipper",
)  # fmt: skip
ALL = {  # what "*" stands for
    "mvtec_ad": [*MVTEC_TEXTURES, *MVTEC_OBJECTS],
    "magnetic_tile": ["tile"],
    "wood_surface": ["wood"],
}
IN_PACKAGES = ("elpv", "digits", "synthetic")  # sets that need no folder
BUDGET = ("steps", "batch", "precision", "checkpoint_every", "snapshots")


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


def datasets_of(paper: str) -> list[str]:
    """Names of the data sets whose numbers a paper prints."""
    return list(_file()["papers"][paper])


def methods(paper: str) -> list[str]:
    """Names of the methods whose rows a paper's tables get from own runs."""
    return list(_file()["methods"][paper])


def published(paper: str) -> dict[str, dict[str, list]]:
    """Settings of a paper or its authors' code: detector -> setting -> [value, source]."""
    return _file()["published"].get(paper, {})


def method(
    profile: str, paper: str, name: str, category: str, mode: str
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Detector, settings and budget of a method for a category.

    Later ones win: the paper's image sizes and rotation, the profile's for objects or textures,
    the profile's for the detector, the method's own, the profile's for the method.

    Args:
        profile: name of the profile.
        paper: folder of the paper.
        name: name of the method in the tables.
        category: decides the rotation.
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
    sizes = geometry(category, mode) | section.get(mode, {})
    values = sizes | section["detectors"].get(detector, {}) | own
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
        """`results/<profile>/<paper>/<notebook>`."""
        return paths.results_root() / self.profile / self.paper / self.notebook

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


def sets(profile: str, paper: str) -> list[tuple[str, str]]:
    """Data sets and categories of a paper's section in a profile, at hand or not."""
    chosen = load(profile)[paper]["sets"]
    return [(s, c) for s, named in chosen.items() for c in (ALL[s] if named == "*" else named)]


def _folder(dataset: str, category: str) -> Path:
    folder = paths.data_root() / dataset
    return folder / category if dataset == "mvtec_ad" else folder


def at_hand(dataset: str, category: str) -> bool:
    """Whether the images can be loaded without a download."""
    return dataset in IN_PACKAGES or _folder(dataset, category).is_dir()


def stamp(dataset: str, category: str) -> str:
    """Hash of names, sizes and times of a category's files; "" for sets that come in packages.

    No file is opened, so it is quick; hidden files (`.DS_Store`, `.download.lock`) do not count.
    """
    if dataset in IN_PACKAGES:
        return ""
    lines = []
    for where, folders, files in os.walk(folder := _folder(dataset, category)):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in (Path(where, name) for name in files if not name.startswith(".")):
            found = file.stat()
            name = file.relative_to(folder).as_posix()
            lines.append(f"{name} {found.st_size} {found.st_mtime_ns}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def cells(profile: str, paper: str | None = None) -> list[Cell]:
    """All cells of a profile whose data are at hand, those that train first.

    Args:
        profile: name of the profile.
        paper: one paper's cells only.
    """
    settings = load(profile)
    papers = [paper] if paper else [name for name, v in settings.items() if isinstance(v, dict)]
    made: list[Cell] = []
    for folder in papers:
        here = [pair for pair in sets(profile, folder) if at_hand(*pair)]
        grids = {
            "seeds": [(d, c, s) for s in settings["seeds"] for d, c in here],
            "categories": [(d, c, settings["seeds"][0]) for d, c in here],
            "once": [(d, c, settings["seeds"][0]) for d, c in here[:1]],
        }
        plan = notebooks(folder)
        for name, what in sorted(plan.items(), key=lambda item: "after" in item[1]):
            for where in grids[what["grid"]]:
                first = what.get("after")
                after = (Cell(profile, folder, first, *where),) if first else ()
                made.append(Cell(profile, folder, name, *where, after=after))
    return made


def missing(profile: str) -> list[str]:
    """`dataset/category` of the profile that are not at hand, for the engine to name."""
    settings = load(profile)
    papers = [name for name, value in settings.items() if isinstance(value, dict)]
    pairs = {pair for paper in papers for pair in sets(profile, paper) if not at_hand(*pair)}
    return sorted("/".join(pair) for pair in pairs)
