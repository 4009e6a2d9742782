"""Base of the detectors that score an image by the code whose generated image comes closest."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from adlib.models.base import Trainable, error_map
from adlib.models.latent_search import frozen, latent_search
from adlib.networks import augment


class Searching(Trainable):
    """Base of AnoGAN and its like.

    Settings have `latent`, `search_steps`, `search_rate`, `restarts` and `search_chunk`. Every
    search has exactly `search_chunk` images, filled up where they are fewer: see `latent_search`.
    """

    scores_by_graph: ClassVar[bool] = False  # every search is a graph of its own

    @abstractmethod
    def search_loss(self, nets: nn.ModuleDict, x: Tensor) -> Callable[[Tensor], Tensor]:
        """Loss `(n,)` of codes `(n, latent)`, each for its own image of `x`.

        Args:
            nets: the networks, frozen.
            x: `(n, C, S, S)` in [-1, 1].
        """

    @abstractmethod
    def generated(self, nets: nn.ModuleDict, codes: Tensor) -> Tensor:
        """Images of codes, `(n, C, S, S)`."""

    def project(self, codes: Tensor) -> Tensor:
        """Bring codes back to where the prior lies, after every step; nowhere by default."""
        return codes

    def search(self, images: Tensor) -> tuple[np.ndarray, Tensor, np.ndarray]:
        """What `score`, `reconstruct` and `anomaly_map` give, from one search instead of three."""
        s, shape = self.settings, (self.settings.channels, *[self.settings.input_side] * 2)

        def scores_and_images(x: Tensor) -> Tensor:
            scores, again = self._search(x)
            return torch.cat([scores[:, None], again.flatten(1)], 1)

        results = self._over_inputs(scores_and_images, images, s.search_chunk)
        again = results[:, 1:].unflatten(1, shape)
        maps = error_map(augment.to_float(augment.tile(images.cpu(), s.input_side)), again)
        return (
            results[:, 0].view(len(images), -1).amax(1).double().numpy(),
            augment.to_uint8(augment.untile(again, s.side)),
            augment.untile(maps[:, None], s.side)[:, 0].numpy(),
        )

    def _search(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores `(n,)` and what the best codes give, `(n, C, S, S)`, of network inputs."""
        size = self.settings.search_chunk
        filled = torch.cat([x, x[-1:].expand(-len(x) % size, -1, -1, -1)])
        with torch.inference_mode(False), torch.enable_grad():
            nets = frozen(self.networks)
            # Copies, because autograd refuses inference tensors.
            results = [self._search_chunk(nets, part.clone()) for part in filled.split(size)]
        scores, again = (torch.cat(parts)[: len(x)] for parts in zip(*results, strict=True))
        return scores, again

    def _search_chunk(self, nets: nn.ModuleDict, x: Tensor) -> tuple[Tensor, Tensor]:
        """Search for the images of one chunk, all restarts at once; keep the best of each."""
        s, rng = self.settings, torch.Generator().manual_seed(0)
        # One after another: more restarts then hold all that fewer have.
        start = torch.stack([torch.randn(s.latent, generator=rng) for _ in range(s.restarts)])
        start = self.project(start.to(x)).repeat(len(x), 1)
        loss = self.search_loss(nets, x.repeat_interleave(s.restarts, 0))
        results = latent_search(loss, start, s.search_steps, s.search_rate, self.project)
        codes, values = (v.unflatten(0, (len(x), s.restarts)) for v in results)
        scores, best = values.min(1)
        codes = codes[torch.arange(len(x), device=x.device), best]
        with torch.no_grad():
            return scores, self.generated(nets, codes)

    def judge_inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, again = self._search(x)
        return scores, error_map(x, again)

    def score_inputs(self, x: Tensor) -> Tensor:
        return self._search(x)[0]

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        return self._search(x)[1]
