"""What trained methods share whose score needs numbers of normal images, taken after training."""

from abc import abstractmethod
from pathlib import Path

import pandas as pd
from torch import Tensor

from adlib.data.protocols import Split
from adlib.models import training
from adlib.models.base import Trainable
from adlib.models.training import Budget


class Calibrated(Trainable):
    """Base of detectors that put numbers of training images into buffers of their networks.

    Snapshots have numbers of their own, taken when they are saved. Where `training.train` is called
    without `fit`, the buffers keep what `build` gave them.
    """

    _normal: Tensor | None = None  # images to calibrate by, while a training runs

    @abstractmethod
    def calibrate(self, pixels: Tensor) -> None:
        """Take the numbers from normal images, uint8 `(N, C, side, side)`."""

    def divide(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Training images to learn from, and those to calibrate by: all for both by default."""
        return pixels, pixels

    def fit(self, split: Split, budget: Budget, seed: int = 0, **options: object) -> pd.DataFrame:
        """Train by `training.train`, then calibrate."""
        pixels = split.pixels("train", self.settings.side, self.settings.channels)
        learnt, self._normal = self.divide(pixels)
        try:
            history = training.train(self, learnt, budget, seed=seed, **options)
            self.calibrate(self._normal)
        finally:
            self._normal = None
        return history

    def save(self, path: str | Path) -> Path:
        if self._normal is not None:  # a snapshot
            self.calibrate(self._normal)
        return super().save(path)
