"""The run store: asking for a run gives it back or trains it.

A run is (detector and settings, data set, category, protocol, seed, budget), the images'
fingerprint and the code it depends on; the hash of that description names its folder:

    record.json          description, provenance, SHA-256 of the other files; written last
    weights.safetensors  the scored weights
    history.csv          one row per step with every loss
    scores.csv           one row per image: path, label, kind, split, score
    split.json           the protocol's file lists
    snapshots/           weights on the way, for training curves
"""

import gzip
import json
import os
import shutil
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock

from adlib import models
from adlib.data import Split
from adlib.data.protocols import PARTS
from adlib.host import paths, provenance
from adlib.host.device import default_device, resolve_precision
from adlib.host.files import atomic, sha256_file, write_text
from adlib.models import training
from adlib.study import identity

FILES = ("weights.safetensors", "history.csv", "scores.csv", "split.json")


class RunError(RuntimeError):
    """A run failed, or its files are not what its record says."""


class Run:
    """A finished run in the store; files are checked against the record when they are read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = json.loads((folder / "record.json").read_text(encoding="utf-8"))

    @property
    def key(self) -> str:
        """Hash of the description, also the folder's name."""
        return self.folder.name

    @property
    def scores(self) -> pd.DataFrame:
        """One row per validation and test image: path, label, kind, split, score."""
        return pd.read_csv(self._checked("scores.csv"), keep_default_na=False)

    @property
    def history(self) -> pd.DataFrame:
        """One row per training step: step and every logged loss."""
        return pd.read_csv(self._checked("history.csv"))

    def detector(self, device: str | torch.device | None = None) -> models.Detector:
        """The detector with the scored weights, on CUDA where there is one by default."""
        device = device or default_device()
        return models.load(self._checked("weights.safetensors"), device)

    def snapshots(self) -> dict[int, Path]:
        """Weights kept on the way: step to file, for `adlib.models.load`."""
        kept = sorted(name for name in self.record["files"] if name.startswith("snapshots/"))
        return {int(Path(n).stem.removeprefix("step")): self._checked(n) for n in kept}

    def part(self, name: str) -> tuple:
        """Labels and scores of the `validation` or `test` images as two arrays."""
        rows = self.scores.query("split == @name")
        return rows.label.to_numpy(), rows.score.to_numpy()

    def export(self, folder: Path) -> None:
        """Copy record and scores to `folder` as `<key>.json` and `<key>_scores.csv.gz`."""
        folder = Path(folder)
        with atomic(folder / f"{self.key}.json") as temporary:
            shutil.copyfile(self.folder / "record.json", temporary)
        # Without a time stamp: equal scores are equal bytes.
        scores = gzip.compress(self._checked("scores.csv").read_bytes(), mtime=0)
        with atomic(folder / f"{self.key}_scores.csv.gz") as temporary:
            temporary.write_bytes(scores)

    def _checked(self, name: str) -> Path:
        path = self.folder / name
        wanted = self.record["files"].get(name, "not in the record")
        if not path.is_file() or sha256_file(path) != wanted:
            raise RunError(
                f"{path} is missing or not what record.json says (SHA-256 {wanted[:12]}...); "
                f"remove {self.folder} to train the run again"
            )
        return path


def get(
    name: str,
    split: Split,
    budget: training.Budget,
    seed: int = 0,
    device: str | torch.device | None = None,
    **settings: object,
) -> Run:
    """Give the run back if it is in the store, else train it; of two askers at once one trains.

    Args:
        name: registered name of the detector.
        split: images and their parts, from a protocol.
        budget: steps, batch, precision.
        seed: of initial weights and draws (the split has its own seed).
        device: where to train; CUDA where there is one by default.
        **settings: of the detector.

    Raises:
        RunError: this run failed before (the record says how), or its files were changed.
        TrainingDivergedError: it failed now; the run is marked failed.
    """
    detector = models.build(name, **settings)
    device = torch.device(device) if device else default_device()
    # Another precision is another run, also when a killed one goes on elsewhere.
    precision = resolve_precision(budget.precision, device)
    budget = replace(budget, precision=precision)
    description = identity.describe(detector, split, budget, seed)
    folder = paths.runs_root() / identity.digest(description)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "record.json").is_file():
            _train(folder, detector, split, description, budget, seed, device)
    run = Run(folder)
    if run.record["status"] == "failed":
        raise RunError(f"{run.record['error']}; remove {folder} to try again")
    return run


def rescored(
    run: Run, split: Split, device: str | torch.device | None = None, **changed: object
) -> Run:
    """Score a run's images by the same weights under other scoring settings; nothing is trained.

    The result is a run of its own, whose description names the one it comes from (`scores_of`).

    Args:
        run: a finished run.
        split: the split it was made with.
        device: where to score; CUDA where there is one by default.
        **changed: settings of the detector that only matter when it scores.

    Raises:
        ValueError: another split than the run's.
    """
    description = run.record["description"]
    if identity.digest(split.lists()) != description["split"]:
        raise ValueError(
            f"run {run.key} was made with other images than the split given; it was split by "
            f"{description['protocol']!r} with its own seed"
        )
    detector = models.build(description["detector"], **description["settings"] | changed)
    detector.load_weights(run._checked("weights.safetensors"))
    detector.to(device or default_device())
    description = description | {"settings": asdict(detector.settings), "scores_of": run.key}
    folder = paths.runs_root() / identity.digest(description)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "record.json").is_file():
            started = time.perf_counter()
            scores = training.score_parts(detector, split)
            record = run.record | {
                "description": description,
                "score_s": round(time.perf_counter() - started, 2),
                **provenance.commit(),
            }
            _keep(folder, record, detector, split, run.history, scores)
    return Run(folder)


def _train(
    folder: Path,
    detector: models.Detector,
    split: Split,
    description: dict,
    budget: training.Budget,
    seed: int,
    device: torch.device,
) -> None:
    """Train, score, and write the record last, so that a folder with a record is complete."""
    started = time.perf_counter()
    record = {
        "description": description,
        "status": "done",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **provenance.commit(),
        "versions": provenance.versions(),
        "device": str(device),
        "pid": os.getpid(),
        "machine": provenance.machine(),
        "precision": budget.precision,
        "parameters": detector.parameter_counts(),
        "counts": {part: len(split.rows(part)) for part in PARTS}
        | {"validation_normal": int((split.labels_of("validation") == 0).sum())},
    }
    try:
        history = detector.fit(split, budget, seed, device=device, folder=folder)
        trained = time.perf_counter()
        scores = training.score_parts(detector, split)
    except training.TrainingDivergedError as error:
        record |= {"status": "failed", "error": str(error), "files": {}}
        write_text(folder / "record.json", json.dumps(record, indent=1))
        raise
    record |= {
        "train_s": round(trained - started, 2),
        "score_s": round(time.perf_counter() - trained, 2),
        "peak_memory_mb": provenance.peak_memory_mb(),
    }
    _keep(folder, record, detector, split, history, scores)
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def _keep(
    folder: Path,
    record: dict,
    detector: models.Detector,
    split: Split,
    history: pd.DataFrame,
    scores: pd.DataFrame,
) -> None:
    """Write a run's files, the record last."""
    detector.save(folder / "weights.safetensors")
    _write_table(history, folder / "history.csv")
    _write_table(scores, folder / "scores.csv")
    write_text(folder / "split.json", json.dumps(split.lists(), indent=1))
    files = {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in (*map(folder.joinpath, FILES), *folder.glob("snapshots/*"))
    }
    write_text(folder / "record.json", json.dumps(record | {"files": files}, indent=1))


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:
        # Nine digits give back the same float32.
        table.to_csv(temporary, index=False, lineterminator="\n", float_format="%.9g")
