"""GeoTrans (Golan and El-Yaniv, NeurIPS 2018): a classifier of 72 geometric transformations.

It learns which of the transformations a normal image went through. For every transformation the
predicted probabilities of the training images follow a Dirichlet distribution, fitted by maximum
likelihood; an image is abnormal where those of its own copies are unlikely. Details follow the
authors' public code, `izikgo/AnomalyDetectionTransformations`.

Departures: every image of a batch goes through one transformation, drawn at random, where the
authors shuffle all copies of all images; Adam adds its epsilon after correcting its bias; and there
is an anomaly map, which the method has not.
"""

from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib.host.device import at_least_float32 as wide
from adlib.models.base import Draw, Losses, descend, register
from adlib.models.calibrated import Calibrated
from adlib.models.dirichlet import dirichlet
from adlib.models.settings import Count, Number, Positive, Settings, Weight, declared
from adlib.networks.transformations import Transformations
from adlib.networks.wide_resnet import SIDES, WideResNet

TOGETHER = 8  # copies of every image that are scored at once
PART = 1024  # training images whose probabilities are held at once


@declared
class GeoTransSettings(Settings):
    """Settings of GeoTrans, all as in the authors' code for images of 32 px.

    Attributes:
        side: multiples of 32.
        depth: layers of the Wide-ResNet (16 for their images of 64 px).
        width: channels of its first convolution.
        widen: how many times as wide its first group of blocks is (8 for 64 px).
        translation: how far copies are shifted, in sides: 8 of 32 px, 16 of 64 px.
        weight_decay: share of every weight that is added to its gradient; twice the factor in
            their code, whose penalty is not halved.
        learning_rate: Adam's step size, 1e-3.
    """

    side: Count = 32
    depth: Literal[10, 16, 22, 28, 34, 40] = 10
    width: Count = 16
    widen: Count = 4
    translation: Annotated[Number, Field(gt=0, lt=1)] = 0.25
    weight_decay: Weight = 5e-4
    learning_rate: Positive = 1e-3
    sides: ClassVar = SIDES


@register
class GeoTrans(Calibrated):
    """GeoTrans with the Dirichlet normality score."""

    Settings = GeoTransSettings
    reconstructs = False

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        copies = Transformations(s.input_side, round(s.translation * s.input_side))
        size = s.input_side, s.channels, len(copies.alpha), s.depth, s.width, s.widen
        return {"classifier": WideResNet(*size), "transformations": copies}

    def optimizers(self) -> dict[str, Optimizer]:
        s, weights = self.settings, self.networks["classifier"].parameters()
        adam = torch.optim.Adam(
            weights, s.learning_rate, eps=1e-7, weight_decay=s.weight_decay, fused=True
        )
        return {"classifier": adam}

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        x, copies = draw(), self.networks["transformations"]
        which = torch.randint(len(copies.alpha), (len(x),), generator=rng, device=x.device)
        logits = wide(self.networks["classifier"](copies(x, which)))
        loss = F.cross_entropy(logits, which)
        descend(loss, optimizers["classifier"])
        return {"loss": loss, "accuracy": (logits.argmax(1) == which).float().mean()}

    def _each(self, x: Tensor) -> list[tuple[slice, Tensor]]:
        """The copies of all images, in groups of transformations."""
        copies = self.networks["transformations"]
        groups = [slice(k, k + TOGETHER) for k in range(0, len(copies.alpha), TOGETHER)]
        return [(group, copies.copies(x, group)) for group in groups]

    def log_probabilities(self, x: Tensor) -> Tensor:
        """Log-probabilities of all transformations for every copy, `(n, 72 copies, 72)`."""
        logits = [self.networks["classifier"](part) for _, part in self._each(x)]
        parts = [part.view(len(x), TOGETHER, -1) for part in logits]
        return torch.cat(parts, 1).log_softmax(2)

    def calibrate(self, pixels: Tensor) -> None:
        """Fit the Dirichlet distributions. Raises ValueError if the images are all alike."""
        count, sums = 0, 0
        for part in pixels.split(PART):
            logs = self._over_inputs(self.log_probabilities, part, 64).double()
            sums = sums + torch.stack([logs.exp().sum(0), logs.sum(0)])
            count += len(logs)
        alpha = dirichlet(*(sums / count))
        self.networks["transformations"].alpha.copy_(alpha)

    def score_inputs(self, x: Tensor) -> Tensor:
        """Minus the mean Dirichlet log-likelihood of the copies, up to a constant."""
        factors = self.networks["transformations"].alpha - 1
        return -(factors * self.log_probabilities(x)).sum(2).mean(1)

    def map_inputs(self, x: Tensor) -> Tensor:
        """How unsure every place is of its copy's transformation, brought back to the image.

        Negative log-probability of the right transformation at every place of the last map, mean
        over the copies. The method has no map of its own.
        """
        copies, n, side = self.networks["transformations"], len(x), x.shape[-1]
        total, seen = x.new_zeros(n, side * side), x.new_zeros(side * side)
        for group, part in self._each(x):
            local = self.networks["classifier"].local(part).log_softmax(1)
            local = local.view(n, TOGETHER, *local.shape[1:])
            for k, source in enumerate(copies.sources[group]):
                right = -local[:, k, group.start + k, None]
                values = F.interpolate(right, side, mode="bilinear").flatten(1)
                total.index_add_(1, source, values)
                seen.index_add_(0, source, torch.ones_like(seen))
        return (total / seen).view(n, side, side)
