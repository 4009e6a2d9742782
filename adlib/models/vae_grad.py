"""VAE-grad (Dehaene, Frigo, Combrexelle and Eline, ICLR 2020): an image moved to where a VAE ends.

From the image x_0 on, every step lowers the energy E(x) = |x - f(x)|^2 + lambda |x - x_0|_1, f the
VAE's reconstruction, by x <- x - alpha (dE/dx) (x - f(x))^2, value by value. An image stops as soon
as |x - f(x)|^2 is no more than that of the training images (their smallest in public code). All
sums are over the values of images in [0, 1], for which alpha and lambda are meant.

The authors published no code and their text was not at hand: update and settings are those on which
two public reimplementations agree. Departures from these: their gradient takes f(x) for a constant,
this one goes through the VAE, as the energy's does; f decodes the mean of the code instead of a
drawn one, so that scores do not change from call to call; their error is a cross-entropy in one and
this square in the other.
"""

import pandas as pd
import torch
from torch import Tensor, nn

from adlib.data.protocols import Split
from adlib.models import graphs, training
from adlib.models.base import register
from adlib.models.features import Memory
from adlib.models.settings import Count, Positive, Share, Weight, declared
from adlib.models.training import Budget
from adlib.models.variational import Variational, VariationalSettings, squared_error


@declared
class VAEGradSettings(VariationalSettings):
    """Settings of VAEGrad; in brackets what public reimplementations have.

    Attributes:
        search_steps: of the projection at most [25 to 100].
        alpha: size of its steps [0.5].
        sparsity: lambda, weight of the distance to the image [0.05].
        stop: quantile of the training images' squared errors at which an image stops; 0 is their
            smallest [0].
    """

    search_steps: Count = 100
    alpha: Positive = 0.5
    sparsity: Weight = 0.05
    stop: Share = 0.0


@register
class VAEGrad(Variational):
    """VAE-grad; the map is the absolute difference of an image and of where it was moved.

    Patches of training images are those of the grid that scoring cuts. Snapshots on the way of a
    training do not know where to stop and take all steps.
    """

    Settings = VAEGradSettings
    scores_by_graph = False  # a step is a graph of its own

    def build(self) -> dict[str, nn.Module]:
        networks = super().build() | {"stop": Memory("error")}
        networks["stop"].error = torch.zeros(())
        return networks

    def fit(self, split: Split, budget: Budget, seed: int = 0, **options: object) -> pd.DataFrame:
        """Train, then find from the training images where to stop."""
        s = self.settings
        pixels = split.pixels("train", s.side, s.channels)
        history = training.train(self, pixels, budget, seed, **options)
        errors = self._over_inputs(lambda x: squared_error(x, self._vae(x)), pixels, batch=64)
        self.networks["stop"].error.fill_(errors.double().quantile(s.stop))
        return history

    def _vae(self, x: Tensor) -> Tensor:
        """f: the VAE's reconstruction of network inputs."""
        return super().reconstruct_inputs(x)

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        """Where the projection ends, in [-1, 1]."""
        with torch.inference_mode(False), torch.enable_grad():
            start, now = x.clone(), x.clone()  # autograd refuses inference tensors

            def step() -> Tensor:
                return now.copy_(self._moved(now, start))

            if graphs.usable(x.device):
                step, _ = graphs.attempt("a projection", step, lambda: [now])
            for _ in range(self.settings.search_steps):
                step()
        return now

    def _moved(self, x: Tensor, start: Tensor) -> Tensor:
        """Images after one step; those that have stopped stay as they are."""
        s, x = self.settings, x.detach().requires_grad_(True)
        again = self._vae(x)
        errors = squared_error(x, again)
        energies = errors + s.sparsity * (x - start).abs().flatten(1).sum(1) / 2
        (slope,) = torch.autograd.grad(energies.sum(), x)
        # The step in [0, 1]: there slopes double, squares are a quarter and steps half as long.
        moved = (x - s.alpha * slope * (x - again).square()).clamp(-1, 1)
        moving = (errors > self.networks["stop"].error).view(-1, 1, 1, 1)
        return torch.where(moving, moved, x).detach()

    def score_inputs(self, x: Tensor) -> Tensor:
        return self.pooled(self.map_inputs(x))
