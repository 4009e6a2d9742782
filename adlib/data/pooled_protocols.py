"""Protocols that train with normal and with labelled abnormal images, tested on as many of either.

After Bougaham et al., Industrial and medical anomaly detection through cycle-consistent adversarial
networks, Neurocomputing 614, 2024, and the authors' code. Their numbers cannot be compared with
those of one-class protocols: detectors see the defects they are tested on, unless one kind is left
out.

Here `seed` is of all draws, and `validation` is the share of the normal and of the labelled
abnormal training images, at least one of either; the rest is described in `adlib.data.protocols`.
"""

import numpy as np
from numpy.random import Generator

from adlib.data.images import ImageSet
from adlib.data.layouts import nearest
from adlib.data.protocols import Draft, own_labels
from adlib.data.split import Split


def pooled_balanced(images: ImageSet, seed: int = 0, validation: float = 0.2) -> Split:
    """Test on half of the smaller class and as many of the larger; train on the rest of both.

    The authors' protocol (Bougaham et al. 2024), made reproducible. Official parts are pooled. The
    images of either class, sorted by name, are shuffled by the seed; the first
    floor(min(n_normal, n_abnormal) / 2) of each are the test. So the test depends on the seed,
    which stands for a repetition with another split, as the authors repeat theirs. They have no
    validation images (`validation=0`), and list files in whatever order the file system does.
    In a set of classes the category is the normal class and all others are abnormal.
    """
    draft = Draft(images, "pooled_balanced", seed, own_labels(images), validation)
    rng = draft.generator()
    normal, abnormal = rng.permutation(draft.normal), rng.permutation(draft.abnormal)
    n = _balanced(images, len(normal) // 2, len(abnormal) // 2)
    name = "pooled and balanced"
    return _trained_on_both(draft, name, n, normal, abnormal[n:], abnormal[:n], rng)


def leave_one_kind_out(
    images: ImageSet, kind: str, seed: int = 0, validation: float = 0.2
) -> Split:
    """Test on one kind of abnormal images and as many normal ones; train on all other kinds.

    What `pooled_balanced` leaves open: whether a detector finds a defect that its abnormal training
    images do not show. Official parts are pooled. The test takes at most half of the normal images;
    where the kind has more, as many as these are drawn from it and its other images are in no part.
    Normal images are shuffled alike for every kind, so a seed's tests share them as far as they go.

    `kind` is one of `kinds(images)`; another one is a ValueError with the nearest names. No image
    of it is trained on, nor is a byte-identical copy of one under another kind's name.
    """
    counts = kinds(images)
    if kind not in counts:
        raise ValueError(f"{images.title} has no abnormal kind {kind!r}. {nearest(kind, counts)}")
    if len(counts) == 1:
        raise ValueError(
            f"{images.title} has one abnormal kind only ({kind}): none is left to train on. "
            "pooled_balanced splits such a set."
        )
    draft = Draft(images, "leave_one_kind_out", seed, own_labels(images), validation)
    rng, abnormal = draft.generator(), draft.abnormal
    is_left_out = (images.table["kind"] == kind).to_numpy()[abnormal]
    left_out, others = abnormal[is_left_out], abnormal[~is_left_out]
    others = draft.without_copies(others, left_out, "left-out")
    normal = rng.permutation(draft.normal)
    n = _balanced(images, len(normal) // 2, len(left_out))
    name, test = f"pooled, kind {kind} left out of training", rng.permutation(left_out)[:n]
    return _trained_on_both(draft, name, n, normal, others, test, rng)


def kinds(images: ImageSet) -> dict[str, int]:
    """Kinds of the abnormal images, sorted by name, and how many images there are of each.

    A set without abnormal images is a ValueError.
    """
    kind = images.table["kind"][own_labels(images) == 1]
    return kind.value_counts().sort_index().to_dict()


def _balanced(images: ImageSet, *at_most: int) -> int:
    """Size of a balanced test: the smaller of what either class can spare, at least one."""
    if (n := min(at_most)) < 1:
        counts = images.counts()
        raise ValueError(
            f"{images.title}: {counts['n_normal']} normal and {counts['n_abnormal']} abnormal "
            "images are too few for a test and training, without those that occur under both "
            "labels. Add images."
        )
    return n


def _trained_on_both(
    draft: Draft, protocol: str, n: int, normal: np.ndarray, others: np.ndarray, test: np.ndarray,
    rng: Generator,
) -> Split:  # fmt: skip
    """Test on the first `n` normal images and on `test`, with some of both classes to train on."""
    pool, test = np.sort(normal[n:]), np.union1d(normal[:n], test)
    split = draft.split(protocol, pool, test, rng, np.sort(others), draft.validation)
    if len(split.abnormal) == 0:
        raise ValueError(
            f"{draft.images.title}: no labelled abnormal image is left to train on. Add abnormal "
            "images or lower the share held out."
        )
    return split
