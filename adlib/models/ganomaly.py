"""GANomaly (Akcay et al., ACCV 2018): encoder, decoder and second encoder against a discriminator.

An image is abnormal when the code of its reconstruction differs from its own code. Layers, losses
and optimisers follow the authors' public code, `samet-akcay/ganomaly`; their paper only sketches
them.
"""

import copy
from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adlib.host.device import at_least_float32 as wide
from adlib.models.base import Trainable, register
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

    Scores are made in evaluation mode; the authors' test uses the statistics of its batches, which
    only `score_in_training_mode` does, to show the effect. A discriminator whose loss falls below
    1e-5 starts anew as in the authors' code, which looks after every step: here every 25th step
    looks, so that the host need not wait for the others (column `restarts` of the losses).
    """

    Settings = GANomalySettings
    _looks = False

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        size = s.input_side, s.channels, s.width
        networks = {"generator": Generator(*size, s.latent), "discriminator": Discriminator(*size)}
        for network in networks.values():
            network.apply(pyramid.initialise)
        return networks

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        rate = self.settings.learning_rate
        return {
            name: torch.optim.Adam(network.parameters(), rate, (0.5, 0.999), fused=True)
            for name, network in self.networks.items()
        }

    def before_step(self, step: int, steps: int) -> None:
        self._looks = step % CHECK_EVERY == 0

    def training_step(
        self, draw: Callable[..., Tensor], optimizers: dict, rng: torch.Generator
    ) -> dict[str, Tensor]:
        x = draw()
        made = self.networks["generator"](x)
        judged = self._judge(x, made[0])
        if self.settings.losses == "release":
            logged = self._update_discriminator(*judged, optimizers["discriminator"])
            return self._update_generator(x, made, *self._judge(x, made[0]), optimizers) | logged
        # One pass serves both updates: the discriminator's weights are still those it judged with.
        logged = self._update_generator(x, made, *judged, optimizers)
        return logged | self._update_discriminator(*judged, optimizers["discriminator"])

    def _judge(self, x: Tensor, again: Tensor) -> tuple:
        """Logit and features of real and of made images, apart: each has its batch statistics.

        The authors judge anew for either update, so the discriminator's running statistics move
        four times a step there and twice here. No score reads them.
        """
        discriminator = self.networks["discriminator"]
        return discriminator(x), discriminator(again)

    def _update_generator(
        self, x: Tensor, made: tuple, real: tuple, fake: tuple, optimizers: dict
    ) -> dict[str, Tensor]:
        s, (again, code, second) = self.settings, made
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
        self._step(loss, "generator", optimizers["generator"], keep=True)
        return {
            "generator": loss,
            "adversarial": adversarial,
            "reconstruction": reconstruction,
            "latent": latent,
        }

    def _update_discriminator(
        self, real: tuple, fake: tuple, optimizer: torch.optim.Optimizer
    ) -> dict[str, Tensor]:
        on_real, on_fake = F.softplus(-real[0]).mean(), F.softplus(fake[0]).mean()
        if self.settings.losses == "code":
            loss = lowest = (on_real + on_fake) / 2
        else:
            loss, lowest = on_real + on_fake, torch.minimum(on_real, on_fake)
        self._step(loss, "discriminator", optimizer)
        restarted = self._looks and bool(lowest < TOO_EASY)
        if restarted:
            self.networks["discriminator"].apply(pyramid.initialise)
        return {
            "discriminator": loss,
            "discriminator_real": on_real,
            "discriminator_fake": on_fake,
            "restarts": torch.full_like(loss, float(restarted)),
        }

    def _step(
        self, loss: Tensor, name: str, optimizer: torch.optim.Optimizer, keep: bool = False
    ) -> None:
        """Update one network alone; gradients of the other one are not even computed."""
        optimizer.zero_grad()
        loss.backward(inputs=list(self.networks[name].parameters()), retain_graph=keep)
        optimizer.step()

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
        if self.settings.score == "l1":
            return difference.abs().sum(1)
        return difference.square().mean(1)

    def map_inputs(self, x: Tensor) -> Tensor:
        """Absolute difference to the reconstruction, mean over channels, 0 to 2."""
        return (x - self.reconstruct_inputs(x)).abs().mean(1)

    def features(self, images: Tensor, batch: int = 64) -> np.ndarray:
        """Discriminator's features in evaluation mode, float32 `(N, d)`; patches side by side.

        Args:
            images: uint8 `(N, C, side, side)`.
            batch: network inputs worked on at once.
        """
        extract = self.networks["discriminator"].features
        found = self._over_inputs(lambda x: extract(x).flatten(1), images, batch)
        return found.reshape(len(images), -1).numpy()

    def score_in_training_mode(self, images: Tensor, batch: int = 64) -> np.ndarray:
        """Score with the statistics of every batch, as the authors' test does; for the audit only.

        Such scores depend on the batch and on the order of the images: they are no detector's
        scores. Weights and running statistics stay as they are.

        Args:
            images: uint8 `(N, C, side, side)`, taken in the order given.
            batch: images that share their statistics.

        Returns:
            float64 `(N,)`.
        """
        generator = copy.deepcopy(self.networks["generator"]).train()
        scores = self._over_inputs(lambda x: self._distance(generator, x), images, batch)
        return scores.view(len(images), -1).amax(1).double().numpy()
