"""CBiGAN (Carrara et al., ICPR 2020): a Wasserstein BiGAN with a consistency loss.

`alpha=0` is their EGBAD, `alpha=1` their double auto-encoder (the paper's sentence that says the
opposite contradicts its equation 13 and its experiments). Layer sizes follow the authors' public
code, `fabiocarrara/cbigan-ad`; the paper only draws them.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib.host.device import at_least_float32 as wide
from adlib.models import losses
from adlib.models.base import Draw, Losses, Trainable, descend, error_map, register
from adlib.models.settings import Count, Decay, Settings, Share, Weight, declared
from adlib.networks import residual
from adlib.networks.residual import Critic, Encoder, Generator, initialise


@declared
class CBiGANSettings(Settings):
    """Settings of CBiGAN; in brackets what the authors' newest public code does where it differs.

    Attributes:
        width: channels of the first block [3]; 16 is the width of the code they started from.
        latent: length of the latent code z ~ N(0, 1).
        alpha: weight of the consistency loss, per image sum (1e-4 objects, 1e-5 to 1e-4 textures).
        reduction: `mean` of the consistency loss over the batch, or `sum` as in their first public
            code.
        weight_of_features: lambda of equation 7.
        feature_layer: where f_D is read: `dense` (before the critic's last layer), `image_map`
            (last map of the image branch) or `first_conv` (first 3x3 convolution before its
            activation) [first_conv].
        critic_steps: critic updates for one update of encoder and generator, each on a fresh batch
            ["once each" in the paper, 5 in the code].
        penalty: `joint` interpolates between (x, E(x)) and (G(z), z); `authors` pairs x with z and
            G(z) with E(x) as the published code does [authors].
        penalty_weight: weight of the gradient penalty.
        bias: `all` layers have one, or `authors`: only the last 1x1 convolution of each block, the
            output convolution and the last dense layer of encoder and critic [authors].
        beta2: second Adam coefficient of encoder and generator [0.1]; the critic's is 0.9.
        ema: decay of the running average of encoder and generator that is scored; 0 scores the raw
            weights. It warms up as min(ema, (1 + n) / (10 + n)) after n updates, so that short
            trainings are not scored near their initial weights [no warm-up].
        ema_every: updates of encoder and generator between two of that average [10 batches, also
            the critic's].
    """

    width: Count = 16
    latent: Count = 64
    alpha: Share = 1e-4
    reduction: Literal["mean", "sum"] = "mean"
    weight_of_features: Share = 0.1
    feature_layer: Literal["dense", "image_map", "first_conv"] = "dense"
    critic_steps: Count = 1
    penalty: Literal["joint", "authors"] = "joint"
    penalty_weight: Weight = 10.0
    bias: Literal["all", "authors"] = "all"
    beta2: Decay = 0.9
    ema: Decay = 0.999
    ema_every: Count = 10
    sides: ClassVar = residual.SIDES


@register
class CBiGAN(Trainable):
    """CBiGAN, EGBAD (`alpha=0`) and the double auto-encoder (`alpha=1`, no critic)."""

    Settings = CBiGANSettings
    averaged = ("encoder", "generator")

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        sizes = s.input_side, s.channels, s.width, s.latent, s.bias == "all"
        networks = {"encoder": Encoder(*sizes), "generator": Generator(*sizes)}
        # The adversarial term has weight 1 - alpha: without it nobody reads a critic.
        if s.alpha < 1:
            networks["critic"] = Critic(*sizes)
        return {name: network.apply(initialise) for name, network in networks.items()}

    def optimizers(self) -> dict[str, Optimizer]:
        s, nets = self.settings, self.networks
        both = [*nets["encoder"].parameters(), *nets["generator"].parameters()]
        groups = {"players": (both, s.beta2)}
        if "critic" in nets:
            groups["critic"] = nets["critic"].parameters(), 0.9
        return {
            name: torch.optim.Adam(weights, s.learning_rate, (0.0, beta2), 1e-7, fused=True)
            for name, (weights, beta2) in groups.items()
        }

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        logged = {}
        if "critic" in self.networks:
            for _ in range(self.settings.critic_steps):
                logged |= self._critic_update(draw(), optimizers["critic"], rng)
        return logged | self._players_update(draw(), optimizers["players"], rng)

    def _prior(self, like: Tensor, rng: torch.Generator) -> Tensor:
        return torch.randn(len(like), self.settings.latent, generator=rng, device=like.device)

    def _critic_update(self, x: Tensor, optimizer: Optimizer, rng: torch.Generator) -> Losses:
        s, critic = self.settings, self.networks["critic"].requires_grad_(True)
        z = self._prior(x, rng)
        with torch.no_grad():
            code, fakes = self.networks["encoder"](x), self.networks["generator"](z)
        # One pass over real and generated pairs: the critic has no batch statistics to mix.
        values = critic(torch.cat([x, fakes]), torch.cat([code, z]))
        real, fake = wide(values).chunk(2)
        mix = torch.rand(len(x), generator=rng, device=x.device)
        pairs = ((x, code), (fakes, z)) if s.penalty == "joint" else ((x, z), (fakes, code))
        penalty = losses.gradient_penalty(critic, *pairs, mix, slopes=critic.slopes)
        loss = losses.critic_loss(real, fake)
        descend(loss + s.penalty_weight * penalty, optimizer)
        means = {"critic_real": real.mean(), "critic_fake": fake.mean()}
        return {"critic": loss, "penalty": penalty} | means

    def _players_update(self, x: Tensor, optimizer: Optimizer, rng: torch.Generator) -> Losses:
        s, encoder, generator = self.settings, self.networks["encoder"], self.networks["generator"]
        z = self._prior(x, rng)
        code = encoder(x)
        if s.alpha > 0:
            fakes, again = generator(torch.cat([z, code.to(z.dtype)])).chunk(2)
            image = losses.reduce_batch(losses.l1_per_image(x, wide(again)), s.reduction)
            latent = losses.reduce_batch(losses.l1_per_image(z, wide(encoder(fakes))), s.reduction)
            consistency = image + latent
            logged = {"consistency_image": image, "consistency_latent": latent}
        else:
            fakes, consistency, logged = generator(z), 0.0, {}
        loss = s.alpha * consistency  # equation 13
        if "critic" in self.networks:
            critic = self.networks["critic"].requires_grad_(False)
            # Real images are a constant here: no gradient has to go back through their maps.
            with torch.no_grad():
                maps = critic.trunk(x)
            maps = torch.cat([maps, critic.trunk(fakes)])
            values = critic.output(critic.join(maps, torch.cat([code, z])))
            real, fake = wide(values).chunk(2)
            players = -losses.critic_loss(real, fake)  # equation 5
            loss = loss + (1 - s.alpha) * players
            logged["players"] = players
        descend(loss, optimizer)
        return {"loss": loss, **logged}

    # ---- scoring (equations 7 to 9) --------------------------------------------------------

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        return self.networks["generator"](self.networks["encoder"](x))

    def judge_inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.networks["encoder"](x)
        again = self.networks["generator"](code)
        return self._score(x, code, again), error_map(x, again)

    def score_inputs(self, x: Tensor) -> Tensor:
        return self.judge_inputs(x)[0]

    def _score(self, x: Tensor, code: Tensor, again: Tensor) -> Tensor:
        s = self.settings
        pixels = losses.l1_per_image(x, again)
        if "critic" not in self.networks:
            return pixels
        pair = torch.cat([x, again]), torch.cat([code, code])
        f_real, f_again = self.networks["critic"].features(*pair, s.feature_layer).chunk(2)
        share = s.weight_of_features
        return (1 - share) * pixels + share * losses.l1_per_image(f_real, f_again)
