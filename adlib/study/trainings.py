"""The trainings of a profile: what its tables ask for, as `paper.toml` says it.

Whether a run is in the store is read off its key, so images must be listed and split, but none is
decoded and nothing is trained.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from adlib import data, models
from adlib.data import ImageSet, Split
from adlib.models.training import Budget
from adlib.study import departures, packs, papers, profiles, runs
from adlib.study.papers import Trains
from adlib.study.profiles import Cell

DONE, FAILED, PENDING = "done", "failed", "pending"


@dataclass(frozen=True)
class Training:
    """A run that tables of a profile ask for."""

    cell: Cell  # the first that asks for it; its seed is the run's
    method: str
    variant: str  # of its rows; "" for those that stand beside published numbers
    detector: str
    settings: dict[str, Any]
    budget: Budget
    key: str  # of the run in the store
    spent_s: float  # that its checkpoint holds already
    state: str  # `DONE`, `FAILED` or `PENDING`
    toy: str  # how it is smaller than the paper's own experiment, see `departures.scale`
    asked: tuple[tuple[str, str, str], ...]  # paper, table and method of all who read it

    @property
    def title(self) -> str:
        """What is trained on what, for one line of text."""
        name = f"{self.method}, {self.variant}" if self.variant else self.method
        return f"{name} ({self.cell.paper}) on {self.place}, seed {self.cell.seed}"

    @property
    def place(self) -> str:
        """Data set and category."""
        return f"{self.cell.dataset}/{self.cell.category}"

    def images(self) -> ImageSet:
        """All images of the category; those asked for last are kept."""
        return _images(self.cell.dataset, self.cell.category)

    def split(self) -> Split:
        """Images and their parts."""
        return splits(self.cell, self.images())[self.method, self.variant]


def splits(cell: Cell, images: ImageSet) -> dict[tuple[str, str], Split]:
    """What the notebook of a cell trains: method and variant ("" for none) -> its split.

    Args:
        cell: of a notebook that stands in `[trains]` of its paper, or reads the runs of one.
        images: of the cell.

    Raises:
        ValueError: the notebook does neither, or the profile lacks an option named there.
    """
    paper, notebook = papers.load(cell.paper), cell.notebook
    if notebook not in paper.trains:
        notebook = profiles.notebooks(cell.paper).get(notebook, {}).get("after", notebook)
    papers.known(notebook, paper.trains, f"{paper.folder / 'paper.toml'}: trains")
    found = {}
    for asked in paper.trains[notebook]:
        methods = _methods(cell, asked)
        if not methods or (asked.official_parts and not (images.table["part"] != "").any()):
            continue
        whole = papers.PROTOCOLS[asked.protocol](images, cell.seed, **asked.arguments)
        for method in methods:
            option = asked.drawn.get(method, asked.drawn.get(papers.EVERY))
            part = whole.subsample(_option(cell, option)) if option else whole
            found[method, asked.variant] = part
    return found


def _methods(cell: Cell, asked: Trains) -> list[str]:
    """Methods that a notebook trains so in the profile."""
    if asked.methods_of:
        return profiles.load(cell.profile)[cell.paper].get(asked.methods_of, [])
    kept = profiles.methods(cell.paper, cell.profile)
    return [method for method in kept if method in (asked.methods or kept)]


def _option(cell: Cell, name: str) -> Any:
    section = profiles.load(cell.profile)[cell.paper]
    if name not in section:
        raise ValueError(
            f"profile {cell.profile}, {cell.paper}: {name} is missing, which {cell.notebook} needs"
        )
    return section[name]


def left_out(cell: Cell) -> str:
    """Say which methods of its table a notebook does not run, and why."""
    paper, section = papers.load(cell.paper), profiles.load(cell.profile)[cell.paper]
    trains = paper.trains.get(cell.notebook, [])
    asked = {method for one in trains for method in one.methods or paper.methods} or paper.methods
    absent = [method for method in section["without"] if method in asked]
    said = []
    if absent:
        why = f": {section['why_without']}" if section["why_without"] else ""
        said.append(f"Profile {cell.profile} leaves out {', '.join(absent)}{why}.")
        whole = [name for name in profiles.names() if _has(name, cell.paper, absent)]
        said.append(f"Profiles that run all of these: {', '.join(whole) or 'none'}.")
    printed = paper.published.query("table == @cell.notebook")["method"].unique()
    said += [f"{m} is not run: {paper.not_run[m]}." for m in printed if m in paper.not_run]
    return " ".join(said) or "All methods of the table are run."


def _has(profile: str, paper: str, methods: list[str]) -> bool:
    section = profiles.load(profile).get(paper)
    return section is not None and not set(methods) & set(section["without"])


def wanted(profile: str, device: torch.device) -> list[Training]:
    """All trainings of a profile whose data are at hand, each once, in the order of its cells.

    Args:
        profile: name.
        device: settles a precision of `auto`, on which a run's key depends.

    Raises:
        ValueError: as in `profiles.load` and `splits`.
    """
    found: dict[str, Training] = {}
    cells = [c for c in profiles.cells(profile) if c.notebook in papers.load(c.paper).trains]
    # Category by category, so that its images are listed once.
    for cell in sorted(cells, key=lambda c: (c.dataset, c.category)):
        for one in _of_cell(cell, device):
            if (first := found.get(one.key)) is None:
                found[one.key] = one
            else:  # whoever needs no snapshots can do with them
                most = max(first.budget, one.budget, key=lambda budget: budget.snapshots)
                found[one.key] = replace(first, budget=most, asked=first.asked + one.asked)
    place = {cell: i for i, cell in enumerate(cells)}
    return sorted(found.values(), key=lambda one: place[one.cell])


def _of_cell(cell: Cell, device: torch.device) -> Iterator[Training]:
    images = _images(cell.dataset, cell.category)
    paper = papers.load(cell.paper)
    shown = cell.dataset, cell.category, images.mode
    about = profiles.notebooks(cell.paper)
    reads = (n for n in about if about[n].get("after") == cell.notebook and n not in paper.trains)
    tables = [cell.notebook, *reads]
    for (method, variant), split in splits(cell, images).items():
        name, settings, budget = profiles.method(cell.profile, cell.paper, method, *shown)
        budget = Budget(**budget)
        detector = _built(name, tuple(settings.items()))
        folder, description, _ = runs.place(detector, split, budget, cell.seed, device)
        made = (folder / "record.json").is_file()
        record = {"description": description, "counts": runs.counts(split)}
        yield Training(
            *(cell, method, variant, name, settings, budget, folder.name),
            spent_s=runs.spent(folder),
            state=packs.record(folder)["status"] if made else PENDING,
            toy=departures.scale(record, paper),
            asked=tuple((cell.paper, table, method) for table in tables if not variant),
        )


_images = lru_cache(maxsize=4)(data.load)


@lru_cache(maxsize=16)
def _built(name: str, settings: tuple) -> models.Detector:
    """A detector of the settings, kept, because categories and seeds share it."""
    return models.build(name, **dict(settings))
