"""Defects among the training images: abnormal pixels, abnormal images, and whom they hurt."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from adlib import data
from adlib.metrics import ranks
from adlib.study import papers, profiles, results
from adlib.study.profiles import Cell
from adlib.study.rows import PATCHED
from adlib.study.tables import Table, interval, number, points


@dataclass(frozen=True)
class Experiment:
    """What is done to a share of the training images, and whose training is tried so.

    Attributes:
        name: of its picture.
        done: to these images, in words.
        methods: of the profile.
        splits: by share, all with the same test images.
        ending: of the rows' variants, after the share.
    """

    name: str
    done: str
    methods: list[str]
    splits: dict[float, data.Split]
    ending: str = ""


def experiments(cell: Cell, images: data.ImageSet) -> list[Experiment]:
    """Abnormal images among the training ones, and abnormal patches in normal ones.

    Nobody tells a detector of either. The shares are the profile's.

    Raises:
        ValueError: too few abnormal images, see `data.contaminated` and `Split.check_test`.
    """
    section = profiles.load(cell.profile)[cell.paper]
    shares, most = section["shares"], section["test_images"]
    pooled = data.pooled_balanced(images, cell.seed)
    splits = {share: data.contaminated(pooled, share, max(shares)) for share in shares}
    if np.bincount(splits[0].labels_of("test")).max() > most:
        splits = {share: split.subsample(most) for share, split in splits.items()}
    splits[0].check_test(2)  # one image of a label says nothing of the spread of an area
    patched = {share: data.with_patches(splits[0], share) for share in section["patch_shares"]}
    return [
        Experiment("auroc", "abnormal", section["contaminated"], splits),
        Experiment("patches", "given an abnormal patch", section["patched"], patched, PATCHED),
    ]


def plan(planned: list[Experiment]) -> Table:
    """One line an experiment and share: how many training images are touched, and who is tried."""
    lines = []
    for experiment in planned:
        for share, split in experiment.splits.items():
            touched = split.labels_of("train").sum() + len(getattr(split.images, "patches", ()))
            of = len(split.train)
            lines.append({
                "training images": f"{share:.0%} {experiment.done}", "number": f"{touched} of {of}",
                "test images": len(split.test), "methods": ", ".join(experiment.methods),
            })  # fmt: skip
    return Table.of(lines, [f"Protocol: {next(iter(planned[0].splits.values())).protocol}."])


def rows(cell: Cell, experiment: Experiment) -> list[dict[str, object]]:
    """Rows of every method and share: the auROC, and the points it differs from the clean one.

    Both areas are of the same test images, so the difference is paired (DeLong et al. 1988).
    """
    found, comparable = [], results.comparable(cell, next(iter(experiment.splits.values())).images)
    for method in experiment.methods:
        runs = {
            share: results.run(cell, method, split) for share, split in experiment.splits.items()
        }
        name, (labels, reference) = results.label(method, runs[0]), runs[0].part("test")
        for share, run in runs.items():
            shown = name, f"{share:.0%}{experiment.ending}"
            row = results.metric_row(shown, run, "auroc", comparable=comparable) | {"x": share}
            found.append(row)
            if share:
                apart = ranks.auroc_difference(labels, run.part("test")[1], reference)
                ends = zip(("value", "low", "high"), apart, strict=True)
                points = {name: 100 * part for name, part in ends}
                note = {"metric": "difference_points", "note": "against clean"}
                found.append(row | points | note)
    return found


def of(written: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """Rows of an experiment among all that were written."""
    patched = written["variant"].str.endswith(PATCHED)
    return written[patched == (experiment.ending == PATCHED)]


def shown(written: pd.DataFrame, planned: list[Experiment]) -> Table:
    """One line an experiment, method and share, beside the clean training."""
    lines = []
    for experiment in planned:
        some = of(written, experiment).set_index(["metric", "name", "x"])
        areas = some.loc["auroc"]["value"]
        for (name, share), row in some.loc["difference_points"].iterrows():
            lines.append({
                "training images": f"{share:.0%} {experiment.done}",
                "method": name,
                "auROC, clean": number(areas[name, 0]),
                "auROC": number(areas[name, share]),
                "points (95 % interval)": points(row["value"], row["low"], row["high"]),
            })  # fmt: skip
    return Table.of(lines, ["No paper prints these numbers."])


def said(written: pd.DataFrame) -> list[str]:
    """What the claim on abnormal pixels is about, and who has nothing to lose, in sentences."""
    claims = (claim for paper in papers.read().values() for claim in paper.claims)
    claim = next(one for one in claims if one.table == "beyond/contamination")
    own = written[(written["metric"] == "difference_points") & (written["name"] == claim.method)]
    own = own[own["variant"].str.endswith(PATCHED)]
    if own.empty:
        sentences = [f"Patches were not tried with {claim.method}, which the claim is about."]
    else:
        row = own.loc[own["x"].idxmax()]
        lost, gained = row["high"] < 0, row["low"] > 0
        verb = "loses" if lost else "gains" if gained else "is not shown to change"
        sentences = [
            f"With patches in {row['x']:.0%} of the training images {claim.method}, which the "
            f"claim is about, {verb}: {points(row['value'], row['low'], row['high'])} points."
        ]
    areas = written[(written["metric"] == "auroc") & (written["x"] == 0)]
    areas = areas.drop_duplicates("name")
    chance = areas[(areas["low"] <= 0.5) & (areas["high"] >= 0.5)]
    if len(chance):
        ends = map(interval, chance["low"], chance["high"])
        stand = ", ".join(f"{n} ({i})" for n, i in zip(chance["name"], ends, strict=True))
        sentences.append(f"At chance already when clean, with nothing to lose: {stand}.")
    return sentences
