"""Noisy-AnoGAN (Kimura and Yanagihara, ACCV 2018 workshops); `gamma=1` is AnoGAN.

Known abnormal images push the generator away: they enter the discriminator as a second kind of
fake. An image is scored by searching the code whose generated image comes closest.

Departures, because the paper leaves them open or contradicts itself: the logistic loss with an R1
penalty instead of a Wasserstein critic, for the abnormal term needs log(1 - D); the discriminator
tends to 1 for normal images as in the formulas, not the caption of Figure 2; how the search runs
(Adam, its rate, where it starts, the layer f). Adam's state is kept when the networks grow.
"""

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib.models import losses
from adlib.models.base import Draw, Losses, descend, register
from adlib.models.latent_search import sigmoid
from adlib.models.searching import Searching
from adlib.models.settings import Count, Decay, Number, Positive, Settings, Share, Weight, declared
from adlib.networks import progressive
from adlib.networks.progressive import Discriminator, Generator, stage_of, upsample


@declared
class NoisyAnoGANSettings(Settings):
    """Settings of NoisyAnoGAN; what the paper does not give is marked (open).

    Attributes:
        width: largest number of feature maps, that of all sides up to 32 px; 4 to 512.
        latent: length of the code z, uniform on the hypersphere.
        first_side: side in pixels at which the networks start to grow; up to `side`.
        gamma: weight of the GAN's game; 1 - gamma weighs the abnormal images. 1 is AnoGAN, which
            needs none.
        weighting: of real images in the discriminator's loss: `literal` gamma, as equation 15
            says, or `theory` 1, as equations 18 to 23 need.
        r1: weight of the R1 penalty, halved as in its paper (open).
        penalty_every: steps between two penalties, each weighted by as much (open).
        learning_rate: Adam's step size, 1e-3.
        ema: decay of the generator's running average, which is scored; 0 scores the raw weights.
        ema_every: steps between two updates of that average.
        search_steps: Adam steps of the search.
        search_rate: Adam's step size at the first of them (open).
        restarts: codes that every search starts from, the same for all images (open).
        search_chunk: images searched at once. Every search has exactly so many, filled up where
            images are fewer. At one size an image's score is, on a CPU, the same to the last bit in
            every place of a chunk and beside whatever neighbours; at another it is not (see
            `adlib/models/latent_search.py`).
        score_weight: lambda, the share of the discriminator's features in the loss of the search.
    """

    width: Annotated[int, Field(ge=4, le=512)] = 512  # wider layers' sums could round: ExactDense
    latent: Count = 512
    first_side: Literal[progressive.SIDES] = 4
    gamma: Annotated[Number, Field(gt=0, le=1)] = 0.1
    weighting: Literal["literal", "theory"] = "literal"
    r1: Weight = 10.0
    penalty_every: Count = 1
    learning_rate: Positive = 1e-3
    ema: Decay = 0.999
    ema_every: Count = 1
    search_steps: Count = 500
    search_rate: Positive = 0.1
    restarts: Count = 1
    search_chunk: Count = 64
    score_weight: Share = 0.1
    sides: ClassVar = progressive.SIDES[3:]

    @model_validator(mode="after")
    def _check_first_side(self) -> Self:
        if self.first_side > self.input_side:
            raise ValueError(
                f"first_side={self.first_side} is more than the {self.input_side} px that the "
                "network sees"
            )
        return self


@register
class NoisyAnoGAN(Searching):
    """Noisy-AnoGAN, and AnoGAN with the same networks (`gamma=1`)."""

    Settings = NoisyAnoGANSettings
    averaged = ("generator",)
    _penalised = True  # whether the training step at hand has a penalty

    @property
    def uses_abnormal(self) -> bool:
        return self.settings.gamma < 1

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        return {
            "generator": Generator(s.input_side, s.channels, s.width, s.latent),
            "discriminator": Discriminator(s.input_side, s.channels, s.width),
        }

    def optimizers(self) -> dict[str, Optimizer]:
        rate = self.settings.learning_rate
        return {
            name: torch.optim.Adam(network.parameters(), rate, (0.0, 0.99), fused=True)
            for name, network in self.networks.items()
        }

    # ---- training --------------------------------------------------------------------------

    def before_step(self, step: int, steps: int) -> tuple[int, bool, bool]:
        """Grow the networks, and tell whether this step has a penalty."""
        s = self.settings
        level = progressive.level_at(step, steps, stage_of(s.first_side), stage_of(s.input_side))
        for network in self.networks.values():
            network.grow(level)
        self._penalised = s.r1 > 0 and step % s.penalty_every == 0
        return network.stage, network.share == 1, self._penalised

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        x = draw()
        abnormal = draw("abnormal") if self.uses_abnormal else None
        logged = self._discriminator_update(x, abnormal, optimizers["discriminator"], rng)
        return logged | self._generator_update(len(x), optimizers["generator"], rng)

    def _discriminator_update(
        self, x: Tensor, abnormal: Tensor | None, optimizer: Optimizer, rng: torch.Generator
    ) -> Losses:
        s, net = self.settings, self.networks["discriminator"].requires_grad_(True)
        x = net.shrink(x).requires_grad_(self._penalised)
        with torch.no_grad():
            others = [self.networks["generator"](self._prior(len(x), rng))]
        if abnormal is not None:
            others.append(net.shrink(abnormal))
        real = net(x).float()
        fake, *rest = net(torch.cat(others), len(others)).float().chunk(len(others))
        abnormal = rest[0] if rest else None
        loss = losses.noisy_discriminator_loss(real, fake, abnormal, s.gamma, s.weighting)
        penalty = losses.r1_penalty(real, x) if self._penalised else torch.zeros_like(loss)
        descend(loss + s.r1 / 2 * s.penalty_every * penalty, optimizer)
        return {
            "discriminator": loss,
            "penalty": penalty,
            "real": real.sigmoid().mean(),
            "fake": fake.sigmoid().mean(),
            "abnormal": loss.new_zeros(()) if abnormal is None else abnormal.sigmoid().mean(),
        }

    def _generator_update(self, batch: int, optimizer: Optimizer, rng: torch.Generator) -> Losses:
        discriminator = self.networks["discriminator"].requires_grad_(False)
        images = self.networks["generator"](self._prior(batch, rng))
        loss = F.softplus(-discriminator(images).float()).mean()  # non-saturating
        descend(loss, optimizer)
        return {"loss": loss}

    def _prior(self, batch: int, rng: torch.Generator) -> Tensor:
        """Codes before they are normalised, which the generator does."""
        return torch.randn(batch, self.settings.latent, generator=rng, device=rng.device)

    # ---- scoring ---------------------------------------------------------------------------

    def search_loss(self, nets: nn.ModuleDict, x: Tensor) -> Callable[[Tensor], Tensor]:
        """Equation 24 with AnoGAN's loss, for each code."""
        s, generator, discriminator = self.settings, nets["generator"], nets["discriminator"]
        wanted = discriminator.features(discriminator.shrink(x))

        def loss(codes: Tensor) -> Tensor:
            generated = generator(codes)
            features = discriminator.features(generated)
            pixels = losses.l1_per_image(x, upsample(generated, x.shape[-1]))
            share = s.score_weight
            total = (1 - share) * pixels + share * losses.l1_per_image(wanted, features)
            if s.gamma == 1:
                return total
            # 1 - sigmoid(d) is sigmoid(-d), which keeps its digits where D is sure.
            return s.gamma * total + (1 - s.gamma) * sigmoid(-discriminator.logits(features))

        return loss

    def generated(self, nets: nn.ModuleDict, codes: Tensor) -> Tensor:
        return upsample(nets["generator"](codes), self.settings.input_side)

    def project(self, codes: Tensor) -> Tensor:
        return progressive.normalise(codes)
