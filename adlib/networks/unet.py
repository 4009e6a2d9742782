"""U-Net (Ronneberger et al. 2015) of padded convolutions with batch norm and bilinear doubling."""

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adlib.networks import kernels

SIDES = range(32, sys.maxsize, 16)  # of images that the network fits, in pixels
WIDTHS = (1, 2, 4, 8, 8)  # of the maps, from the image's side to a sixteenth, in units of `width`


def double(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions, each with batch norm and ReLU: `(N, c, H, W)` to `(N, n, H, W)`."""
    layers = []
    for n in (inputs, outputs):
        layers += [nn.Conv2d(n, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Image `(N, inputs, S, S)` to image `(N, outputs, S, S)`, by nothing held to a range.

    The map is halved four times and doubled as often; every doubled map meets the one of its side.
    """

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        widths = [width * k for k in WIDTHS]
        before = [inputs, *widths[:-1]]
        self.down = nn.ModuleList(double(*pair) for pair in zip(before, widths, strict=True))
        up, n = [], widths[-1]
        for skipped, after in zip(widths[-2::-1], [*widths[-3::-1], width], strict=True):
            up.append(double(n + skipped, after))
            n = after
        self.up = nn.ModuleList(up)
        self.output = nn.Conv2d(width, outputs, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for k, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if k else x)
            maps.append(x)
        for block, skipped in zip(self.up, maps[-2::-1], strict=True):
            x = block(torch.cat([skipped, kernels.doubled(x)], 1))
        return self.output(x)
