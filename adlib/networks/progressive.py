"""Progressively grown generator and discriminator (Karras et al., ICLR 2018, Table 2, Appendix A).

Both work at the side they have grown to: stage k is 4 * 2^k px, and a level `k + share` fades stage
k + 1 in. Departures from the paper: the discriminator gives a logit for a logistic loss instead of
a critic's value, and in evaluation mode the minibatch standard deviation is a running mean, so that
an image's score never depends on other images.
"""

import math
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adlib.host.device import at_least_float32

SLOPE = 0.2  # of every leaky ReLU
SIDES = tuple(4 * 2**k for k in range(9))  # 4 to 1024 px
EPSILON = 1e-8  # of every normalisation
MOMENTUM = 0.02  # of the running mean that replaces the minibatch statistic in evaluation


def stage_of(side: int) -> int:
    """Stage whose images have `side` pixels: 0 for 4 px, 8 for 1024 px."""
    return SIDES.index(side)


def channels_at(width: int, side: int) -> int:
    """Feature maps at a side: `width` up to 32 px, then halved at each doubling, at least 4."""
    return max(4, min(width, width * 32 // side))


def level_at(step: int, steps: int, first: int, last: int) -> float:
    """Level of the networks at training step `step` (from 1) of `steps`.

    Phases of equal length: stabilise stage `first`, fade the next one in, stabilise it, and so on;
    the last phase stabilises stage `last`, and the last step is always in it.
    """
    phases = 2 * (last - first) + 1
    phase = (step * phases - 1) // steps
    if phase % 2 == 0:
        return float(first + phase // 2)
    return first + phase // 2 + (step * phases - phase * steps) / steps


def normalise(x: Tensor) -> Tensor:
    """Scale to a mean square of one over dimension 1: feature vectors at each pixel, or codes."""
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


def upsample(x: Tensor, side: int) -> Tensor:
    """Repeat pixels until the image has `side` pixels."""
    return x if x.shape[-1] == side else F.interpolate(x, size=(side, side), mode="nearest")


class Dense(nn.Linear):
    """Dense layer with equalised learning rate: N(0, 1) weights times He's constant at run time."""

    def __init__(self, inputs: int, outputs: int, gain: float = 2**0.5, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias)
        self.scale = _equalise(self, gain)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias)


class Conv(nn.Conv2d):
    """Convolution that keeps the side, with equalised learning rate."""

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: float = 2**0.5) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self.scale = _equalise(self, gain)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class UpConv(Conv):
    """3x3 convolution of the image with its pixels repeated twice each way.

    Repeated pixels meet several of the nine weights at once. Their sums make a 4x4 transposed
    convolution that gives the same with fewer than half of the products.
    """

    def forward(self, x: Tensor) -> Tensor:
        w = F.pad(self.weight * self.scale, [1, 1, 1, 1])
        w = w[..., 1:, :] + w[..., :-1, :]
        w = (w[..., 1:] + w[..., :-1]).transpose(0, 1).flip(2, 3)
        return F.conv_transpose2d(x, w, self.bias, stride=2, padding=1)


def _equalise(layer: nn.Module, gain: float) -> float:
    """Draw the weights, and give the constant that forward passes multiply them by."""
    nn.init.normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return gain / math.sqrt(layer.weight[0].numel())


class Growing(nn.Module):
    """A network that knows its level, which is saved with the weights."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.register_buffer("level", torch.zeros(()))
        self.register_buffer("fade", torch.ones(()), persistent=False)  # `share`, on the device
        self.register_load_state_dict_post_hook(_read_level)
        self.grow(stage_of(side))

    def grow(self, level: float) -> None:
        """Set the level, 0 to the last stage."""
        self.level.fill_(level)
        # Beside the buffer: reading that would make the host wait for a GPU at every step.
        self._at = float(np.float32(level))
        self.fade.fill_(self.share)

    @property
    def stage(self) -> int:
        """Stage of the images the network works on now: the level, rounded up."""
        return math.ceil(self._at)

    @property
    def share(self) -> float:
        """Weight of that stage's own path, in (0, 1]; the rest is the stage before, resized."""
        return 1 + self._at - self.stage

    def shrink(self, x: Tensor) -> Tensor:
        """Bring images of the full side to the present one, blurred while a stage fades in."""
        x = F.avg_pool2d(x, x.shape[-1] // SIDES[self.stage])
        if self.share == 1:
            return x
        return self.faded(upsample(F.avg_pool2d(x, 2), x.shape[-1]), x)

    def faded(self, before: Tensor, own: Tensor) -> Tensor:
        """Mean of what two stages make, the present one's weighted by `share`."""
        wide = at_least_float32(own)
        mixed = torch.lerp(at_least_float32(before), wide, self.fade.to(wide.dtype))
        return mixed.to(own.dtype)


def _read_level(network: Growing, _: object) -> None:
    network.grow(network.level.item())


class Up(nn.Module):
    """Doubling by repeated pixels, then 3x3, 3x3, each with leaky ReLU and pixel-wise norm."""

    resize = "up"

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.last = UpConv(inputs, outputs, 3), Conv(outputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = normalise(F.leaky_relu(self.first(x), SLOPE, inplace=True))
        return normalise(F.leaky_relu(self.last(x), SLOPE, inplace=True))


class Down(nn.Module):
    """3x3, 3x3, each with leaky ReLU, then 2x2 average pooling."""

    resize = "down"

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.last = Conv(inputs, inputs, 3), Conv(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(x), SLOPE, inplace=True)
        return F.avg_pool2d(F.leaky_relu(self.last(x), SLOPE, inplace=True), 2)


class Generator(Growing):
    """G: code `(N, latent)`, of any norm, to image `(N, C, s, s)` at the present side s.

    The code is normalised to the hypersphere. Like the paper's, the output is linear: values may
    leave [-1, 1]. `side` is that of the fully grown image, a power of two from 32 to 1024; `width`
    is the largest number of feature maps.
    """

    def __init__(self, side: int, channels: int, width: int, latent: int) -> None:
        super().__init__(side)
        widths = [channels_at(width, s) for s in SIDES[: stage_of(side) + 1]]
        self.dense = Dense(latent, 16 * widths[0], bias=False)
        self.bias = nn.Parameter(torch.zeros(widths[0]))  # one a map, as of a 4x4 convolution
        self.conv = Conv(widths[0], widths[0], 3)
        self.blocks = nn.ModuleList(Up(*pair) for pair in pairwise(widths))
        self.to_image = nn.ModuleList(Conv(w, channels, 1, gain=1.0) for w in widths)

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(normalise(z)).view(len(z), 4, 4, -1) + self.bias
        x = normalise(F.leaky_relu(x.permute(0, 3, 1, 2), SLOPE))  # channels-last in memory
        x = normalise(F.leaky_relu(self.conv(x), SLOPE, inplace=True))
        before = x
        for block in self.blocks[: self.stage]:
            before, x = x, block(x)
        image = self.to_image[self.stage](x)
        if self.share == 1:
            return image
        coarse = self.to_image[self.stage - 1](before)
        return self.faded(upsample(coarse, image.shape[-1]), image)


class Discriminator(Growing):
    """D: image `(N, C, s, s)` at the present side s to a logit `(N,)`; higher = more like real.

    In training mode the minibatch standard deviation (its mean over maps and pixels) joins the 4x4
    maps as one more map. In evaluation mode a running mean of it does, as in batch normalisation;
    the paper does not say what a trained discriminator should do with a single image. Sizes are
    those of `Generator`.
    """

    def __init__(self, side: int, channels: int, width: int) -> None:
        super().__init__(side)
        widths = [channels_at(width, s) for s in SIDES[: stage_of(side) + 1]]
        self.from_image = nn.ModuleList(Conv(channels, w, 1) for w in widths)
        self.blocks = nn.ModuleList(Down(b, a) for a, b in pairwise(widths))
        self.conv = Conv(widths[0] + 1, widths[0], 3)
        self.dense = Dense(16 * widths[0], widths[0])
        self.output = Dense(widths[0], 1, gain=1.0)
        self.register_buffer("deviation", torch.zeros(()))

    def features(self, x: Tensor) -> Tensor:
        """f: the last maps before the final block, `(N, width, 4, 4)`, the same in both modes."""
        stage, share = self.stage, self.share
        inner = F.leaky_relu(self.from_image[stage](x), SLOPE, inplace=True)
        for k in reversed(range(stage)):
            inner = self.blocks[k](inner)
            if k == stage - 1 and share < 1:
                coarse = self.from_image[k](F.avg_pool2d(x, 2))
                inner = self.faded(F.leaky_relu(coarse, SLOPE, inplace=True), inner)
        return inner

    def logits(self, features: Tensor, parts: int = 1) -> Tensor:
        """Logits `(N,)` of `features(x)`; see `forward` for `parts`."""
        # Not in bfloat16: differences of close values are squared.
        batches = at_least_float32(features).unflatten(0, (parts, -1))
        if self.training:
            variance = batches.var(1, correction=0)
            deviation = (variance + EPSILON).sqrt().mean((1, 2, 3))
            self.deviation.lerp_(deviation.detach().mean(), MOMENTUM)
        else:
            deviation = self.deviation.expand(parts)
        extra = deviation.to(features.dtype).repeat_interleave(len(features) // parts)
        x = torch.cat([features, extra.view(-1, 1, 1, 1).expand(-1, 1, 4, 4)], 1)
        x = F.leaky_relu(self.conv(x), SLOPE, inplace=True)
        x = F.leaky_relu(self.dense(x.permute(0, 2, 3, 1).flatten(1)), SLOPE)
        return self.output(x)[:, 0]

    def forward(self, x: Tensor, parts: int = 1) -> Tensor:
        """Logits of `parts` equal batches in `x`, each with a minibatch statistic of its own."""
        return self.logits(self.features(x), parts)
