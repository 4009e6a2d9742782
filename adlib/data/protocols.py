"""Protocols: how a set of images is split. Labels belong to the split, not to the images."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from adlib.data.images import ImageSet

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """A set of images split by a protocol.

    Attributes:
        images: the whole set.
        protocol: the protocol's name.
        seed: seed of what was drawn.
        labels: (N,) over all images, 0 normal and 1 abnormal in this protocol.
        train: rows of `images.table` to train on.
        validation: rows held out of the training images; for one-class protocols all normal.
        test: rows to test on.
        dropped: images in no part because of a byte-identical copy: {"path", "reason"} each.
    """

    images: ImageSet
    protocol: str
    seed: int
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    dropped: list[dict[str, str]] = field(default_factory=list)

    def rows(self, part: str) -> np.ndarray:
        """Rows of `images.table` that make up a part."""
        if part not in PARTS:
            raise ValueError(f"Unknown part {part!r}; there is {', '.join(PARTS)}.")
        return getattr(self, part)

    def pixels(self, part: str, side: int | None = None, channels: int = 3) -> torch.Tensor:
        """Pixels of a part: uint8 (N, channels, side, side); see `ImageSet.pixels`."""
        return self.images.pixels(self.rows(part), side, channels)

    def masks(self, part: str, side: int | None = None) -> torch.Tensor:
        """Masks of a part: bool (N, side, side); see `ImageSet.masks`."""
        return self.images.masks(self.rows(part), side)

    def labels_of(self, part: str) -> np.ndarray:
        """Labels of a part: (N,), 0 normal and 1 abnormal."""
        return self.labels[self.rows(part)]

    def table(self, part: str) -> pd.DataFrame:
        """Rows of a part, labels as in this protocol; the index is the row in the set."""
        rows = self.rows(part)
        return self.images.table.iloc[rows].assign(label=self.labels[rows])

    def lists(self) -> dict[str, list]:
        """Paths of every part, and what was dropped and why; can be written as JSON."""
        paths = self.images.table["path"]
        return {part: paths.iloc[self.rows(part)].tolist() for part in PARTS} | {
            "dropped": [dict(item) for item in self.dropped]
        }


def generator(seed: int, *names: str) -> np.random.Generator:
    """Random generator of a seed and of names, so that sets do not share their draws."""
    text = "/".join(names).encode()
    words = np.frombuffer(hashlib.sha256(text).digest(), "<u4")
    return np.random.default_rng(np.random.SeedSequence([seed, *words.tolist()]))


def _drop(
    images: ImageSet, candidates: np.ndarray, kept: np.ndarray, where: str
) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Candidates without those whose bytes are among `kept`, and a note on each one left out."""
    digests, paths = images.digests(), images.table["path"]
    first = {digests[row]: paths.iat[row] for row in kept[::-1]}
    copies = np.array([digests[row] in first for row in candidates], bool)
    notes = [
        {"path": paths.iat[row], "reason": f"same bytes as the {where} image {first[digests[row]]}"}
        for row in candidates[copies]
    ]
    return candidates[~copies], notes


def _contradictions(
    images: ImageSet, labels: np.ndarray
) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Rows whose bytes occur under both labels, and a note on each."""
    digests = np.array(images.digests())
    both = np.intersect1d(digests[labels == 0], digests[labels == 1])
    rows = np.flatnonzero(np.isin(digests, both))
    reason = "the same bytes occur as normal and as abnormal"
    return rows, [{"path": images.table["path"].iat[row], "reason": reason} for row in rows]


def _held_out(
    images: ImageSet, pool: np.ndarray, share: float, rng: np.random.Generator, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `share` of the pool (at least one): the rest and what was drawn, both in table order."""
    if share == 0:
        return pool, pool[:0]
    n = max(1, round(share * len(pool)))
    if len(pool) - n < 1:
        raise ValueError(
            f"{images.name}/{images.category}: {len(pool)} normal image(s) are too few to hold "
            f"{n} out for {what} and still train. Add normal images or lower the share."
        )
    drawn = rng.permutation(len(pool))[:n]
    return np.delete(pool, drawn), np.sort(pool[drawn])


def one_class(
    images: ImageSet, seed: int = 0, validation: float = 0.1, test_share: float = 0.2
) -> Split:
    """Train on normal images only; test on held-out normal images and all abnormal ones.

    Where the set has official parts they are kept and only the validation images are drawn. Else
    `test_share` of the normal images is drawn for the test, the same ones for every seed, so that
    seeds differ in training and not in what they are tested on. Byte-identical copies never stand
    on two sides: of a training image that is also a test (or validation) image the training copy
    is dropped, and an image that occurs as normal and as abnormal is dropped altogether.

    Args:
        images: the set; its labels are the protocol's.
        seed: of the validation images. Draws also depend on the names of set and category.
        validation: share of the training images held out, 0 for none.
        test_share: share of the normal images drawn for the test, where there are no parts.

    Raises:
        ValueError: a share outside [0, 1), or too few normal images.
    """
    for name, share in [("validation", validation), ("test_share", test_share)]:
        if not 0 <= share < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, not {share}.")
    labels = images.table["label"].to_numpy(copy=True)
    part = images.table["part"].to_numpy()
    names = images.name, Path(images.category).name, "one_class"
    contradictory, dropped = _contradictions(images, labels)
    usable = np.setdiff1d(np.arange(len(images)), contradictory)
    if (part != "").any():
        pool = usable[(part[usable] == "train") & (labels[usable] == 0)]
        test = usable[part[usable] == "test"]
    else:
        normal = usable[labels[usable] == 0]
        pool, test_normal = _held_out(images, normal, test_share, generator(0, *names), "the test")
        test = np.union1d(test_normal, usable[labels[usable] == 1])
    pool, copies = _drop(images, pool, test, "test")
    dropped += copies
    train, held = _held_out(images, pool, validation, generator(seed, *names), "validation")
    train, copies = _drop(images, train, held, "validation")
    if len(train) == 0:
        raise ValueError(
            f"{images.name}/{images.category}: no normal image is left to train on. Add normal "
            "images or lower the shares held out."
        )
    return Split(images, "one_class", seed, labels, train, held, test, dropped + copies)
