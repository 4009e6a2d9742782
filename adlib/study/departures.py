"""Where runs depart from a paper and its authors' code, and which of them are at toy scale.

Both are read off the run records and `paper.toml`; nothing here is typed for a profile.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from adlib import data
from adlib.data import split
from adlib.study.packs import Packed
from adlib.study.papers import Paper

SIZES = ("side", "patch", "rotation")  # what a paper may choose by category
# Settings whose smaller value makes a smaller experiment, and how they are written.
SCALES = {
    "steps": "training steps",
    "epochs": "epochs",
    "side": "px",
    "patch": "px of a patch",
    "width": "channels of width",
    "latent": "latent dimensions",
    "search_steps": "search steps",
}
UNKNOWN = "the record of the run is not at hand"
SUBSAMPLED = "some of the test images"
NEARLY = 0.95  # of the paper's value counts as all of it


@dataclass(frozen=True)
class Smaller:
    """A setting of `SCALES` that is smaller than the paper's; `share` is in images for steps."""

    setting: str
    ours: float
    wanted: float
    share: float

    @property
    def text(self) -> str:
        """Write `500 of 200,000 training steps, 0.25 % of the images`."""
        images = f", {100 * self.share:.2g} % of the images" if self.setting == "steps" else ""
        return f"{self.ours:,} of {self.wanted:,} {SCALES[self.setting]}{images}"


def scale(record: dict, paper: Paper) -> str:
    """How a run is smaller than the paper's own experiment; "" where it is not, or nobody knows.

    A budget is compared in the unit that the paper gives: epochs, or images shown (steps times
    batch).

    Args:
        record: of the run, see `adlib.study.runs`.
        paper: whose table the run stands in.
    """
    parts = [share.text for share in smaller(record, paper)]
    if split.subsampled(record["description"]["protocol"]):
        parts.append(SUBSAMPLED)
    return ", ".join(parts)


def smaller(record: dict, paper: Paper) -> list["Smaller"]:
    """What of a run is smaller than the paper's own experiment, see `scale`."""
    known = record["description"]["detector"] in paper.authors
    here, theirs = _settings(record), published(record, paper) if known else {}
    found = []
    for setting in SCALES:
        ours, (wanted, _) = here.get(setting), theirs.get(setting, (None, ""))
        if not wanted or not isinstance(ours, int | float):
            continue
        share = ours / wanted
        if setting == "steps" and "batch" in theirs:
            share *= here["batch"] / theirs["batch"][0]
        if share < NEARLY:
            found.append(Smaller(setting, ours, wanted, share))
    return found


def scales(
    rows: pd.DataFrame, packs: Mapping[str, Mapping[str, Packed]], papers: Mapping[str, Paper]
) -> list[str]:
    """`scale` of every row, from the packed runs by profile; "" for rows without a run.

    A row whose run the profile's pack lacks gets `UNKNOWN`: it may be smaller or not.
    """
    keys = list(zip(rows["profile"], rows["paper"], rows["run"], strict=True))
    known = {}
    for profile, paper, key in set(keys):
        if not key or profile not in packs:
            continue
        run = packs[profile].get(key)
        if run is None:
            known[profile, paper, key] = UNKNOWN
        elif paper in papers:
            known[profile, paper, key] = scale(run.record, papers[paper])
    return [known.get(key, "") for key in keys]


def departures(
    rows: pd.DataFrame, records: Mapping[str, dict], papers: Mapping[str, Paper]
) -> list[dict]:
    """Where runs differ from what a paper says or its authors' code does.

    Args:
        rows: columns `paper` and `run`, of one profile.
        records: of its runs, by key.
        papers: by name.

    Returns:
        For each paper with known settings: `paper`, `rows` (setting, here, published, source) in
        the order of `paper.toml`, and `unknown`, the detectors that it says nothing of.
    """
    tables, rows = [], rows[rows["run"].isin(list(records))]
    for folder, runs in rows.groupby("paper", sort=False)["run"].unique().items():
        paper = papers.get(folder)
        if paper is None or not paper.authors:
            continue
        differing: dict[tuple, set[str]] = {}
        detectors = {records[run]["description"]["detector"] for run in runs}
        for run in runs:
            if records[run]["description"]["detector"] in paper.authors:
                _compare(records[run], paper, differing)
        order = [*SIZES, *(setting for settings in paper.authors.values() for setting in settings)]
        listed = [
            dict(zip(("setting", "published", "source"), key, strict=True))
            | {"here": ", ".join(sorted(differing[key]))}
            for key in sorted(differing, key=lambda key: order.index(key[0]))
        ]
        unknown = sorted(detectors - set(paper.authors))
        tables.append({"paper": folder, "rows": listed, "unknown": unknown})
    return tables


def published(record: dict, paper: Paper) -> dict[str, list]:
    """Settings of the paper or its authors' code for a run: name -> [value, source]."""
    description = record["description"]
    theirs = paper.authors_of(description["detector"], description["dataset"])
    return _sizes(record, paper) | theirs


def _compare(record: dict, paper: Paper, differing: dict[tuple, set[str]]) -> None:
    """Add what one run does otherwise: (setting, published, source) -> values here, as text."""
    here, detector = _settings(record), record["description"]["detector"]
    named = [method for method in paper.methods.values() if method["detector"] == detector]
    for setting, (value, source) in published(record, paper).items():
        ours = here.get(setting, "not recorded")
        if ours is None or any(method.get(setting) == ours for method in named):
            continue  # does not apply, or makes another method of the paper
        if ours != value:
            differing.setdefault((setting, _text(value), source), set()).add(_text(ours))


def _settings(record: dict) -> dict:
    """Settings and budget of a run, and what it does that is no setting of it."""
    description = record["description"]
    return {**description["settings"], **description["budget"], **stated(record)}


def stated(record: dict) -> dict[str, object]:
    """What a run does that is no setting of it, under the names that `paper.toml` has for it.

    Most of it every run of this package does. None stands where something does not apply.
    """
    description, counts = record["description"], record["counts"]
    settings, budget = description["settings"], description["budget"]
    patch, (low, high) = settings.get("patch"), settings.get("rotation", (0, 0))
    return {
        "epochs": round(budget["steps"] * budget["batch"] / counts["train"], 1),
        "sampling": "drawn with replacement",
        "values": "-1 to 1",
        "input": "resized",
        "resize": "bilinear",
        "antialiasing": True,
        "crop": "none",
        "texture_rotation": f"{low:g} to {high:g} degrees" if patch else None,
        "texture_patches": "drawn anew every step" if patch else None,
        "pairs": "drawn anew every step",
        "rate_decay": "by step",
        "rmsprop_start": 0,
        "batch_norm_at_test": "running statistics",
        "batch_norm_updates": "4 a step" if settings.get("losses") == "release" else "2 a step",
        "ema_warm_up": settings.get("ema", 0) > 0,
        "ema_counted_in": "updates of encoder and generator",
        "weighting_of_the_score": "none" if settings.get("neighbours") == 1 else "equation 7",
        "squeezed_features": "none",
        "smoothing_border": "mirrored, its outermost pixel once",
        "held_out_normals": _held_out(description, counts),
        "noise_at_test": "none",
        "pretrained": "nothing",
        "stopping": "the last step",
        "transformations": "drawn for each image",
        "images_that_scale": "every tenth",
    }


def _held_out(description: dict, counts: dict) -> str:
    """Share of the normal images held out, those included that a test on fewer does not score."""
    normal = counts.get("held_out_normal")
    if normal is None:  # a record from before it was counted: a part of a part says nothing
        if split.subsampled(description["protocol"]):
            return "not recorded"
        normal = counts.get("validation_normal", counts["validation"])
    return f"{100 * normal / (counts['train'] + normal):.0f} %"


def _sizes(record: dict, paper: Paper) -> dict[str, list]:
    """The paper's image and patch side and rotation for the category of a run, if it has rules."""
    if not paper.object:
        return {}
    detector, dataset, category = (
        record["description"][key] for key in ("detector", "dataset", "category")
    )
    mode = data.info(dataset).modes.get(category, "object")
    sizes = {"patch": 0} | paper.settings(detector, dataset, category, mode)
    return {
        setting: [list(value) if isinstance(value, tuple) else value, f"paper, {mode}s"]
        for setting, value in sizes.items()
        if setting in SIZES
    }  # lists, as JSON has them


def _text(value: object) -> str:
    """A setting as it is read: yes and no, a range of degrees, or the value itself."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " to ".join(f"{v:g}" for v in value).replace("-", "−")
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
