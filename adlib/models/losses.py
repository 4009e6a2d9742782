"""The papers' losses as small functions. Sums and means are spelled out, they change weights."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from adlib.host.device import at_least_float32
from adlib.networks import kernels


def l1_per_image(a: Tensor, b: Tensor) -> Tensor:
    """Sum of absolute differences of every sample, `(N,)` (CBiGAN equations 8, 9, 11, 12)."""
    return (a - b).abs().flatten(1).sum(1)


def reduce_batch(per_image: Tensor, reduction: str) -> Tensor:
    """Reduce `(N,)` to a scalar by `mean` or `sum` (CBiGAN's first public code).

    With `sum` and batch N a weight alpha acts like alpha * N with `mean`.
    """
    return per_image.mean() if reduction == "mean" else per_image.sum()


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Wasserstein loss of the critic (CBiGAN equation 6): E[fake] - E[real]."""
    return fake.mean() - real.mean()


def logistic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Cross-entropy of a GAN's discriminator, of logits `(N,)` that are high for real images.

    With the arguments exchanged it is the loss of those who make the fakes (non-saturating).
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def gradient_penalty(
    critic: Callable[..., Tensor],
    real: tuple[Tensor, ...],
    fake: tuple[Tensor, ...],
    mix: Tensor,
    slopes: Callable[..., tuple[Tensor, ...]] | None = None,
) -> Tensor:
    """Two-sided penalty E[(|gradient| - 1)^2] on one joint gradient over all inputs of a critic.

    The gradient is taken at `mix * real + (1 - mix) * fake`, with the same coefficient for every
    input (Gulrajani et al. 2017, equation 3; joint over image and latent code in BiGANs).

    Args:
        critic: takes the inputs, gives `(N,)` or `(N, 1)`.
        real: tensors `(N, ...)`, for instance images and their codes.
        fake: the same for generated pairs.
        mix: coefficients `(N,)` in [0, 1].
        slopes: gives the gradients of the critic's values for its inputs, where a network knows
            them without autograd's second derivative.
    """
    points = []
    for a, b in zip(real, fake, strict=True):
        m = mix.view(-1, *[1] * (a.ndim - 1))
        points.append((m * a + (1 - m) * b).detach())
    gradients = slopes(*points) if slopes else _slopes(critic, points)
    square = sum(at_least_float32(g).square().flatten(1).sum(1) for g in gradients)
    # The tiny constant keeps the root's derivative finite where the gradient vanishes.
    return ((square + 1e-12).sqrt() - 1).square().mean()


def _slopes(critic: Callable[..., Tensor], points: list[Tensor]) -> tuple[Tensor, ...]:
    points = [p.requires_grad_(True) for p in points]
    values = at_least_float32(critic(*points))
    return torch.autograd.grad(values.sum(), points, create_graph=True)


def ssim_map(a: Tensor, b: Tensor, window: int = 11) -> Tensor:
    """Structural similarity at every pixel, same shape as the inputs, values in (-1, 1].

    Wang et al. 2004 on images scaled to [0, 1], with a Gaussian window of sigma 1.5 and the
    constants 0.01^2 and 0.03^2. Borders are reflected, so that the map has the image's size
    (Bergmann et al. 2018 use it as auto-encoder loss and residual).

    Args:
        a: float `(N, C, H, W)` in [-1, 1].
        b: same shape and range.
        window: odd side of the window in pixels, smaller than twice the image's side.
    """
    offsets = torch.arange(window, device=a.device, dtype=torch.float32) - window // 2
    kernel = torch.exp(-offsets.square() / (2 * 1.5**2))
    across = (kernel / kernel.sum()).expand(5 * a.shape[1], 1, 1, window)

    def blur(x: Tensor) -> Tensor:
        x = kernels.reflect(x, window // 2)
        x = F.conv2d(x, across, groups=x.shape[1])
        return F.conv2d(x, across.transpose(2, 3), groups=x.shape[1])

    a, b = (a.float() + 1) / 2, (b.float() + 1) / 2  # the luminance term wants values above zero
    with torch.autocast(a.device.type, enabled=False):  # differences of squares need float32
        mean_a, mean_b, aa, bb, ab = blur(torch.cat([a, b, a * a, b * b, a * b], 1)).chunk(5, 1)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    covariance = ab - mean_a * mean_b
    variances = (aa - mean_a.square()) + (bb - mean_b.square())
    return luminance * (2 * covariance + c2) / (variances + c2)


def noisy_discriminator_loss(
    real: Tensor, fake: Tensor, abnormal: Tensor | None, gamma: float, weighting: str
) -> Tensor:
    """Noisy-AnoGAN's discriminator loss (equations 15 to 17 negated), of logits `(N,)`.

    -w log D(x) - gamma log(1 - D(G(z))) - (1 - gamma) log(1 - D(x_an)), each averaged.

    Args:
        real: of training images x.
        fake: of generated images.
        abnormal: of labelled abnormal images; None leaves the term out, as gamma = 1 does.
        gamma: weight of the GAN's game, in (0, 1].
        weighting: `literal`: w = gamma as the equations stand; `theory`: w = 1, which makes the
            generator match p_d by the mixture of equation 19.
    """
    weight = gamma if weighting == "literal" else 1.0
    loss = weight * F.softplus(-real).mean() + gamma * F.softplus(fake).mean()
    return loss if abnormal is None else loss + (1 - gamma) * F.softplus(abnormal).mean()


def r1_penalty(logits: Tensor, x: Tensor) -> Tensor:
    """Mean squared norm of the logits' gradient with respect to `x` (Mescheder et al. 2018, R1).

    Their paper weighs it by half of its gamma.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return at_least_float32(gradient).square().flatten(1).sum(1).mean()
