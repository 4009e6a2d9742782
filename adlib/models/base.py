"""The one interface of every detector, and the register that tables and tests walk over.

A detector is built from named settings, fitted on a split, and gives scores and maps in evaluation
mode. Images go in and out as uint8 tensors `(N, C, side, side)` with values 0 to 255; networks see
float images in [-1, 1]. With `patch` set (the papers' texture mode) they see square patches:
training draws them at random, scoring cuts the image into a grid and takes the maximum.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from adlib.data.protocols import Split
from adlib.host.device import current, plain_float32
from adlib.host.files import atomic
from adlib.models import graphs, training
from adlib.models.settings import Settings
from adlib.models.training import Budget
from adlib.networks import augment

REGISTRY: dict[str, type["Detector"]] = {}
Draw = Callable[..., Tensor]  # see `Trainable.training_step`
Losses = dict[str, Tensor]


def register(cls: type["Detector"]) -> type["Detector"]:
    """Class decorator: make a detector known by its class name to runs, notebooks and tests."""
    REGISTRY[cls.__name__] = cls
    return cls


class Detector(ABC):
    """Base of all detectors: `fit`, `score`, `anomaly_map`, `judge`, `reconstruct`, `save`.

    A subclass sets `Settings` and implements the abstract methods.
    """

    Settings: ClassVar[type[Settings]] = Settings
    reconstructs: ClassVar[bool] = True  # whether the method makes images of its own
    not_saved: ClassVar[tuple[str, ...]] = ()  # networks that only training needs
    uses_abnormal: bool = False  # whether training needs labelled abnormal images
    scores_by_graph: ClassVar[bool] = False  # whether a GPU may score equal chunks by a CUDA graph
    transductive: ClassVar[bool] = False  # whether a score depends on the images scored with it

    def __init__(self, **settings: object) -> None:
        """Build the networks. An unknown setting is a TypeError, a bad value a ValueError."""
        self.settings = self.Settings(**settings)
        self.networks = nn.ModuleDict(self.build())

    # ---- what a subclass gives -------------------------------------------------------------

    @abstractmethod
    def build(self) -> dict[str, nn.Module]:
        """Make the networks by name, initialised from torch's global generator."""

    @abstractmethod
    def fit(
        self,
        split: Split,
        budget: Budget,
        seed: int = 0,
        device: str | torch.device | None = None,
        folder: str | Path | None = None,
    ) -> pd.DataFrame:
        """Learn from the training parts of `split`.

        Args:
            split: no other part of it is read.
            budget: steps and batch; a detector without steps ignores it.
            seed: of everything that is drawn.
            device: where to work; by default `adlib.host.device.default_device()`.
            folder: for checkpoints; nothing is written without it.

        Returns:
            One row per step: `step` and every logged number.
        """

    @abstractmethod
    def score_inputs(self, x: Tensor) -> Tensor:
        """Anomaly scores `(n,)` of network inputs `(n, C, input_side, input_side)` in [-1, 1]."""

    def map_inputs(self, x: Tensor) -> Tensor:
        """Anomaly maps `(n, input_side, input_side)`, not negative, of network inputs.

        Unless a method has its own: absolute difference to the reconstruction, mean over channels,
        0 to 2.
        """
        return error_map(x, self.reconstruct_inputs(x))

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        """Reconstructions in [-1, 1] of network inputs, same shape."""
        raise NotImplementedError(f"{type(self).__name__} makes no reconstructions")

    def judge_inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What `score_inputs` and `map_inputs` give, equal to the last bit.

        A method whose score and map need the same work does it once here.
        """
        return self.score_inputs(x), self.map_inputs(x)

    def extend(
        self, split: Split, seed: int = 0, device: str | torch.device | None = None
    ) -> pd.DataFrame:
        """Learn the training images of another split in addition; what is given is as for `fit`.

        Raises:
            NotImplementedError: a method that cannot; it is fitted anew on all images.
        """
        able = ", ".join(name for name, cls in REGISTRY.items() if cls.extend != Detector.extend)
        raise NotImplementedError(
            f"{type(self).__name__} cannot learn further images; fit it anew on all ({able} can)"
        )

    # ---- what everybody calls --------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(chain(self.networks.parameters(), self.networks.buffers())).device

    def to(self, device: str | torch.device) -> "Detector":
        """Move the networks (convolutions in channels-last order) and return the detector."""
        self.networks.to(device, memory_format=torch.channels_last)
        return self

    def parameter_counts(self) -> dict[str, int]:
        """Number of trainable values of every network."""
        nets = self.networks.items()
        return {name: sum(p.numel() for p in net.parameters()) for name, net in nets}

    def score(self, images: Tensor, batch: int = 64) -> np.ndarray:
        """Anomaly score of every image, higher = more anomalous; with patches the highest patch's.

        Args:
            images: uint8 `(N, C, side, side)`, 0 to 255.
            batch: network inputs worked on at once. It changes memory and speed, and scores by
                rounding alone (at most 3e-5 of their size, usually 4e-7).

        Returns:
            float64 `(N,)`.
        """
        scores = self._over_inputs(self.score_inputs, images, batch)
        return _of_images(scores, len(images))

    def anomaly_map(self, images: Tensor, batch: int = 64) -> np.ndarray:
        """Anomaly map of every image, float32 `(N, side, side)`; patches are stitched together."""
        maps = self._over_inputs(self.map_inputs, images, batch)
        return augment.untile(maps.unsqueeze(1), self.settings.side)[:, 0].float().numpy()

    def judge(self, images: Tensor, batch: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Scores and maps, equal to those of `score` and `anomaly_map`, in one pass.

        Images and batch are as for `score`; given are float64 `(N,)` and float32 `(N, side, side)`.
        """

        def both(x: Tensor) -> Tensor:
            scores, maps = self.judge_inputs(x)
            return torch.cat([scores.float().unsqueeze(1), maps.float().flatten(1)], 1)

        seen = self.settings.input_side
        scores, maps = self._over_inputs(both, images, batch).split([1, seen**2], 1)
        maps = augment.untile(maps.unflatten(1, (1, seen, seen)), self.settings.side)[:, 0]
        return _of_images(scores, len(images)), maps.contiguous().numpy()

    def reconstruct(self, images: Tensor, batch: int = 64) -> Tensor:
        """What the detector makes of every image, uint8 `(N, C, side, side)`."""
        again = self._over_inputs(self.reconstruct_inputs, images, batch)
        return augment.to_uint8(augment.untile(again, self.settings.side))

    @torch.inference_mode()
    def _over_inputs(self, function: Callable, images: Tensor, batch: int) -> Tensor:
        """Apply `function` to all network inputs in evaluation mode and float32."""
        self.check_images(images)
        self.networks.eval()
        s = self.settings
        per_image = (s.side // s.input_side) ** 2
        chunk = max(1, batch // per_image)
        if self.scores_by_graph and graphs.usable(self.device):
            function = graphs.of_equal_chunks(function, min(batch, chunk * per_image))
        results = []
        with current(self.device), plain_float32(deterministic=True):
            for part in images.split(chunk):
                tiles = augment.tile(part, s.input_side)
                for piece in tiles.split(batch):  # one image may hold more than `batch` patches
                    x = augment.to_float(piece.to(self.device))
                    results.append(function(x).float())
        return torch.cat(results).cpu()  # one transfer: the host does not wait for every batch

    def check_images(self, images: Tensor) -> None:
        """Raise ValueError unless `images` is uint8 `(N, C, side, side)` as the settings say."""
        s = self.settings
        wanted = (s.channels, s.side, s.side)
        if images.dtype != torch.uint8 or images.ndim != 4 or tuple(images.shape[1:]) != wanted:
            raise ValueError(
                f"images are {images.dtype} {tuple(images.shape)}; {type(self).__name__} takes "
                f"uint8 (N, {s.channels}, {s.side}, {s.side}), e.g. images.pixels(side={s.side}, "
                f"channels={s.channels})"
            )
        if len(images) == 0:
            raise ValueError("no images to work on")

    # ---- files -----------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write settings and weights to one safetensors file (temporary name, then renamed)."""
        description = {"detector": type(self).__name__, "settings": asdict(self.settings)}
        saved = nn.ModuleDict({k: v for k, v in self.networks.items() if k not in self.not_saved})
        weights = {k: v.contiguous().cpu() for k, v in saved.state_dict().items()}
        with atomic(path) as temporary:
            save_file(weights, temporary, metadata={"adlib": json.dumps(description)})
        return Path(path)

    def load_weights(self, path: str | Path) -> "Detector":
        """Take the weights of a file that `save` wrote for this detector and these settings."""
        missing, unexpected = self.networks.load_state_dict(load_file(path), strict=False)
        missing = [key for key in missing if key.split(".")[0] not in self.not_saved]
        if missing or unexpected:
            names = ", ".join((missing + unexpected)[:3])
            raise ValueError(f"{path} is not of this {type(self).__name__}: see {names}")
        return self


def error_map(x: Tensor, again: Tensor) -> Tensor:
    """Absolute difference `(n, h, w)` of network inputs to reconstructions, mean over channels."""
    return (x - again).abs().mean(1)


def _of_images(scores: Tensor, images: int) -> np.ndarray:
    """Highest score among the network inputs of each image, float64 `(images,)`."""
    return scores.reshape(images, -1).amax(1).double().numpy()


class Trainable(Detector):
    """Base of the detectors that are trained step by step, by `adlib.models.training`.

    A subclass also names the networks whose running average is scored in `averaged`.
    """

    averaged: ClassVar[tuple[str, ...]] = ()
    scores_by_graph = True
    graphed = ""  # whether the last training ran by CUDA graphs: "yes", or "no: " and why

    @abstractmethod
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Make the optimisers by name for the networks as they are now."""

    @abstractmethod
    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        """Do one update of every network; give the losses as 0-d tensors on the device.

        Every step logs the same names in the same order. No value of the device is read on the
        host, and nothing but what `before_step` tells differs between steps: a step may be one CUDA
        graph, see `adlib.models.graphs`.

        Args:
            draw: `draw()` gives a fresh augmented batch `(B, C, input_side, input_side)` in [-1, 1]
                of the training images, `draw("abnormal")` one of the labelled abnormal ones.
            optimizers: what `optimizers()` made.
            rng: generator on the device for any other random draw of this step.
        """

    def before_step(self, step: int, steps: int) -> Hashable:
        """Prepare training step `step` (from 1) of `steps`, for networks that grow or take turns.

        It must depend on its arguments alone, so that a killed training can go on.

        Returns:
            The step's variant: steps of one variant do the same operations on the same tensors.
        """
        return None

    def fit(self, split: Split, budget: Budget, seed: int = 0, **options: object) -> pd.DataFrame:
        """Train by `training.train`.

        Raises:
            ValueError: the method needs labelled abnormal images and the split has none.
        """
        size = self.settings.side, self.settings.channels
        if self.uses_abnormal:
            if len(split.abnormal) == 0:
                raise ValueError(
                    f"{type(self).__name__} trains with labelled abnormal images and the protocol "
                    f"{split.protocol!r} gives none; use data.one_class_normal(images), for example"
                )
            options["abnormal"] = split.pixels("abnormal", *size)
        return training.train(self, split.pixels("train", *size), budget, seed=seed, **options)


def descend(
    loss: Tensor,
    optimizer: torch.optim.Optimizer,
    network: nn.Module | None = None,
    retain_graph: bool = False,
) -> None:
    """Update an optimiser's weights by the gradients of a scalar loss.

    With `network`, no gradients but those of its weights are computed.
    """
    optimizer.zero_grad()
    inputs = list(network.parameters()) if network else None
    loss.backward(inputs=inputs, retain_graph=retain_graph)
    optimizer.step()


def build(name: str, **settings: object) -> Detector:
    """Build the detector registered as `name`. Raises ValueError for an unknown name."""
    if name not in REGISTRY:
        raise ValueError(f"no detector {name!r}; there are {', '.join(sorted(REGISTRY))}")
    return REGISTRY[name](**settings)


def load(path: str | Path, device: str | torch.device = "cpu") -> Detector:
    """Load a detector from a file that `Detector.save` wrote.

    Raises:
        ValueError: the file is not a saved detector.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "adlib" not in metadata:
        raise ValueError(f"{path} holds weights but no detector; give a file written by save()")
    description = json.loads(metadata["adlib"])
    return build(description["detector"], **description["settings"]).load_weights(path).to(device)
