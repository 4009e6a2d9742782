"""The networks of ALAD: encoder, generator and three discriminators of pairs.

Layers follow the authors' public code for CIFAR-10,
`houssamzenati/Adversarially-Learned-Anomaly-Detection`, at 32 px and width 128. At other sides the
pyramids of encoder, generator and `OfImageAndCode` are deeper and stop as in `pyramid.halvings`.
Spectral norm is PyTorch's: its power iteration stands still in evaluation mode and passes no
gradient, unlike theirs. Where theirs pads a 5x5 convolution by one and two pixels, this one does by
two and one, which mirrors it.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from adlib.host.device import at_least_float32 as wide
from adlib.networks import pyramid

SLOPE = 0.2  # of every leaky ReLU
DROPPED = 0.2  # share of the discriminators' activations
DEVIATION = 0.01  # of the first weights


def plain(layer: nn.Module) -> nn.Module:
    """Give a layer the authors' first weights, N(0, 0.01), and zero biases."""
    nn.init.normal_(layer.weight, 0.0, DEVIATION)
    nn.init.zeros_(layer.bias)
    return layer


def spectral(layer: nn.Module) -> nn.Module:
    """The same, with weights divided by their largest singular value."""
    return spectral_norm(plain(layer))


def norm(n: int) -> nn.BatchNorm2d:
    """Batch norm with TensorFlow's constants."""
    return nn.BatchNorm2d(n, eps=1e-3, momentum=0.01)


def bent() -> list[nn.Module]:
    """Leaky ReLU and dropout."""
    return [nn.LeakyReLU(SLOPE), nn.Dropout(DROPPED)]


def _down(side: int, channels: int, width: int, first_norm: bool) -> list[nn.Module]:
    """Layers from the image `(N, C, S, S)` to the map `(N, *pyramid.top)`."""
    layers, inputs = [], channels
    for k in range(pyramid.halvings(side)[0]):
        n = width * 2**k
        layers.append(spectral(nn.Conv2d(inputs, n, 4, 2, 1)))
        layers += [norm(n)] if k or first_norm else []
        layers.append(nn.LeakyReLU(SLOPE))
        inputs = n
    return layers


def encoder(side: int, channels: int, width: int, latent: int) -> nn.Sequential:
    """E: image `(N, C, S, S)` to code `(N, latent)`."""
    n, rest = pyramid.top(side, width)
    layers = _down(side, channels, width, first_norm=True)
    return nn.Sequential(*layers, plain(nn.Conv2d(n, latent, rest)), nn.Flatten())


def generator(side: int, channels: int, width: int, latent: int) -> nn.Sequential:
    """G: code `(N, latent)` to image `(N, C, S, S)` in [-1, 1]; no spectral norm."""
    n, rest = pyramid.top(side, width)
    layers = [nn.Unflatten(1, (latent, 1, 1)), plain(nn.ConvTranspose2d(latent, n, rest))]
    while n > width:
        layers += [norm(n), nn.ReLU(), plain(nn.ConvTranspose2d(n, n // 2, 4, 2, 1))]
        n //= 2
    layers += [norm(n), nn.ReLU(), plain(nn.ConvTranspose2d(n, channels, 4, 2, 1)), nn.Tanh()]
    return nn.Sequential(*layers)


class OfImageAndCode(nn.Module):
    """D_xz: image and code to a logit `(N,)`, high for (x, E(x))."""

    def __init__(self, side: int, channels: int, width: int, latent: int) -> None:
        super().__init__()
        n, rest = pyramid.top(side, width)
        self.image = nn.Sequential(*_down(side, channels, width, False), nn.Flatten())
        layers = [spectral(nn.Linear(inputs, 4 * width)) for inputs in (latent, 4 * width)]
        self.code = nn.Sequential(layers[0], *bent(), layers[1], *bent())
        joint = spectral(nn.Linear(n * rest**2 + 4 * width, 8 * width))
        self.joint = nn.Sequential(joint, *bent(), plain(nn.Linear(8 * width, 1)))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return wide(self.joint(torch.cat([self.image(x), self.code(z)], 1)))[:, 0]


class OfTwoImages(nn.Module):
    """D_xx: two images to features and a logit `(N,)`, high for (x, x).

    The second image lies below the first, as the authors join them, not behind its channels.
    """

    def __init__(self, side: int, channels: int, width: int) -> None:
        super().__init__()
        layers, inputs = [], channels
        for n in (width // 2, width):
            layers += [spectral(nn.Conv2d(inputs, n, 5, 2, 2)), *bent()]
            inputs = n
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.output = plain(nn.Linear(2 * width * (side // 4) ** 2, 1))

    def features(self, x: Tensor, other: Tensor) -> Tensor:
        """f_xx: what enters the last layer, `(N, 2 width (S / 4)^2)`."""
        return self.trunk(torch.cat([x, other.to(x.dtype)], 2))

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        return wide(self.output(self.features(x, other)))[:, 0]


class OfTwoCodes(nn.Sequential):
    """D_zz: two codes to a logit `(N,)`, high for (z, z)."""

    def __init__(self, width: int, latent: int) -> None:
        layers, inputs = [], 2 * latent
        for n in (width // 2, width // 4):
            layers += [spectral(nn.Linear(inputs, n)), *bent()]
            inputs = n
        super().__init__(*layers, plain(nn.Linear(inputs, 1)))

    def forward(self, z: Tensor, other: Tensor) -> Tensor:
        return wide(super().forward(torch.cat([z, other.to(z.dtype)], 1)))[:, 0]
