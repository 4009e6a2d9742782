"""Dirichlet distributions by maximum likelihood."""

import torch
from torch import Tensor

ITERATIONS, CLOSE = 1000, 1e-9  # of the fixed point at most, and the step at which it ends


def dirichlet(mean: Tensor, log_mean: Tensor) -> Tensor:
    """Maximum-likelihood parameters of Dirichlet distributions (Minka 2000, fixed point).

    It starts from the mean, scaled as Wicker et al. 2008 approximate the parameters' sum.

    Args:
        mean: of the probabilities, float64 `(..., K)`.
        log_mean: of their logarithms.

    Raises:
        ValueError: the probabilities do not vary.
    """
    euler = -torch.special.digamma(torch.ones_like(mean[..., :1]))
    spread = (torch.special.xlogy(mean, mean) - mean * log_mean).sum(-1, keepdim=True)
    alpha = mean * (mean.shape[-1] - 1) * euler / spread
    if not ((spread > 0) & alpha.isfinite()).all():
        raise ValueError("no Dirichlet distribution fits probabilities that do not vary")
    for _ in range(ITERATIONS):
        before, alpha = alpha, _inverse_digamma(alpha.sum(-1, keepdim=True).digamma() + log_mean)
        if (alpha - before).norm(dim=-1).max() < CLOSE:
            break
    return alpha


def _inverse_digamma(y: Tensor) -> Tensor:
    """Five steps of Newton from Minka's start, which leave 14 digits."""
    x = torch.where(y >= -2.22, y.exp() + 0.5, -1 / (y - torch.ones_like(y).digamma()))
    for _ in range(5):
        x = x - (x.digamma() - y) / torch.special.polygamma(1, x)
    return x
