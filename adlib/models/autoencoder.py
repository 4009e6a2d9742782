"""Convolutional auto-encoder with L2 or SSIM loss: the AE rows of the MVTec AD and CBiGAN tables.

Layers after Bergmann et al. 2018 (arXiv 1807.02011, table 1) as generally known; its text was not
at hand.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from adlib.models import losses
from adlib.models.base import Draw, Losses, Trainable, descend, register
from adlib.models.settings import Count, Positive, Settings, declared

# (channels in units of `width`, stride) from 128 px to 8 px; smaller inputs skip the first ones.
LAYERS = ((1, 2), (1, 2), (1, 1), (2, 2), (2, 1), (4, 2), (2, 1), (1, 1))


@declared
class AutoEncoderSettings(Settings):
    """Settings of AutoEncoder.

    Attributes:
        loss: `l2` (squared error) or `ssim` (1 - structural similarity); also what is scored.
        width: channels of the first layer.
        latent: length of the code (100 for textures, 500 for objects in a public reproduction).
        window: side of the SSIM window in pixels.
        pool: how a map becomes a score: `max` (an image is abnormal when one place is, as the
            MVTec AD paper decides) or `mean`.
        learning_rate: Adam's step size, 2e-4 here.
    """

    loss: Literal["l2", "ssim"] = "l2"
    width: Count = 32
    latent: Count = 100
    window: Count = 11
    pool: Literal["max", "mean"] = "max"
    learning_rate: Positive = 2e-4
    sides: ClassVar = (32, 64, 128, 256)


def _layers(settings: AutoEncoderSettings) -> list[tuple[int, int]]:
    """Channels and strides that bring the input down to 8 px."""
    halvings = (settings.input_side // 8).bit_length() - 1
    layers = [(1, 2), *LAYERS]
    while sum(stride == 2 for _, stride in layers) > halvings:
        layers.pop(0)
    return [(settings.width * k, stride) for k, stride in layers]


def _encoder(settings: AutoEncoderSettings) -> nn.Sequential:
    """Image `(N, C, S, S)` to code `(N, latent, 1, 1)`."""
    modules, inputs = [], settings.channels
    for outputs, stride in _layers(settings):
        kernel = 4 if stride == 2 else 3
        modules += [nn.Conv2d(inputs, outputs, kernel, stride, 1), nn.LeakyReLU(0.2)]
        inputs = outputs
    return nn.Sequential(*modules, nn.Conv2d(inputs, settings.latent, 8))


def _decoder(settings: AutoEncoderSettings) -> nn.Sequential:
    """Code `(N, latent, 1, 1)` to image `(N, C, S, S)` in [-1, 1], the encoder mirrored."""
    layers = _layers(settings)
    modules = [nn.ConvTranspose2d(settings.latent, layers[-1][0], 8), nn.LeakyReLU(0.2)]
    outputs = [settings.channels, *(width for width, _ in layers[:-1])]
    for (inputs, stride), out in zip(reversed(layers), reversed(outputs), strict=True):
        layer = nn.ConvTranspose2d if stride == 2 else nn.Conv2d
        modules += [layer(inputs, out, 4 if stride == 2 else 3, stride, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*modules[:-1], nn.Tanh())


@register
class AutoEncoder(Trainable):
    """AE-L2 (`loss="l2"`) and AE-SSIM (`loss="ssim"`)."""

    Settings = AutoEncoderSettings

    def build(self) -> dict[str, nn.Module]:
        return {"encoder": _encoder(self.settings), "decoder": _decoder(self.settings)}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        rate = self.settings.learning_rate
        return {"both": torch.optim.Adam(self.networks.parameters(), rate, fused=True)}

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        loss = self.map_inputs(draw()).mean()
        descend(loss, optimizers["both"])
        return {"loss": loss}

    def map_inputs(self, x: Tensor) -> Tensor:
        """Error of the reconstruction, mean over channels; L2 in 0 to 4, SSIM in 0 to 2."""
        again = self.reconstruct_inputs(x)
        if self.settings.loss == "l2":
            return (x - again.float()).square().mean(1)
        return 1 - losses.ssim_map(x, again, self.settings.window).mean(1)

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        return self.networks["decoder"](self.networks["encoder"](x))

    def judge_inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.map_inputs(x)
        flat = maps.flatten(1)
        return flat.amax(1) if self.settings.pool == "max" else flat.mean(1), maps

    def score_inputs(self, x: Tensor) -> Tensor:
        return self.judge_inputs(x)[0]
