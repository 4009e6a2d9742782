"""AnoGAN (Schlegl et al., IPMI 2017): a DCGAN, and a search for the code of every image.

An image is scored by (1 - lambda) times the L1 distance to the closest image that the generator
makes, plus lambda times that of the discriminator's features, after 500 steps of Adam on the code.
The networks are DCGAN's (Radford et al. 2016) as GANomaly's authors build them; with width 128 at
32 px they have the maps that ALAD's authors give AnoGAN. Which networks GANomaly's authors compared
with is not known. Noisy-AnoGAN with `gamma=1` is AnoGAN by other networks.

Departures: Schlegl's text was not at hand, so training and search follow the public code of
`houssamzenati/Adversarially-Learned-Anomaly-Detection`, but for the features' share: 0.1 as in
Schlegl's paper as generally known, and in earlier code of the same authors. All searches start from
the same codes, and Adam's rate falls along a cosine.
"""

from collections.abc import Callable
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib.models import losses
from adlib.models.base import Draw, Losses, descend, register
from adlib.models.ganomaly import Discriminator
from adlib.models.latent_search import MOST
from adlib.models.searching import Searching
from adlib.models.settings import Count, Decay, Positive, Settings, Share, declared
from adlib.networks import pyramid


@declared
class AnoGANSettings(Settings):
    """Settings of AnoGAN; in brackets what the public code named above does where it differs.

    Attributes:
        side: 32 px as there; multiples of 16 up to 256, of which wide networks fit the smaller
            ones, because the generator's first map holds at most 8192 values: see `ExactDense`.
        width: channels of the discriminator's first layer; every halving doubles them [128].
        latent: length of the code z ~ N(0, 1).
        ema: decay of the generator's running average, which is scored; 0 scores the raw weights.
        search_steps: Adam steps of the search.
        search_rate: Adam's step size at the first of them [0.001 for CIFAR-10; for MNIST, in its
            authors' earlier code, 0.01, after 200 steps 0.001 and after 300 steps 0.0005].
        restarts: codes that every search starts from, the same for all images.
        search_chunk: images searched at once, see `adlib/models/latent_search.py`.
        score_weight: lambda, the share of the discriminator's features [0.9].
        learning_rate: Adam's step size in training, 2e-4.
    """

    side: Count = 32
    width: Count = 64
    latent: Count = 100
    ema: Decay = 0.999
    search_steps: Count = 500
    search_rate: Positive = 0.01
    restarts: Count = 1
    search_chunk: Count = 64
    score_weight: Share = 0.1
    learning_rate: Positive = 2e-4
    sides: ClassVar = pyramid.SIDES

    @model_validator(mode="after")
    def _check_first_map(self) -> Self:
        n, rest = pyramid.top(self.input_side, self.width)
        if n * rest**2 > MOST or self.latent > MOST:
            raise ValueError(
                f"width={self.width}, latent={self.latent}: at {self.input_side} px the generator "
                f"makes {n * rest**2} values of a code; allowed are {MOST}, of the code too"
            )
        return self


@register
class AnoGAN(Searching):
    """AnoGAN with a DCGAN."""

    Settings = AnoGANSettings
    averaged = ("generator",)

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        size = s.input_side, s.channels, s.width
        networks = {
            "generator": pyramid.decoder(*size, s.latent),
            "discriminator": Discriminator(*size),
        }
        return {name: network.apply(pyramid.initialise) for name, network in networks.items()}

    def optimizers(self) -> dict[str, Optimizer]:
        rate = self.settings.learning_rate
        return {
            name: torch.optim.Adam(network.parameters(), rate, (0.5, 0.999), fused=True)
            for name, network in self.networks.items()
        }

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        generator, discriminator = self.networks["generator"], self.networks["discriminator"]
        x = draw()
        shape = 2, len(x), self.settings.latent
        z = torch.randn(shape, generator=rng, device=x.device, dtype=x.dtype)
        with torch.no_grad():
            made = generator(z[0])
        # In two passes, because real and generated images have batch statistics of their own.
        real, fake = discriminator(x)[0], discriminator(made)[0]
        loss = losses.logistic_loss(real, fake)
        descend(loss, optimizers["discriminator"])
        fooling = F.softplus(-discriminator(generator(z[1]))[0]).mean()
        descend(fooling, optimizers["generator"], generator)
        return {"discriminator": loss, "generator": fooling}

    # ---- scoring ---------------------------------------------------------------------------

    def search_loss(self, nets: nn.ModuleDict, x: Tensor) -> Callable[[Tensor], Tensor]:
        share, features = self.settings.score_weight, nets["discriminator"].features
        wanted = features(x)

        def loss(codes: Tensor) -> Tensor:
            made = nets["generator"](codes)
            distance = losses.l1_per_image(wanted, features(made))
            return (1 - share) * losses.l1_per_image(x, made) + share * distance

        return loss

    def generated(self, nets: nn.ModuleDict, codes: Tensor) -> Tensor:
        return nets["generator"](codes)
