"""What the benchmarks share: a plain data loader, our training loop, and how both are timed."""

import argparse
import statistics
import time
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from adlib import models
from adlib.host.device import default_device
from adlib.models import training
from adlib.models.training import Budget


class Seconds(NamedTuple):
    """Median seconds of a function: on the wall and of all of the process's CPU threads."""

    wall: float
    cpu: float

    def ratio(self, other: "Seconds") -> str:
        """How many times as long as `other` it took, by both clocks."""
        return f"ratio {self.wall / other.wall:.2f} (CPU seconds {self.cpu / other.cpu:.2f})"

    def __str__(self) -> str:
        return f"{self.wall * 1e3:8.2f} ms (CPU {self.cpu * 1e3:8.2f} ms)"


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Let the command line choose what our loop computes in; the plain one stays in float32."""
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16"))


class Pictures(Dataset):
    """Pictures turned into tensors one at a time."""

    def __init__(self, pixels: torch.Tensor) -> None:
        pictures = pixels.permute(0, 2, 3, 1).squeeze(-1).numpy()
        self.images = [Image.fromarray(picture) for picture in pictures]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        array = np.array(self.images[i], np.float32) / 127.5 - 1
        return torch.from_numpy(np.atleast_3d(array)).permute(2, 0, 1).contiguous()


class Batches:
    """Shuffled batches of pictures without end, on the default device."""

    def __init__(self, pixels: torch.Tensor, batch: int) -> None:
        self.loader = DataLoader(Pictures(pixels), batch, shuffle=True, drop_last=True)
        self.batches, self.device = iter(self.loader), default_device()

    def draw(self) -> torch.Tensor:
        try:
            return next(self.batches).to(self.device)
        except StopIteration:
            self.batches = iter(self.loader)
            return next(self.batches).to(self.device)


class OurTrainer:
    """`adlib.models.training`'s loop, one step a call, without checkpoints."""

    def __init__(
        self, detector: models.Detector, pixels: torch.Tensor, batch: int, precision: str = "auto"
    ) -> None:
        device = default_device()
        self.detector = detector.to(device)
        detector.networks.train()
        state = training._State(detector, detector.optimizers(), training._Average(detector))
        self.parts = {"train": pixels.to(device)}
        self.do = training.stepper(state, self.parts, Budget(10**6, batch, precision), 0)
        self.taken = 0

    def step(self) -> None:
        self.taken += 1
        losses = self.do(self.taken)
        if self.taken % training.LOG_EVERY == 0:
            losses.cpu()  # as the training loop does


def median_seconds(*functions: object, repeats: int) -> list[Seconds]:
    """Median seconds of each function, run in turn so that drifts hit all alike.

    CPU seconds change less than the wall clock where others use the processor too.
    """
    taken: list[list[tuple[float, float]]] = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(repeats):
        for times, function in zip(taken, functions, strict=True):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            start, cpu = time.perf_counter(), time.process_time()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times.append((time.perf_counter() - start, time.process_time() - cpu))
    return [Seconds(*map(statistics.median, zip(*t, strict=True))) for t in taken]
