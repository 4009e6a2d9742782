"""PaDiM (Defard, Setkov, Loesch, Audigier 2021): a Gaussian of pretrained features at every place.

The score of a place is the Mahalanobis distance of its features to those of the training images at
the same place; the image's score is the highest value of the smoothed map. Unlike in the
paper, images are seen whole, not cropped to their centre.
"""

from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from adlib.host.device import in_float64
from adlib.models.base import register
from adlib.models.features import Batches, FeatureDetector, FeatureSettings, Memory
from adlib.models.settings import Positive, declared

PLACES = 256  # covariances inverted at once, in float64


@declared
class PaDiMSettings(FeatureSettings):
    """Settings of PaDiM.

    Attributes:
        backbone: the authors' ResNet-18 where its weights can be had.
        features: how many features are drawn by the seed, of those of all three stages; 0 for all.
            The memory needs `4 (side / 4)^2 features^2` bytes.
        ridge: what is added to every variance.
    """

    features: Annotated[int, Field(ge=0)] = 100
    ridge: Positive = 0.01
    authors_backbone: ClassVar[str] = "resnet18"


@register
class PaDiM(FeatureDetector):
    """Mean and covariance at every place of the finest map, from one pass over the images."""

    Settings = PaDiMSettings

    def build(self) -> dict[str, nn.Module]:
        return {"gaussians": Memory("chosen", "mean", "whitening")}

    def learn(self, batches: Batches, images: int, rng: torch.Generator) -> dict[str, float]:
        if images < 2:
            raise ValueError(f"PaDiM needs at least 2 training images, not {images}")
        gaussians = self.networks["gaussians"]
        shift = None
        for maps in batches:
            if shift is None:
                chosen = self._chosen(sum(stage.shape[1] for stage in maps), rng)
                gaussians.chosen = chosen.to(maps[0].device)
                # Sums of small numbers: the first batch's mean is about that of all.
                shift = self._features(maps).mean(2, keepdim=True)
                total = torch.zeros_like(shift)
                squares = shift.new_zeros(len(shift), len(chosen), len(chosen))
            x = self._features(maps) - shift
            total += x.sum(2, keepdim=True)
            squares.baddbmm_(x, x.mT)
        mean = total / images
        for place, part in zip(mean.split(PLACES), squares.split(PLACES), strict=True):
            place = in_float64(place)
            covariance = (in_float64(part) - images * place @ place.mT) / (images - 1)
            part.copy_(self._whitening(covariance))
        gaussians.mean, gaussians.whitening = mean + shift, squares
        return {"images": images, "features": len(chosen), "places": len(mean)}

    def _chosen(self, available: int, rng: torch.Generator) -> Tensor:
        """Numbers of the features that are used, in order."""
        count = self.settings.features or available
        if count > available:
            raise ValueError(
                f"features={count}: {self.settings.backbone} has {available} in all stages"
            )
        return torch.randperm(available, generator=rng)[:count].sort().values

    def _features(self, maps: list[Tensor]) -> Tensor:
        """Chosen features of all stages at every place of the finest, `(places, features, n)`."""
        fine, chosen = maps[0].shape[-2:], self.networks["gaussians"].chosen
        parts, start = [], 0
        for stage in maps:
            end = start + stage.shape[1]
            own = chosen[(chosen >= start) & (chosen < end)] - start
            if len(own):  # few features may all be of other stages
                parts.append(F.interpolate(stage[:, own], fine))
            start = end
        return torch.cat(parts, 1).flatten(2).permute(2, 1, 0).contiguous()

    def _whitening(self, covariance: Tensor) -> Tensor:
        """Matrices W with W^T W the inverse of the covariance, ridge included."""
        eye = torch.eye(covariance.shape[1], dtype=covariance.dtype, device=covariance.device)
        factor = torch.linalg.cholesky(covariance + self.settings.ridge * eye)
        return torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)

    def map_inputs(self, x: Tensor) -> Tensor:
        """Mahalanobis distances, enlarged and smoothed."""
        gaussians = self.networks["gaussians"]
        features = self._features(self.maps(x))
        distances = torch.bmm(gaussians.whitening, features - gaussians.mean).norm(dim=1)
        rest = self.settings.side // 4
        return self.enlarged(distances.T.reshape(-1, rest, rest))
