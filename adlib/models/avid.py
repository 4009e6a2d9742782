"""AVID (Sabokrou et al., ACCV 2018): an inpainter that removes what is irregular, and a detector.

The inpainter I restores noisy images so that the fully convolutional detector D takes every region
of them for regular. A pixel is irregular where I changes it inside a region that D calls irregular.
Layers, noise and optimisers follow the authors' public code,
`masoudpz/AVID-Adversarial-Visual-Irregularity-Detection`; the paper's text was not at hand.

Departures: D's loss is squared as in the code, the paper's is a cross-entropy. The paper keeps the
inpainter whose reconstruction error is lowest; here the last weights are scored, and the
reconstruction error is part of I's loss instead (a switch of the code that is off). The code adds
noise to test images too; here nothing random enters a score. The paper cuts both networks' answers
at thresholds and takes what they share; a map has no thresholds, so it is their product.
"""

import sys
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib.host.device import at_least_float32 as wide
from adlib.models.base import Draw, Losses, Trainable, descend, error_map, register
from adlib.models.settings import Count, Positive, Settings, Weight, declared
from adlib.networks.unet import FACTOR, UNet

# Channels of `milesial/Pytorch-UNet` as the authors narrow it, in units of the width: at the side
# and its halvings, and after each doubling.
DOWN, UP = (1, 2, 4, 4, 1), (4, 1, 1, 1)


@declared
class AVIDSettings(Settings):
    """Settings of AVID, from the authors' code.

    Attributes:
        side: 224 px there, where D sees 11 x 11 regions; multiples of 16 from 64 px on, where it
            sees one.
        width: channels of the inpainter's first layer, 64; D's first layers have half as many more.
        noise: standard deviation of the noise, of values in [-1, 1].
        weight_reconstruction: weight of the mean squared difference to the image in I's loss (0).
        score: `detector`, the most irregular region of I(x), or `both`, the highest value of the
            map.
        learning_rate: Adam's step size, 2e-4.
    """

    side: Count = 224
    width: Count = 64
    noise: Weight = 0.8
    weight_reconstruction: Weight = 1.0
    score: Literal["detector", "both"] = "detector"
    learning_rate: Positive = 2e-4
    sides: ClassVar = range(4 * FACTOR, sys.maxsize, FACTOR)


def detector(channels: int, width: int) -> nn.Sequential:
    """D: image `(N, C, S, S)` to `(N, 1, r, r)`, near 1 for a regular region, near 0 for others.

    A region has 51 x 51 pixels, the next one lies 16 further on. Nothing is padded, so the last 13
    rows and columns of an image lie in no region.
    """
    narrow, layers = 3 * width // 2, []
    sizes = (  # channels, kernel, stride
        (channels, narrow, 11, 4),
        (narrow, narrow, 1, 1),
        (narrow, narrow, 1, 1),
        (narrow, narrow, 3, 2),
        (narrow, narrow, 1, 1),
        (narrow, narrow, 1, 1),
        (narrow, 4 * width, 5, 2),
        (4 * width, 8 * width, 1, 1),
        (8 * width, 16 * width, 1, 1),
        (16 * width, 16 * width, 1, 1),
    )
    for size in sizes:
        layers += [nn.Conv2d(*size), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(16 * width, 1, 1, bias=False))


@register
class AVID(Trainable):
    """AVID."""

    Settings = AVIDSettings

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        down, up = ([s.width * k for k in units] for units in (DOWN, UP))
        inpainter = UNet(s.channels, s.channels, down, up, kernel_size=1)
        return {"inpainter": inpainter, "detector": detector(s.channels, s.width)}

    def optimizers(self) -> dict[str, Optimizer]:
        rate = self.settings.learning_rate
        return {
            name: torch.optim.Adam(network.parameters(), rate, (0.9, 0.9), fused=True)
            for name, network in self.networks.items()
        }

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        s, inpainter, net = self.settings, self.networks["inpainter"], self.networks["detector"]
        x = draw()
        noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        inpainted = inpainter((x + s.noise * noise).clamp(-1, 1))
        on_real = (wide(net(x)) - 1).square().mean()
        on_inpainted = wide(net(inpainted.detach())).square().mean()
        descend(on_real + on_inpainted, optimizers["detector"])
        # The inpainter has not changed yet, and one pass of it serves both updates.
        adversarial = (wide(net(inpainted)) - 1).square().mean()
        reconstruction = F.mse_loss(wide(inpainted), x)
        loss = adversarial + s.weight_reconstruction * reconstruction
        descend(loss, optimizers["inpainter"], inpainter)
        parts = {"adversarial": adversarial, "reconstruction": reconstruction}
        return {"detector_real": on_real, "detector_inpainted": on_inpainted, **parts}

    # ---- scoring ---------------------------------------------------------------------------

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        """Inpainted images; the network may leave [-1, 1], the result does not."""
        return self.networks["inpainter"](x).clamp(-1, 1)

    def judge_inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores, and the change of a pixel times the irregularity of the regions around it.

        A region's irregularity is 0 where D takes it for regular, 1 where not, or beyond. The grid
        of regions is stretched over the image bilinearly; a map takes 0 for what is below.
        """
        inpainted = self.networks["inpainter"](x)
        irregular = 1 - self.networks["detector"](inpainted)
        regions, size = irregular.clamp(min=0), x.shape[-2:]
        around = F.interpolate(regions, size, mode="bilinear", align_corners=False)[:, 0]
        maps = error_map(x, inpainted) * around
        judged = maps if self.settings.score == "both" else irregular
        return judged.flatten(1).amax(1), maps

    def score_inputs(self, x: Tensor) -> Tensor:
        return self.judge_inputs(x)[0]

    def map_inputs(self, x: Tensor) -> Tensor:
        return self.judge_inputs(x)[1]
