"""f-AnoGAN (Schlegl et al., MedIA 2019): a Wasserstein GAN, then an encoder for its generator.

The first part of the training is a WGAN with gradient penalty. In the second an encoder learns an
image's code by the residuals of image and critic features ("izi_f"), while generator and critic
stand still. Losses and optimisers follow the authors' public code, `tSchlegl/f-AnoGAN`. The
networks are CBiGAN's residual ones, which take more sizes and have no batch or layer norm.
"""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib.models import losses
from adlib.models.base import Draw, Losses, Trainable, descend, register
from adlib.models.settings import Count, Number, Positive, Settings, Weight, declared
from adlib.networks import residual
from adlib.networks.residual import Encoder, Generator, Trunk, initialise


@declared
class FAnoGANSettings(Settings):
    """Settings of FAnoGAN; in brackets what the authors' code does where it differs.

    Attributes:
        side: 64 px as in the authors' code; multiples of 32.
        width: channels of the first block; the last one has 16 times as many.
        latent: length of the code z ~ N(0, 1).
        kappa: weight of the feature residual in the encoder's loss and in the score.
        share_gan: share of the training steps that train the GAN; the rest trains the encoder
            [about as many updates of either].
        critic_steps: critic updates for one of the generator, each on a fresh batch.
        penalty_weight: weight of the gradient penalty.
        encoder_rate: step size of the encoder's RMSprop, whose running mean of squares starts at 0
            [at 1, as TensorFlow's does].
        learning_rate: Adam's step size for generator and critic.
    """

    side: Count = 64
    width: Count = 16
    latent: Count = 128
    kappa: Weight = 1.0
    share_gan: Annotated[Number, Field(gt=0, lt=1)] = 0.5
    critic_steps: Count = 5
    penalty_weight: Weight = 10.0
    encoder_rate: Positive = 5e-5
    sides: ClassVar = residual.SIDES


class Critic(nn.Module):
    """D: image to a real number `(N, 1)`; higher = more like a real image."""

    def __init__(self, side: int, channels: int, width: int) -> None:
        super().__init__()
        self.trunk = Trunk(channels, width)
        self.output = nn.Linear(16 * width * (side // 32) ** 2, 1)

    def features(self, x: Tensor) -> Tensor:
        """f: the last map, flattened to `(N, d)`, as the authors read it."""
        return self.trunk(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))


@register
class FAnoGAN(Trainable):
    """f-AnoGAN with the izi_f encoder."""

    Settings = FAnoGANSettings
    _trains_gan = True

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        size = s.input_side, s.channels, s.width
        networks = {
            "encoder": Encoder(*size, s.latent),
            "generator": Generator(*size, s.latent),
            "critic": Critic(*size),
        }
        return {name: network.apply(initialise) for name, network in networks.items()}

    def optimizers(self) -> dict[str, Optimizer]:
        s, nets = self.settings, self.networks
        gan = {
            name: torch.optim.Adam(nets[name].parameters(), s.learning_rate, (0.0, 0.9), fused=True)
            for name in ("generator", "critic")
        }
        encoder = nets["encoder"].parameters()
        return gan | {"encoder": torch.optim.RMSprop(encoder, s.encoder_rate, alpha=0.9, eps=1e-10)}

    def before_step(self, step: int, steps: int) -> bool:
        self._trains_gan = step <= self.settings.share_gan * steps
        return self._trains_gan

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        if self._trains_gan:
            for _ in range(self.settings.critic_steps):
                x = draw()
                logged = self._update_critic(x, optimizers["critic"], rng)
            logged |= self._update_generator(len(x), optimizers["generator"], rng)
        else:
            logged = self._update_encoder(draw(), optimizers["encoder"])
        idle = torch.zeros((), device=self.device)
        return dict.fromkeys(("critic", "penalty", "generator", "image", "features"), idle) | logged

    def _generate(self, n: int, rng: torch.Generator) -> Tensor:
        z = torch.randn(n, self.settings.latent, generator=rng, device=self.device)
        return self.networks["generator"](z)

    def _update_critic(self, x: Tensor, optimizer: Optimizer, rng: torch.Generator) -> Losses:
        critic = self.networks["critic"]
        with torch.no_grad():
            fakes = self._generate(len(x), rng).to(x.dtype)
        # One pass over both: the critic has no batch statistics to mix.
        real, fake = critic(torch.cat([x, fakes])).float().chunk(2)
        mix = torch.rand(len(x), generator=rng, device=x.device)
        penalty = losses.gradient_penalty(critic, (x,), (fakes,), mix)
        loss = losses.critic_loss(real, fake)
        descend(loss + self.settings.penalty_weight * penalty, optimizer, critic)
        return {"critic": loss, "penalty": penalty}

    def _update_generator(self, n: int, optimizer: Optimizer, rng: torch.Generator) -> Losses:
        loss = -self.networks["critic"](self._generate(n, rng)).float().mean()
        descend(loss, optimizer, self.networks["generator"])
        return {"generator": loss}

    def _update_encoder(self, x: Tensor, optimizer: Optimizer) -> Losses:
        image, features = (residual.mean() for residual in self._residuals(x))
        descend(image + self.settings.kappa * features, optimizer, self.networks["encoder"])
        return {"image": image, "features": features}

    # ---- scoring ---------------------------------------------------------------------------

    def _residuals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared differences of images and of critic features, `(n,)` each."""
        again = self.reconstruct_inputs(x).to(x.dtype)
        f_real, f_again = self.networks["critic"].features(torch.cat([x, again])).float().chunk(2)
        return (x - again).square().flatten(1).mean(1), (f_real - f_again).square().mean(1)

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        return self.networks["generator"](self.networks["encoder"](x))

    def score_inputs(self, x: Tensor) -> Tensor:
        image, features = self._residuals(x)
        return image + self.settings.kappa * features
