"""PatchCore (Roth et al. 2022): distance to the nearest of the training images' patch features.

As in the paper, patches are averaged with their neighbours in two stages of the backbone, and the
memory is thinned by greedy k-center on random projections. Unlike the authors' code, features are
not squeezed to 1024 dimensions, every choice of the greedy search is exact, and so is the search;
images are seen whole, not cropped to their centre, and scores are weighted by the paper's equation
7, which their code leaves out.
"""

from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from adlib.data.protocols import Split
from adlib.models.base import register
from adlib.models.features import Batches, FeatureDetector, FeatureSettings, Memory
from adlib.models.settings import Count, Number, declared
from adlib.networks import neighbours

PROJECTED = 128  # dimensions in which the memory is thinned


@declared
class PatchCoreSettings(FeatureSettings):
    """Settings of PatchCore.

    Attributes:
        backbone: the authors' Wide-ResNet-50-2 where its weights can be had.
        coreset: share of the sampled patches that the memory keeps.
        sample: patches of the training images, drawn by the seed, of which the memory is chosen; 0
            for all, as in the paper. It bounds memory and time: the bank has at most `coreset
            sample` entries.
        neighbours: how many entries around the nearest one weight the score; 1 switches it off.
    """

    coreset: Annotated[Number, Field(gt=0, le=1)] = 0.1
    sample: Annotated[int, Field(ge=0)] = 100_000
    neighbours: Count = 9
    authors_backbone: ClassVar[str] = "wide_resnet50_2"


@register
class PatchCore(FeatureDetector):
    """A bank of patch features.

    `fit` holds the sampled patches before it thins them: 100,000 take 0.06 GB with
    EfficientNet-Lite0 and 0.6 GB with Wide-ResNet-50-2, besides the projections (0.1 GB).
    """

    Settings = PatchCoreSettings
    _index: neighbours.Index | None = None  # of the bank as it is; a bank is replaced, not changed

    def build(self) -> dict[str, nn.Module]:
        return {"memory": Memory("bank")}

    def learn(self, batches: Batches, images: int, rng: torch.Generator) -> dict[str, float]:
        patches, available = self._sample(batches, images, rng)
        numbers = self._keep(patches, self._share(len(patches)), rng)
        return {"images": images, "patches": available, "sampled": len(patches)} | numbers

    def extend(
        self, split: Split, seed: int = 0, device: str | torch.device | None = None
    ) -> pd.DataFrame:
        """Add the training images of another split to the bank.

        Its entries and a sample of the new patches are thinned together by the same greedy rule:
        where the bank is full, new entries find room only if old ones make it, and those go that
        others stand for. The bank grows by `coreset` of the sample, up to what a whole sample
        gives.

        Raises:
            ValueError: the detector has not been fitted.
        """
        if len(self.networks["memory"].bank) == 0:
            raise ValueError("PatchCore is extended after it has been fitted; its bank is empty")
        return self._learn(self._extend, split, seed, device)

    def _extend(self, batches: Batches, images: int, rng: torch.Generator) -> dict[str, float]:
        patches, available = self._sample(batches, images, rng)
        bank = self.networks["memory"].bank
        count = len(bank) + self._share(len(patches))
        if self.settings.sample:
            count = min(count, max(len(bank), self._share(self.settings.sample)))
        numbers = self._keep(torch.cat([bank, patches]), count, rng)
        return {"images": images, "patches": available, "sampled": len(patches)} | numbers

    def _share(self, patches: int) -> int:
        """Entries that the bank keeps of so many patches."""
        return max(1, round(self.settings.coreset * patches))

    def _keep(self, patches: Tensor, count: int, rng: torch.Generator) -> dict[str, float]:
        """Make `count` of the patches `(n, d)` the bank."""
        first = int(torch.randint(len(patches), (), generator=rng))
        kept, radius = neighbours.k_center(self._projected(patches, rng), count, first)
        self.networks["memory"].bank = patches[kept]
        return {"bank": len(kept), "radius": radius}

    def _sample(self, batches: Batches, images: int, rng: torch.Generator) -> tuple[Tensor, int]:
        """Patches `(n, d)` drawn from those of all images, and how many these are."""
        available = images * (self.settings.side // 8) ** 2
        if not 0 < self.settings.sample < available:
            chosen = torch.arange(available)
        else:
            # Takes memory for those drawn, not for all.
            drawn = np.random.default_rng(int(torch.randint(1 << 62, (), generator=rng)))
            chosen = drawn.choice(available, self.settings.sample, replace=False, shuffle=False)
            chosen = torch.from_numpy(chosen).sort().values
        patches, filled, start = None, 0, 0
        for maps in batches:
            part = self._patches(maps).flatten(0, 1)
            if patches is None:
                patches = part.new_empty(len(chosen), part.shape[1])
            end = int(torch.searchsorted(chosen, start + len(part)))
            patches[filled:end] = part[(chosen[filled:end] - start).to(part.device)]
            filled, start = end, start + len(part)
        return patches, available

    def seconds_after(self, images: int) -> float:
        n = images * (self.settings.side // 8) ** 2
        n = min(n, self.settings.sample or n)
        return neighbours.k_center_seconds(n, PROJECTED, self._share(n), self.device)

    def _patches(self, maps: list[Tensor]) -> Tensor:
        """Features of every patch, `(n, places, d)`, places row by row."""
        fine, coarse = (F.avg_pool2d(stage, 3, 1, 1) for stage in maps[1:])
        coarse = F.interpolate(coarse, fine.shape[-2:], mode="bilinear")
        return torch.cat([fine, coarse], 1).flatten(2).mT.contiguous()

    def _projected(self, patches: Tensor, rng: torch.Generator) -> Tensor:
        """Gaussian projection to `PROJECTED` dimensions (Johnson-Lindenstrauss), if fewer."""
        d = patches.shape[1]
        if d <= PROJECTED:
            return patches
        matrix = torch.randn(d, PROJECTED, generator=rng) / PROJECTED**0.5
        return patches @ matrix.to(patches.device)

    def _distances(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Distance of every patch `(n, places)` to its nearest entry, and which that is."""
        bank = self.networks["memory"].bank
        if self._index is None or self._index.bank is not bank:
            self._index = neighbours.Index(bank)
        results = self._index.nearest(patches.flatten(0, 1))
        return tuple(part.view(patches.shape[:2]) for part in results)

    def __getstate__(self) -> dict[str, object]:
        """Leave out of copies what is made of the bank."""
        return {**vars(self), "_index": None}

    def judge_inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Score of the patch that lies farthest, and distances, enlarged and smoothed."""
        patches = self._patches(self.maps(x))
        distances, entries = self._distances(patches)
        rest = self.settings.side // 8
        maps = self.enlarged(distances.view(-1, rest, rest))
        return self._scores(patches, distances, entries), maps

    def map_inputs(self, x: Tensor) -> Tensor:
        return self.judge_inputs(x)[1]

    def _scores(self, patches: Tensor, distances: Tensor, entries: Tensor) -> Tensor:
        """Largest distance s of a patch p, weighted by equation 7 of the paper.

        With m the entry nearest to p, the weight is 1 - exp|p - m| / sum exp|p - k| over the
        entries k nearest to m, m among them: an outlier counts more where m itself is rare, that is
        where its neighbours are far from p.
        """
        s, place = distances.max(1)
        bank = self.networks["memory"].bank
        around = min(self.settings.neighbours, len(bank))
        if around == 1:
            return s
        images = torch.arange(len(s), device=s.device)
        p, m = patches[images, place], bank[entries[images, place]]
        plain = "donot_use_mm_for_euclid_dist"  # differences, as everywhere
        near = torch.cdist(m, bank, compute_mode=plain).topk(around, largest=False).indices
        to_near = (bank[near] - p[:, None]).norm(dim=2)
        return s * (1 - torch.exp(s - to_near.logsumexp(1)))
