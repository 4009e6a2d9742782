"""A plain classifier of normal against labelled abnormal images.

It shows what the labels alone give. The papers of methods that train with them (Noisy-AnoGAN,
Cycle-GAN anomaly detection) compare themselves with methods that see no such label.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adlib.models.base import Draw, Losses, Trainable, descend, register
from adlib.models.settings import Count, Positive, Settings, declared
from adlib.networks import pyramid


@declared
class ClassifierSettings(Settings):
    """Settings of Classifier.

    Attributes:
        side: multiples of 16 from 32 to 256.
        width: channels of the first layer; every halving of the map doubles them.
        learning_rate: Adam's step size, 2e-4 here.
    """

    side: Count = 64
    width: Count = 64
    learning_rate: Positive = 2e-4
    sides: ClassVar = pyramid.SIDES


@register
class Classifier(Trainable):
    """Strided convolutions (GANomaly's) and a logit at every place of the last map.

    The image's logit is the mean over the map, so the map is exactly the class activation map of
    Zhou et al. 2016: global average pooling and a linear layer may change places.
    """

    Settings = ClassifierSettings
    reconstructs = False
    uses_abnormal = True

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        head = nn.Conv2d(pyramid.top(s.input_side, s.width)[0], 1, 1)
        nn.init.zeros_(head.bias)
        network = nn.Sequential(*pyramid.down(s.input_side, s.channels, s.width), head)
        return {"classifier": network.apply(pyramid.initialise)}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        weights, rate = self.networks.parameters(), self.settings.learning_rate
        return {"classifier": torch.optim.Adam(weights, rate, (0.5, 0.999), fused=True)}

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        normal, abnormal = draw(), draw("abnormal")
        half = (len(normal) + 1) // 2  # of either, so that the batch has the size asked for
        logits = self.score_inputs(torch.cat([normal[:half], abnormal[:half]])).float()
        labels = (torch.arange(2 * half, device=logits.device) >= half).float()
        loss = F.binary_cross_entropy_with_logits(logits, labels)
        descend(loss, optimizers["classifier"])
        return {"loss": loss, "accuracy": ((logits > 0) == (labels > 0)).float().mean()}

    def _logits(self, x: Tensor) -> Tensor:
        """Logit at every place of the last map, `(n, 1, rest, rest)`; high for abnormal."""
        return self.networks["classifier"](x)

    def score_inputs(self, x: Tensor) -> Tensor:
        """Logit of abnormal against normal, mean over the map."""
        return self._logits(x).flatten(1).mean(1)

    def map_inputs(self, x: Tensor) -> Tensor:
        """Logit map, bilinearly enlarged, as a probability 0 to 1."""
        enlarged = F.interpolate(self._logits(x), x.shape[-2:], mode="bilinear")
        return enlarged[:, 0].sigmoid()
