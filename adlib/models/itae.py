"""ITAE (Huang, Ye et al. 2019, arXiv 1911.10676), later ARNet: restoring what was erased.

A network gets an image without its colour and its orientation (grey, turned by 0, 90, 180 or 270
degrees) and restores the image. Of normal images it learns what colour and which way up; an image
is abnormal where it is restored badly.

The authors have published no code, and the paper's text was not at hand. Layers, losses and
optimiser follow the one public re-implementation, `yuxiao-ash/ITAE-Pytorch-Anomaly_Detection`, and
the list of its faults by the first author (its issue 1): here gradients start from zero, pixels are
not standardised (0 to 1), training images are augmented, errors are scaled by those of all training
images in evaluation mode, the weights are the last and not the best on the test, and test and
metric are the study's. Other departures from that code: no tanh at the end, as it says the paper
has none; doubled maps do not align corners; there is a map.
"""

import sys
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib.host.device import at_least_float32 as wide
from adlib.models.base import Draw, Losses, descend, register
from adlib.models.calibrated import Calibrated
from adlib.models.settings import Count, Positive, Settings, declared
from adlib.networks import augment
from adlib.networks.unet import FACTOR, UNet

# Channels at the side and its halvings, and after each doubling, in units of the width.
DOWN, UP = (1, 2, 4, 8, 8), (4, 2, 1, 1)
TURNS = 4  # quarters by which images are turned
PHASES = 10  # of a training; each has half the learning rate of the one before


@declared
class ITAESettings(Settings):
    """Settings of ITAE, where nothing else is said those of the re-implementation.

    Attributes:
        side: 32 px for MNIST and CIFAR-10; multiples of 16 from 32.
        width: channels of the first map.
        loss: of the training: `l2` (mean squared error) or `l1` (mean absolute error).
        score: error that is scored, `l1` or `l2`.
        mirror: whether training images are mirrored at random, as it says the paper does on
            CIFAR-10.
        learning_rate: SGD's step size in the first tenth of the training, 0.1; halved every tenth.
    """

    side: Count = 32
    width: Count = 64
    loss: Literal["l2", "l1"] = "l2"
    score: Literal["l1", "l2"] = "l1"
    mirror: bool = True
    learning_rate: Positive = 0.1
    sides: ClassVar = range(2 * FACTOR, sys.maxsize, FACTOR)


class Errors(nn.Module):
    """Mean error of normal images `(4,)`, for every turn; 1 before it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("normal", torch.ones(TURNS))


@register
class ITAE(Calibrated):
    """Restoration of grey, turned images by a U-Net."""

    Settings = ITAESettings

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        down, up = ([s.width * k for k in units] for units in (DOWN, UP))
        restorer = UNet(1, s.channels, down, up, kernel_size=3, padding=1, bias=False)
        return {"restorer": restorer, "errors": Errors()}

    def optimizers(self) -> dict[str, Optimizer]:
        # A tensor, because a training step that is one CUDA graph must find the new rate in it.
        self._rate = torch.full((), self.settings.learning_rate, device=self.device)
        weights = self.networks["restorer"].parameters()
        return {"restorer": torch.optim.SGD(weights, self._rate.clone(), fused=True)}

    def before_step(self, step: int, steps: int) -> None:
        """Set the learning rate, after `optimizers()`."""
        self._rate.fill_(self.settings.learning_rate / 2 ** ((step - 1) * PHASES // steps))

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        x, optimizer = draw(), optimizers["restorer"]
        optimizer.param_groups[0]["lr"].copy_(self._rate)
        if self.settings.mirror:
            chosen = torch.rand(len(x), 1, 1, 1, generator=rng, device=x.device) < 0.5
            x = torch.where(chosen, x.flip(3), x)
        turns = torch.randint(TURNS, (len(x),), generator=rng, device=x.device)
        loss = _error(self._restored(x, turns), (x + 1) / 2, self.settings.loss).mean()
        descend(loss, optimizer)
        return {"loss": loss}

    def _restored(self, x: Tensor, turns: Tensor) -> Tensor:
        """Restorations on 0 to 1 of images `(n, C, S, S)` that lost colour and orientation."""
        erased = augment.turned((x.mean(1, keepdim=True) + 1) / 2, turns)
        return wide(self.networks["restorer"](erased))

    # ---- scoring ---------------------------------------------------------------------------

    def _by_turn(self, x: Tensor) -> Tensor:
        """Restorations of every image from each of its turns, `(n, 4, C, S, S)`."""
        turns = torch.arange(TURNS, device=x.device).repeat(len(x))
        return self._restored(x.repeat_interleave(TURNS, 0), turns).unflatten(0, (-1, TURNS))

    def _errors(self, x: Tensor) -> Tensor:
        """Errors at every pixel for every turn, mean over channels, `(n, 4, S, S)`."""
        return _error(self._by_turn(x), (x[:, None] + 1) / 2, self.settings.score).mean(2)

    def calibrate(self, pixels: Tensor) -> None:
        """Take the mean error of every turn."""
        errors = self._over_inputs(lambda x: self._errors(x).mean((2, 3)), pixels, 64)
        self.networks["errors"].normal.copy_(errors.double().mean(0))

    def map_inputs(self, x: Tensor) -> Tensor:
        """Errors in units of normal images' mean, averaged over the turns."""
        normal = self.networks["errors"].normal.view(1, TURNS, 1, 1)
        return (self._errors(x) / normal).mean(1)

    def score_inputs(self, x: Tensor) -> Tensor:
        """Mean of the map."""
        return self.map_inputs(x).mean((1, 2))

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        """Mean of the restorations from all turns."""
        return (2 * self._by_turn(x).mean(1) - 1).clamp(-1, 1)


def _error(a: Tensor, b: Tensor, kind: str) -> Tensor:
    return (a - b).abs() if kind == "l1" else (a - b).square()
