"""U-Net (Ronneberger et al. 2015) of `milesial/Pytorch-UNet`, as the authors of AVID narrow it.

Maps are doubled bilinearly without aligned corners, which a GPU can also do deterministically; the
original aligns them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adlib.networks import kernels

DOWN = (1, 2, 4, 4, 1)  # channels at the side and its halvings, in units of the width
UP = (4, 1, 1, 1)  # after each doubling
FACTOR = 16  # that a side must be a multiple of


class Double(nn.Sequential):
    """Twice a 3x3 convolution, batch norm and ReLU: `(N, inputs, H, W)` to `(N, outputs, H, W)`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layers = []
        for n in (inputs, outputs):
            layers += [nn.Conv2d(n, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(True)]
        super().__init__(*layers)


class UNet(nn.Module):
    """Image `(N, C, S, S)`, S a multiple of 16, to an image of that shape; its range is open."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        n, skipped = channels, []
        for k in DOWN:
            self.down.append(Double(n, k * width))
            n = k * width
            skipped.append(n)
        for k, beside in zip(UP, reversed(skipped[:-1]), strict=True):
            self.up.append(Double(n + beside, k * width))
            n = k * width
        self.output = nn.Conv2d(n, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for block in self.down:
            x = block(F.max_pool2d(x, 2) if maps else x)
            maps.append(x)
        for block, beside in zip(self.up, reversed(maps[:-1]), strict=True):
            x = block(torch.cat([beside, kernels.doubled(x)], 1))
        return self.output(x)
