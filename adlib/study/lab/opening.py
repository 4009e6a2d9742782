"""How a notebook begins: one line that names its cell and says what is run, and on what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from IPython.display import Markdown, display

from adlib import data, models, plots
from adlib.study import departures, papers, profiles, results, runs, trainings
from adlib.study.lab import published
from adlib.study.profiles import Cell
from adlib.study.tables import Table, sentence

PARAMETERS = ("profile", "dataset", "category", "seed")
Trained = dict[str | tuple[str, str], runs.Run]  # method, or method and variant -> its run


@dataclass(frozen=True)
class Opened(Cell):
    """A cell whose notebook is open, with the images that it was given."""

    data_root: str | Path | None = field(default=None, compare=False)

    @cached_property
    def images(self) -> data.ImageSet:
        """All images of the category."""
        return data.load(self.dataset, self.category, self.data_root)


def open(name: str, parameters: Mapping[str, Any]) -> Opened:
    """Open a notebook: set the style of its pictures and show a heading, `heading`.

    Args:
        name: `<paper>/<notebook>`, which JupyterLab, papermill and other editors tell in different
            ways or not at all.
        parameters: what the cell `parameters` set, mostly `globals()`; `data_root` may be absent.

    Raises:
        ValueError: no such notebook, profile, data set or category.
        KeyError: a parameter is missing.
    """
    paper, _, notebook = name.partition("/")
    papers.known(notebook, profiles.notebooks(papers.load(paper).name), f"notebooks/{paper}")
    plots.style()
    profile, dataset, category, seed = (parameters[key] for key in PARAMETERS)
    cell = Opened(
        profile, paper, notebook, dataset, category, seed, data_root=parameters.get("data_root")
    )
    display(Markdown(heading(cell)))
    return cell


def heading(cell: Opened) -> str:
    """Markdown: data, what they stand in for, profile, seed, and what a reader should know."""
    info = data.info(cell.dataset)
    category = published.category(cell.category)
    place = info.title if info.title == category else f"{info.title}, {category}"
    if titles := published.stands_in_for(cell):
        place += f", standing in for {titles}"
    counts, profile = cell.images.counts(), profiles.load(cell.profile)
    images = f"{counts['n_normal']:,} normal and {counts['n_abnormal']:,} abnormal images"
    if not counts["n_abnormal"]:  # which of them are is the protocol's to say
        images = f"{counts['n_images']:,} images"
    lines = [
        f"## {place}",
        f"Profile {cell.profile}, seed {cell.seed}: {images}. {profile.get('about', '')}",
        " ".join(map(sentence, filter(None, [info.note, cell.images.note]))),
    ]
    return "\n\n".join(filter(None, lines))


def trained(cell: Opened) -> Trained:
    """The run of every method that `[trains]` of `paper.toml` names for the notebook.

    Runs come from the store; those that it lacks are trained. Says what the profile leaves out.
    """
    print(trainings.left_out(cell))
    splits = trainings.splits(cell, cell.images)
    return {
        (method, variant) if variant else method: results.run(cell, method, split)
        for (method, variant), split in splits.items()
    }


def unlabelled(cell: Opened, split: data.Split) -> Trained:
    """Runs of all methods of the profile that learn from normal images alone, by whole label.

    Runs come from the store; those that it lacks are trained.

    Args:
        cell: gives profile, paper and seed.
        split: without labelled abnormal training images.
    """
    print(trainings.left_out(cell))
    found, images = {}, split.images
    for method in profiles.methods(cell.paper, cell.profile):
        name, settings, _ = profiles.method(
            cell.profile, cell.paper, method, images.name, images.category, images.mode
        )
        if not models.build(name, **settings).uses_abnormal:
            run = results.run(cell, method, split)
            found[results.label(method, run)] = run
    return found


def labelled(found: Trained) -> Trained:
    """The same runs under their methods' whole labels, see `adlib.study.results.label`."""
    names = ((key, "") if isinstance(key, str) else key for key in found)
    labels = [
        (results.label(method, run), variant)
        for (method, variant), run in zip(names, found.values(), strict=True)
    ]
    keys = [(label, variant) if variant else label for label, variant in labels]
    return dict(zip(keys, found.values(), strict=True))


def budgets(cell: Cell, found: Trained) -> Table:
    """What was run, read off the run records: detector, data, budget, and how it is smaller."""
    paper, lines = papers.load(cell.paper), []
    for method, run in found.items():
        record = run.record
        description, counts = record["description"], record["counts"]
        budget = description["budget"]
        same = "no" if description["detector"] in paper.authors else "not known"
        lines.append({
            "method": method if isinstance(method, str) else ", ".join(method),
            "detector": description["detector"],
            "training images": counts["train"] + counts.get("abnormal", 0),
            "test images": counts["test"],
            "px": description["settings"].get("side", ""),
            "steps × batch": f"{budget['steps']:,} × {budget['batch']}",
            "seconds": f"{record['train_s']:,.0f}",
            "smaller than the paper's": departures.scale(record, paper) or same,
        })  # fmt: skip
        if not paper.prints:
            del lines[-1]["smaller than the paper's"]
    protocols: dict[str, list[str]] = {}
    for line, run in zip(lines, found.values(), strict=True):
        protocol = run.record["description"]["protocol"].replace("_", " ")
        protocols.setdefault(protocol, []).append(line["method"])
    if len(protocols) == 1:
        return Table.of(lines, [f"Protocol: {next(iter(protocols))}."])
    notes = [f"Protocol of {', '.join(names)}: {text}." for text, names in protocols.items()]
    return Table.of(lines, notes)
