"""Search for the codes that a generator turns into given images, for many images at once.

A search amplifies rounding: some hundred steps turn the seventh digit of a gradient into the third
of a score. So what is computed for a code must not depend, to the last bit, on its place among the
others. Convolutions take one image after another, but a dense layer is one product of matrices,
whose kernels add in another order at its edges, and a sigmoid's last values do not fill a vector:
hence `ExactDense` and `sigmoid`.
"""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from adlib.host.device import in_float64
from adlib.models import graphs
from adlib.networks.progressive import Conv, Dense, normalise
from adlib.networks.pyramid import ToMap

MOST = 2**13  # inputs or outputs of a dense layer whose sums round nowhere


def frozen(network: nn.Module) -> nn.Module:
    """Copy networks for a search: evaluation mode, no weight's gradient, scales applied once.

    Convolutions are brought to channels-last order, wherever the networks come from: in another
    order kernels round differently, and a search makes that visible. Dense layers become exact.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)
    for module in list(network.modules()):
        for name, layer in module.named_children():
            if isinstance(layer, Conv | Dense):
                layer.weight.mul_(layer.scale)
                layer.scale = 1.0
            if isinstance(layer, nn.Linear):
                setattr(module, name, ExactDense(layer.weight, layer.bias))
            if isinstance(layer, ToMap):
                setattr(module, name, ExactToMap(layer))
    return network


class ExactDense(nn.Module):
    """A frozen dense layer whose rows do not depend on each other, whatever kernel adds them up.

    Values and weights are split into two halves of 20 bits, the first counted from the largest
    value of a row. Products of halves are whole multiples of one unit, and float64 holds the sum of
    up to 2^13 of them: no addition rounds, so no order of additions matters. The result is
    float64's to 12 digits of the largest value.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        if max(weight.shape) > MOST:
            raise ValueError(f"{tuple(weight.shape)} weights: sums above {MOST} may round")
        self.weight, self.bias = _halves(weight, dim=(0, 1)), bias

    def forward(self, x: Tensor) -> Tensor:
        x = _ExactProduct.apply(x, *self.weight)
        return x if self.bias is None else x + self.bias


class ExactToMap(ExactDense):
    """The same for the dense layer that makes a map of a code."""

    def __init__(self, layer: ToMap) -> None:
        super().__init__(layer.weight.flatten(1).T, None)
        self.shape = layer.out_channels, *layer.kernel_size

    def forward(self, x: Tensor) -> Tensor:
        maps = super().forward(x).unflatten(1, self.shape)
        return maps.contiguous(memory_format=torch.channels_last)


class _ExactProduct(torch.autograd.Function):
    """`x @ (high + low).T`, and the same with its gradient."""

    @staticmethod
    def forward(ctx: object, x: Tensor, high: Tensor, low: Tensor) -> Tensor:
        ctx.halves = high, low
        return sum(a @ b.T for a in _halves(x, dim=1) for b in ctx.halves).to(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: object, gradient: Tensor) -> tuple:
        parts = (a @ b for a in _halves(gradient, dim=1) for b in ctx.halves)
        return sum(parts).to(gradient), None, None


def _halves(x: Tensor, dim: int | tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Two float64 tensors that sum to `x`, each of whole multiples of a power of two."""
    x = in_float64(x)
    largest = x.abs().amax(dim, keepdim=True).clamp(min=1e-200)
    unit = largest / largest.frexp().mantissa * 2.0**-20  # a power of two, all exact
    high = (x / unit).round() * unit
    unit = unit * 2.0**-20
    return high, ((x - high) / unit).round() * unit


def sigmoid(x: Tensor) -> Tensor:
    """Sigmoid of `(n,)`, every value in a vector of its own.

    Kernels compute what fills no vector by another formula, which rounds differently.
    """
    return x[:, None].repeat(1, 64).sigmoid()[:, 0]


def latent_search(
    loss: Callable[[Tensor], Tensor],
    start: Tensor,
    steps: int,
    rate: float,
    project: Callable[[Tensor], Tensor] = normalise,
) -> tuple[Tensor, Tensor]:
    """Minimise every code's own loss by Adam, on the hypersphere unless `project` is another.

    Losses are summed, so a code's gradient is its own, and Adam rounds alike in every place: what a
    code becomes does not depend on its neighbours. The rate falls to zero along half a cosine, so
    that codes come to rest.

    Args:
        loss: of codes `(n, latent)`, `(n,)`.
        start: codes `(n, latent)` as `project` leaves them.
        steps: updates, each followed by `project`.
        rate: Adam's step size at the first.
        project: brings codes back to where the generator has seen them.

    Returns:
        Codes `(n, latent)` and their losses `(n,)` after the last step.
    """
    codes, by_graph = start.clone().requires_grad_(True), graphs.usable(start.device)
    # What changes from step to step lies in a tensor where the steps are one graph.
    first = start.new_full((), rate) if by_graph else rate
    optimizer = torch.optim.Adam([codes], first, capturable=by_graph)
    (group,) = optimizer.param_groups

    def update() -> Tensor:
        (codes.grad,) = torch.autograd.grad(loss(codes).sum(), codes)
        optimizer.step()
        with torch.no_grad():
            return codes.copy_(project(codes))

    def changed() -> list[Tensor]:
        return [codes, *optimizer.state[codes].values()]

    if by_graph:
        update, _ = graphs.attempt("a latent search", update, changed)
    for step in range(steps):
        now = rate * (1 + math.cos(math.pi * step / steps)) / 2
        group["lr"] = group["lr"].fill_(now) if by_graph else now
        update()
    with torch.no_grad():
        return codes.detach(), loss(codes)
