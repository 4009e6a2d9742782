"""Protocols that train with normal and with labelled abnormal images, tested on as many of either.

After Bougaham et al., Industrial and medical anomaly detection through cycle-consistent adversarial
networks, Neurocomputing 614, 2024, and the authors' code. Their numbers cannot be compared with
those of one-class protocols: detectors see the defects they are tested on, unless one kind is left
out.
"""

import numpy as np

from adlib.data.class_protocols import own_labels
from adlib.data.images import ImageSet
from adlib.data.layouts import nearest
from adlib.data.protocols import Draft
from adlib.data.split import Split


def pooled_balanced(images: ImageSet, seed: int = 0, validation: float = 0.2) -> Split:
    """Test on half of the smaller class and as many of the larger; train on the rest of both.

    The authors' protocol (Bougaham et al. 2024), made reproducible. Official parts are pooled. The
    images of either class, sorted by name, are shuffled by the seed; the first
    floor(min(n_normal, n_abnormal) / 2) of each are the test. So the test depends on the seed,
    which stands for a repetition with another split, as the authors repeat theirs. They have no
    validation images (`validation=0`), and list files in whatever order the file system does.
    In a set of classes the category is the normal class and all others are abnormal.

    Of byte-identical copies on two sides the training copy is dropped; an image that occurs as
    normal and as abnormal is dropped before anything is counted.

    Args:
        images: the set; its labels are the protocol's.
        seed: of all draws.
        validation: share of the normal and of the labelled abnormal training images that is held
            out, at least one of either; 0 for none.

    Raises:
        ValueError: a share outside [0, 1), no abnormal images, or too few of either class.
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

    Args:
        images: the set; its labels are the protocol's.
        kind: the kind that is tested on, one of `kinds(images)`. No image of it is trained on, nor
            is a byte-identical copy of one under another kind's name.
        seed: of all draws.
        validation: share of the normal and of the labelled abnormal training images that is held
            out, at least one of either; 0 for none.

    Raises:
        ValueError: a share outside [0, 1), an unknown kind (with the nearest names), a set with one
            kind only, or too few images.
    """
    counts = kinds(images)
    if kind not in counts:
        raise ValueError(
            f"{images.name}/{images.category} has no abnormal kind {kind!r}. "
            + nearest(kind, counts)
        )
    if len(counts) == 1:
        raise ValueError(
            f"{images.name}/{images.category} has one abnormal kind only ({kind}): none is left to "
            "train on. pooled_balanced splits such a set."
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

    Raises:
        ValueError: a set without abnormal images.
    """
    kind = images.table["kind"][own_labels(images) == 1]
    return kind.value_counts().sort_index().to_dict()


def _balanced(images: ImageSet, *at_most: int) -> int:
    """Size of a balanced test: the smaller of what either class can spare, at least one."""
    if (n := min(at_most)) < 1:
        counts = images.table["label"].value_counts()
        raise ValueError(
            f"{images.name}/{images.category}: {counts.get(0, 0)} normal and {counts.get(1, 0)} "
            "abnormal images are too few for a test and training, without those that occur under "
            "both labels. Add images."
        )
    return n


def _trained_on_both(
    draft: Draft, protocol: str, n: int, normal: np.ndarray, others: np.ndarray, test: np.ndarray,
    rng: np.random.Generator,
) -> Split:  # fmt: skip
    """Test on the first `n` normal images and on `test`, with some of both classes to train on."""
    images, pool = draft.images, np.sort(normal[n:])
    test = np.union1d(normal[:n], test)
    split = draft.split(protocol, pool, test, rng, np.sort(others), draft.validation)
    if len(split.abnormal) == 0:
        raise ValueError(
            f"{images.name}/{images.category}: no labelled abnormal image is left to train on. Add "
            "abnormal images or lower the share held out."
        )
    return split
