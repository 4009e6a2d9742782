"""What a detector costs to train and to run."""

import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from torch import Tensor

from adlib.data import Split
from adlib.host import provenance
from adlib.metrics import ranks
from adlib.models import Detector
from adlib.models.features import FeatureDetector
from adlib.networks import backbones
from adlib.study import results
from adlib.study.runs import Run

BATCHES = (1, 8, 64)  # that are tried; the last one is also how many images are scored
# Metrics of the rows, in their order, that the table shows: what each is in words.
WORDS = {
    "parameters": "number of parameters",
    "stored_mb": "disk space for what is stored (MB)",
    "train_s": "training time (s)",
}


def milliseconds_per_image(
    detector: Detector, images: Tensor, batch: int, repeats: int = 3
) -> float:
    """Time to score one image: the median of `repeats` passes after one that warms up.

    Transfer to the device and back is part of it, reading and resizing files is not.

    Args:
        detector: on the device to be measured.
        images: uint8 `(N, C, side, side)`.
        batch: images scored at once.
        repeats: passes that count.
    """
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        detector.score(images, batch)  # its result is on the host, so the device has finished
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[1:]) / len(images)


def meters(folder: Path = Path("/sys/class/powercap")) -> list[Path]:
    """Energy counters of the processors, where Linux shows them to everybody."""
    found = sorted(folder.glob("intel-rapl:?/energy_uj"))
    return [meter for meter in found if os.access(meter, os.R_OK)]


def joules(counters: list[Path]) -> float:
    """What the processors have used so far, with all that ran on them."""
    return sum(int(meter.read_text()) for meter in counters) / 1e6


def place(machine: Mapping) -> str:
    """Where something was measured: the GPU, or else the processor and its threads."""
    return machine.get("gpu") or f"{machine['processor']}, {machine['threads']} threads"


def of_training(run: Run) -> dict[str, float]:
    """What the record of a run says of its training.

    Memory is the largest of the process until its end; the parameters of a detector over features
    are those of the backbone too, which others have trained.
    """
    budget, train_s = run.record["description"]["budget"], run.record["train_s"]
    once = budget["steps"] == 1  # nothing is trained: one pass over the training images
    seen = run.record["counts"]["train"] if once else budget["steps"] * budget["batch"]
    memory = run.record["peak_memory_mb"]
    return {
        "parameters": sum(run.record["parameters"].values()) + _pretrained(run.detector()),
        "stored_mb": (run.folder / "weights.safetensors").stat().st_size / 1e6,
        "train_s": train_s,
        "train_images_per_s": seen / train_s,
        "peak_memory_mb": memory.get("gpu", memory["host"]),
    }


def _pretrained(detector: Detector) -> int:
    """Parameters of a backbone that was trained elsewhere."""
    if not isinstance(detector, FeatureDetector):
        return 0
    backbone = backbones.load(detector.settings.backbone, "cpu")
    return sum(weights.numel() for weights in backbone.parameters())


def of_scoring(
    detector: Detector, split: Split, counters: list[Path]
) -> tuple[dict[str, float], int]:
    """Milliseconds for a test image, one after another and at the best of `BATCHES`, and energy.

    A detector that searches for every image is timed on one of them, and its energy is not read.

    Returns:
        Metric to value, and the best batch.
    """
    slow = hasattr(detector.settings, "search_steps")
    pixels = split.pixels("test", detector.settings.side, detector.settings.channels)
    pixels, times = pixels[: BATCHES[-1]], {}
    for batch in (1,) if slow else (*BATCHES[:-1], len(pixels)):
        some, repeats = (pixels[:1], 1) if slow else (pixels[: max(16, batch)], 3)
        times[batch] = milliseconds_per_image(detector, some, batch, repeats)
    best = min(times, key=times.get)
    values = {"inference_time_ms": times[1], "inference_time_ms_best_batch": times[best]}
    if counters and not slow:
        before = joules(counters)
        detector.score(pixels, best)
        values["cpu_energy_j_per_image"] = (joules(counters) - before) / len(pixels)
    return values, best


def rows(found: Mapping[str, Run], split: Split, comparable: str) -> list[dict[str, object]]:
    """Rows of every method: what its training took, what scoring takes here, and its auROC.

    Args:
        found: method to run.
        split: whose test images are scored.
        comparable: why they cannot be held against a paper's numbers; the machine is added.
    """
    rows, counters = [], meters()
    shared = {"comparable": f"{comparable}; scored on {place(provenance.machine())}"}
    for name, run in found.items():
        times, batch = of_scoring(run.detector(), split, counters)
        notes = {"inference_time_ms_best_batch": f"batch of {batch}"}
        notes["train_s"] = f"trained on {place(run.record['machine'])}"
        for metric, value in (of_training(run) | times).items():
            row = {"method": name, "metric": metric, "value": value, "note": notes.get(metric, "")}
            rows.append(row | shared | {"run": run.key, "protocol": split.protocol})
        rows.append(results.metric_row(name, run, "auroc", **shared))
    return rows


def against(written: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row a method: `method`, `cost` by a metric, and its auROC as `value`, `low`, `high`."""
    areas = written[written["metric"] == "auroc"][["method", "value", "low", "high"]]
    costs = written[written["metric"] == metric].set_index("method")["value"]
    return areas.assign(cost=areas["method"].map(costs))


def said(written: pd.DataFrame) -> list[str]:
    """Which methods no other beats at their price, in sentences."""
    table = against(written, "inference_time_ms_best_batch")
    front = table["method"][ranks.pareto_front(table["cost"], table["value"])]
    slow, fast = table.loc[table["cost"].idxmax()], table.loc[table["cost"].idxmin()]
    sentences = [
        f"At the best batch {fast['method']} is the fastest with {fast['cost']:.3g} ms for an "
        f"image; the slowest, {slow['method']}, takes {slow['cost'] / fast['cost']:.1f} times as "
        "long.",
        f"On the front of auROC against that time: {', '.join(front)}.",
    ]
    energy = written[written["metric"] == "cpu_energy_j_per_image"]
    if energy.empty:
        return [*sentences, "This machine shows no energy counter that may be read."]
    energy = energy.sort_values("value", kind="stable")
    least, most = energy.iloc[0], energy.iloc[-1]
    return [
        *sentences,
        f"An image takes from {least['value']:.3g} J ({least['method']}) to {most['value']:.3g} J "
        f"({most['method']}) of the whole processor, with all that ran on it.",
    ]
