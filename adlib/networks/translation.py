"""What Cycle-GAN is made of: ResNet generator, patch discriminator and a store of past images.

The layers compute what the authors' PyTorch layers do and hold the same weights, biases included;
they differ in how, because on a CPU most of a training step would go into rearranging memory.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adlib.host.device import at_least_float32
from adlib.networks import kernels

SLOPE = 0.2  # of the discriminator's leaky ReLU
EPSILON = 1e-5  # added to every variance


def generator(channels: int, width: int, blocks: int) -> nn.Sequential:
    """Image `(N, channels, S, S)` in [-1, 1] to such an image, S a multiple of 4.

    The map is halved twice, goes through `blocks` residual blocks and is doubled twice (Johnson et
    al. 2016).
    """
    down = [Convolution(width * k, 2 * width * k, 3, 2, 1) for k in (1, 2)]
    up = [Doubling(2 * width * k, width * k) for k in (2, 1)]
    return nn.Sequential(
        Reflection(3),
        Convolution(channels, width, 7),
        Norm(),
        *(layer for halving in down for layer in (halving, Norm())),
        *(Residual(4 * width) for _ in range(blocks)),
        *(layer for doubling in up for layer in (doubling, Norm())),
        Reflection(3),
        ToImage(width, channels, 7),
    )


def discriminator(channels: int, width: int) -> nn.Sequential:
    """Image `(N, channels, S, S)` to a map `(N, 1, S // 8 - 2, S // 8 - 2)`.

    Every value of the map says how real 70x70 pixels look (PatchGAN, Isola et al. 2017).
    """
    layers = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(SLOPE, inplace=True)]
    for k, stride in ((1, 2), (2, 2), (4, 1)):
        layers += [Convolution(k * width, 2 * k * width, 4, stride, 1), Norm(SLOPE)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


def initialise(module: nn.Module) -> None:
    """Convolution weights N(0, 0.02); biases keep PyTorch's start."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)


class Replay(nn.Module):
    """Store of generated images: a discriminator sees old ones among the new (Shrivastava 2017).

    The first `size` images are stored and shown as they come. After that every new image is, with
    probability 1/2, stored in place of an old one, which is shown instead. The old ones of a batch
    are distinct (the authors draw them one by one).
    """

    def __init__(self, size: int, channels: int, side: int) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, channels, side, side))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))  # images that came so far

    def forward(self, fresh: Tensor, rng: torch.Generator) -> Tensor:
        """Take new images `(N, C, S, S)`, and give as many to show."""
        size, n = len(self.images), len(fresh)
        if len(fresh) > size:
            raise ValueError(
                f"a batch of {len(fresh)} images does not fit into replay={size}; "
                "raise replay or lower the batch"
            )
        # Without a branch on what came before, which a CUDA graph could not take.
        number = self.seen + torch.arange(n, device=fresh.device)
        places, stored = number % size, (number < size).view(-1, 1, 1, 1)
        self.images[places] = torch.where(stored, fresh, self.images[places])
        places = torch.rand(size, generator=rng, device=fresh.device).argsort()[:n]
        draw = torch.rand(n, 1, 1, 1, generator=rng, device=fresh.device)
        swapped = ~stored & (draw < 0.5)
        old = self.images[places]
        self.images[places] = torch.where(swapped, fresh, old)
        self.seen += n
        return torch.where(swapped, old, fresh)


# ---- layers --------------------------------------------------------------------------------


class Reflection(nn.ReflectionPad2d):
    """Reflection padding in the type of its input; mixed precision would pad in float32."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return kernels.reflect(x, self.padding[0])


class Convolution(nn.Conv2d):
    """Convolution in front of a `Norm`, which would take its bias off again: it is not added."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, None, self.stride, self.padding)


class Doubling(nn.ConvTranspose2d):
    """Transposed convolution `(N, c, H, W)` to `(N, n, 2 H, 2 W)`, no bias added either."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, 2, 1, output_padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight, None, 2, 1, 1)


class Residual(nn.Module):
    """x plus two reflected 3x3 convolutions of x, each with instance norm: `(N, n, H, W)`."""

    def __init__(self, n: int) -> None:
        super().__init__()
        first = Reflection(1), Convolution(n, n, 3), Norm()
        self.inner = nn.Sequential(*first, Reflection(1), Convolution(n, n, 3), Norm(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class Norm(nn.Module):
    """Instance norm without scale or running statistics, then a leaky ReLU (0: ReLU, 1: none)."""

    def __init__(self, slope: float = 0.0) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return kernels.instance_norm(x, EPSILON, self.slope)


class ToImage(nn.Conv2d):
    """Convolution to few channels, then tanh: `(N, n, S + k - 1, ...)` to `(N, C, S, S)`."""

    def forward(self, x: Tensor) -> Tensor:
        x = at_least_float32(kernels.few_channels(x, self.weight))
        return torch.tanh(x + self.bias.view(-1, 1, 1))
