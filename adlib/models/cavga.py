"""CAVGA-D_u (Venkataramanan, Peng, Singh and Mahalanobis, ECCV 2020): a VAE that attends to all.

D stands for DCGAN, whose discriminator and generator are encoder and decoder (R for ResNet-18), u
for unsupervised. A code with places keeps apart where things are, a discriminator sharpens the
images, and the attention expansion loss spreads the code's Grad-CAM over every normal image: where
attention is missing, an image is abnormal.

The authors published no code and their text was not at hand; losses and weights are as two public
summaries give them. Departures: nothing is trained on Celeb-A before, so no other data are used;
the encoder and decoder play the non-saturating game. What is not given is said below.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib.host.device import at_least_float32 as wide
from adlib.models.base import Draw, Losses, Trainable, descend, register
from adlib.models.settings import Count, Positive, Settings, Weight, declared
from adlib.models.variational import divergence
from adlib.networks import pyramid

DCGAN = 64  # px of DCGAN's images; its four halvings leave maps of side / 16 on others


@declared
class CAVGASettings(Settings):
    """Settings of CAVGA.

    Attributes:
        side: multiples of 16 from 32 to 256. The authors' is not given; DCGAN's is 64.
        width: channels of the first layer, DCGAN's 64.
        latent: channels of the code at each of its (side / 16)^2 places. The authors' is not given;
            100 is the length of DCGAN's.
        weight_reconstruction: w_r, of reconstruction and divergence.
        weight_adversarial: w_adv.
        weight_attention: w_ae, of the attention expansion loss.
        learning_rate: Adam's step size. The authors' is not given; 2e-4 is DCGAN's.
    """

    side: Count = 64
    width: Count = 64
    latent: Count = 100
    weight_reconstruction: Weight = 1.0
    weight_adversarial: Weight = 1.0
    weight_attention: Weight = 0.01
    learning_rate: Positive = 2e-4
    sides: ClassVar = pyramid.SIDES


class Generator(nn.Module):
    """Encoder and decoder: DCGAN's, but for the layers between maps and codes, which are 1x1."""

    def __init__(self, channels: int, width: int, latent: int) -> None:
        super().__init__()
        top, _ = pyramid.top(DCGAN, width)
        self.encoder = nn.Sequential(*pyramid.down(DCGAN, channels, width))
        self.posterior = nn.Conv2d(top, 2 * latent, 1)
        _, *layers, _ = pyramid.decoder(DCGAN, channels, width, latent)
        self.decoder = nn.Sequential(nn.Conv2d(latent, top, 1, bias=False), *layers)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances `(N, latent, S / 16, S / 16)` of images `(N, C, S, S)`."""
        return wide(self.posterior(self.encoder(x))).chunk(2, 1)

    def decode(self, z: Tensor) -> Tensor:
        """Codes to images before their tanh."""
        return wide(self.decoder(z))

    def attention(self, mean: Tensor) -> Tensor:
        """A in 0 to 1, `(N, S / 16, S / 16)`: sigmoid of the mean code's Grad-CAM.

        The code is linear in the encoder's last map, so Grad-CAM's weight of a feature, the mean
        gradient of the sum of all codes, is the sum of its weights in that layer. What they weigh
        then sums to the code without its bias. Grad-CAM's ReLU is left out, for no sigmoid of it
        falls below 1/2. Whether the authors take this map and leave it out is not given.
        """
        bias = self.posterior.bias[: mean.shape[1]].view(-1, 1, 1)
        return (mean - bias).sum(1).sigmoid()


@register
class CAVGA(Trainable):
    """CAVGA-D_u. An image's score is the mean absolute difference to its reconstruction.

    The authors scale that difference to [0, 1] first; how is not given.
    """

    Settings = CAVGASettings
    not_saved = ("discriminator",)

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        networks = {
            "generator": Generator(s.channels, s.width, s.latent),
            "discriminator": pyramid.encoder(s.input_side, s.channels, s.width, 1),
        }
        return {name: network.apply(pyramid.initialise) for name, network in networks.items()}

    def optimizers(self) -> dict[str, Optimizer]:
        rate = self.settings.learning_rate  # momenta are DCGAN's; the authors' are not given
        return {
            name: torch.optim.Adam(network.parameters(), rate, (0.5, 0.999), fused=True)
            for name, network in self.networks.items()
        }

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        s, x, (generator, discriminator) = self.settings, draw(), self.networks.values()
        mean, log_variance = generator.encode(x)
        z = torch.randn(mean.shape, generator=rng, device=mean.device)
        again = generator.decode(mean + (log_variance / 2).exp() * z)
        # Means over all values. tanh(a) is an image in [-1, 1], sigmoid(2 a) the same in [0, 1].
        reconstruction = F.binary_cross_entropy_with_logits(2 * again, (x + 1) / 2)
        kl = divergence(mean, log_variance).mean() / mean[0].numel()
        attention = (1 - generator.attention(mean)).mean()
        # In two passes: real and reconstructed images have batch statistics of their own.
        real, fake = (wide(discriminator(images)) for images in (x, torch.tanh(again)))
        adversarial = F.softplus(-fake).mean()
        loss = (
            s.weight_reconstruction * (reconstruction + kl)
            + s.weight_adversarial * adversarial
            + s.weight_attention * attention
        )
        judged = F.softplus(-real).mean() + F.softplus(fake).mean()
        descend(loss, optimizers["generator"], generator, retain_graph=True)
        descend(judged, optimizers["discriminator"], discriminator)
        parts = {"reconstruction": reconstruction, "divergence": kl, "attention": attention}
        return {"loss": loss, **parts, "adversarial": adversarial, "discriminator": judged}

    # ---- scoring ---------------------------------------------------------------------------

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        generator = self.networks["generator"]
        return torch.tanh(generator.decode(generator.encode(x)[0]))

    def score_inputs(self, x: Tensor) -> Tensor:
        return (x - self.reconstruct_inputs(x)).abs().flatten(1).mean(1) / 2

    def map_inputs(self, x: Tensor) -> Tensor:
        """1 - A, bilinearly enlarged."""
        generator = self.networks["generator"]
        missing = 1 - generator.attention(generator.encode(x)[0])
        return F.interpolate(missing.unsqueeze(1), x.shape[-2:], mode="bilinear")[:, 0]
