"""The networks of LSA: residual auto-encoder with batch norm, and a density over its code.

Layer sizes follow the authors' public code for CIFAR-10, `aimagelab/novelty-detection`.
"""

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDES = range(16, sys.maxsize, 8)  # of images that the networks fit, in pixels
SLOPE = 0.01  # of every leaky ReLU


class Block(nn.Module):
    """Residual block `(N, c, H, W)` to `(N, n, H', W')`, leaky ReLU behind the sum.

    `resize` is `down` (H' = H / 2, rounded up), `up` (H' = 2 H) or "", where c = n and the skip is
    the input. The authors' skips are 1x1 convolutions of stride 2, and transposed ones: they read,
    or write, every second pixel. Here that is done beside the convolution, because oneDNN's own
    stride corrupts memory in the backward pass of a narrow one.
    """

    def __init__(self, inputs: int, outputs: int, resize: str) -> None:
        super().__init__()
        self.resize = resize
        if resize == "up":
            first = nn.ConvTranspose2d(inputs, outputs, 5, 2, 2, output_padding=1, bias=False)
        else:
            stride = 2 if resize == "down" else 1
            first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.inner = nn.Sequential(
            first,
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        if resize:
            self.skip, self.norm = (
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.inner(x) + self._skipped(x), SLOPE)

    def _skipped(self, x: Tensor) -> Tensor:
        if not self.resize:
            return x
        if self.resize == "down":
            return self.norm(self.skip(x[:, :, ::2, ::2]))
        x = self.skip(x)
        n, c, h, w = x.shape
        spread = F.pad(x.view(n, c, h, 1, w, 1), (0, 1, 0, 0, 0, 1))
        return self.norm(spread.reshape(n, c, 2 * h, 2 * w))


def encoder(side: int, channels: int, width: int, latent: int) -> nn.Sequential:
    """Image `(N, C, S, S)` to code `(N, latent)` in [0, 1]."""
    deepest = 8 * width
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, bias=False),
        nn.LeakyReLU(SLOPE),
        Block(width, width, ""),
        *(Block(k * width, 2 * k * width, "down") for k in (1, 2, 4)),
        nn.Flatten(),
        nn.Linear(deepest * (side // 8) ** 2, deepest),
        nn.BatchNorm1d(deepest),
        nn.LeakyReLU(SLOPE),
        nn.Linear(deepest, latent),
        nn.Sigmoid(),
    )


def decoder(side: int, channels: int, width: int, latent: int) -> nn.Sequential:
    """Code `(N, latent)` to image `(N, C, S, S)`, by nothing held to a range."""
    deepest, rest = 8 * width, side // 8
    return nn.Sequential(
        nn.Linear(latent, deepest),
        nn.BatchNorm1d(deepest),
        nn.LeakyReLU(SLOPE),
        nn.Linear(deepest, deepest * rest**2),
        nn.BatchNorm1d(deepest * rest**2),
        nn.LeakyReLU(SLOPE),
        nn.Unflatten(1, (deepest, rest, rest)),
        *(Block(2 * k * width, k * width, "up") for k in (4, 2, 1)),
        Block(width, width, ""),
        nn.Conv2d(width, channels, 1, bias=False),
    )


class Masked(nn.Linear):
    """Dense layer `(N, latent * inputs)` to `(N, latent * outputs)` that looks back alone.

    The values of a place of the code stand together. A place sees those before it, and itself too
    where `itself` says so.
    """

    def __init__(self, latent: int, inputs: int, outputs: int, itself: bool) -> None:
        super().__init__(latent * inputs, latent * outputs)
        places = torch.ones(latent, latent).tril(0 if itself else -1)
        mask = places.repeat_interleave(outputs, 0).repeat_interleave(inputs, 1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class Density(nn.Sequential):
    """Code `(N, latent)` to logits `(N, latent, bins)` of every place's value, given those before.

    Four layers of `width` values a place, and one of `bins`.
    """

    def __init__(self, latent: int, width: int, bins: int) -> None:
        modules: list[nn.Module] = [Masked(latent, 1, width, itself=False), nn.LeakyReLU(SLOPE)]
        for _ in range(3):
            modules += [Masked(latent, width, width, itself=True), nn.LeakyReLU(SLOPE)]
        modules.append(Masked(latent, width, bins, itself=True))
        super().__init__(*modules, nn.Unflatten(1, (latent, bins)))
