"""CoP, REAPER, LRR, DPCP and R-graph (see `adlib/models/linear.py`) on a backbone's features.

They are transductive: `fit` learns nothing, and `score` sets the images that it is given against
one another. A score means something beside those of its sample alone, so there are no held-out
images, no threshold that was fixed beforehand, and no map.
"""

from pathlib import Path
from typing import Literal, Self

import numpy as np
import pandas as pd
import torch
from pydantic import model_validator
from torch import Tensor, nn

from adlib.data.protocols import Split
from adlib.host.device import default_device
from adlib.models import linear
from adlib.models.base import Detector, register
from adlib.models.settings import Count, Positive, Settings, declared
from adlib.models.training import Budget
from adlib.networks import backbones

BATCH = 16  # images that go through the backbone at once


@declared
class RobustSubspaceSettings(Settings):
    """Settings of RobustSubspace; `patch`, `rotation` and `learning_rate` have no effect.

    Attributes:
        side: the backbone resizes images to 224 px, whatever it is.
        method: name in `linear.METHODS`.
        backbone: whose pooled last features are the points, scaled to unit length for LRR. The
            network of the quoted numbers was not at hand, nor were their parameters;
            EfficientNet-Lite0's weights always are.
        dimension: of the inliers' subspace, for REAPER and DPCP; 10 here.
        weight: lambda of LRR; 0.1 here.
        components: leading principal directions that DPCP works in, because it needs more points
            than dimensions; its dual directions are those beyond `dimension`. 40 here.
    """

    side: Count = 224
    method: Literal[*linear.METHODS] = "CoP"
    backbone: Literal[*backbones.TITLES] = backbones.FALLBACK
    dimension: Count = 10
    weight: Positive = 0.1
    components: Count = 40

    @model_validator(mode="after")
    def _check_components(self) -> Self:
        if self.components <= self.dimension:
            raise ValueError(
                f"dimension={self.dimension}, components={self.components}: DPCP needs more "
                "components than dimensions"
            )
        return self


@register
class RobustSubspace(Detector):
    """Robust subspace recovery, and R-graph, in the sample that is scored."""

    Settings = RobustSubspaceSettings
    reconstructs = False
    transductive = True
    _device = torch.device("cpu")

    def build(self) -> dict[str, nn.Module]:
        return {}

    @property
    def device(self) -> torch.device:
        return self._device

    def to(self, device: str | torch.device) -> "RobustSubspace":
        self._device = torch.device(device)
        return self

    def fit(
        self,
        split: Split,
        budget: Budget | None = None,
        seed: int = 0,
        device: str | torch.device | None = None,
        folder: str | Path | None = None,
    ) -> pd.DataFrame:
        """Learn nothing; no image is looked at."""
        self.to(device or default_device())
        return pd.DataFrame([{"step": 1}])

    def score(self, images: Tensor, batch: int = 64) -> np.ndarray:
        """Scores of all images as one sample; `batch` has no effect."""
        return super().score(images, len(images))

    def score_inputs(self, x: Tensor) -> Tensor:
        s, network = self.settings, backbones.load(self.settings.backbone, self.device)
        features = torch.cat([network.pooled(part) for part in x.split(BATCH)]).double()
        points = features.cpu().numpy()
        if s.method == "REAPER":
            scores = linear.reaper(points, s.dimension)
        elif s.method == "LRR":
            scores = linear.lrr(linear.unit(points), s.weight)
        elif s.method == "DPCP":
            inside = linear.reduced(points, s.components)
            scores = linear.dpcp(inside, s.components - s.dimension)
        else:
            scores = linear.METHODS[s.method](points)
        return torch.from_numpy(scores)
