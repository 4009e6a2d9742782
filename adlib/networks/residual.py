"""The residual networks of CBiGAN: encoder, generator and critic; f-AnoGAN has them too.

Of their sizes, `side` is that of the image in pixels (a multiple of 32), `channels` are those of
the image, `width` those of the first block, `latent` is the length of the code. With `bias=False`
only the last 1x1 convolution of a block, the output convolution and the last dense layer have a
bias, as in the authors' newest code. Layer sizes follow that code, `fabiocarrara/cbigan-ad`.
"""

import sys
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adlib.networks import kernels

SIDES = range(32, sys.maxsize, 32)  # of images that the networks fit, in pixels
SLOPE = 0.2  # of every leaky ReLU (paper, Figure 3)
ENCODER_WIDTHS = (1, 2, 3, 4, 8, 16)  # in units of `width`


def initialise(module: nn.Module) -> None:
    """Glorot-uniform weights, zero biases: the defaults of the authors' framework."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Block(nn.Module):
    """Residual block `(N, c, H, W)` to `(N, n, H', W')`: 1x1 skip plus 3x3, 3x3, 1x1, leaky ReLU.

    `resize` is `down` (2x2 average pooling after the block), `up` (bilinear doubling before) or "".
    """

    def __init__(self, inputs: int, outputs: int, bias: bool, resize: str) -> None:
        super().__init__()
        self.resize = resize
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=bias)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias)
        self.last = nn.Conv2d(outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.resize == "up":
            x = kernels.doubled(x)
        x = self.activations(x)[-1]
        return F.avg_pool2d(x, 2) if self.resize == "down" else x

    def activations(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What leaves the three leaky ReLUs."""
        # In place: these maps are large, and a CPU waits for memory traffic, not arithmetic.
        first = F.leaky_relu(self.first(x), SLOPE, inplace=True)
        second = F.leaky_relu(self.second(first), SLOPE, inplace=True)
        last = F.leaky_relu(self.last(second).add_(self.skip(x)), SLOPE, inplace=True)
        return first, second, last

    def slopes(self, g: Tensor, first: Tensor, second: Tensor, last: Tensor) -> Tensor:
        """Gradient for the input, of the gradient `g` for the output and the activations."""
        if self.resize == "down":
            g = F.interpolate(g / 4, scale_factor=2, mode="nearest")
        g = _bend(g, last)
        inner = _bend(F.conv_transpose2d(g, self.last.weight), second)
        inner = _bend(F.conv_transpose2d(inner, self.second.weight, padding=1), first)
        inner = F.conv_transpose2d(inner, self.first.weight, padding=1)
        return inner.add_(F.conv_transpose2d(g, self.skip.weight))


def _bend(g: Tensor, activation: Tensor) -> Tensor:
    """Gradient in front of a leaky ReLU, of the gradient behind it and of what it gave."""
    return torch.ops.aten.leaky_relu_backward(g, activation, SLOPE, True)


class Trunk(nn.Sequential):
    """Six down blocks, five of them pooled: `(N, C, S, S)` to `(N, 16 width, S/32, S/32)`."""

    def __init__(self, channels: int, width: int, bias: bool = True) -> None:
        widths = pairwise([channels, *(width * k for k in ENCODER_WIDTHS)])
        resizes = ["down"] * 5 + [""]
        super().__init__(*(Block(*w, bias, r) for w, r in zip(widths, resizes, strict=True)))


class Encoder(nn.Module):
    """E: image `(N, C, S, S)` in [-1, 1] to code `(N, latent)`."""

    def __init__(
        self, side: int, channels: int, width: int, latent: int, bias: bool = True
    ) -> None:
        super().__init__()
        self.trunk = Trunk(channels, width, bias)
        self.dense = nn.Linear(16 * width * (side // 32) ** 2, 16 * width, bias=bias)
        self.code = nn.Linear(16 * width, latent)

    def forward(self, x: Tensor) -> Tensor:
        return self.code(F.leaky_relu(self.dense(self.trunk(x).flatten(1)), SLOPE))


class Generator(nn.Module):
    """G: code `(N, latent)` to image `(N, C, S, S)` in [-1, 1].

    The first map is 2x2 as in the authors' code for 64 and 128 px (at 64 px their first block does
    not double); other sides scale the first map.
    """

    def __init__(
        self, side: int, channels: int, width: int, latent: int, bias: bool = True
    ) -> None:
        super().__init__()
        doublings = 6 if side % 64 == 0 and side >= 128 else 5
        self.start = side // 2**doublings
        self.width = 16 * width
        self.dense = nn.Linear(latent, self.width * self.start**2, bias=bias)
        widths = pairwise(width * k for k in (16, *reversed(ENCODER_WIDTHS)))
        resizes = [""] * (6 - doublings) + ["up"] * doublings
        blocks = (Block(*w, bias, r) for w, r in zip(widths, resizes, strict=True))
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Conv2d(width, channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(z).view(-1, self.width, self.start, self.start)
        x = x.contiguous(memory_format=torch.channels_last)
        return torch.tanh(self.output(self.blocks(x)))


class Critic(nn.Module):
    """D: image and code to a real number `(N, 1)`; higher = more like a real pair."""

    def __init__(
        self, side: int, channels: int, width: int, latent: int, bias: bool = True
    ) -> None:
        super().__init__()
        self.trunk = Trunk(channels, width, bias)
        self.latent = nn.ModuleList(nn.Linear(n, 512, bias=bias) for n in (latent, 512, 512))
        flat = 16 * width * (side // 32) ** 2
        self.dense = nn.Linear(flat + 512, 16 * width, bias=bias)
        self.output = nn.Linear(16 * width, 1)

    def hidden(self, x: Tensor, z: Tensor) -> Tensor:
        """Activation before the last layer, `(N, 16 width)`."""
        return self.join(self.trunk(x), z)

    def join(self, maps: Tensor, z: Tensor) -> Tensor:
        """`hidden` of images whose `trunk(x)` is known."""
        for layer in self.latent:
            z = F.leaky_relu(layer(z), SLOPE)
        return F.leaky_relu(self.dense(torch.cat([maps.flatten(1), z], 1)), SLOPE)

    def features(self, x: Tensor, z: Tensor, layer: str) -> Tensor:
        """f_D of equation 9 at the named layer, flattened to `(N, d)`."""
        if layer == "dense":
            return self.hidden(x, z)
        return (self.trunk(x) if layer == "image_map" else self.trunk[0].first(x)).flatten(1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.output(self.hidden(x, z))

    def slopes(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of every pair's value for its image and code, differentiable for the weights.

        The critic is piecewise linear, so its gradient is a chain of transposed layers that depends
        on the input through the signs of the activations alone. Autograd's second derivative gives
        the same more slowly, by convolutions with kernels as large as the maps.
        """
        maps, codes = [], []
        with torch.no_grad():
            for block in self.trunk:
                maps.append(block.activations(x))
                x = maps[-1][-1]
                if block.resize == "down":
                    x = F.avg_pool2d(x, 2)
            for layer in self.latent:
                z = F.leaky_relu(layer(z), SLOPE)
                codes.append(z)
            hidden = F.leaky_relu(self.dense(torch.cat([x.flatten(1), z], 1)), SLOPE)
        g = _bend(self.output.weight.to(hidden.dtype).expand_as(hidden), hidden) @ self.dense.weight
        g, to_code = g.split([x[0].numel(), z.shape[1]], 1)
        for layer, activation in zip(reversed(self.latent), reversed(codes), strict=True):
            to_code = _bend(to_code, activation) @ layer.weight
        g = g.view(x.shape).contiguous(memory_format=torch.channels_last)
        for block, activations in zip(reversed(self.trunk), reversed(maps), strict=True):
            g = block.slopes(g, *activations)
        return g, to_code
