"""What the benchmarks share: a plain data loader, our training loop, and how both are timed."""

import statistics
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from adlib import models, training
from adlib.training import Budget


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
        self.batches, self.device = iter(self.loader), training.default_device()

    def draw(self) -> torch.Tensor:
        try:
            return next(self.batches).to(self.device)
        except StopIteration:
            self.batches = iter(self.loader)
            return next(self.batches).to(self.device)


class OurTrainer:
    """`adlib.training`'s loop, one step a call, without checkpoints."""

    def __init__(self, detector: models.Detector, pixels: torch.Tensor, batch: int) -> None:
        device = training.default_device()
        self.detector, self.batch = detector.to(device), batch
        detector.networks.train()
        average = training._Average(detector)
        self.state = training._State(detector, detector.optimizers(), average)
        self.parts = {"train": pixels.to(device)}

    def step(self) -> None:
        budget = Budget(self.state.step + 1, self.batch)
        training._steps(self.state, self.parts, budget, 0, None)


def median_seconds(*functions: object, repeats: int) -> list[float]:
    """Median seconds of each function, run in turn so that drifts hit all alike."""
    taken: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(repeats):
        for times, function in zip(taken, functions, strict=True):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            start = time.perf_counter()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    return [statistics.median(t) for t in taken]
