"""The run store: asking for a run gives it back or trains it.

A run is (detector and settings, data set, category, protocol, seed, budget), the images'
fingerprint and the code it depends on; the hash of that description names its folder:

    record.json          description, provenance, SHA-256 of the other files; written last
    weights.safetensors  the scored weights
    history.csv          one row per step with every loss
    scores.csv           one row per image: path, label, kind, split, score
    split.json           the protocol's file lists
    snapshots/           weights on the way, for training curves

A run that came in a pack (`adlib.study.packs`) may lack weights and losses. Its scores serve as
they are; who asks for weights trains it again. A run is given back only if its code is this code,
except that `ADLIB_RUNS_OF_OTHER_CODE=1` accepts unpacked runs that agree in all else; rows then
name the commit that they were made at.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock

from adlib import models
from adlib.data import Split
from adlib.data.split import PARTS
from adlib.host import paths, provenance
from adlib.host.device import default_device, resolve_precision
from adlib.host.files import atomic, sha256_file, write_text
from adlib.models import training
from adlib.study import identity, packs

FILES = ("weights.safetensors", "history.csv", "scores.csv", "split.json")


class RunError(RuntimeError):
    """A run failed, or its files are not what its record says."""


class Run:
    """A finished run in the store; files are checked against the record when they are read.

    Attributes:
        folder: where it lies.
        record: description, provenance and hashes.
        train: trains it again into its folder, for what a pack has left out; None where nobody can.
        steps: of the snapshots that were asked for.
        other_code: whether it was made by other code than this.
    """

    def __init__(
        self,
        folder: Path,
        train: Callable[[], None] | None = None,
        steps: Sequence[int] = (),
        other_code: bool = False,
    ) -> None:
        self.folder, self.train, self.steps, self.other_code = folder, train, steps, other_code
        self.record = _record(folder)

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
        if len(self._snapshots()) < len(self.steps):
            self._train_again("snapshots")
        return {int(Path(n).stem.removeprefix("step")): self._checked(n) for n in self._snapshots()}

    def _snapshots(self) -> list[str]:
        return sorted(name for name in self.record["files"] if name.startswith("snapshots/"))

    def part(self, name: str) -> tuple:
        """Labels and scores of the `validation` or `test` images as two arrays."""
        rows = self.scores.query("split == @name")
        return rows.label.to_numpy(), rows.score.to_numpy()

    def export(self, folder: Path) -> None:
        """Copy record and scores to `<folder>/<key>/`."""
        for name in ("record.json", "scores.csv"):
            source = self._checked(name) if name != "record.json" else self.folder / name
            with atomic(Path(folder) / self.key / name) as temporary:
                shutil.copyfile(source, temporary)

    def _train_again(self, what: str) -> None:
        """Make what a pack has left out, and say so; the scores become those of these weights."""
        if self.train is None:
            raise RunError(
                f"{self.folder} has no {what}, and this code cannot train it again: it was made at "
                f"commit {self.record['commit']}"
            )
        before = self.scores.score
        print(f"run {self.key} came without {what}: it is trained again")
        self.train()
        self.record = _record(self.folder)
        change = float((self.scores.score - before).abs().max())
        print(f"run {self.key}: scores differ from the stored ones by at most {change:.3g}")

    def _checked(self, name: str) -> Path:
        path = self.folder / name
        unpacked = (self.folder / packs.UNPACKED).is_file()
        if not path.is_file() and unpacked and name not in packs.SMALL[:2]:
            self._train_again(name)
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
    folder = paths.runs_root() / packs.digest(description)
    if not folder.exists() and (other := _of_other_code(description)):
        return Run(other, other_code=True)
    folder.mkdir(parents=True, exist_ok=True)

    def train() -> None:
        _train(folder, models.build(name, **settings), split, description, budget, seed, device)

    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "record.json").is_file():
            train()
    run = Run(folder, train, budget.snapshot_steps())
    if run.record["status"] == "failed":
        raise RunError(f"{run.record['error']}; remove {folder} to try again")
    return run


def _record(folder: Path) -> dict:
    return json.loads((folder / "record.json").read_text(encoding="utf-8"))


def _of_other_code(description: dict) -> Path | None:
    """Folder of an unpacked run that agrees in all but its code, where such runs are accepted."""
    if os.environ.get("ADLIB_RUNS_OF_OTHER_CODE", "") != "1":
        return None
    for mark in sorted(paths.runs_root().glob(f"*/{packs.UNPACKED}")):
        other = _record(mark.parent)["description"] | {"code": description["code"]}
        if packs.digest(other) == packs.digest(description):  # as JSON, which has no tuples
            return mark.parent
    return None


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
    if packs.digest(split.lists()) != description["split"]:
        raise ValueError(
            f"run {run.key} was made with other images than the split given; it was split by "
            f"{description['protocol']!r} with its own seed"
        )
    detector = models.build(description["detector"], **description["settings"] | changed)
    detector.load_weights(run._checked("weights.safetensors"))
    detector.to(device or default_device())
    description = description | {"settings": asdict(detector.settings), "scores_of": run.key}
    folder = paths.runs_root() / packs.digest(description)
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
    for name in ("checkpoint.pt", packs.UNPACKED):
        (folder / name).unlink(missing_ok=True)


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
