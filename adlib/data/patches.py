"""Abnormal pixels in normal images: small patches of abnormal images, pasted into training images.

Kimura and Yanagihara (ACCV Workshops 2018) say that a few abnormal pixels in normal training images
spoil a generator, and measure nothing of it. This makes such training images.
"""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from adlib.data import cache
from adlib.data.image_packs import PackedSet
from adlib.data.images import ImageSet, Index
from adlib.data.protocols import draw_names
from adlib.data.split import Split, generator

if TYPE_CHECKING:
    import torch

LOOK = 32  # side in pixels at which the place of a patch is found


class Patch(NamedTuple):
    """Where one image gets a square of another, at the same place; places are shares of the side.

    Attributes:
        row: image that gets it.
        source: image that it is cut out of.
        top, left: its upper left corner, in [0, 1).
        size: its side, in (0, 1).
    """

    row: int
    source: int
    top: float
    left: float
    size: float

    def box(self, side: int) -> tuple[slice, slice]:
        """Rows and columns of the patch in images of `side` pixels; at least one pixel."""
        length = max(1, round(self.size * side))
        corner = (min(round(at * side), side - length) for at in (self.top, self.left))
        return tuple(slice(start, start + length) for start in corner)


@dataclass(frozen=True, eq=False)
class PatchedSet(ImageSet):
    """Images some of which hold a patch of another.

    The patches are pasted when pixels are asked for, so that the cache is that of the plain set.
    Digests stay those of the files; the fingerprint, which names a run, tells the patches too.

    Attributes:
        patches: at most one an image.
    """

    patches: tuple[Patch, ...] = ()

    def pixels(
        self, index: Index = None, side: int | None = None, channels: int = 3
    ) -> "torch.Tensor":
        """As `ImageSet.pixels`, with the patches."""
        rows, pixels = self._rows(index), super().pixels(index, side, channels).clone()
        by_row = {patch.row: patch for patch in self.patches}
        shown = [(i, by_row[row]) for i, row in enumerate(rows.tolist()) if row in by_row]
        sources = super().pixels([patch.source for _, patch in shown], pixels.shape[-1], channels)
        for source, (i, patch) in zip(sources, shown, strict=True):
            down, across = patch.box(pixels.shape[-1])
            pixels[i, :, down, across] = source[:, down, across]
        return pixels

    def fingerprint(self) -> str:
        """SHA-256 of the set and of its patches."""
        return cache.hashed([super().fingerprint(), *self.patches])


def with_patches(split: Split, share: float, size: float = 0.2) -> Split:
    """Paste a patch of an abnormal image into a share of the normal training images.

    The patches are cut out of images that are labelled abnormal in training, so nothing of the test
    is trained on. Each lies where its two images differ most, so that it shows. Which images get
    one, and of which, is drawn by the split's seed; a larger share only adds patches.

    Args:
        split: a split with labelled abnormal training images; its parts stay as they are.
        share: of the training images, at least one of them; for 0 the split itself is given back.
        size: side of a patch as a share of the image's; 0.2 is 4 % of the pixels.

    Raises:
        ValueError: a share outside [0, 1], a size outside (0, 1), no labelled abnormal images, or
            images from a pack of one side.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be at least 0 and at most 1, not {share}.")
    if not 0 < size < 1:
        raise ValueError(f"size must be above 0 and below 1, not {size}.")
    images = split.images
    if len(split.abnormal) == 0:
        raise ValueError(
            f"{images.name}/{images.category}, {split.protocol}: no labelled abnormal training "
            "images to cut patches out of. pooled_balanced has some."
        )
    if share == 0:
        return split
    if isinstance(images, PackedSet):
        raise ValueError(
            f"{images.file}: a patch is placed at {LOOK} px and pasted at any side, but a "
            "pack holds one. Bring the originals."
        )
    n = max(1, round(share * len(split.train)))
    rng = generator(split.seed, *draw_names(images, "patches"))
    rows = rng.permutation(split.train)
    sources = rng.choice(split.abnormal, len(rows))
    own = {field.name: getattr(images, field.name) for field in fields(ImageSet)}
    name = f"{100 * share:g} % of the training images with a patch of an abnormal one"
    return replace(
        split,
        protocol=f"{split.protocol}, {name}",
        images=PatchedSet(**own, patches=_placed(images, rows[:n], sources[:n], size)),
    )


def _placed(
    images: ImageSet, rows: np.ndarray, sources: np.ndarray, size: float
) -> tuple[Patch, ...]:
    """A patch for each of `rows`, where it and its source differ most."""
    pairs = (
        images.pixels(some, LOOK, 1)[:, 0].numpy().astype(np.int64) for some in (rows, sources)
    )
    length = max(1, round(size * LOOK))
    placed = []
    for row, source, mine, other in zip(rows.tolist(), sources.tolist(), *pairs, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(abs(mine - other), (length, length))
        differences = windows.sum((2, 3))
        top, left = np.unravel_index(differences.argmax(), differences.shape)
        placed.append(Patch(row, source, float(top / LOOK), float(left / LOOK), size))
    return tuple(placed)
