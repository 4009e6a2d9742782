"""Protocols: how a set of images is split. Labels belong to the split, not to the images.

All protocols, here and in `paper_protocols`, take `images`, the set; `seed`, of their draws, which
depend on the names of set and category, too; and `validation`, the share of the training images
that is held out, 0 for none. They raise a ValueError for a share outside [0, 1) and for too few
images.

Byte-identical copies never stand on two sides. Of a training image that is also a test (or
validation) image the training copy is dropped. An image that occurs as normal and as abnormal is
dropped altogether, before anything is drawn.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.random import Generator

from adlib.data.images import ImageSet
from adlib.data.split import Split, draw_names, generator


def usable(images: ImageSet, labels: np.ndarray) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Rows whose bytes do not occur under both labels, and a note on each of the others."""
    digests = np.array(images.digests())
    both = np.intersect1d(digests[labels == 0], digests[labels == 1])
    bad = np.isin(digests, both)
    reason = "the same bytes occur as normal and as abnormal"
    notes = [{"path": path, "reason": reason} for path in images.table["path"][bad]]
    return np.flatnonzero(~bad), notes


def own_labels(images: ImageSet) -> np.ndarray:
    """The table's labels, if they separate normal from abnormal; else a ValueError."""
    labels = images.table["label"].to_numpy(copy=True)
    if not labels.any():
        raise ValueError(
            f"{images.title} has no abnormal images. In a set of classes take a category that is "
            "one of them."
        )
    return labels


def check_shares(**shares: float) -> None:
    """Raise a ValueError for a share outside [0, 1), with its name."""
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, not {share}.")


class Draft:
    """A set on its way to a split: what every protocol begins and ends with.

    Attributes:
        normal: rows of label 0, without images whose bytes occur under both labels.
        abnormal: such rows of label 1.
        part: (N,), official part of each image, "" where the set has none.
    """

    def __init__(
        self,
        images: ImageSet,
        name: str,
        seed: int,
        labels: np.ndarray,
        validation: float,
        **shares: float,
    ) -> None:
        check_shares(validation=validation, **shares)
        self.images, self.seed, self.labels, self.validation = images, seed, labels, validation
        self.part = images.table["part"].to_numpy()
        self._names = draw_names(images, name)
        rows, self._dropped = usable(images, labels)
        self.normal, self.abnormal = (rows[labels[rows] == label] for label in (0, 1))

    def generator(self, seed: int | None = None) -> Generator:
        """Generator of the draws that depend on the split's seed, or on another one."""
        return generator(self.seed if seed is None else seed, *self._names)

    def held_out(
        self,
        pool: np.ndarray,
        share: float,
        rng: Generator,
        what: str = "the test",
        of: str = "normal",
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw `share` of the pool (at least one): the rest and the drawn, both in table order."""
        if share == 0:
            return pool, pool[:0]
        n = max(1, round(share * len(pool)))
        if len(pool) - n < 1:
            raise ValueError(
                f"{self.images.title}: {len(pool)} {of} image(s) are too few to hold {n} out "
                f"for {what} and still train. Add {of} images or lower the share."
            )
        drawn = rng.permutation(len(pool))[:n]
        return np.delete(pool, drawn), np.sort(pool[drawn])

    def normal_parts(
        self, test_share: float, pooled: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Normal images to train and to test on: official parts, or else a draw for all seeds."""
        if (self.part == "").all() or pooled:
            return self.held_out(self.normal, test_share, self.generator(0))
        part = self.part[self.normal]
        return self.normal[part == "train"], self.normal[part == "test"]

    def without_copies(self, rows: np.ndarray, kept: np.ndarray, where: str) -> np.ndarray:
        """`rows` without those whose bytes are among `kept`; each one left out is noted."""
        digests, paths = self.images.digests(), self.images.table["path"]
        first = {digests[row]: row for row in kept[::-1]}
        copies = np.array([digests[row] in first for row in rows], bool)
        for row in rows[copies]:
            original = paths.iat[first[digests[row]]]
            reason = f"same bytes as the {where} image {original}"
            self._dropped.append({"path": paths.iat[row], "reason": reason})
        return rows[~copies]

    def split(
        self,
        protocol: str,
        pool: np.ndarray,
        test: np.ndarray,
        rng: Generator,
        abnormal: np.ndarray | None = None,
        abnormal_validation: float = 0,
    ) -> Split:
        """Hold out validation images and drop copies: what all protocols end with.

        Of copies the test keeps its own, then the validation. Validation images are drawn from the
        normal `pool` and, `abnormal_validation` of them, from the labelled `abnormal` ones.
        """
        pool = self.without_copies(pool, test, "test")
        abnormal = self.without_copies(test[:0] if abnormal is None else abnormal, test, "test")
        train, held = self.held_out(pool, self.validation, rng, "validation")
        abnormal, abnormal_held = self.held_out(
            abnormal, abnormal_validation, rng, "validation", "labelled abnormal"
        )
        held = np.union1d(held, abnormal_held)
        train = self.without_copies(train, held, "validation")
        abnormal = self.without_copies(abnormal, held, "validation")
        if len(train) == 0:
            raise ValueError(
                f"{self.images.title}: no normal image is left to train on. Add normal images or "
                "lower the shares held out."
            )
        return Split(
            self.images, protocol, self.seed, self.labels, train, held, test, self._dropped,
            abnormal,
        )  # fmt: skip


def one_class(
    images: ImageSet, seed: int = 0, validation: float = 0.1, test_share: float = 0.2
) -> Split:
    """Train on normal images only; test on held-out normal images and all abnormal ones.

    Where the set has official parts they are kept and only the validation images are drawn. Else
    `test_share` of the normal images is drawn for the test, the same ones for every seed, so that
    seeds differ in training and not in what they are tested on.
    """
    labels = images.table["label"].to_numpy(copy=True)
    draft = Draft(images, "one_class", seed, labels, validation, test_share=test_share)
    pool, test = draft.normal_parts(test_share)
    abnormal = draft.abnormal[draft.part[draft.abnormal] != "train"]
    return draft.split("one_class", pool, np.union1d(test, abnormal), draft.generator())


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
    check_shares(reserve=reserve)
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
            f"{images.title}: a share of {reserve:g} of the training images takes {needed} "
            f"abnormal images out of the test, which can spare {most} of {len(abnormal)}. Lower "
            f"reserve to at most {int(1000 * most / (most + clean)) / 1000:g}."
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
