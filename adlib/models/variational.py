"""What the variational auto-encoders share: networks and training (Kingma and Welling 2014).

Encoder and decoder are those of `AutoEncoder`, as Dehaene et al. (ICLR 2020) take Bergmann's for
their VAE, so that rows compare. One linear layer turns the code into mean and log variance, as
public code for that paper has it; the authors published none, and their text was not at hand.
"""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from adlib.host.device import at_least_float32 as wide
from adlib.models.autoencoder import AutoEncoder, AutoEncoderSettings
from adlib.models.base import Draw, Losses, Trainable, descend
from adlib.models.settings import Count, Positive, Settings, declared


@declared
class VariationalSettings(Settings):
    """What the variational methods share.

    Attributes:
        width: channels of the first layer (Bergmann's 32).
        latent: length of the code z ~ N(0, 1) (100 in public code of Dehaene et al.).
        noise: standard deviation of every value of an image in [0, 1] around the decoder's; 1 as in
            the code of Zimmerer et al., whose images are of another scale.
        learns_noise: whether the training learns it, one for all values, from `noise` on (Dai and
            Wipf 2019; the gamma-VAE of Dehaene et al.).
        pool: how a map becomes a score where it does: `max`, as with AutoEncoder, or `mean`; the
            papers score pixels alone.
        learning_rate: Adam's step size, AutoEncoder's 2e-4 here.
    """

    width: Count = 32
    latent: Count = 100
    noise: Positive = 1.0
    learns_noise: bool = False
    pool: Literal["max", "mean"] = "max"
    learning_rate: Positive = 2e-4
    sides: ClassVar = AutoEncoderSettings.sides


class Noise(nn.Module):
    """Logarithm of the decoder's standard deviation, to be learnt."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(deviation)))


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, variance) from N(0, 1), `(N,)`, of parameters `(N, ...)`."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1) / 2


class Variational(Trainable):
    """Networks and training: the mean of the negative evidence lower bound of every image."""

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        plain = AutoEncoder(
            side=s.input_side, channels=s.channels, width=s.width, latent=s.latent
        ).networks
        networks = {**plain, "posterior": nn.Conv2d(s.latent, 2 * s.latent, 1)}
        return networks | ({"noise": Noise(s.noise)} if s.learns_noise else {})

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        rate = self.settings.learning_rate
        return {"both": torch.optim.Adam(self.networks.parameters(), rate, fused=True)}

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        x = draw()
        mean, log_variance = self.encode(x)
        z = torch.randn(mean.shape, generator=rng, device=mean.device)
        again = self.decode(mean + (log_variance / 2).exp() * z)
        reconstruction, kl = self.surprise(x, again).mean(), divergence(mean, log_variance).mean()
        descend(reconstruction + kl, optimizers["both"])
        return {"loss": reconstruction + kl, "reconstruction": reconstruction, "divergence": kl}

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances `(N, latent, 1, 1)` of the codes of network inputs."""
        return wide(self.networks["posterior"](self.networks["encoder"](x))).chunk(2, 1)

    def decode(self, z: Tensor) -> Tensor:
        """Codes `(N, latent, 1, 1)` to images `(N, C, S, S)` in [-1, 1]."""
        return wide(self.networks["decoder"](z))

    def surprise(self, x: Tensor, again: Tensor) -> Tensor:
        """-log p(x | z) without its constant, `(N,)`: a sum over values of images in [0, 1]."""
        if self.settings.learns_noise:
            log = self.networks["noise"].log
            precision = (-2 * log).exp()
        else:
            log = math.log(self.settings.noise)
            precision = self.settings.noise**-2
        return precision * squared_error(x, again) / 2 + x[0].numel() * log

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x)[0])

    def pooled(self, maps: Tensor) -> Tensor:
        """Scores `(n,)` of maps `(n, S, S)`."""
        flat = maps.flatten(1)
        return flat.amax(1) if self.settings.pool == "max" else flat.mean(1)


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Sum of the squared differences of images given in [-1, 1], were they in [0, 1]: `(N,)`."""
    return (a - b).square().flatten(1).sum(1) / 4
