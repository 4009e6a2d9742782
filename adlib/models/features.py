"""What methods share that compare the features of a pretrained network's patches."""

import sys
import time
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Literal, Self

import pandas as pd
import torch
import torch.nn.functional as F
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from adlib.data.protocols import Split
from adlib.host.device import default_device, plain_float32
from adlib.models.base import Detector
from adlib.models.settings import Count, Settings, declared
from adlib.models.training import Budget
from adlib.networks import augment, backbones

# Pixels that go through a backbone at once: on a CPU few, so that maps stay in the cache.
PIXELS = {"cpu": 1 << 17, "cuda": 1 << 22}
BATCH = 16  # images whose maps are looked at together in fitting
TIMED = 4  # batches by whose time that of all is estimated
Batches = Iterator[list[Tensor]]
Learn = Callable[[Batches, int, torch.Generator], dict[str, float]]


@declared
class FeatureSettings(Settings):
    """Settings of methods over features; nothing is trained, so there is no patch or rotation.

    Attributes:
        side: multiples of 16 from 32.
        backbone: a name in `backbones.WITH_MAPS`, or "auto": the authors' where its weights can be
            had, else EfficientNet-Lite0. The settings then hold the name it was resolved to.
    """

    side: Count = 256
    backbone: Literal["auto", *backbones.WITH_MAPS] = Field("auto", validate_default=True)
    authors_backbone: ClassVar[str]
    sides: ClassVar = range(32, sys.maxsize, 16)

    @field_validator("backbone")
    @classmethod
    def _resolve(cls, backbone: str) -> str:
        return backbones.resolve(backbone, cls.authors_backbone)

    @model_validator(mode="after")
    def _see_whole_images(self) -> Self:
        if self.patch or any(self.rotation):
            raise ValueError(
                f"patch={self.patch}, rotation={self.rotation}: no network is trained, so they are "
                "0 and (0, 0)"
            )
        return self


class Memory(nn.Module):
    """Named tensors that `fit` fills and files keep; their shapes depend on the data."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        for name in names:
            self.register_buffer(name, torch.empty(0))

    def _load_from_state_dict(self, state: dict, prefix: str, *rest: object) -> None:
        for name, buffer in self.named_buffers():
            if prefix + name in state:
                setattr(self, name, torch.empty_like(state[prefix + name], device=buffer.device))
        super()._load_from_state_dict(state, prefix, *rest)


class FeatureDetector(Detector):
    """Base of detectors that go over the training images once, without gradients.

    A subclass fills a `Memory` in `learn`.
    """

    reconstructs = False

    @abstractmethod
    def learn(self, batches: Batches, images: int, rng: torch.Generator) -> dict[str, float]:
        """Fill the memory; give numbers worth keeping.

        Args:
            batches: feature maps of all training images, finest first, `BATCH` images at a time.
            images: number of training images.
            rng: seeded generator on the CPU, so that draws are the same on every device.
        """

    def fit(
        self,
        split: Split,
        budget: Budget | None = None,
        seed: int = 0,
        device: str | torch.device | None = None,
        folder: str | Path | None = None,
    ) -> pd.DataFrame:
        """Go over the training part of `split` once; `budget` and `folder` are not looked at.

        Pixels are read in pieces. A warning tells how long it takes where that is over a minute.
        """
        self.networks = nn.ModuleDict(self.build())
        return self._learn(self.learn, split, seed, device)

    def _learn(
        self, learn: Learn, split: Split, seed: int, device: str | torch.device | None
    ) -> pd.DataFrame:
        """Let a function go over the training images' maps; its numbers as a row."""
        images = split.images.count(split.rows("train"), self.settings.side)
        if images == 0:
            raise ValueError("no images to work on")
        self.to(device or default_device())
        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad(), plain_float32(deterministic=True):
            numbers = learn(self._batches(split, images), images, rng)
        return pd.DataFrame([{"step": 1, **numbers}])

    def _batches(self, split: Split, images: int) -> Batches:
        """Feature maps of all training images; the first ones tell how long it will take."""
        done, start = 0, 0.0
        for pixels in split.chunks("train", self.settings.side, self.settings.channels):
            self.check_images(pixels)
            for x in pixels.split(BATCH):
                maps = self.maps(augment.to_float(x.to(self.device)))
                yield maps
                done += 1
                if done == 1:
                    start = time.perf_counter()  # what is made once has been made
                if done == TIMED + 1:
                    maps[-1].flatten()[0].item()  # a GPU has done what it was told
                    each = (time.perf_counter() - start) / (TIMED * BATCH)
                    left = (images - done * BATCH) * each
                    self._tell(images, left, self.seconds_after(images))

    def _tell(self, images: int, reading: float, after: float) -> None:
        """Warn how long a training takes, if it is over a minute."""
        if reading + after > 60:
            warnings.warn(
                f"{type(self).__name__} on {images} images takes about "
                f"{(reading + after) / 60:.1f} more minutes: {reading / 60:.1f} to go over the "
                f"images and {after / 60:.1f} for the rest",
                stacklevel=2,
            )

    def seconds_after(self, images: int) -> float:
        """How long `learn` works on after the last batch, in seconds, as far as it is known."""
        return 0.0

    def maps(self, x: Tensor) -> list[Tensor]:
        """Feature maps of network inputs `(n, C, side, side)` in [-1, 1], finest first."""
        backbone = backbones.load(self.settings.backbone, x.device)
        images = max(1, PIXELS.get(x.device.type, PIXELS["cpu"]) // self.settings.side**2)
        parts = [backbone.maps(part) for part in x.split(images)]
        return [torch.cat(stage) for stage in zip(*parts, strict=True)]

    def enlarged(self, distances: Tensor) -> Tensor:
        """Smooth map `(n, side, side)` of distances `(n, h, w)` on a backbone's grid.

        The Gaussian's standard deviation is 4 pixels on images of 256, as public implementations
        have it, and in proportion on others. Beyond the border the map is mirrored, its outermost
        pixel once; theirs has it twice.
        """
        side = self.settings.side
        sigma = side / 64
        radius = round(4 * sigma)
        at = torch.arange(-radius, radius + 1, device=distances.device)
        kernel = torch.exp(-(at / sigma).square() / 2)
        # Both steps are linear and alike in rows and columns: their results for units are enough.
        units = torch.eye(distances.shape[-1], device=distances.device)[:, None]
        rows = F.pad(F.interpolate(units, side, mode="linear"), (radius, radius), mode="reflect")
        rows = F.conv1d(rows, (kernel / kernel.sum()).view(1, 1, -1))[:, 0]
        return rows.T @ distances @ rows

    def judge_inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Unless a method has its own score, it is the highest value of the map."""
        maps = self.map_inputs(x)
        return maps.flatten(1).amax(1), maps

    def score_inputs(self, x: Tensor) -> Tensor:
        return self.judge_inputs(x)[0]
