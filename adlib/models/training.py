"""One training loop for every detector: fixed budget, no host synchronisation inside a step.

All random numbers of step k come from a generator seeded by (seed, k), so a training that was
killed and goes on from its last checkpoint ends, on a CPU, in the same weights bit for bit.
"""

import copy
import threading
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor
from tqdm.auto import tqdm

from adlib.data.split import Split
from adlib.host.device import (
    current,
    default_device,
    deterministic,
    mixed_precision,
    resolve_precision,
)
from adlib.host.files import atomic
from adlib.models.graphs import Steps
from adlib.models.settings import Count, declared
from adlib.networks import augment

if TYPE_CHECKING:
    from adlib.models.base import Detector, Trainable

LOG_EVERY = 25  # steps between two looks at the losses: the only place where the host waits
CHECKPOINT_SECONDS = 60.0  # between two checkpoints: a kill loses no more training than that


# Set by who has no more time: trainings of this process that keep checkpoints then end after the
# step at hand with `TrainingStopped`.
stop = threading.Event()


class TrainingDivergedError(RuntimeError):
    """A loss became NaN or infinite; the message holds step, losses and settings."""


class TrainingStopped(RuntimeError):
    """The training was asked to end and goes on from its checkpoint when it is asked for again."""


@declared
class Budget:
    """How long and how to train.

    Attributes:
        steps: training steps; one step updates every network (a critic perhaps several times).
            One, the default, is for detectors that remember features and train nothing.
        batch: images or patches in a batch.
        precision: `float32`, `bfloat16` (mixed: convolutions and products in bfloat16, weights and
            losses in float32) or `auto`: bfloat16 where the device computes it in hardware.
        snapshots: number of evenly spaced intermediate weights to keep, for training curves.
        deterministic: only algorithms that give the same bits each time. On one GPU two trainings
            with one seed then end in the same weights; on a CPU they do anyway.
    """

    steps: Count = 1
    batch: Count = 32
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    snapshots: Annotated[int, Field(ge=0)] = 0
    deterministic: bool = False

    def snapshot_steps(self) -> list[int]:
        """Steps after which weights are kept, the last step among them."""
        return [self.steps * (i + 1) // self.snapshots for i in range(self.snapshots)]


class _Average:
    """Exponential running average of some networks (EMA), updated in one fused call."""

    def __init__(self, detector: "Trainable") -> None:
        self.decay = getattr(detector.settings, "ema", 0.0)
        self.every = getattr(detector.settings, "ema_every", 1)
        names = detector.averaged if self.decay else ()
        networks = torch.nn.ModuleDict({name: detector.networks[name] for name in names})
        self.live = dict(networks.named_parameters())
        self.values = {key: p.detach().clone() for key, p in self.live.items()}
        self.updates = 0

    def update(self, step: int) -> None:
        if not self.live or step % self.every:
            return
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        live = [p.detach() for p in self.live.values()]
        torch._foreach_lerp_(list(self.values.values()), live, 1 - decay)
        self.updates += 1

    def apply(self, networks: torch.nn.ModuleDict) -> None:
        """Overwrite the weights of `networks` (the live ones or a copy) by the averages."""
        networks.load_state_dict({**networks.state_dict(), **self.values})


@dataclass
class _State:
    """Everything a checkpoint holds."""

    detector: "Trainable"
    optimizers: dict[str, torch.optim.Optimizer]
    average: _Average
    step: int = 0
    names: list[str] = field(default_factory=list)
    losses: list[np.ndarray] = field(default_factory=list)  # blocks (steps, names)

    def save(self, path: Path) -> None:
        content = {
            "networks": self.detector.networks.state_dict(),
            "optimizers": {k: o.state_dict() for k, o in self.optimizers.items()},
            "average": self.average.values,
            "updates": self.average.updates,
            "step": self.step,
            "names": self.names,
            "losses": torch.from_numpy(np.concatenate(self.losses)),
        }
        with atomic(path) as temporary:
            torch.save(content, temporary)

    def restore(self, path: Path) -> None:
        content = torch.load(path, map_location=self.detector.device, weights_only=True)
        self.detector.networks.load_state_dict(content["networks"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(content["optimizers"][name])
        self.average.values = content["average"]
        self.average.updates = content["updates"]
        self.step, self.names = content["step"], content["names"]
        self.losses = [content["losses"].cpu().numpy()]

    def history(self) -> pd.DataFrame:
        table = pd.DataFrame(np.concatenate(self.losses), columns=self.names)
        table.insert(0, "step", np.arange(1, len(table) + 1))
        return table


def _flush(state: _State, pending: list[Tensor]) -> None:
    """Bring the losses of the last steps to the host; stop if one is not finite."""
    block = torch.stack(pending).float().cpu().numpy()
    pending.clear()
    state.losses.append(block)
    bad = ~np.isfinite(block).all(1)
    if bad.any():
        row = int(bad.argmax())
        values = ", ".join(f"{n}={v:g}" for n, v in zip(state.names, block[row], strict=True))
        step = state.step - len(block) + row + 1
        raise TrainingDivergedError(
            f"{type(state.detector).__name__} diverged at step {step}: {values}; "
            f"settings {state.detector.settings}"
        )


def _seed_of(*entropy: int) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)


def initialise(detector: "Trainable", seed: int) -> None:
    """Build the networks anew with weights that depend on `seed` alone."""
    torch.manual_seed(_seed_of(seed))
    detector.networks = torch.nn.ModuleDict(detector.build())


def train(
    detector: "Trainable",
    pixels: Tensor,
    budget: Budget,
    seed: int = 0,
    device: str | torch.device | None = None,
    folder: str | Path | None = None,
    abnormal: Tensor | None = None,
) -> pd.DataFrame:
    """Train `detector` in place from fresh weights, or go on from the checkpoint in `folder`.

    It ends in evaluation mode, with averaged weights where it has such. The training images
    `pixels` and the labelled abnormal ones are uint8 `(N, C, side, side)`. `folder` is for
    `checkpoint.pt` and `snapshots/`. All else is as in `Detector.fit`.

    Raises:
        TrainingDivergedError: a loss was not finite.
        TrainingStopped: `stop` was set; only with `folder`.
    """
    device = torch.device(device) if device else default_device()
    parts = {"train": pixels} | ({} if abnormal is None else {"abnormal": abnormal})
    for part in parts.values():
        detector.check_images(part)
    initialise(detector, seed)
    detector.to(device).networks.train()
    state = _State(detector, detector.optimizers(), _Average(detector))
    checkpoint = Path(folder) / "checkpoint.pt" if folder else None
    if checkpoint and _is_whole(checkpoint):
        state.restore(checkpoint)
    try:
        parts = {name: part.to(device) for name, part in parts.items()}
        with current(device), deterministic(budget.deterministic):
            _steps(state, parts, budget, seed, checkpoint)
    finally:
        state.average.apply(detector.networks)
        detector.networks.requires_grad_(True).eval()
    return state.history()


def _is_whole(checkpoint: Path) -> bool:
    """Whether there is a checkpoint and it is not cut short; one that is gives a warning."""
    whole = checkpoint.is_file() and zipfile.is_zipfile(checkpoint)  # its table comes last
    if checkpoint.is_file() and not whole:
        warnings.warn(f"{checkpoint} is damaged, so the training begins anew", stacklevel=3)
    return whole


def stepper(
    state: _State, parts: dict[str, Tensor], budget: Budget, seed: int
) -> Callable[[int], Tensor]:
    """Give a function that does a step, counted from 1, and gives its losses on the device."""
    detector, device = state.detector, parts["train"].device
    rng = torch.Generator(device)
    mixed = resolve_precision(budget.precision, device) == "bfloat16"

    def draw(part: str = "train") -> Tensor:
        s = detector.settings
        return augment.draw_batch(parts[part], budget.batch, s.patch, s.rotation, rng)

    def update() -> Tensor:
        with mixed_precision(device, mixed, timed=not budget.deterministic):
            logged = detector.training_step(draw, state.optimizers, rng)
        state.names = list(logged)
        return torch.stack([v.detach().float() for v in logged.values()])

    def seeded(step: int) -> None:
        rng.manual_seed(_seed_of(seed, step))
        torch.manual_seed(_seed_of(seed, step))

    run = Steps(update, detector.networks, state.optimizers, rng)

    def do(step: int) -> Tensor:
        variant = detector.before_step(step, budget.steps)
        logged = run(variant, partial(seeded, step))
        state.average.update(step)
        state.step, detector.graphed = step, run.graphed
        return logged

    return do


def _steps(
    state: _State, parts: dict[str, Tensor], budget: Budget, seed: int, checkpoint: Path | None
) -> None:
    """Run the steps that are left, with losses, checkpoints and snapshots at their times."""
    name, do = type(state.detector).__name__, stepper(state, parts, budget, seed)
    pending: list[Tensor] = []
    saved = time.monotonic()
    snapshots = set(budget.snapshot_steps()) if checkpoint else set()
    left = range(state.step + 1, budget.steps + 1)
    for step in tqdm(left, desc=name, mininterval=2, leave=False):
        pending.append(do(step))
        last, stopped = step == budget.steps, stop.is_set()
        due = stopped or time.monotonic() - saved >= CHECKPOINT_SECONDS
        save = checkpoint and not last and due
        if save or last or step in snapshots or len(pending) == LOG_EVERY:
            _flush(state, pending)
        if step in snapshots:
            _snapshot(state, checkpoint.parent / "snapshots" / f"step{step:07d}.safetensors")
        if save:
            state.save(checkpoint)
            saved = time.monotonic()
            if stopped:
                raise TrainingStopped(f"{name} stopped after step {step}")


def score_parts(detector: "Detector", split: Split) -> pd.DataFrame:
    """Score the validation and test images of a split: path, label, kind, split, score.

    Raises:
        TrainingDivergedError: a score is not finite.
    """
    side, channels = detector.settings.side, detector.settings.channels
    tables = []
    for part in ("validation", "test"):
        if len(split.rows(part)):
            scores = detector.score(split.pixels(part, side, channels))
            columns = split.table(part)[["path", "label", "kind"]]
            tables.append(columns.assign(split=part, score=scores))
    table = pd.concat(tables, ignore_index=True)
    bad = table[~np.isfinite(table["score"])]
    if len(bad):
        raise TrainingDivergedError(
            f"{type(detector).__name__} gives {bad['score'].iloc[0]} for {bad['path'].iloc[0]} "
            f"and {len(bad)} of {len(table)} images; settings {detector.settings}"
        )
    return table


def _snapshot(state: _State, path: Path) -> None:
    """Save the weights as they would be scored now; those in training stay as they are."""
    live = state.detector.networks
    state.detector.networks = copy.deepcopy(live)
    try:
        state.average.apply(state.detector.networks)
        state.detector.save(path)
    finally:
        state.detector.networks = live
