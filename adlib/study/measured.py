"""How long trainings take: measured by runs at hand, else by the benches in `results/bench/`.

A bench file is a JSON list. Every entry has `detector`, `settings` (those that are not its
defaults), `batch`, `precision`, `ms_per_step`, `device` (cpu or cuda) and where it comes from
(`gpu` or `processor`, `torch`, `commit`); `processes` where several trained side by side.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adlib import models
from adlib.study import packs

SIZES = ("input_side", "width", "latent", "channels", "batch", "search_steps")


@dataclass(frozen=True)
class Measurement:
    """What a training took."""

    detector: str
    facts: dict[str, Any]  # settings and what else counts, see `facts_of`
    device: str  # cpu or cuda
    ms_per_step: float
    score_s: float = 0.0  # of all its images, by snapshots too
    processes: int = 1  # that trained side by side, each at `ms_per_step`


class Measurements:
    """Measurements at hand, and what they say of other trainings."""

    def __init__(self, known: Iterable[Measurement] = ()) -> None:
        self.known = list(known)  # of equally near ones the first serves
        self._nearest = lru_cache(self._nearest)

    def seconds(
        self, detector: str, facts: Mapping[str, Any], steps: int, device: str
    ) -> float | None:
        """Seconds of a training with its scores, alone on its device; None without measurement.

        Taken is the measurement of the same detector on the same kind of device whose sizes are
        nearest, and among these the one whose other settings are.

        Args:
            detector: its name.
            facts: of the training, see `facts_of`.
            steps: of the training.
            device: cpu or cuda.
        """
        nearest = self._nearest(detector, json.dumps(facts, sort_keys=True), device)
        return nearest and nearest.ms_per_step / 1000 * steps + nearest.score_s

    def _nearest(self, detector: str, facts: str, device: str) -> Measurement | None:
        kind, wanted = (detector, device, 1), json.loads(facts)
        alike = [m for m in self.known if (m.detector, m.device, m.processes) == kind]
        return min(alike, key=lambda m: _distance(m.facts, wanted), default=None)

    def speedup(self, processes: float, device: str) -> float:
        """How many times the trainings of one process some processes get through side by side.

        Those on a CPU share its cores, so they get through as many as one does. On a GPU it is a
        straight line from one to what was measured of several, and no more beyond.
        """
        pairs = [(1, 1.0)]
        alone = {_same(m): m for m in reversed(self.known) if m.processes == 1}
        for m in self.known if device == "cuda" else ():
            if m.processes > 1 and _same(m) in alone:
                pairs.append(
                    (m.processes, m.processes * alone[_same(m)].ms_per_step / m.ms_per_step)
                )
        return float(np.interp(processes, *zip(*sorted(pairs), strict=True)))

    def add(self, records: pd.DataFrame, beside: float | None = None) -> None:
        """Put the trainings of finished runs before what was known.

        Args:
            records: rows of `packs.table`.
            beside: how many the machine trained at the same time, for which each took longer; read
                off their times by default.
        """
        rows = records[(records["status"] == "done") & (records["scores_of"] == "")]
        numbers = _beside(rows) if beside is None else [beside] * len(rows)
        new = []
        for row, n in zip(rows.to_dict("records"), numbers, strict=True):
            device = row["device"].partition(":")[0]
            alone = self.speedup(n, device) / n
            facts = facts_of(json.loads(row["settings"]), row["batch"], row["precision"])
            ms = 1000 * row["train_s"] * alone / row["steps"]
            new.append(Measurement(row["detector"], facts, device, ms, row["score_s"] * alone))
        self.known = new + self.known
        self._nearest.cache_clear()


def read(results: Path, store: Path) -> Measurements:
    """Measurements of the benches and the runs in a results folder, and of the runs in a store.

    Raises:
        ValueError: a bench file is no such list; the message names it.
    """
    found = Measurements(m for file in sorted(results.glob("bench/*.json")) for m in _bench(file))
    for file in sorted(results.glob("*/runs.csv")):
        texts = {"scores_of": str, "gpu": str, "precision": str}
        found.add(pd.read_csv(file, dtype=texts).fillna(dict.fromkeys(texts, "")))
    if len(own := packs.listed(store)):
        found.add(own)
    return found


def facts_of(settings: Mapping[str, Any], batch: int, precision: str) -> dict[str, Any]:
    """Settings of a detector, all of them, and what else its time depends on."""
    side = {"input_side": settings.get("patch") or settings["side"]}
    return json.loads(json.dumps(settings | side | {"batch": batch, "precision": precision}))


def whole(detector: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a detector with the defaults of those that are not given."""
    return asdict(models.REGISTRY[detector].Settings(**settings))


def _bench(file: Path) -> list[Measurement]:
    try:
        return [_entry(entry) for entry in json.loads(file.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file}: no list of measurements: {error}") from error


def _entry(entry: dict[str, Any]) -> Measurement:
    settings = whole(entry["detector"], entry["settings"])
    return Measurement(
        entry["detector"],
        facts_of(settings, entry["batch"], entry["precision"]),
        entry["device"],
        entry["ms_per_step"],
        processes=entry.get("processes", 1),
    )


def _same(one: Measurement) -> tuple[str, str, str]:
    """What measurements of one and of several processes must share to be compared."""
    return one.detector, one.device, json.dumps(one.facts, sort_keys=True)


def _distance(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[float, int]:
    """How far apart two trainings are: doublings of their sizes, and other settings that differ."""
    sizes = 0.0
    for name in SIZES:
        a, b = known.get(name), wanted.get(name)
        if a != b:
            sizes += abs(math.log2(a / b)) if a and b else 1.0
    others = sum(known.get(k) != value for k, value in wanted.items() if k not in SIZES)
    return sizes, others


def _beside(rows: pd.DataFrame) -> np.ndarray:
    """How many runs, itself counted, a machine trained on average while it trained each: (n,)."""
    length = np.maximum((rows["train_s"] + rows["score_s"]).to_numpy(float), 1e-3)
    start = pd.to_datetime(rows["started"], utc=True).map(pd.Timestamp.timestamp).to_numpy(float)
    end = start + length
    machine = (rows["processor"] + rows["gpu"]).to_numpy()
    shared = np.minimum(end[:, None], end) - np.maximum(start[:, None], start)
    shared[machine[:, None] != machine] = 0
    return shared.clip(0).sum(1) / length
