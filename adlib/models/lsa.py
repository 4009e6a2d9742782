"""LSA (Abati, Porrello, Calderara and Cucchiara, CVPR 2019): latent space autoregression.

An auto-encoder whose code lies in [0, 1] is trained together with a density of the code: value
after value, each in one of a few bins, given those before. An image is abnormal where it is badly
reconstructed or its code is unlikely (equations 9 and 10). Layers and losses follow the authors'
public code, `aimagelab/novelty-detection`, which scores trained networks but does not train them:
optimiser, step size, weight of the density and length of the training are not in it.

Either part of the score is scaled to 0 to 1 by its least and largest value over held-out normal
images. The authors draw a tenth of the training part of CIFAR-10 for that; here every tenth
training image, at least two, is kept from the training. No test image and no label enters. Their
sum of the two is negated and raised by 2, so that it is higher for the abnormal and positive.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib.host.device import at_least_float32 as wide
from adlib.models.base import Draw, Losses, descend, register
from adlib.models.calibrated import Calibrated
from adlib.models.settings import Count, Settings, Weight, declared
from adlib.networks import autoregression
from adlib.networks.autoregression import Density

HELD_OUT = 10  # of so many training images one is kept to scale the score by
LEAST = math.log(2.0**-52)  # log-probability of a bin at least, as in the authors' code


@declared
class LSASettings(Settings):
    """Settings of LSA, where the authors' code has them those of CIFAR-10.

    Attributes:
        side: 32 px; multiples of 8 from 16.
        width: channels of the first convolution; every halving doubles them.
        latent: length of the code.
        bins: in which a value of the code may lie.
        density_width: values that a layer of the density has for every place of the code.
        weight: lambda of the negative log-likelihood beside the sum of squared errors; 1 is their
            code's default, the paper's values for each data set were not at hand.
        learning_rate: Adam's step size; not in their code, here 1e-4.
    """

    side: Count = 32
    width: Count = 32
    latent: Count = 64
    bins: Count = 100
    density_width: Count = 32
    weight: Weight = 1.0
    sides: ClassVar = autoregression.SIDES


class Scale(nn.Module):
    """Least and largest negative log-likelihood and squared error, `(2,)` each; first 0 and 1."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(2))
        self.register_buffer("high", torch.ones(2))


@register
class LSA(Calibrated):
    """Auto-encoder with an autoregressive density of its code."""

    Settings = LSASettings

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        size = s.input_side, s.channels, s.width, s.latent
        return {
            "encoder": autoregression.encoder(*size),
            "decoder": autoregression.decoder(*size),
            "density": Density(s.latent, s.density_width, s.bins),
            "scale": Scale(),
        }

    def optimizers(self) -> dict[str, Optimizer]:
        rate = self.settings.learning_rate
        return {"all": torch.optim.Adam(self.networks.parameters(), rate, fused=True)}

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        likelihood, error = self._parts(draw(), self.networks).mean(0)
        loss = error + self.settings.weight * likelihood
        descend(loss, optimizers["all"])
        return {"loss": loss, "error": error, "negative_log_likelihood": likelihood}

    def _parts(self, x: Tensor, nets: Mapping[str, Callable[[Tensor], Tensor]]) -> Tensor:
        """Negative log-likelihood of the code and sum of squared errors on 0 to 1, `(n, 2)`."""
        x, bins = (x + 1) / 2, self.settings.bins  # the authors' images are 0 to 1
        code = nets["encoder"](x)
        logs = wide(nets["density"](code)).log_softmax(2).clamp(min=LEAST)
        # Which bin it is has no gradient; what the code tells of its later values has one.
        bin_of = (wide(code.detach()) * bins).long().clamp(max=bins - 1)
        likelihood = -logs.gather(2, bin_of[:, :, None]).sum((1, 2))
        error = (x - wide(nets["decoder"](code))).square().flatten(1).sum(1)
        return torch.stack([likelihood, error], 1)

    # ---- scoring ---------------------------------------------------------------------------

    def _scored(self, x: Tensor) -> Tensor:
        """As `_parts`, in float64.

        A value at the border of two bins else fell on this or that side as its batch is rounded,
        and a scale that is small next to the parts shows how they are rounded.
        """
        nets = {name: partial(_in_float64, network) for name, network in self.networks.items()}
        return self._parts(x.double(), nets)

    def divide(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Keep every tenth image from the training, of fewer than 20 the two that lie half apart.

        Raises a ValueError for fewer than 4.
        """
        if len(pixels) < 4:
            raise ValueError(
                "LSA keeps two training images or more to scale its score by and needs at least 4 "
                f"in all, not {len(pixels)}"
            )
        kept = torch.arange(len(pixels)) % min(HELD_OUT, -(-len(pixels) // 2)) == 0
        return pixels[~kept], pixels[kept]

    def calibrate(self, pixels: Tensor) -> None:
        """Take the scale; a part that does not vary over the images is not scaled."""
        parts, scale = self._over_inputs(self._scored, pixels, 64), self.networks["scale"]
        low, high = parts.amin(0), parts.amax(0)
        scale.low.copy_(low)
        scale.high.copy_(torch.where(high > low, high, low + 1))

    def score_inputs(self, x: Tensor) -> Tensor:
        scale = self.networks["scale"]
        return ((self._scored(x) - scale.low) / (scale.high - scale.low)).sum(1)

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        again = self.networks["decoder"](self.networks["encoder"]((x + 1) / 2))
        return (2 * again - 1).clamp(-1, 1)


def _in_float64(network: nn.Module, x: Tensor) -> Tensor:
    state = {k: v.double() for k, v in network.state_dict().items() if v.is_floating_point()}
    return torch.func.functional_call(network, state, x)
