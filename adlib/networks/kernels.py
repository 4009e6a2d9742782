"""Faster ways to compute what PyTorch's layers compute, chosen here by device and memory format.

A network calls these functions and reads as the plain layers that they stand for; tests compare the
two. What stands here saves at least 15 % of the processor seconds of a training step: of Cycle-GAN
(64 px, width 16, batches of 8, one thread of an Intel Xeon with bfloat16 units) `instance_norm`
saves 30 % and `few_channels` 18 %; with the instructions of AVX2 alone it is 5 % and 3 %.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def instance_norm(x: Tensor, epsilon: float, slope: float) -> Tensor:
    """Instance norm without scale or running statistics, then a leaky ReLU, `(N, C, H, W)`.

    On a CPU maps stay channels-last in memory; PyTorch's own norm copies every map to
    channels-first and back.

    Args:
        x: maps.
        epsilon: added to the variance.
        slope: of the leaky ReLU; 0 is a ReLU, 1 none.
    """
    if x.is_cuda:
        return F.leaky_relu(F.instance_norm(x, eps=epsilon), slope, inplace=True)
    return _InstanceNorm.apply(x, epsilon, slope)


class _InstanceNorm(torch.autograd.Function):
    """`instance_norm` on channels-last memory.

    Maps are written over where they can be: fresh memory costs a CPU more than the arithmetic.
    """

    @staticmethod
    def forward(ctx: object, x: Tensor, epsilon: float, slope: float) -> Tensor:
        n, c, h, w = x.shape
        # Whole rows of pixels, not single ones, so that few channels fill a vector register too.
        rows = x.permute(0, 2, 3, 1).reshape(n, h, w * c)
        made = rows - _spread(_mean(rows, c), rows)
        other = made * made
        scale = _spread((_mean(other, c) + epsilon).rsqrt_(), rows)
        made.mul_(scale)
        ctx.save_for_backward(made, scale)
        ctx.slope = slope
        torch._C._nn.leaky_relu(made, slope, out=other)
        return other.view(n, h, w, c).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: object, g: Tensor) -> tuple[Tensor, None, None]:
        (made, scale), (n, c, h, w) = ctx.saved_tensors, g.shape
        g = g.permute(0, 2, 3, 1).reshape(n, h, w * c)
        if ctx.slope != 1:
            g = torch.ops.aten.leaky_relu_backward(g, made, ctx.slope, False)
        other = g * made
        along = _spread(_mean(other, c), g)
        torch.sub(g, _spread(_mean(g, c), g), out=other)
        other.addcmul_(made, along, value=-1).mul_(scale)
        return other.view(n, h, w, c).permute(0, 3, 1, 2), None, None


def _mean(rows: Tensor, channels: int) -> Tensor:
    """Mean of every channel of `(N, H, W * channels)`, `(N, channels)`."""
    return rows.sum(1).div_(rows.shape[1]).view(len(rows), -1, channels).mean(1)


def _spread(values: Tensor, rows: Tensor) -> Tensor:
    """Repeat `(N, channels)` along a row of pixels, `(N, 1, W * channels)`."""
    return values.repeat(1, rows.shape[2] // values.shape[1]).unsqueeze(1)


def few_channels(x: Tensor, weight: Tensor) -> Tensor:
    """`F.conv2d(x, weight)` for few channels and an output of even sides.

    It makes four pixels at once, as four times as many channels of a map of half the side: a
    convolution with three channels leaves most of a vector register empty.
    """
    shifted = [F.pad(weight, (j, 1 - j, i, 1 - i)) for i in (0, 1) for j in (0, 1)]
    return F.pixel_shuffle(F.conv2d(x, torch.stack(shifted, 1).flatten(0, 1), stride=2), 2)
