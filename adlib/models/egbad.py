"""EGBAD (Zenati et al. 2018, arXiv 1802.06222): a BiGAN whose encoder finds an image's code.

Discriminator D tells pairs of image and code (x, E(x)) from (G(z), z). Layers, losses, optimisers
and score follow the authors' public code for MNIST, `houssamzenati/Efficient-GAN-Anomaly-Detection`
(28 px there); which networks GANomaly's authors compared with is not known. CBiGAN with `alpha=0`
is EGBAD by other networks and a Wasserstein loss.

Departures: a 3x3 convolution that halves pads before the first pixel, TensorFlow behind the last
one, which mirrors the encoder; the running average of weights warms up.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib.models import losses
from adlib.models.base import Draw, Losses, Trainable, descend, error_map, register
from adlib.models.settings import Count, Decay, Positive, Settings, Share, declared
from adlib.networks import bigan

PLAYERS = "encoder", "generator"


@declared
class EGBADSettings(Settings):
    """Settings of EGBAD, from the authors' code for MNIST.

    Attributes:
        side: 28 px there; multiples of 4. Dense layers grow with its square.
        width: channels of the encoder's first layer; all others are multiples of it.
        latent: length of the code z ~ N(0, 1).
        score_weight: share of D's features in the score; the rest is that of the pixels.
        ema: decay of the running average of all weights, which is scored; 0 scores the raw ones.
        learning_rate: Adam's step size, 1e-5.
    """

    side: Count = 32
    width: Count = 32
    latent: Count = 200
    score_weight: Share = 0.1
    ema: Decay = 0.999
    learning_rate: Positive = 1e-5
    sides: ClassVar = bigan.SIDES


@register
class EGBAD(Trainable):
    """EGBAD with the L1 distance of features, not the cross-entropy, as the code's default is."""

    Settings = EGBADSettings
    averaged = ("encoder", "generator", "discriminator")

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        sizes = s.input_side, s.channels, s.width, s.latent
        networks = {
            "encoder": bigan.encoder(*sizes),
            "generator": bigan.generator(*sizes),
            "discriminator": bigan.Discriminator(*sizes),
        }
        return {name: network.apply(bigan.initialise) for name, network in networks.items()}

    def optimizers(self) -> dict[str, Optimizer]:
        rate, nets = self.settings.learning_rate, self.networks
        players = [p for name in PLAYERS for p in nets[name].parameters()]
        groups = {"players": players, "discriminator": nets["discriminator"].parameters()}
        return {
            name: torch.optim.Adam(weights, rate, (0.5, 0.999), fused=True)
            for name, weights in groups.items()
        }

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        with torch.no_grad():
            pairs = self._pairs(draw(), rng)
        loss = losses.logistic_loss(*self._logits(pairs))
        descend(loss, optimizers["discriminator"])
        real, fake = self._logits(self._pairs(draw(), rng))
        # Each term has a gradient for its own network alone.
        encoding, generating = F.softplus(real).mean(), F.softplus(-fake).mean()
        players = nn.ModuleList(self.networks[name] for name in PLAYERS)
        descend(encoding + generating, optimizers["players"], players)
        return {"discriminator": loss, "encoder": encoding, "generator": generating}

    def _pairs(self, x: Tensor, rng: torch.Generator) -> tuple[tuple[Tensor, Tensor], ...]:
        """Images and their codes, then drawn codes and their images."""
        shape = len(x), self.settings.latent
        z = torch.randn(shape, generator=rng, device=x.device, dtype=x.dtype)
        return (x, self.networks["encoder"](x)), (self.networks["generator"](z), z)

    def _logits(self, pairs: tuple) -> tuple[Tensor, ...]:
        """D's logits of real and of generated pairs, each with batch statistics of its own."""
        return tuple(self.networks["discriminator"](*pair)[1] for pair in pairs)

    # ---- scoring ---------------------------------------------------------------------------

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        return self.networks["generator"](self.networks["encoder"](x))

    def judge_inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        share, code = self.settings.score_weight, self.networks["encoder"](x)
        again = self.networks["generator"](code)
        features, of_again = (self.networks["discriminator"](v, code)[0] for v in (x, again))
        distance = losses.l1_per_image(features, of_again)
        scores = (1 - share) * losses.l1_per_image(x, again) + share * distance
        return scores, error_map(x, again)

    def score_inputs(self, x: Tensor) -> Tensor:
        return self.judge_inputs(x)[0]
