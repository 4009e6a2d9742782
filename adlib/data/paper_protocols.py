"""The protocols of the papers. What they share is described in `adlib.data.protocols`.

Those of Bougaham et al. (Industrial and medical anomaly detection through cycle-consistent
adversarial networks, Neurocomputing 614, 2024, and the authors' code) train with normal and with
labelled abnormal images and test on as many of either: `pooled_balanced`, `leave_one_kind_out`.
Their `seed` is of all draws, and `validation` is the share of both classes, at least one image of
either. Their numbers cannot be compared with those of the others: detectors see the defects they
are tested on, unless one kind is left out.
"""

import re

import numpy as np
from numpy.random import Generator

from adlib.data.images import ImageSet
from adlib.data.layouts import CLUTTER, nearest
from adlib.data.protocols import Draft, check_shares, own_labels
from adlib.data.split import Split, draw_names, generator


def one_class_anomalous(
    images: ImageSet,
    seed: int = 0,
    pooled: bool = False,
    validation: float = 0.1,
    test_share: float = 0.2,
) -> Split:
    """One class is abnormal, all others are normal (Akcay et al. 2018, section 4).

    With official parts, as the authors' first release did: train on the normal images of the
    training part, test on the normal ones of the test part and on all images, of both parts, of
    the anomalous class. Pooled, as their later code does when it is given a seed, and for sets
    without parts: all normal images are pooled and `test_share` of them drawn for the test, the
    same ones for every seed. The abnormal class is the set's category; for a set whose category is
    no class (elpv, mvtec_ad) its own abnormal images are the abnormal ones.
    """
    is_class = (images.table["kind"] == images.category).to_numpy()
    labels = is_class.astype(np.int64) if is_class.any() else own_labels(images)
    draft = Draft(images, "one_class_anomalous", seed, labels, validation, test_share=test_share)
    pool, test = draft.normal_parts(test_share, pooled)
    pooled = pooled or (draft.part == "").all()
    shares = f"pooled {100 * (1 - test_share):g}/{100 * test_share:g}"
    protocol = f"one class anomalous, {shares if pooled else 'official parts'}"
    return draft.split(protocol, pool, np.union1d(test, draft.abnormal), draft.generator())


def one_class_normal(
    images: ImageSet,
    seed: int = 0,
    labelled: float = 0.1,
    train_share: float = 0.7,
    validation: float = 0.1,
) -> Split:
    """One class is normal; a share of every other class is labelled abnormal in training.

    Kimura and Yanagihara 2018, section 4.1, for MNIST: official parts are pooled, `train_share` of
    the normal class is for training and validation, `labelled` of every other class (or kind of
    defect; at least one image of two or more, none for a share of 0) is labelled abnormal, and the
    rest of both is the test. All of this is the same for every seed, which draws the validation
    images only. Where no abnormal image can be labelled, that is a ValueError.
    """
    draft = Draft(
        images, "one_class_normal", seed, own_labels(images), validation,
        labelled=labelled, train_share=train_share,
    )  # fmt: skip
    rng = draft.generator(0)
    pool, test = draft.held_out(draft.normal, 1 - train_share, rng)
    abnormal = _share_of_every_kind(images, draft.abnormal, labelled, rng)
    if labelled and len(abnormal) == 0:
        raise ValueError(
            f"{images.title}: no abnormal image can be labelled, as no kind has two: one to train "
            "on and one to test on. Add abnormal images."
        )
    test = np.union1d(test, np.setdiff1d(draft.abnormal, abnormal))
    protocol = f"one class normal, {100 * labelled:g} % of every other class labelled abnormal"
    return draft.split(protocol, pool, test, draft.generator(), abnormal)


def with_labelled(images: ImageSet, seed: int = 0, validation: float = 0.1) -> Split:
    """Official parts, where the training part has abnormal images: these are labelled abnormal.

    Kimura and Yanagihara 2018, section 4.1, for IR-MNIST. A set without abnormal training images is
    a ValueError.
    """
    draft = Draft(images, "with_labelled", seed, own_labels(images), validation)
    pool, abnormal = (rows[draft.part[rows] == "train"] for rows in (draft.normal, draft.abnormal))
    if len(abnormal) == 0:
        raise ValueError(
            f"{images.title} has no official training part with abnormal images. one_class_normal "
            "labels a share of the abnormal images of any set."
        )
    usable = np.union1d(draft.normal, draft.abnormal)
    protocol = "official parts with labelled abnormal images"
    test = usable[draft.part[usable] == "test"]
    return draft.split(protocol, pool, test, draft.generator(), abnormal)


def inliers_against_clutter(
    images: ImageSet,
    seed: int = 0,
    validation: float = 0.1,
    train_share: float = 0.7,
    n_labelled: int = 50,
    at_least: int = 80,
    at_most: int = 150,
) -> Split:
    """A few classes are normal, clutter is abnormal (Kimura and Yanagihara 2018, Table 2).

    After Sabokrou et al., CVPR 2018: the seed draws the classes, as many as the category's name
    says; the first images of each by name are the inliers. They are split into training and test,
    which shares no image with it. The test has as many outliers as inliers, drawn from the clutter
    class; in a set without one evenly from all other classes. The labelled abnormal images are
    drawn evenly from all outlying classes but clutter; none of them is in the test. All draws, the
    test's too, depend on the seed, which stands for a repetition with other classes:
    `split.table("train").kind.unique()` names them.

    Args:
        images: a set of classes, category "<n>_inlier_categories"; any other is a ValueError.
        seed: of all draws.
        validation: share of the training inliers held out.
        train_share: share of the inliers for training and validation.
        n_labelled: labelled abnormal training images, 0 for none.
        at_least: images a class must have to be drawn.
        at_most: inliers of a class.
    """
    check_shares(validation=validation, train_share=train_share)
    name, kind = "inliers_against_clutter", images.table["kind"].to_numpy()
    rng = generator(seed, *draw_names(images, name))
    chosen = _drawn_classes(images, at_least, rng)
    draft = Draft(images, name, seed, (~np.isin(kind, chosen)).astype(np.int64), validation)
    normal, outliers = draft.normal, draft.abnormal
    inliers = np.concatenate([normal[kind[normal] == one][:at_most] for one in chosen])
    pool, test = draft.held_out(inliers, 1 - train_share, rng)
    is_clutter = kind[outliers] == CLUTTER
    clutter, others = outliers[is_clutter], outliers[~is_clutter]
    abnormal = _evenly(images, clutter if len(clutter) else others, len(test), rng, "the test")
    labelled = _evenly(images, np.setdiff1d(others, abnormal), n_labelled, rng, "training")
    protocol = (
        f"{len(chosen)} inlier categor{'y' if len(chosen) == 1 else 'ies'} against "
        f"{'clutter' if len(clutter) else 'all other classes'}, {n_labelled} labelled abnormal"
    )
    return draft.split(protocol, np.sort(pool), np.union1d(test, abnormal), rng, labelled)


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
            f"{images.title} has one abnormal kind only ({kind}), and two are needed: one to leave "
            "out and one to train on. In a folder of yours, abnormal/ may hold a folder for each."
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


def _drawn_classes(images: ImageSet, at_least: int, rng: Generator) -> np.ndarray:
    """Draw as many classes of enough images, without clutter, as the category's name says."""
    number = re.fullmatch(r"([1-9]\d*)_inlier_categories", images.category)
    if not number:
        raise ValueError(
            f"{images.title}: a set of classes is needed, and the category must say how many of "
            "them are inliers, for example 3_inlier_categories."
        )
    n, kind = int(number[1]), images.table["kind"]
    classes, counts = np.unique(kind[kind != CLUTTER], return_counts=True)
    large = classes[counts >= at_least]
    if len(large) < n:
        raise ValueError(
            f"{images.title}: {n} classes are to be inliers, but only {len(large)} of "
            f"{len(classes)} have at least {at_least} images (the largest has {counts.max()}). "
            "Lower at_least."
        )
    return np.sort(rng.permutation(large)[:n])


def _share_of_every_kind(
    images: ImageSet, rows: np.ndarray, share: float, rng: Generator
) -> np.ndarray:
    """Draw a share of every kind's rows, at least one of two or more; none for a share of 0."""
    kinds = images.table["kind"].iloc[rows]
    taken = [rows[:0]]
    for _, of_kind in kinds.groupby(kinds):
        least = int(share > 0 and len(of_kind) > 1)
        drawn = rng.permutation(of_kind.index.to_numpy())
        taken.append(drawn[: max(least, round(share * len(drawn)))])
    return np.sort(np.concatenate(taken))


def _evenly(images: ImageSet, rows: np.ndarray, n: int, rng: Generator, what: str) -> np.ndarray:
    """Draw `n` rows, from every kind as many as from any other as far as they go."""
    if len(rows) < n:
        raise ValueError(
            f"{images.title}: {n} outliers are needed for {what}, but there are {len(rows)}."
        )
    shuffled = images.table["kind"].iloc[rng.permutation(rows)]
    turn = shuffled.groupby(shuffled).cumcount().sort_values(kind="stable")
    return np.sort(turn.index.to_numpy()[:n])


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
