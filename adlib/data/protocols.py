"""Protocols: how a set of images is split. Labels belong to the split, not to the images."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from adlib.data.images import ImageSet

if TYPE_CHECKING:
    import torch

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
            label 1 among them contaminate the training; a detector is not told.
        validation: rows held out of the training images: normal ones and, where a protocol says
            so, labelled abnormal ones (`labels` tell).
        test: rows to test on.
        dropped: images in no part because of a byte-identical copy: {"path", "reason"} each.
        abnormal: rows of training images that are known to be abnormal, without those held out;
            mostly none.
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

    def rows(self, part: str) -> np.ndarray:
        """Rows of `images.table` that make up a part."""
        if part not in PARTS:
            raise ValueError(f"Unknown part {part!r}; there is {', '.join(PARTS)}.")
        return getattr(self, part)

    def pixels(self, part: str, side: int | None = None, channels: int = 3) -> "torch.Tensor":
        """Pixels of a part: uint8 (N, channels, side, side); see `ImageSet.pixels`."""
        return self.images.pixels(self.rows(part), side, channels)

    def masks(self, part: str, side: int | None = None) -> "torch.Tensor":
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

    def subsample(self, n: int) -> "Split":
        """Split whose validation and test hold at most `n` images of either label.

        What a test keeps does not depend on the seed, as the test itself, and more `n` only adds
        images. The protocol's name says that the test is a part of the whole.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}.")
        names = self.images.name, Path(self.images.category).name, "subsample"

        def some(part: str) -> np.ndarray:
            rows, labels = self.rows(part), self.labels_of(part)
            rng = generator(0, *names, part)
            return np.sort(
                np.concatenate([rng.permutation(rows[labels == label])[:n] for label in (0, 1)])
            )

        return replace(
            self,
            protocol=f"{self.protocol}; test on at most {n} images of either label",
            validation=some("validation"),
            test=some("test"),
        )


def generator(seed: int, *names: str) -> np.random.Generator:
    """Random generator of a seed and of names, so that sets do not share their draws."""
    text = "/".join(names).encode()
    words = np.frombuffer(hashlib.sha256(text).digest(), "<u4")
    return np.random.default_rng(np.random.SeedSequence([seed, *words.tolist()]))


def drop(
    images: ImageSet, candidates: np.ndarray, kept: np.ndarray, where: str
) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Candidates without those whose bytes are among `kept`, and a note on each one left out."""
    digests, paths = images.digests(), images.table["path"]
    first = {digests[row]: row for row in kept[::-1]}
    copies = np.array([digests[row] in first for row in candidates], bool)
    notes = [
        {
            "path": paths.iat[row],
            "reason": f"same bytes as the {where} image {paths.iat[first[digests[row]]]}",
        }
        for row in candidates[copies]
    ]
    return candidates[~copies], notes


def usable(images: ImageSet, labels: np.ndarray) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Rows whose bytes do not occur under both labels, and a note on each of the others."""
    digests = np.array(images.digests())
    both = np.intersect1d(digests[labels == 0], digests[labels == 1])
    bad = np.isin(digests, both)
    reason = "the same bytes occur as normal and as abnormal"
    notes = [{"path": path, "reason": reason} for path in images.table["path"][bad]]
    return np.flatnonzero(~bad), notes


def held_out(
    images: ImageSet,
    pool: np.ndarray,
    share: float,
    rng: np.random.Generator,
    what: str,
    which: str = "normal",
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `share` of the pool (at least one): the rest and what was drawn, both in table order."""
    if share == 0:
        return pool, pool[:0]
    n = max(1, round(share * len(pool)))
    if len(pool) - n < 1:
        raise ValueError(
            f"{images.name}/{images.category}: {len(pool)} {which} image(s) are too few to "
            f"hold {n} out for {what} and still train. Add {which} images or lower the share."
        )
    drawn = rng.permutation(len(pool))[:n]
    return np.delete(pool, drawn), np.sort(pool[drawn])


def check_shares(**shares: float) -> None:
    """Raise a ValueError for a share outside [0, 1), with its name."""
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, not {share}.")


def draw_names(images: ImageSet, protocol: str) -> tuple[str, str, str]:
    """What the draws of a protocol depend on beside the seed."""
    return images.name, Path(images.category).name, protocol


def assembled(
    images: ImageSet,
    protocol: str,
    seed: int,
    labels: np.ndarray,
    pool: np.ndarray,
    test: np.ndarray,
    validation: float,
    rng: np.random.Generator,
    dropped: list[dict[str, str]],
    abnormal: np.ndarray | None = None,
    abnormal_validation: float = 0,
) -> Split:
    """Split of a pool of normal training images and a test: what all protocols end with.

    Validation images are drawn from the pool and, on demand, from the labelled abnormal training
    images. Of byte-identical copies the test keeps its own, then the validation.

    Args:
        images: the whole set.
        protocol: name of the protocol.
        seed: that the split is to name.
        labels: (N,), 0 normal and 1 abnormal.
        pool: rows of normal images for training and validation.
        test: rows to test on.
        validation: share of the pool.
        rng: draws the validation images, the normal ones first.
        dropped: notes on what was left out before.
        abnormal: rows of labelled abnormal training images.
        abnormal_validation: share of these that is validation.
    """
    abnormal = test[:0] if abnormal is None else abnormal
    pool, copies = drop(images, pool, test, "test")
    abnormal, abnormal_copies = drop(images, abnormal, test, "test")
    train, held = held_out(images, pool, validation, rng, "validation")
    known, known_held = held_out(
        images, abnormal, abnormal_validation, rng, "validation", "labelled abnormal"
    )
    held = np.union1d(held, known_held)
    train, train_copies = drop(images, train, held, "validation")
    known, known_copies = drop(images, known, held, "validation")
    if len(train) == 0:
        raise ValueError(
            f"{images.name}/{images.category}: no normal image is left to train on. Add normal "
            "images or lower the shares held out."
        )
    dropped = dropped + copies + abnormal_copies + train_copies + known_copies
    return Split(images, protocol, seed, labels, train, held, test, dropped, known)


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
    check_shares(validation=validation, test_share=test_share)
    labels = images.table["label"].to_numpy(copy=True)
    part, names = images.table["part"].to_numpy(), draw_names(images, "one_class")
    rows, dropped = usable(images, labels)
    if (part != "").any():
        pool = rows[(part[rows] == "train") & (labels[rows] == 0)]
        test = rows[part[rows] == "test"]
    else:
        normal = rows[labels[rows] == 0]
        pool, test_normal = held_out(images, normal, test_share, generator(0, *names), "the test")
        test = np.union1d(test_normal, rows[labels[rows] == 1])
    rng = generator(seed, *names)
    return assembled(images, "one_class", seed, labels, pool, test, validation, rng, dropped)


def contaminated(split: Split, share: float, reserve: float = 0.1) -> Split:
    """Put unlabelled abnormal images among the training ones, as many as make up `share` of them.

    They come out of the test. As many as `reserve` would need leave the test for every share, and
    do not depend on the seed, so that different shares and seeds are tested on the same images;
    which of these are trained on is drawn by the split's seed, and a larger share only adds images.
    An image whose copy stays in the test is never taken.

    Args:
        split: any split; its validation stays as it is.
        share: of the training images, 0 for the clean split with the same test.
        reserve: the largest share that is to be compared.

    Raises:
        ValueError: a share outside [0, reserve], or too few abnormal test images.
    """
    if not 0 <= reserve < 1:
        raise ValueError(f"reserve must be at least 0 and below 1, not {reserve}.")
    if not 0 <= share <= reserve:
        raise ValueError(
            f"share must be at least 0 and at most reserve = {reserve:g}, not {share}. Raise "
            "reserve for all shares that are to be compared."
        )
    images, clean = split.images, len(split.train)
    needed, n = (round(part * clean / (1 - part)) for part in (reserve, share))
    abnormal = split.test[split.labels_of("test") == 1]
    digests = pd.Series(images.digests()).iloc[split.test]
    once = abnormal[~digests.duplicated(keep=False).loc[abnormal].to_numpy()]
    if needed > len(once) or needed >= len(abnormal):
        most = max(0, min(len(once), len(abnormal) - 1))
        raise ValueError(
            f"{images.name}/{images.category}: a share of {reserve:g} of the training images takes "
            f"{needed} abnormal images out of the test, which can spare {most} of {len(abnormal)}. "
            f"Lower reserve to at most {int(1000 * most / (most + clean)) / 1000:g}."
        )
    names = draw_names(images, "contaminated")
    reserved = generator(0, *names).permutation(once)[:needed]
    added = generator(split.seed, *names, "added").permutation(np.sort(reserved))[:n]
    name = f"{100 * share:g} % unlabelled abnormal images among the training images"
    return replace(
        split,
        protocol=f"{split.protocol}, {name}",
        train=np.sort(np.concatenate([split.train, added])),
        test=np.setdiff1d(split.test, reserved),
    )
