"""U-Net (Ronneberger et al. 2015) of padded convolutions with batch norm and bilinear doubling.

Maps are doubled without aligned corners, which a GPU can also do deterministically.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adlib.networks import kernels

FACTOR = 16  # that a side must be a multiple of, with four halvings


class Double(nn.Sequential):
    """Twice a 3x3 convolution, batch norm and ReLU: `(N, inputs, H, W)` to `(N, outputs, H, W)`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layers = []
        for n in (inputs, outputs):
            layers += [nn.Conv2d(n, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(True)]
        super().__init__(*layers)


class UNet(nn.Module):
    """Image `(N, inputs, S, S)` to image `(N, outputs, S, S)`; its range is open.

    Every doubled map meets the one of its side.

    Args:
        inputs: channels of the image.
        outputs: channels of the result.
        down: channels of the maps from the image's side on, halving by halving.
        up: channels after each doubling, one fewer.
        last: further arguments of the last convolution.
    """

    def __init__(
        self, inputs: int, outputs: int, down: Sequence[int], up: Sequence[int], **last: object
    ) -> None:
        super().__init__()
        before = [inputs, *down[:-1]]
        self.down = nn.ModuleList(Double(*pair) for pair in zip(before, down, strict=True))
        below = [a + b for a, b in zip([down[-1], *up[:-1]], down[-2::-1], strict=True)]
        self.up = nn.ModuleList(Double(*pair) for pair in zip(below, up, strict=True))
        self.output = nn.Conv2d(up[-1], outputs, **last)

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for block in self.down:
            x = block(F.max_pool2d(x, 2) if maps else x)
            maps.append(x)
        for block, beside in zip(self.up, reversed(maps[:-1]), strict=True):
            x = block(torch.cat([beside, kernels.doubled(x)], 1))
        return self.output(x)
