"""Search for the codes that a generator turns into given images, for many images at once."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from adlib.models.progressive import Conv, Dense, normalise


def frozen(network: nn.Module) -> nn.Module:
    """Copy networks for a search: evaluation mode, no weight's gradient, scales applied once.

    Convolutions are brought to channels-last order, wherever the networks come from: in another
    order kernels round differently, and a search makes that visible.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)
    for layer in network.modules():
        if isinstance(layer, Conv | Dense):
            layer.weight.mul_(layer.scale)
            layer.scale = 1.0
    return network


def latent_search(
    loss: Callable[[Tensor], Tensor], start: Tensor, steps: int, rate: float
) -> tuple[Tensor, Tensor]:
    """Minimise every code's own loss by Adam, on the hypersphere.

    Losses are summed, so a code's gradient is its own, and Adam works value by value: what one code
    becomes does not depend on its neighbours. After each step codes are normalised again. The rate
    falls to zero along half a cosine, so that codes come to rest.

    Args:
        loss: of codes `(n, latent)`, `(n,)`.
        start: normalised codes `(n, latent)`.
        steps: updates.
        rate: Adam's step size at the first.

    Returns:
        Codes `(n, latent)` and their losses `(n,)` after the last step.
    """
    codes = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([codes], rate)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * step / steps)) / 2
        (codes.grad,) = torch.autograd.grad(loss(codes).sum(), codes)
        optimizer.step()
        with torch.no_grad():
            codes.copy_(normalise(codes))
    with torch.no_grad():
        return codes.detach(), loss(codes)
