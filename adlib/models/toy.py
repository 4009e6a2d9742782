"""Two-dimensional toy of Noisy-AnoGAN's Figure 3: what gamma does to the generated distribution.

Normal points and some unlabelled abnormal ones make the training data p_d; labelled abnormal points
p_an come from the same place as those.
"""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adlib.models import losses
from adlib.models.base import descend

NORMAL = ((-1.0, 0.0), (0.5, 0.9), (0.5, -0.9))  # centres of the normal components
ABNORMAL = (1.8, 0.0)  # centre of p_an
SPREAD = 0.25  # standard deviation of every component
CONTAMINATION = 0.1  # share of p_d that comes from p_an
RADIUS = 3 * SPREAD  # of the abnormal region, a disc around its centre
BATCH = 256  # points in a training step


def draw(count: int, contamination: float, rng: torch.Generator) -> Tensor:
    """Draw `(count, 2)` points: normal ones, and a share of abnormal ones (0 to 1)."""
    centres = torch.tensor([*NORMAL, ABNORMAL])
    which = torch.randint(len(NORMAL), (count,), generator=rng)
    which[torch.rand(count, generator=rng) < contamination] = len(NORMAL)
    return centres[which] + SPREAD * torch.randn(count, 2, generator=rng)


def abnormal_share(points: Tensor) -> float:
    """Share of points `(N, 2)` in the abnormal region."""
    distance = (points - torch.tensor(ABNORMAL)).square().sum(1).sqrt()
    return (distance < RADIUS).float().mean().item()


def _density(points: Tensor, centre: tuple[float, float]) -> Tensor:
    square = (points - torch.tensor(centre, dtype=points.dtype)).square().sum(-1)
    return torch.exp(-square / (2 * SPREAD**2)) / (2 * torch.pi * SPREAD**2)


@dataclass(frozen=True)
class Optimum:
    """The density of a perfect generator on a grid.

    Attributes:
        points: centres of the cells, `(n, n, 2)`, x along dimension 1.
        density: `(n, n)`, clipped at zero and scaled so that its integral is one.
        negative: integral of the part that was clipped, before scaling.
        abnormal: share of the density in the abnormal region.
    """

    points: Tensor
    density: Tensor
    negative: float
    abnormal: float


def optimum(gamma: float, contamination: float = CONTAMINATION, cells: int = 200) -> Optimum:
    """p_g* = p_d / gamma - (1 - gamma) / gamma p_an (equation 23) on [-3, 3] x [-3, 3].

    Equation 23 is negative wherever (1 - gamma) p_an > p_d, where no density can be: that part is
    set to zero and the rest scaled down.

    Args:
        gamma: in (0, 1].
        contamination: share of p_an in p_d, 0 to 1.
        cells: of the grid along either side.
    """
    step = 6 / cells
    axis = (torch.arange(cells, dtype=torch.float64) + 0.5) * step - 3
    points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    abnormal = _density(points, ABNORMAL)
    normal = sum(_density(points, centre) for centre in NORMAL) / len(NORMAL)
    data = (1 - contamination) * normal + contamination * abnormal
    exact = data / gamma - (1 - gamma) / gamma * abnormal
    density = exact.clamp(min=0)
    negative = (density - exact).sum().item() * step**2
    density = density / (density.sum() * step**2)
    inside = (points - torch.tensor(ABNORMAL)).square().sum(-1) < RADIUS**2
    return Optimum(points, density, negative, density[inside].sum().item() * step**2)


def train_points(
    gamma: float,
    weighting: str = "literal",
    steps: int = 1000,
    contamination: float = CONTAMINATION,
    count: int = 2000,
    seed: int = 0,
) -> Tensor:
    """Train a small GAN with Noisy-AnoGAN's objective on the toy and draw from it.

    Args:
        gamma: weight of the GAN's game, in (0, 1].
        weighting: `literal` or `theory`, see `adlib.models.losses.noisy_discriminator_loss`.
        steps: training steps of `BATCH` points.
        contamination: share of unlabelled abnormal points in the training data, 0 to 1.
        count: points to draw.
        seed: of weights and draws.

    Returns:
        Generated points `(count, 2)`, of the running average of the generator's weights.
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # layers draw from the global generator
        torch.manual_seed(seed)
        generator, discriminator = _network(4, 2), _network(2, 1)
    nets = generator, discriminator
    optimizers = [torch.optim.Adam(n.parameters(), 2e-3, (0.0, 0.99), fused=True) for n in nets]
    average = copy.deepcopy(generator)
    pairs = [list(net.parameters()) for net in (average, generator)]
    for _ in range(steps):
        x = draw(BATCH, contamination, rng).requires_grad_(True)
        fake = generator(torch.randn(BATCH, 4, generator=rng))
        others = [fake.detach()] if gamma == 1 else [fake.detach(), draw(BATCH, 1.0, rng)]
        on_real = discriminator(x)[:, 0]
        on_fake, *rest = discriminator(torch.cat(others))[:, 0].chunk(len(others))
        on_abnormal = rest[0] if rest else None
        loss = losses.noisy_discriminator_loss(on_real, on_fake, on_abnormal, gamma, weighting)
        descend(loss + 0.05 * losses.r1_penalty(on_real, x), optimizers[1])
        descend(F.softplus(-discriminator(fake)).mean(), optimizers[0], generator)
        with torch.no_grad():
            torch._foreach_lerp_(*pairs, 0.01)
    with torch.no_grad():
        return average(torch.randn(count, 4, generator=rng))


def _network(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, 64), nn.LeakyReLU(0.2),
        nn.Linear(64, 64), nn.LeakyReLU(0.2),
        nn.Linear(64, outputs),
    )  # fmt: skip
