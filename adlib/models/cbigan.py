"""CBiGAN (Carrara et al., ICPR 2020): a Wasserstein BiGAN with a consistency loss.

`alpha=0` is their EGBAD, `alpha=1` their double auto-encoder (the paper's sentence that says the
opposite contradicts its equation 13 and its experiments). Layer sizes follow the authors' public
code, `fabiocarrara/cbigan-ad`; the paper only draws them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adlib import losses
from adlib.models.base import Settings, Trainable, register

SLOPE = 0.2  # of every leaky ReLU (paper, Figure 3)
ENCODER_WIDTHS = (1, 2, 3, 4, 8, 16)  # in units of `width`


@dataclass(frozen=True)
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
        ema_every: steps between two updates of that average.
    """

    width: int = 16
    latent: int = 64
    alpha: float = 1e-4
    reduction: str = "mean"
    weight_of_features: float = 0.1
    feature_layer: str = "dense"
    critic_steps: int = 1
    penalty: str = "joint"
    penalty_weight: float = 10.0
    bias: str = "all"
    beta2: float = 0.9
    ema: float = 0.999
    ema_every: int = 10

    def __post_init__(self) -> None:
        """Check names and ranges."""
        super().__post_init__()
        self.require("reduction", ("mean", "sum"))
        self.require("feature_layer", ("dense", "image_map", "first_conv"))
        self.require("penalty", ("joint", "authors"))
        self.require("bias", ("all", "authors"))
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha={self.alpha}: allowed is 0 (EGBAD) to 1 (double auto-encoder)")
        if self.input_side < 32 or self.input_side % 32:
            raise ValueError(
                f"the network sees {self.input_side} px; allowed are multiples of 32 "
                "(set side or patch)"
            )


def initialise(module: nn.Module) -> None:
    """Glorot-uniform weights, zero biases: the defaults of the authors' framework."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Block(nn.Module):
    """Residual block `(N, c, H, W)` to `(N, n, H', W')`: 1x1 skip plus 3x3, 3x3, 1x1, leaky ReLU.

    `resize` is `down` (2x2 average pooling after the block), `up` (bilinear doubling before) or "".
    """

    def __init__(self, inputs: int, outputs: int, bias: bool, resize: str) -> None:
        super().__init__()
        self.resize = resize
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=bias)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias)
        self.last = nn.Conv2d(outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.resize == "up":
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        # In place: these maps are large, and a CPU waits for memory traffic, not arithmetic.
        inner = F.leaky_relu(self.first(x), SLOPE, inplace=True)
        inner = F.leaky_relu(self.second(inner), SLOPE, inplace=True)
        x = F.leaky_relu(self.last(inner).add_(self.skip(x)), SLOPE, inplace=True)
        return F.avg_pool2d(x, 2) if self.resize == "down" else x


class Trunk(nn.Sequential):
    """Six down blocks, five of them pooled: `(N, C, S, S)` to `(N, 16 width, S/32, S/32)`."""

    def __init__(self, settings: CBiGANSettings) -> None:
        widths = [settings.channels, *(settings.width * k for k in ENCODER_WIDTHS)]
        last = len(ENCODER_WIDTHS) - 1
        super().__init__(
            *(
                Block(a, b, settings.bias == "all", "" if i == last else "down")
                for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
            )
        )


class Encoder(nn.Module):
    """E: image `(N, C, S, S)` in [-1, 1] to code `(N, latent)`."""

    def __init__(self, settings: CBiGANSettings) -> None:
        super().__init__()
        width = 16 * settings.width
        self.trunk = Trunk(settings)
        self.dense = nn.Linear(
            width * (settings.input_side // 32) ** 2, width, bias=settings.bias == "all"
        )
        self.code = nn.Linear(width, settings.latent)

    def forward(self, x: Tensor) -> Tensor:
        return self.code(F.leaky_relu(self.dense(self.trunk(x).flatten(1)), SLOPE))


class Generator(nn.Module):
    """G: code `(N, latent)` to image `(N, C, S, S)` in [-1, 1].

    The first map is 2x2 as in the authors' code for 64 and 128 px (at 64 px their first block does
    not double); other sides scale the first map.
    """

    def __init__(self, settings: CBiGANSettings) -> None:
        super().__init__()
        bias = settings.bias == "all"
        doublings = 6 if settings.input_side % 64 == 0 and settings.input_side >= 128 else 5
        self.start = settings.input_side // 2**doublings
        self.width = 16 * settings.width
        self.dense = nn.Linear(settings.latent, self.width * self.start**2, bias=bias)
        widths = [16, *reversed(ENCODER_WIDTHS)]
        self.blocks = nn.Sequential(
            *(
                Block(
                    settings.width * a, settings.width * b, bias, "up" if i >= 6 - doublings else ""
                )
                for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
            )
        )
        self.output = nn.Conv2d(settings.width, settings.channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(z).view(-1, self.width, self.start, self.start)
        x = x.contiguous(memory_format=torch.channels_last)
        return torch.tanh(self.output(self.blocks(x)))


class Critic(nn.Module):
    """D: image and code to a real number `(N, 1)`; higher = more like a real pair."""

    def __init__(self, settings: CBiGANSettings) -> None:
        super().__init__()
        bias, width = settings.bias == "all", 16 * settings.width
        self.trunk = Trunk(settings)
        self.latent = nn.ModuleList(
            nn.Linear(n, 512, bias=bias) for n in (settings.latent, 512, 512)
        )
        flat = width * (settings.input_side // 32) ** 2
        self.dense = nn.Linear(flat + 512, width, bias=bias)
        self.output = nn.Linear(width, 1)

    def hidden(self, x: Tensor, z: Tensor) -> Tensor:
        """Activation before the last layer, `(N, 16 width)`."""
        return self.join(self.trunk(x), z)

    def join(self, maps: Tensor, z: Tensor) -> Tensor:
        """`hidden` of images whose `trunk(x)` is known."""
        for layer in self.latent:
            z = F.leaky_relu(layer(z), SLOPE)
        return F.leaky_relu(self.dense(torch.cat([maps.flatten(1), z], 1)), SLOPE)

    def features(self, x: Tensor, z: Tensor, layer: str) -> Tensor:
        """f_D of equation 9 at the named layer, flattened to `(N, d)`."""
        if layer == "dense":
            return self.hidden(x, z)
        return (self.trunk(x) if layer == "image_map" else self.trunk[0].first(x)).flatten(1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.output(self.hidden(x, z))


@register
class CBiGAN(Trainable):
    """CBiGAN, EGBAD (`alpha=0`) and the double auto-encoder (`alpha=1`, no critic)."""

    Settings = CBiGANSettings
    averaged = ("encoder", "generator")

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        networks = {"encoder": Encoder(s), "generator": Generator(s)}
        if (
            s.alpha < 1
        ):  # the adversarial term has weight 1 - alpha: without it nobody reads a critic
            networks["critic"] = Critic(s)
        for network in networks.values():
            network.apply(initialise)
        return networks

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        s, nets = self.settings, self.networks
        both = [*nets["encoder"].parameters(), *nets["generator"].parameters()]
        made = {
            "players": torch.optim.Adam(both, s.learning_rate, (0.0, s.beta2), 1e-7, fused=True)
        }
        if "critic" in nets:
            made["critic"] = torch.optim.Adam(
                nets["critic"].parameters(), s.learning_rate, (0.0, 0.9), 1e-7, fused=True
            )
        return made

    def training_step(
        self, draw: Callable[..., Tensor], optimizers: dict, rng: torch.Generator
    ) -> dict[str, Tensor]:
        logged = {}
        if "critic" in self.networks:
            for _ in range(self.settings.critic_steps):
                logged |= self._critic_update(draw(), optimizers["critic"], rng)
        return logged | self._players_update(draw(), optimizers["players"], rng)

    def _prior(self, like: Tensor, rng: torch.Generator) -> Tensor:
        return torch.randn(len(like), self.settings.latent, generator=rng, device=like.device)

    def _critic_update(
        self, x: Tensor, optimizer: torch.optim.Optimizer, rng: torch.Generator
    ) -> dict:
        s, critic = self.settings, self.networks["critic"].requires_grad_(True)
        z = self._prior(x, rng)
        with torch.no_grad():
            code, made = self.networks["encoder"](x), self.networks["generator"](z)
        # One pass over real and generated pairs: the critic has no batch statistics to mix.
        real, fake = critic(torch.cat([x, made]), torch.cat([code, z])).float().chunk(2)
        mix = torch.rand(len(x), generator=rng, device=x.device)
        pairs = ((x, code), (made, z)) if s.penalty == "joint" else ((x, z), (made, code))
        penalty = losses.gradient_penalty(critic, *pairs, mix)
        loss = losses.critic_loss(real, fake)
        optimizer.zero_grad()
        (loss + s.penalty_weight * penalty).backward()
        optimizer.step()
        return {
            "critic": loss,
            "penalty": penalty,
            "critic_real": real.mean(),
            "critic_fake": fake.mean(),
        }

    def _players_update(
        self, x: Tensor, optimizer: torch.optim.Optimizer, rng: torch.Generator
    ) -> dict:
        s, encoder, generator = self.settings, self.networks["encoder"], self.networks["generator"]
        z = self._prior(x, rng)
        code = encoder(x)
        if s.alpha > 0:
            made, again = generator(torch.cat([z, code.to(z.dtype)])).chunk(2)
            image = losses.reduce_batch(losses.l1_per_image(x, again.float()), s.reduction)
            latent = losses.reduce_batch(losses.l1_per_image(z, encoder(made).float()), s.reduction)
            consistency = image + latent
            logged = {"consistency_image": image, "consistency_latent": latent}
        else:
            made, consistency, logged = generator(z), 0.0, {}
        loss = s.alpha * consistency  # equation 13
        if "critic" in self.networks:
            critic = self.networks["critic"].requires_grad_(False)
            # Real images are a constant here: no gradient has to go back through their maps.
            with torch.no_grad():
                maps = critic.trunk(x)
            maps = torch.cat([maps, critic.trunk(made)])
            judged = critic.output(critic.join(maps, torch.cat([code, z])))
            real, fake = judged.float().chunk(2)
            players = -losses.critic_loss(real, fake)  # equation 5
            loss = loss + (1 - s.alpha) * players
            logged["players"] = players
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss, **logged}

    # ---- scoring (equations 7 to 9) --------------------------------------------------------

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        return self.networks["generator"](self.networks["encoder"](x))

    def score_inputs(self, x: Tensor) -> Tensor:
        s = self.settings
        code = self.networks["encoder"](x)
        again = self.networks["generator"](code)
        pixels = losses.l1_per_image(x, again)
        if "critic" not in self.networks:
            return pixels
        pair = torch.cat([x, again]), torch.cat([code, code])
        f_real, f_again = self.networks["critic"].features(*pair, s.feature_layer).chunk(2)
        share = s.weight_of_features
        return (1 - share) * pixels + share * losses.l1_per_image(f_real, f_again)

    def map_inputs(self, x: Tensor) -> Tensor:
        """Absolute difference to the reconstruction, mean over channels, 0 to 2."""
        return (x - self.reconstruct_inputs(x)).abs().mean(1)
