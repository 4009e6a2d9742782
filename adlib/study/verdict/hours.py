"""What runs cost: the hours that were spent, and those that a paper's full scale would take."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from adlib.study import departures
from adlib.study.papers import ALL_SETS, MEANS, Paper
from adlib.study.summary import COUNT, Study
from adlib.study.tables import listed
from adlib.study.verdict.ledger import SEEDS, SILENT, seconds

METHOD = """\
Estimated is a run of ours, scaled: its training by the images shown and by the area of an image,
its scoring by the area and the steps of a search. Wider networks and more test images are not
scaled, so the estimate is a lower bound. Hours on a GPU come from such runs on one, else from the
training steps that `results/bench/` timed there at the paper's image size, without scoring. Where
neither gives a number, none is given. CPU-hours are those of one thread. No record holds a power,
so there are no kWh."""
COLUMNS = [
    *("method", "runs", "cpu_hours", "gpu_hours", "needed"),
    *("full_cpu_hours", "full_gpu_hours"),
]


def cost(study: Study, paper: Paper, order: list[str]) -> pd.DataFrame:
    """One row a method of the paper's tables; how hours are estimated, `METHOD` says.

    Returns:
        Columns method, runs (how many of ours), cpu_hours and gpu_hours (spent on these), needed
        (runs of the paper's full scale: its categories times three seeds), full_cpu_hours and
        full_gpu_hours (estimated for these; NaN where that cannot be).
    """
    published = paper.published
    published = published[published["method"] != COUNT]
    rows = study.rows[(study.rows["paper"] == paper.name) & (study.rows["run"] != "")]
    made = []
    for method in dict.fromkeys(published["method"]):
        named = rows[rows["name"] == method]
        keys = dict.fromkeys(zip(named["profile"], named["run"], strict=True))
        keys = sorted(keys, key=lambda key: order.index(key[0]) if key[0] in order else len(order))
        records = [
            study.packs[profile][key].record
            for profile, key in keys
            if profile not in SILENT and key in study.packs.get(profile, {})
        ]
        needed = SEEDS * _categories(study, paper, published[published["method"] == method])
        made.append((method, len(records), *_hours(study.results, paper, records, needed)))
    return pd.DataFrame(made, columns=COLUMNS)


def in_words(table: pd.DataFrame) -> str:
    """Write `CBiGAN: at least 700 GPU-hours` for full scale; "" where no method has an estimate."""
    for column, unit in (("full_gpu_hours", "GPU-hours"), ("full_cpu_hours", "CPU-hours")):
        named = table[table[column] > 0]
        if len(named):
            hours, whose = named[column].sum(), listed(list(named["method"]))
            if hours >= 2:
                return f"{whose}: at least {hours:,.0f} {unit}"
            return f"{whose}: at least {60 * hours:,.0f} {unit.replace('hours', 'minutes')}"
    return ""


def _categories(study: Study, paper: Paper, published: pd.DataFrame) -> int:
    """Categories whose runs a method's published numbers take."""
    single = published[~published["category"].isin(MEANS)]
    places = single[["dataset", "category"]].drop_duplicates()
    several = study.groups(paper.name, ALL_SETS).get("mean_overall", [])
    printed = {name for named in paper.datasets.values() for name in named}
    return len(places) if set(places["dataset"]) & printed else len(several)


def _hours(results: Path, paper: Paper, records: list[dict], needed: int) -> tuple:
    """Spent on a CPU and a GPU, needed runs, and estimated on a CPU and a GPU."""
    spent = {"cpu": 0.0, "cuda": 0.0}
    full = {"cpu": np.nan, "cuda": np.nan}
    for record in records:
        device = "cuda" if record["machine"].get("gpu") else "cpu"
        spent[device] += seconds(record) / 3600
        if np.isnan(full[device]) and (one := _full(record, paper)):
            full[device] = needed * one / 3600
    if np.isnan(full["cuda"]) and records and (one := _timed(results, records[0], paper)):
        full["cuda"] = needed * one / 3600
    return spent["cpu"], spent["cuda"], needed, full["cpu"], full["cuda"]


def _full(record: dict, paper: Paper) -> float | None:
    """Seconds of a run at the paper's scale, by the time of ours; None where it says no budget."""
    images = _images(record, paper)
    if images is None or "scores_of" in record["description"]:
        return None
    budget = record["description"]["budget"]
    area, search = _factor(record, paper, "side") ** 2, _factor(record, paper, "search_steps")
    training = record["train_s"] * images / (budget["steps"] * budget["batch"]) * area
    return training + record["score_s"] * area * search


def _images(record: dict, paper: Paper) -> float | None:
    """Training images that the paper's run shows; None where it says no budget."""
    theirs = departures.published(record, paper) if _known(record, paper) else {}
    if "steps" in theirs:
        batch = theirs.get("batch", [record["description"]["budget"]["batch"]])[0]
        return theirs["steps"][0] * batch
    return theirs["epochs"][0] * record["counts"]["train"] if "epochs" in theirs else None


def _known(record: dict, paper: Paper) -> bool:
    return record["description"]["detector"] in paper.authors


def _factor(record: dict, paper: Paper, setting: str) -> float:
    """How much larger a setting of the paper is than ours; 1 where it is unknown."""
    ours = record["description"]["settings"].get(setting)
    wanted = departures.published(record, paper).get(setting, (None,))[0]
    return max(1.0, wanted / ours) if ours and wanted else 1.0


def _timed(results: Path, record: dict, paper: Paper) -> float | None:
    """Seconds of the paper's training steps as timed on a GPU at its image size, if they were."""
    images = _images(record, paper)
    if images is None:
        return None
    description = record["description"]
    side = description["settings"].get("side", 0) * _factor(record, paper, "side")
    for file in sorted((results / "bench").glob("*.json")):
        for one in json.loads(file.read_text(encoding="utf-8")):
            same = one["detector"] == description["detector"] and one.get("device") == "cuda"
            if same and one["settings"].get("side") == side:
                return images / one["batch"] * one["ms_per_step"] / 1000
    return None
