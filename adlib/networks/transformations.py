"""The geometric transformations of GeoTrans, and what is known of each."""

from itertools import product

import torch
from torch import Tensor, nn


class Transformations(nn.Module):
    """Mirrored or not, shifted to eight sides or not, turned by 0 to 3 quarters: 72 copies.

    `sources` `(72, S * S)` says which pixel of an image every pixel of a copy shows. What a shift
    uncovers is mirrored at the border, its outermost pixel too. `alpha` `(72, 72)` holds the
    Dirichlet parameters of every transformation; before they are fitted, a score is the mean
    negative log-probability of the right transformation.
    """

    def __init__(self, side: int, shift: int) -> None:
        super().__init__()
        pixels, sources = torch.arange(side * side).view(side, side), []
        shifts = (0, -shift, shift)
        for mirrored, down, right, quarters in product((False, True), shifts, shifts, range(4)):
            rows, columns = (_shifted(side, by) for by in (down, right))
            copy = (pixels.flip(1) if mirrored else pixels)[rows][:, columns]
            sources.append(copy.rot90(quarters).flatten())
        self.register_buffer("sources", torch.stack(sources), persistent=False)
        self.register_buffer("alpha", 1 + torch.eye(len(sources)))

    def forward(self, x: Tensor, which: Tensor) -> Tensor:
        """Put every image `(N, C, S, S)` through the transformation that `which` `(N,)` says."""
        sources = self.sources[which][:, None].expand(-1, x.shape[1], -1)
        return x.flatten(2).gather(2, sources).view_as(x)

    def copies(self, x: Tensor, chosen: slice) -> Tensor:
        """The chosen copies of every image, `(N * chosen, C, S, S)`, those of an image together."""
        copies = x.flatten(2)[:, :, self.sources[chosen]].transpose(1, 2)
        return copies.reshape(-1, *x.shape[1:])


def _shifted(side: int, by: int) -> Tensor:
    places = torch.arange(side) + by
    places = torch.where(places < 0, -1 - places, places)
    return torch.where(places < side, places, 2 * side - 1 - places)
