"""What a protocol makes of a set of images: a split, whose labels are its own."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from adlib.data.images import ImageSet

if TYPE_CHECKING:
    import torch

_SOME = "images of either label"
CHUNK = 1 << 26  # bytes of pixels: each reading looks at the stamps of all files, so not too few
PARTS = ("train", "abnormal", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """A set of images split by a protocol.

    Attributes:
        images: the whole set.
        protocol: the protocol's name.
        seed: seed of what was drawn.
        labels: (N,) over all images, 0 normal and 1 abnormal in this protocol.
        train: rows of `images.table` that a detector takes for normal when it trains. Those of
            label 1 among them contaminate the training; a detector does not know them.
        validation: rows held out of the training images: normal ones and, where a protocol says
            so, labelled abnormal ones (see `labels`).
        test: rows to test on.
        dropped: images in no part because of a byte-identical copy: {"path", "reason"} each.
        abnormal: rows of training images that are labelled abnormal, without those held out;
            mostly none.
        whole: the split that this one is a subsample of; None where it is none.
    """

    images: ImageSet
    protocol: str
    seed: int
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    dropped: list[dict[str, str]] = field(default_factory=list)
    abnormal: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    whole: "Split | None" = None

    def rows(self, part: str) -> np.ndarray:
        """Rows of `images.table` that make up a part."""
        if part not in PARTS:
            raise ValueError(f"Unknown part {part!r}; there is {', '.join(PARTS)}.")
        return getattr(self, part)

    def pixels(self, part: str, side: int | None = None, channels: int = 3) -> "torch.Tensor":
        """Pixels of a part: uint8 (N, channels, side, side); see `ImageSet.pixels`."""
        return self.images.pixels(self.rows(part), side, channels)

    def chunks(self, part: str, side: int, channels: int = 3) -> "Iterator[torch.Tensor]":
        """Pixels of a part as `pixels` gives them, at most `CHUNK` bytes at a time."""
        rows = self.rows(part)
        each = channels * side**2 * -(-self.images.count(rows, side) // max(1, len(rows)))
        step = max(1, CHUNK // max(1, each))
        for start in range(0, len(rows), step):
            yield self.images.pixels(rows[start : start + step], side, channels)

    def masks(self, part: str, side: int | None = None) -> "torch.Tensor":
        """Masks of a part: bool (N, side, side); see `ImageSet.masks`."""
        return self.images.masks(self.rows(part), side)

    def labels_of(self, part: str) -> np.ndarray:
        """Labels of a part: (N,), 0 normal and 1 abnormal."""
        return self.labels[self.rows(part)]

    def table(self, part: str) -> pd.DataFrame:
        """Rows of a part, labels as in this protocol; the index is the row in the set."""
        return self.images.table.iloc[self.rows(part)].assign(label=self.labels_of(part))

    def lists(self) -> dict[str, list]:
        """Paths of every part, and what was dropped and why; can be written as JSON."""
        paths = self.images.table["path"]
        lists = {part: paths.iloc[self.rows(part)].tolist() for part in PARTS}
        return lists | {"dropped": list(self.dropped)}

    def examples(self, n: int) -> tuple[np.ndarray, list[str]]:
        """Rows of the first `n` test images of either label (fewer where there are), and labels.

        The normal ones come first; their labels are "normal" and "abnormal".
        """
        labels = self.labels_of("test")
        rows = np.concatenate([self.test[labels == label][:n] for label in (0, 1)])
        return rows, ["abnormal" if self.labels[row] else "normal" for row in rows]

    def check_test(self, least: int = 1) -> None:
        """Raise a ValueError unless the test holds `least` images of either label."""
        labels = self.labels_of("test")
        normal, abnormal = int((labels == 0).sum()), int((labels == 1).sum())
        if min(normal, abnormal) < least:
            raise ValueError(
                f"{self.images.title}: {normal} normal and {abnormal} abnormal images are there to "
                f"test on, and {least} of either are needed. Add images."
            )

    def subsample(self, n: int) -> "Split":
        """Split whose validation and test hold at most `n` images of either label.

        What a test keeps does not depend on the seed, as the test itself, and more `n` only adds
        images. The protocol's name says that the test is a part of the whole.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}.")
        kept = {}
        for part in ("validation", "test"):
            rows, labels = self.rows(part), self.labels_of(part)
            rng = generator(0, *draw_names(self.images, "subsample"), part)
            some = [rng.permutation(rows[labels == label])[:n] for label in (0, 1)]
            kept[part] = np.sort(np.concatenate(some))
        name = f"{self.protocol}; test on at most {n} {_SOME}"
        return replace(self, protocol=name, whole=self.whole or self, **kept)


def draw_names(images: ImageSet, protocol: str) -> tuple[str, str, str]:
    """Give the names that the draws of a protocol depend on beside the seed."""
    return images.name, Path(images.category).name, protocol


def subsampled(protocol: str) -> bool:
    """Whether a protocol's name says that `Split.subsample` has thinned its test."""
    return protocol.endswith(_SOME)


def generator(seed: int, *names: str) -> np.random.Generator:
    """Random generator of a seed and of names, so that sets do not share their draws."""
    text = "/".join(names).encode()
    words = np.frombuffer(hashlib.sha256(text).digest(), "<u4")
    return np.random.default_rng(np.random.SeedSequence([seed, *words.tolist()]))
