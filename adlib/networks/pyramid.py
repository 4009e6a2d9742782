"""Pyramids of strided 4x4 convolutions (DCGAN's), as the authors of GANomaly build them.

The layers below hold the same weights as PyTorch's convolutions and compute the same.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from adlib.networks import kernels

SLOPE = 0.2  # of every leaky ReLU
SIDES = range(32, 257, 16)  # of images that a pyramid fits, in pixels


def halvings(side: int) -> tuple[int, int]:
    """How often a pyramid halves an image, and the side of the map that is left.

    The authors halve while the map is larger than 4, which ends at 4 for powers of two only. Other
    sides stop at an odd map (48: 3, 80: 5, 176: 11), so that decoders meet the size again.
    """
    count, rest = 1, side // 2
    while rest > 4 and rest % 2 == 0:
        count, rest = count + 1, rest // 2
    return count, rest


def top(side: int, width: int) -> tuple[int, int]:
    """Channels and side of the map at the end of the pyramid."""
    count, rest = halvings(side)
    return width * 2 ** (count - 1), rest


def down(side: int, channels: int, width: int) -> list[nn.Module]:
    """Layers from the image `(N, C, S, S)` to the map `(N, *top)`, doubling `width` channels."""
    modules = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(SLOPE, inplace=True)]
    for k in range(halvings(side)[0] - 1):
        n = width * 2**k
        modules += [Halve(n, 2 * n), nn.BatchNorm2d(2 * n), nn.LeakyReLU(SLOPE, inplace=True)]
    return modules


def encoder(side: int, channels: int, width: int, outputs: int) -> nn.Sequential:
    """Image `(N, C, S, S)` to `(N, outputs)`; sizes as in `down`."""
    n, rest = top(side, width)
    return nn.Sequential(*down(side, channels, width), FromMap(n, outputs, rest, bias=False))


def decoder(side: int, channels: int, width: int, inputs: int) -> nn.Sequential:
    """`(N, inputs)` to image `(N, C, S, S)` in [-1, 1], the encoder mirrored."""
    n, rest = top(side, width)
    modules: list[nn.Module] = [ToMap(inputs, n, rest, bias=False)]
    while n > width:
        modules += [nn.BatchNorm2d(n), nn.ReLU(inplace=True), Double(n, n // 2)]
        n //= 2
    modules += [nn.BatchNorm2d(n), nn.ReLU(inplace=True)]
    modules += [nn.ConvTranspose2d(n, channels, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(*modules)


def initialise(module: nn.Module) -> None:
    """The authors' start: N(0, 0.02) for convolutions, N(1, 0.02) and 0 for batch norm."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


# ---- layers --------------------------------------------------------------------------------


class FromMap(nn.Conv2d):
    """Convolution as large as the map, as a matrix product: `(N, n, s, s)` to `(N, outputs)`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(_flat(x), _flat(self.weight))


class ToMap(nn.ConvTranspose2d):
    """Transposed convolution of a code, as a matrix product: `(N, inputs)` to `(N, n, s, s)`."""

    def forward(self, z: Tensor) -> Tensor:
        x = z @ _flat(self.weight)
        return x.view(-1, *self.kernel_size, self.out_channels).permute(0, 3, 1, 2)


class Halve(nn.Conv2d):
    """4x4 convolution `(N, inputs, H, W)` to `(N, outputs, H / 2, W / 2)`, H and W even."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 4, 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return kernels.strided(x, self.weight, doubles=False)


class Double(nn.ConvTranspose2d):
    """Transposed 4x4 convolution `(N, inputs, H, W)` to `(N, outputs, 2 H, 2 W)`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 4, 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return kernels.strided(x, self.weight, doubles=True)


def _flat(x: Tensor) -> Tensor:
    """Flatten `(N, n, s, s)` to `(N, s * s * n)`, in the order that it has in memory."""
    return x.permute(0, 2, 3, 1).flatten(1)
