"""GANomaly (Akcay et al., ACCV 2018): encoder, decoder and second encoder against a discriminator.

An image is abnormal when the code of its reconstruction differs from its own code. Layers, losses
and optimisers follow the authors' public code, `samet-akcay/ganomaly`; their paper only sketches
them.
"""

import copy
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib.host.device import at_least_float32 as wide
from adlib.models.base import Draw, Losses, Trainable, descend, register
from adlib.models.settings import Count, Positive, Settings, Weight, declared
from adlib.networks import pyramid

CHECK_EVERY = 25  # steps between two looks at the discriminator's loss
TOO_EASY = 1e-5  # a discriminator below this loss starts anew


@declared
class GANomalySettings(Settings):
    """Settings of GANomaly.

    Attributes:
        side: 32 px as the authors use for MNIST and CIFAR-10; multiples of 16 from 32 to 256.
        width: channels of the first layer; every halving of the map doubles them.
        latent: length of the code.
        weight_adversarial: weight of the generator's adversarial loss.
        weight_reconstruction: weight of the mean absolute difference of image and reconstruction.
        weight_latent: weight of the distance of the two codes.
        losses: `code`, the authors' newest code: feature matching image by image, squared distance
            of the codes, half the sum of the discriminator's two cross-entropies; `release`, their
            code of May 2018: cross-entropy for the generator too, sum of the discriminator's, which
            is updated first; `paper`, first arXiv version: norm of the difference of the mean
            features, absolute distance of the codes, sum of the discriminator's cross-entropies.
            The paper's L1 norms are means over all values, as the authors compute them.
        score: `squared` (mean of the squared differences of the codes; the authors' code) or `l1`
            (sum of the absolute ones; the paper).
        learning_rate: Adam's step size, 2e-4 here.
    """

    side: Count = 32
    width: Count = 64
    latent: Count = 100
    weight_adversarial: Weight = 1.0
    weight_reconstruction: Weight = 50.0
    weight_latent: Weight = 1.0
    losses: Literal["code", "release", "paper"] = "code"
    score: Literal["squared", "l1"] = "squared"
    learning_rate: Positive = 2e-4
    sides: ClassVar = pyramid.SIDES


class Generator(nn.Module):
    """G_E, G_D and E: image to reconstruction, its code and the reconstruction's code."""

    def __init__(self, side: int, channels: int, width: int, latent: int) -> None:
        super().__init__()
        self.encoder = pyramid.encoder(side, channels, width, latent)
        self.decoder = pyramid.decoder(side, channels, width, latent)
        self.second_encoder = pyramid.encoder(side, channels, width, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`(N, C, S, S)` to reconstruction of that shape and two codes `(N, latent)`."""
        code = self.encoder(x)
        again = self.decoder(code)
        return again, code, self.second_encoder(again)


class Discriminator(nn.Module):
    """D: image to features `(N, n, rest, rest)` and logit `(N,)`, high for a real image."""

    def __init__(self, side: int, channels: int, width: int) -> None:
        super().__init__()
        *layers, self.classifier = pyramid.encoder(side, channels, width, 1)
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return wide(self.classifier(features).flatten()), wide(features)


@register
class GANomaly(Trainable):
    """GANomaly.

    Scores are made in evaluation mode; the authors' test uses the statistics of its batches, as
    `score_in_training_mode` does. A discriminator whose loss falls below 1e-5 starts anew. The
    authors' code looks after every step, this one after every 25th (column `restarts` of the
    losses).
    """

    Settings = GANomalySettings
    _looks = False

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        size = s.input_side, s.channels, s.width
        networks = {"generator": Generator(*size, s.latent), "discriminator": Discriminator(*size)}
        return {name: network.apply(pyramid.initialise) for name, network in networks.items()}

    def optimizers(self) -> dict[str, Optimizer]:
        rate = self.settings.learning_rate
        return {
            name: torch.optim.Adam(network.parameters(), rate, (0.5, 0.999), fused=True)
            for name, network in self.networks.items()
        }

    def before_step(self, step: int, steps: int) -> bool:
        self._looks = step % CHECK_EVERY == 0
        return self._looks

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        x = draw()
        generator, discriminator = self.networks["generator"], self.networks["discriminator"]
        outputs = generator(x)
        # In two passes, because real and generated images have batch statistics of their own. The
        # authors make them anew for either update, so the discriminator's running statistics move
        # four times a step there and twice here; no score reads them.
        real, fake = discriminator(x), discriminator(outputs[0])
        if self.settings.losses == "release":
            logged = self._update_discriminator(real, fake, optimizers["discriminator"])
            real, fake = discriminator(x), discriminator(outputs[0])
            optimizer = optimizers["generator"]
            return self._update_generator(x, outputs, real, fake, optimizer) | logged
        # One pass serves both updates: the discriminator's weights have not changed yet.
        logged = self._update_generator(x, outputs, real, fake, optimizers["generator"])
        return logged | self._update_discriminator(real, fake, optimizers["discriminator"])

    def _update_generator(
        self, x: Tensor, outputs: tuple, real: tuple, fake: tuple, optimizer: Optimizer
    ) -> Losses:
        s, (again, code, second) = self.settings, outputs
        features = real[1].detach()
        if s.losses == "code":
            adversarial = F.mse_loss(fake[1], features)
        elif s.losses == "release":
            adversarial = F.softplus(-fake[0]).mean()
        else:
            adversarial = torch.linalg.vector_norm(features.mean(0) - fake[1].mean(0))
        reconstruction = F.l1_loss(wide(again), x)
        difference = wide(second) - wide(code)
        latent = (difference.abs() if s.losses == "paper" else difference.square()).mean()
        loss = (
            s.weight_adversarial * adversarial
            + s.weight_reconstruction * reconstruction
            + s.weight_latent * latent
        )
        descend(loss, optimizer, self.networks["generator"], retain_graph=True)
        parts = {"adversarial": adversarial, "reconstruction": reconstruction, "latent": latent}
        return {"generator": loss} | parts

    def _update_discriminator(self, real: tuple, fake: tuple, optimizer: Optimizer) -> Losses:
        on_real, on_fake = F.softplus(-real[0]).mean(), F.softplus(fake[0]).mean()
        if self.settings.losses == "code":
            loss = lowest = (on_real + on_fake) / 2
        else:
            loss, lowest = on_real + on_fake, torch.minimum(on_real, on_fake)
        descend(loss, optimizer, self.networks["discriminator"])
        return {
            "discriminator": loss,
            "discriminator_real": on_real,
            "discriminator_fake": on_fake,
            "restarts": self._restarts(lowest) if self._looks else torch.zeros_like(loss),
        }

    @torch.no_grad()
    def _restarts(self, lowest: Tensor) -> Tensor:
        """Start the discriminator anew where its loss is too low; 1 if so, else 0."""
        too_easy, weights = lowest < TOO_EASY, list(self.networks["discriminator"].parameters())
        before = [p.clone() for p in weights]
        self.networks["discriminator"].apply(pyramid.initialise)
        for p, old in zip(weights, before, strict=True):  # the host need not know which it is
            p.copy_(torch.where(too_easy, p, old))
        return too_easy.to(lowest.dtype)

    # ---- scoring ---------------------------------------------------------------------------

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        generator = self.networks["generator"]
        return generator.decoder(generator.encoder(x))

    def score_inputs(self, x: Tensor) -> Tensor:
        return self._distance(self.networks["generator"], x)

    def _distance(self, generator: Generator, x: Tensor) -> Tensor:
        """Distance of the codes of an image and of its reconstruction, `(n,)`."""
        _, code, second = generator(x)
        difference = second - code
        absolute = self.settings.score == "l1"
        return difference.abs().sum(1) if absolute else difference.square().mean(1)

    def features(self, images: Tensor, batch: int = 64) -> np.ndarray:
        """Discriminator's features of uint8 images, float32 `(N, d)`; patches side by side."""
        extract = self.networks["discriminator"].features
        features = self._over_inputs(lambda x: extract(x).flatten(1), images, batch)
        return features.reshape(len(images), -1).numpy()

    def score_in_training_mode(self, images: Tensor, batch: int = 64) -> np.ndarray:
        """Score with the statistics of every batch, as the authors' test does; for the audit only.

        Such scores depend on the batch and on the order of the images. Weights and running
        statistics stay as they are.

        Args:
            images: uint8 `(N, C, side, side)`.
            batch: images that share their statistics.

        Returns:
            float64 `(N,)`.
        """
        generator = copy.deepcopy(self.networks["generator"]).train()
        scores = self._over_inputs(lambda x: self._distance(generator, x), images, batch)
        return scores.view(len(images), -1).amax(1).double().numpy()
