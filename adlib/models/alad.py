"""ALAD (Zenati et al., ICDM 2018): a BiGAN that two more discriminators make consistent.

Beside D_xz, which tells (x, E(x)) from (G(z), z), D_xx tells (x, x) from (x, G(E(x))) and D_zz
tells (z, z) from (z, E(G(z))). An image is abnormal when D_xx has other features for (x, G(E(x)))
than for (x, x). Losses, optimisers and score follow the authors' public code,
`houssamzenati/Adversarially-Learned-Anomaly-Detection`; layers are in `adlib/networks/cycles.py`.

Departures: a fixed budget instead of their early stopping, which asks that the score of held-out
images be lowest; what pairs of equals would add to the players' loss is left out, because it has no
gradient for them; running statistics move twice a step; the average of weights warms up.
"""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib.models import losses
from adlib.models.base import Draw, Losses, Trainable, descend, error_map, register
from adlib.models.settings import Count, Decay, Positive, Settings, declared
from adlib.networks import cycles, pyramid

PLAYERS = "encoder", "generator"
DISCRIMINATORS = "d_xz", "d_xx", "d_zz"


@declared
class ALADSettings(Settings):
    """Settings of ALAD, from the authors' code for CIFAR-10 and SVHN.

    Attributes:
        side: 32 px there; multiples of 16 up to 256.
        width: channels of the first layer of E and D_xz, 128; at least 4.
        latent: length of the code z ~ N(0, 1).
        ema: decay of the running average of the weights, which is scored; 0 scores the raw ones.
        learning_rate: Adam's step size, 2e-4.
    """

    side: Count = 32
    width: Annotated[int, Field(ge=4)] = 128
    latent: Count = 100
    ema: Decay = 0.999
    learning_rate: Positive = 2e-4
    sides: ClassVar = pyramid.SIDES


@register
class ALAD(Trainable):
    """ALAD with spectral norm and D_zz."""

    Settings = ALADSettings
    averaged = ("encoder", "generator", "d_xx")

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        sizes = s.input_side, s.channels, s.width
        return {
            "encoder": cycles.encoder(*sizes, s.latent),
            "generator": cycles.generator(*sizes, s.latent),
            "d_xz": cycles.OfImageAndCode(*sizes, s.latent),
            "d_xx": cycles.OfTwoImages(*sizes),
            "d_zz": cycles.OfTwoCodes(s.width, s.latent),
        }

    def optimizers(self) -> dict[str, Optimizer]:
        groups = {"players": PLAYERS, "discriminators": DISCRIMINATORS}
        rate = self.settings.learning_rate
        return {
            name: torch.optim.Adam(
                [p for network in members for p in self.networks[network].parameters()],
                rate,
                (0.5, 0.999),
                fused=True,
            )
            for name, members in groups.items()
        }

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        d_xz, d_xx, d_zz = (self.networks[name] for name in DISCRIMINATORS)
        with torch.no_grad():
            x, z, code, made, again, back = self._cycles(draw(), rng)
        loss_xz = losses.logistic_loss(d_xz(x, code), d_xz(made, z))
        loss_xx = losses.logistic_loss(d_xx(x, x), d_xx(x, again))
        loss_zz = losses.logistic_loss(d_zz(z, z), d_zz(z, back))
        descend(loss_xz + loss_xx + loss_zz, optimizers["discriminators"])
        x, z, code, made, again, back = self._cycles(draw(), rng)
        pairs = losses.logistic_loss(d_xz(made, z), d_xz(x, code))
        images = nn.functional.softplus(-d_xx(x, again)).mean()
        codes = nn.functional.softplus(-d_zz(z, back)).mean()
        players = nn.ModuleList(self.networks[name] for name in PLAYERS)
        descend(pairs + images + codes, optimizers["players"], players)
        return {
            "d_xz": loss_xz,
            "d_xx": loss_xx,
            "d_zz": loss_zz,
            "pairs": pairs,
            "cycle_image": images,
            "cycle_code": codes,
        }

    def _cycles(self, x: Tensor, rng: torch.Generator) -> tuple[Tensor, ...]:
        """Give x, a drawn z, E(x), G(z), G(E(x)) and E(G(z)); every pass has its own statistics."""
        encoder, generator = (self.networks[name] for name in PLAYERS)
        shape = len(x), self.settings.latent
        z = torch.randn(shape, generator=rng, device=x.device, dtype=x.dtype)
        code, made = encoder(x), generator(z)
        return x, z, code, made, generator(code), encoder(made)

    # ---- scoring ---------------------------------------------------------------------------

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        return self.networks["generator"](self.networks["encoder"](x))

    def judge_inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        again, features = self.reconstruct_inputs(x), self.networks["d_xx"].features
        return losses.l1_per_image(features(x, x), features(x, again)), error_map(x, again)

    def score_inputs(self, x: Tensor) -> Tensor:
        return self.judge_inputs(x)[0]
