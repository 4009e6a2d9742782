"""The networks of EGBAD: encoder, generator and a discriminator of pairs.

Layers follow the authors' public code for MNIST, at 28 px and width 32:
`houssamzenati/Efficient-GAN-Anomaly-Detection`. Images are halved twice at any side, so dense
layers grow with its square.
"""

import sys

import torch
from torch import Tensor, nn

from adlib.host.device import at_least_float32 as wide

SIDES = range(16, sys.maxsize, 4)  # of images, in pixels
SLOPE = 0.1  # of every leaky ReLU
DROPPED = 0.5  # share of the discriminator's activations


def norm(n: int, dimensions: int = 2) -> nn.Module:
    """Batch norm with TensorFlow's constants, of maps or of vectors (`dimensions=1`)."""
    return (nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm1d)(n, eps=1e-3, momentum=0.01)


def encoder(side: int, channels: int, width: int, latent: int) -> nn.Sequential:
    """E: image `(N, C, S, S)` to code `(N, latent)`.

    The activation behind the first convolution is that of the newer of two versions of the code.
    """
    layers = [nn.Conv2d(channels, width, 3, 1, 1), nn.LeakyReLU(SLOPE)]
    for n in (width, 2 * width):
        layers += [nn.Conv2d(n, 2 * n, 3, 2, 1), norm(2 * n), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * width * (side // 4) ** 2, latent))


def generator(side: int, channels: int, width: int, latent: int) -> nn.Sequential:
    """G: code `(N, latent)` to image `(N, C, S, S)` in [-1, 1]."""
    rest, layers, inputs = side // 4, [], latent
    for n in (32 * width, 4 * width * rest**2):
        layers += [nn.Linear(inputs, n), norm(n, 1), nn.ReLU()]
        inputs = n
    layers += [nn.Unflatten(1, (4 * width, rest, rest))]
    layers += [nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1), norm(2 * width), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(2 * width, channels, 4, 2, 1), nn.Tanh())


class Discriminator(nn.Module):
    """D: image and code to features `(N, 32 width)` and a logit `(N,)`, high for (x, E(x))."""

    def __init__(self, side: int, channels: int, width: int, latent: int) -> None:
        super().__init__()
        n, bent = 2 * width, (nn.LeakyReLU(SLOPE), nn.Dropout(DROPPED))
        first, second = nn.Conv2d(channels, n, 4, 2, 1), nn.Conv2d(n, n, 4, 2, 1)
        self.image = nn.Sequential(first, *bent, second, norm(n), *bent, nn.Flatten())
        self.code = nn.Sequential(nn.Linear(latent, 16 * width), *bent)
        both = n * (side // 4) ** 2 + 16 * width
        self.joint = nn.Sequential(nn.Linear(both, 32 * width), *bent)
        self.output = nn.Linear(32 * width, 1)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        features = self.joint(torch.cat([self.image(x), self.code(z)], 1))
        return features, wide(self.output(features))[:, 0]


def initialise(module: nn.Module) -> None:
    """The authors' start: N(0, 0.02) weights and zero biases."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        nn.init.zeros_(module.bias)
