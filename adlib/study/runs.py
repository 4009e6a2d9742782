"""The run store: asking for a run gives it back or trains it.

A run is (detector and settings, data set, category, protocol, seed, budget), the images'
fingerprint and the code it depends on; the hash of that description names its folder:

    record.json          description, provenance, SHA-256 of the other files; written last
    weights.safetensors  the scored weights
    history.csv          one row per step with every loss
    scores.csv           one row per image: path, label, kind, split, score
    split.json           the protocol's file lists
    snapshots/           weights on the way, where the budget asks for such
    curve.safetensors    scores by these weights: `steps`, `scores` (one row a step, one column a
                         row of scores.csv) and perhaps `authors`, see `adlib.study.curve`

A run that came in a pack (`adlib.study.packs`) may lack weights and losses. Its scores serve as
they are. Who asks for what is missing trains it again: the record then says how far the scores of
the new weights are from those of the run, which stay.

The description of an unpacked run may differ from the one asked for in two things. Where a budget
leaves the precision to the machine (`auto`), that of the machine that made the run serves. With
`ADLIB_RUNS_OF_OTHER_CODE=1` the code may be another too: rows then name its commit, and what is
missing can only be had from that code.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from safetensors.numpy import load_file

from adlib import models
from adlib.data import Split
from adlib.data.split import PARTS
from adlib.host import paths, provenance
from adlib.host.device import default_device, resolve_precision
from adlib.host.files import atomic, sha256_file, write_text
from adlib.models import training
from adlib.study import curve, identity, packs

FILES = ("weights.safetensors", "history.csv", "scores.csv", "split.json")
SESSION = "session.json"  # beside the checkpoint: when this training began, and what was before
AGREEMENT = 1e-3  # largest change of a score by training again, in standard deviations of scores


class RunError(RuntimeError):
    """A run failed, or its files are not what its record says."""


@dataclass(frozen=True)
class Run:
    """A finished run in the store; files are checked against the record when they are read."""

    folder: Path
    make: Callable[[], None] | None = None  # makes again what the folder lacks
    steps: Sequence[int] = ()  # of the snapshots that were asked for
    other_code: bool = False  # whether other code than this made the run

    @property
    def record(self) -> dict:
        """Description, provenance and hashes."""
        return packs.record(self.folder)

    @property
    def key(self) -> str:
        """Hash of the description, also the folder's name."""
        return self.folder.name

    @property
    def scores(self) -> pd.DataFrame:
        """One row per validation and test image: path, label, kind, split, score."""
        return pd.read_csv(self.checked("scores.csv"), keep_default_na=False)

    @property
    def history(self) -> pd.DataFrame:
        """One row per training step: step and every logged loss."""
        return pd.read_csv(self.checked("history.csv"))

    def detector(self, device: str | torch.device | None = None) -> models.Detector:
        """The detector with the scored weights, on CUDA where there is one by default."""
        return models.load(self.checked("weights.safetensors"), device or default_device())

    @property
    def has_weights(self) -> bool:
        """Whether the weights lie in the store, so that `detector` trains nothing again."""
        return self._is_whole("weights.safetensors")

    def snapshots(self) -> dict[int, Path]:
        """Weights on the way, those that the budget asked for: step to file."""
        return {s: self.checked(f"snapshots/step{s:07d}.safetensors") for s in self.steps}

    def curve(self) -> dict[str, np.ndarray]:
        """Scores by the snapshots, see `adlib.study.curve.write`; {} where none are asked for."""
        if self.other_code and packs.CURVE not in self.record["files"]:
            print(f"run {self.key}: other code made it, without scores of snapshots")
            return {}
        if not self.steps:
            return {}
        path = self.checked(packs.CURVE)
        if not set(self.steps) <= set(load_file(path)["steps"]):  # made with other snapshots
            self._make_again(packs.CURVE, whole=True)
        return load_file(path)

    def part(self, name: str) -> tuple:
        """Labels and scores of the `validation` or `test` images as two arrays."""
        rows = self.scores.query("split == @name")
        return rows.label.to_numpy(), rows.score.to_numpy()

    def export(self, folder: Path) -> None:
        """Copy record and scores, those of snapshots too, to `<folder>/<key>/`."""
        sources = [self.folder / "record.json", self.checked("scores.csv")]
        if self.curve():
            sources.append(self.checked(packs.CURVE))
        for source in sources:
            with atomic(folder / self.key / source.name) as temporary:
                shutil.copyfile(source, temporary)

    def checked(self, name: str) -> Path:
        """Path of a file that is what the record says; what a run came without is made again.

        Raises:
            RunError: the file is missing or another, or only other code can make it.
        """
        unpacked = (self.folder / packs.UNPACKED).is_file()
        replaceable = name != "scores.csv" and (unpacked or name not in self.record["files"])
        if replaceable and not self._is_whole(name):
            self._make_again(name)
        if not self._is_whole(name):
            wanted = self.record["files"].get(name, "not in the record")
            raise RunError(
                f"{self.folder / name} is missing or not what record.json says (SHA-256 "
                f"{wanted[:12]}...); remove {self.folder} to train the run again"
            )
        return self.folder / name

    def _is_whole(self, name: str) -> bool:
        path = self.folder / name
        return path.is_file() and sha256_file(path) == self.record["files"].get(name)

    def _make_again(self, name: str, whole: bool = False) -> None:
        if self.other_code:
            raise RunError(
                f"{self.folder} has no {name}, and only the code of commit "
                f"{self.record['commit']} can make it; unset ADLIB_RUNS_OF_OTHER_CODE to train "
                "the run with this code"
            )
        print(f"run {self.key} has no {name}: it is trained again")
        with _lock(self.folder):
            if whole or not self._is_whole(name):  # else another process has just made it
                self.make()
        change = self.record["made_again"]["score_change"]
        agree = "agree" if change <= AGREEMENT else "DO NOT agree"
        print(
            f"run {self.key}: scores of the new weights {agree} with those of the run (largest "
            f"difference {change:.2g} standard deviations, allowed {AGREEMENT:g})"
        )


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
    device = torch.device(device) if device else default_device()
    folder, description, code = place(models.build(name, **settings), split, budget, seed, device)
    budget = replace(budget, precision=description["budget"]["precision"])

    def train() -> None:
        _train(folder, models.build(name, **settings), split, description, budget, device)

    run = _ask(folder, train, budget.snapshot_steps(), description["code"] != code)
    if run.record["status"] == "failed":
        raise RunError(f"{run.record['error']}; remove {folder} to try again")
    return run


def place(
    detector: models.Detector,
    split: Split,
    budget: training.Budget,
    seed: int,
    device: torch.device,
) -> tuple[Path, dict, str]:
    """Folder of a run, made or not, with its description and the fingerprint of the code at hand.

    An unpacked run that serves for what is asked is that run, see the module's text.
    """
    # Another precision is another run, also when a killed one goes on elsewhere.
    resolved = replace(budget, precision=resolve_precision(budget.precision, device))
    description = identity.describe(detector, split, resolved, seed)
    code, folder = description["code"], paths.runs_root() / packs.digest(description)
    if not folder.exists() and (other := _unpacked(description, budget.precision == "auto")):
        folder, description = other, packs.record(other)["description"]
    return folder, description, code


def rescored(
    run: Run, split: Split, device: str | torch.device | None = None, **changed: object
) -> Run:
    """Score a run's images by the same weights under other scoring settings; nothing is trained.

    The result is a run of its own, whose description names the one it comes from (`scores_of`).

    Args:
        run: a finished run, made with `split`.
        split: images and their parts.
        device: where to score; CUDA where there is one by default.
        **changed: settings of the detector that only matter when it scores.

    Raises:
        RunError: the scores are not in the store, and other code made the run.
        ValueError: another split than the run's.
    """
    description = run.record["description"]
    if packs.digest(split.lists()) != description["split"]:
        raise ValueError(
            f"run {run.key} was made with other images than the split given; it was split by "
            f"{description['protocol']!r} with its own seed"
        )
    detector = models.build(description["detector"], **description["settings"] | changed)
    description = description | {"settings": asdict(detector.settings), "scores_of": run.key}
    folder = paths.runs_root() / packs.digest(description)

    def score() -> None:
        if run.other_code:
            raise RunError(f"{folder}: no such scores, and other code made run {run.key}")
        detector.load_weights(run.checked("weights.safetensors"))
        detector.to(device or default_device())
        started = time.perf_counter()
        scores = training.score_parts(detector, split)
        seconds = round(time.perf_counter() - started, 2)
        record = run.record | {"description": description, "score_s": seconds}
        _keep(folder, record | provenance.commit(), detector, split, run.history, scores)

    return _ask(folder, score, other_code=run.other_code)


def _ask(
    folder: Path, make: Callable[[], None], steps: Sequence[int] = (), other_code: bool = False
) -> Run:
    """The run of a folder; one process at a time looks for it and makes what it does not find."""
    with _lock(folder):
        if not (folder / "record.json").is_file():
            make()
    return Run(folder, make, steps, other_code)


def _lock(folder: Path) -> FileLock:
    """The lock of a run, for one process at a time; the run's folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.with_suffix(".lock"))


def _unpacked(description: dict, any_precision: bool) -> Path | None:
    """Folder of the newest unpacked run that serves for a description; see the module's text."""
    any_code = os.environ.get("ADLIB_RUNS_OF_OTHER_CODE") == "1"
    serving = []
    for mark in paths.runs_root().glob(f"*/{packs.UNPACKED}"):
        record = packs.record(mark.parent)
        own, wanted = record["description"], dict(description)
        if any_code:
            wanted["code"] = own["code"]
        if any_precision:
            wanted["budget"] = wanted["budget"] | {"precision": own["budget"]["precision"]}
        if packs.digest(wanted) == mark.parent.name:
            serving.append((record["started"], mark.parent))
    return max(serving)[1] if serving else None


def _train(
    folder: Path,
    detector: models.Detector,
    split: Split,
    description: dict,
    budget: training.Budget,
    device: torch.device,
) -> None:
    """Train, score and write the run."""
    earlier = spent(folder)
    write_text(folder / SESSION, json.dumps({"earlier_s": earlier, "began": time.time()}))
    provenance.forget_peak_memory()
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
        "counts": counts(split),
    }
    try:
        history = detector.fit(split, budget, description["seed"], device=device, folder=folder)
        trained = time.perf_counter()
        scores = training.score_parts(detector, split)
    except training.TrainingDivergedError as error:
        record |= {"status": "failed", "error": str(error), "files": {}}
        if not (folder / "record.json").is_file():  # a run that is made again stays what it was
            write_text(folder / "record.json", json.dumps(record, indent=1))
        raise
    if budget.snapshots and isinstance(detector, models.Trainable):
        curve.write(folder / packs.CURVE, detector, split, budget.snapshot_steps())
    record |= {
        "graphed": getattr(detector, "graphed", ""),
        "train_s": round(earlier + trained - started, 2),
        "score_s": round(time.perf_counter() - trained, 2),
        "peak_memory_mb": provenance.peak_memory_mb(),
    }
    _keep(folder, record, detector, split, history, scores)
    for left in ("checkpoint.pt", SESSION):
        (folder / left).unlink(missing_ok=True)


def spent(folder: Path) -> float:
    """Seconds of training up to the checkpoint in a run's folder; 0 where there is none."""
    checkpoint, session = folder / "checkpoint.pt", folder / SESSION
    if not (checkpoint.is_file() and session.is_file()):
        return 0.0
    note = json.loads(session.read_text(encoding="utf-8"))
    # A session that was killed before its first checkpoint has added nothing.
    return note["earlier_s"] + max(0.0, checkpoint.stat().st_mtime - note["began"])


def counts(split: Split) -> dict[str, int]:
    """Images of every part as a record has them, and the normal ones held out.

    The latter also of what a subsample leaves out.
    """
    held_out, whole = (
        int((one.labels_of("validation") == 0).sum()) for one in (split, split.whole or split)
    )
    found = {part: len(split.rows(part)) for part in PARTS}
    return found | {"validation_normal": held_out, "held_out_normal": whole}


def _keep(
    folder: Path,
    record: dict,
    detector: models.Detector,
    split: Split,
    history: pd.DataFrame,
    scores: pd.DataFrame,
) -> None:
    """Write a run's files, the record last. A run that is made again keeps record and scores."""
    if (folder / "record.json").is_file():
        before = Run(folder)
        stored = before.scores.score
        change = (scores.score - stored.astype(scores.score.dtype)).abs().max()
        again = {name: record[name] for name in ("started", "commit", "dirty", "machine")}
        again["score_change"] = float(change / (stored.std() or 1.0))
        record = before.record | {"made_again": again}
    else:
        _write_table(scores, folder / "scores.csv")
    detector.save(folder / "weights.safetensors")
    _write_table(history, folder / "history.csv")
    write_text(folder / "split.json", json.dumps(split.lists(), indent=1))
    written = [*map(folder.joinpath, FILES), *folder.glob("snapshots/*"), *folder.glob(packs.CURVE)]
    files = {path.relative_to(folder).as_posix(): sha256_file(path) for path in written}
    write_text(folder / "record.json", json.dumps(record | {"files": files}, indent=1))


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:  # nine digits give back the same float32
        table.to_csv(temporary, index=False, lineterminator="\n", float_format="%.9g")
