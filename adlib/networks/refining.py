"""The networks of ALOCC: refiner and discriminator, of 5x5 convolutions that halve or double.

Layers follow the authors' public code, `khalooei/ALOCC-CVPR2018`. They fit every side; halves of
odd ones are rounded up.
"""

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDES = range(16, sys.maxsize)  # of images, in pixels
SLOPE = 0.2  # of every leaky ReLU


class Refiner(nn.Module):
    """R: image `(N, C, S, S)` to one in [-1, 1], through maps of an eighth of the side."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.down, inputs = nn.ModuleList(), channels
        for outputs in (2 * width, 4 * width, 8 * width):
            block = nn.Conv2d(inputs, outputs, 5, 2, 2), nn.BatchNorm2d(outputs)
            self.down.append(nn.Sequential(*block, nn.LeakyReLU(SLOPE, inplace=True)))
            inputs = outputs
        sizes = ((8 * width, 2 * width), (2 * width, width), (width, channels))
        self.up = nn.ModuleList(nn.ConvTranspose2d(*pair, 5, 2, 2) for pair in sizes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        sides = []
        for block in self.down:
            sides.append(x.shape[-2:])
            x = block(x)
        for layer, norm, side in zip(self.up, [*self.norms, None], reversed(sides), strict=True):
            x = layer(x, output_size=side)  # odd sides too
            x = torch.tanh(x) if norm is None else F.relu(norm(x), inplace=True)
        return x


class Discriminator(nn.Sequential):
    """D: image to a logit `(N,)`, high for an image as it is."""

    def __init__(self, side: int, channels: int, width: int) -> None:
        layers = [nn.Conv2d(channels, width, 5, 2, 2), nn.LeakyReLU(SLOPE, inplace=True)]
        for n in (width, 2 * width, 4 * width):
            layers += [nn.Conv2d(n, 2 * n, 5, 2, 2), nn.BatchNorm2d(2 * n)]
            layers += [nn.LeakyReLU(SLOPE, inplace=True)]
        rest = -(-side // 16)
        super().__init__(*layers, nn.Flatten(), nn.Linear(8 * width * rest**2, 1), nn.Flatten(0))


def initialise(module: nn.Module) -> None:
    """The authors' start: N(0, 0.02), of convolutions cut at two deviations; zero biases."""
    if isinstance(module, nn.Conv2d):
        nn.init.trunc_normal_(module.weight, 0.0, 0.02, -0.04, 0.04)
    elif isinstance(module, nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.zeros_(module.bias)
