"""VAE (Kingma and Welling 2014), scored by likelihood or by the gradient of the KL term.

The scores are those of An and Cho (2015) and of Zimmerer et al. (2018, 2019). Networks and training
are those of `adlib/models/variational.py`; Zimmerer's have other layers.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adlib.models.base import register
from adlib.models.features import Memory
from adlib.models.settings import Count, declared
from adlib.models.variational import Variational, VariationalSettings, divergence


@declared
class VAESettings(VariationalSettings):
    """Settings of VAE.

    Attributes:
        score: `elbo`, the negative evidence lower bound at the code's mean (Zimmerer et al. 2019);
            `probability`, -log p(x | z) averaged over `draws` codes (An and Cho 2015; their decoder
            gives a variance too); `kl_gradient`, the absolute gradient of the KL term for the image
            (Zimmerer et al.); `combined`, that times the squared error [plus the constant of the
            normal distribution, in their code]. The last two are maps, see `pool`.
        draws: codes that `probability` averages over, from the same random numbers for every image.
            An and Cho's number was not at hand; 10 as public code has it.
    """

    score: Literal["elbo", "probability", "kl_gradient", "combined"] = "elbo"
    draws: Count = 10


@register
class VAE(Variational):
    """VAE.

    The KL gradient's absolute value is smoothed by a Gaussian of 7 x 7 pixels and deviation 3 as in
    the authors' code (`MIC-DKFZ/vae-anomaly-experiments`). They scale it to [0, 1] over a batch
    before it is combined; here it stays as it is, for a score must not depend on the batch.
    """

    Settings = VAESettings

    def build(self) -> dict[str, nn.Module]:
        s, networks = self.settings, super().build()
        if s.score == "probability":
            networks["draws"] = Memory("codes")
            rng = torch.Generator().manual_seed(0)
            networks["draws"].codes = torch.randn(s.draws, s.latent, 1, 1, generator=rng)
        return networks

    def score_inputs(self, x: Tensor) -> Tensor:
        if self.settings.score in ("kl_gradient", "combined"):
            return self.pooled(self.map_inputs(x))
        mean, log_variance = self.encode(x)
        if self.settings.score == "elbo":
            return self.surprise(x, self.decode(mean)) + divergence(mean, log_variance)
        codes, deviation = self.networks["draws"].codes, (log_variance / 2).exp()
        return sum(self.surprise(x, self.decode(mean + deviation * z)) for z in codes) / len(codes)

    def map_inputs(self, x: Tensor) -> Tensor:
        """Map of the score's kind, mean over channels; of likelihoods the absolute difference."""
        if self.settings.score in ("elbo", "probability"):
            return super().map_inputs(x)
        slopes = smoothed(self._slopes(x).abs().mean(1))
        if self.settings.score == "kl_gradient":
            return slopes
        return slopes * (x - self.reconstruct_inputs(x)).square().mean(1)

    def _slopes(self, x: Tensor) -> Tensor:
        """Gradient of every image's KL term for its values."""
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone().requires_grad_(True)  # autograd refuses inference tensors
            (slopes,) = torch.autograd.grad(divergence(*self.encode(x)).sum(), x)
        return slopes


def smoothed(maps: Tensor) -> Tensor:
    """Gaussian of 7 x 7 pixels and deviation 3 over maps `(n, S, S)`, zero beyond the border."""
    kernel = torch.exp(-torch.arange(-3, 4, device=maps.device).square() / 18)
    kernel = kernel.outer(kernel) / kernel.sum().square()
    return F.conv2d(maps.unsqueeze(1), kernel.to(maps.dtype).view(1, 1, 7, 7), padding=3)[:, 0]
