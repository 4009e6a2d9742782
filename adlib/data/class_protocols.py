"""Protocols of the papers that test on classes of things or train with labelled abnormal images."""

import re

import numpy as np
import pandas as pd

from adlib.data.images import ImageSet
from adlib.data.layouts import CLUTTER
from adlib.data.protocols import Draft, check_shares, draw_names, held_out
from adlib.data.split import Split, generator


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

    Args:
        images: the set.
        seed: of the validation images.
        pooled: pool the official parts.
        validation: share of the training images held out, 0 for none.
        test_share: share of the normal images drawn for the test, where they are pooled.

    Raises:
        ValueError: a share outside [0, 1), no abnormal images, or too few normal ones.
    """
    kind, part = (images.table[name].to_numpy() for name in ("kind", "part"))
    is_class = (kind == images.category).any()
    labels = (kind == images.category).astype(np.int64) if is_class else own_labels(images)
    draft = Draft(images, "one_class_anomalous", seed, labels, validation, test_share=test_share)
    normal = draft.normal
    if (part != "").any() and not pooled:
        protocol = "one class anomalous, official parts"
        pool, test = normal[part[normal] == "train"], normal[part[normal] == "test"]
    else:
        shares = f"{100 * (1 - test_share):g}/{100 * test_share:g}"
        protocol = f"one class anomalous, pooled {shares}"
        pool, test = held_out(images, normal, test_share, draft.generator(0), "the test")
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
    the normal class is for training, `labelled` of every other class (or kind of defect) is
    labelled abnormal, and the rest of both is the test. All of this is the same for every seed,
    which draws the validation images only.

    Args:
        images: the set; its labels are the protocol's.
        seed: of the validation images.
        labelled: share of every abnormal kind, at least one image of a kind that has two or more;
            0 for none.
        train_share: share of the normal images for training and validation.
        validation: share of these held out, 0 for none.

    Raises:
        ValueError: a share outside [0, 1), no abnormal images, or too few normal ones.
    """
    draft = Draft(
        images, "one_class_normal", seed, own_labels(images), validation,
        labelled=labelled, train_share=train_share,
    )  # fmt: skip
    rng = draft.generator(0)
    pool, test = held_out(images, draft.normal, 1 - train_share, rng, "the test")
    abnormal = _share_of_every_kind(images, draft.abnormal, labelled, rng)
    test = np.union1d(test, np.setdiff1d(draft.abnormal, abnormal))
    protocol = f"one class normal, {100 * labelled:g} % of every other class labelled abnormal"
    return draft.split(protocol, pool, test, draft.generator(), abnormal)


def with_labelled(images: ImageSet, seed: int = 0, validation: float = 0.1) -> Split:
    """Official parts, where the training part has abnormal images: these are labelled abnormal.

    Kimura and Yanagihara 2018, section 4.1, for IR-MNIST.

    Args:
        images: a set with official parts and abnormal training images.
        seed: of the validation images.
        validation: share of the normal training images held out, 0 for none.

    Raises:
        ValueError: a share outside [0, 1), or no abnormal training images.
    """
    draft = Draft(images, "with_labelled", seed, own_labels(images), validation)
    part, rows = images.table["part"].to_numpy(), np.union1d(draft.normal, draft.abnormal)
    pool, abnormal = (rows[part[rows] == "train"] for rows in (draft.normal, draft.abnormal))
    if len(abnormal) == 0:
        raise ValueError(
            f"{images.name}/{images.category} has no official training part with abnormal images. "
            "one_class_normal labels a share of the abnormal images of any set."
        )
    protocol = "official parts with labelled abnormal images"
    return draft.split(protocol, pool, rows[part[rows] == "test"], draft.generator(), abnormal)


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
        images: a set of classes, category "<n>_inlier_categories".
        seed: of all draws.
        validation: share of the training inliers held out, 0 for none.
        train_share: share of the inliers for training and validation.
        n_labelled: labelled abnormal training images, 0 for none.
        at_least: images a class must have to be drawn.
        at_most: inliers of a class.

    Raises:
        ValueError: a share outside [0, 1), another category, or too few classes or images.
    """
    check_shares(validation=validation, train_share=train_share)
    n, kind = _n_inlier_classes(images), images.table["kind"].to_numpy()
    name = "inliers_against_clutter"
    rng = generator(seed, *draw_names(images, name))
    counts = pd.Series(kind[kind != CLUTTER]).value_counts().sort_index()
    large = counts.index[counts >= at_least].to_numpy()
    if len(large) < n:
        raise ValueError(
            f"{images.name}/{images.category}: {n} classes are to be inliers, but only "
            f"{len(large)} of {len(counts)} have at least {at_least} images (the largest has "
            f"{counts.max()}). Lower at_least."
        )
    chosen = np.sort(rng.permutation(large)[:n])
    labels = (~np.isin(kind, chosen)).astype(np.int64)
    draft = Draft(images, name, seed, labels, validation)
    normal, outliers = draft.normal, draft.abnormal
    inliers = np.concatenate([normal[kind[normal] == one][:at_most] for one in chosen])
    pool, test = held_out(images, inliers, 1 - train_share, rng, "the test")
    is_clutter = kind[outliers] == CLUTTER
    clutter, others = outliers[is_clutter], outliers[~is_clutter]
    abnormal = _evenly(images, clutter if len(clutter) else others, len(test), rng, "the test")
    labelled = _evenly(images, np.setdiff1d(others, abnormal), n_labelled, rng, "training")
    protocol = (
        f"{n} inlier categor{'y' if n == 1 else 'ies'} against "
        f"{'clutter' if len(clutter) else 'all other classes'}, {n_labelled} labelled abnormal"
    )
    return draft.split(protocol, np.sort(pool), np.union1d(test, abnormal), rng, labelled)


def own_labels(images: ImageSet) -> np.ndarray:
    """The table's labels, if they separate normal from abnormal; else a ValueError."""
    labels = images.table["label"].to_numpy(copy=True)
    if not labels.any():
        raise ValueError(
            f"{images.name}/{images.category} has no abnormal images. In a set of classes take a "
            "category that is one of them."
        )
    return labels


def _share_of_every_kind(
    images: ImageSet, rows: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw a share of every kind's rows, at least one of two or more; none for a share of 0."""
    kinds = images.table["kind"].iloc[rows]
    taken = [rows[:0]]
    for _, of_kind in kinds.groupby(kinds):
        least = int(share > 0 and len(of_kind) > 1)
        drawn = rng.permutation(of_kind.index.to_numpy())
        taken.append(drawn[: max(least, round(share * len(drawn)))])
    return np.sort(np.concatenate(taken))


def _n_inlier_classes(images: ImageSet) -> int:
    number = re.fullmatch(r"([1-9]\d*)_inlier_categories", images.category)
    if not number:
        raise ValueError(
            f"{images.name}/{images.category}: the category must say how many classes are inliers, "
            "for example 3_inlier_categories."
        )
    return int(number[1])


def _evenly(
    images: ImageSet, rows: np.ndarray, n: int, rng: np.random.Generator, what: str
) -> np.ndarray:
    """Draw `n` rows, from every kind as many as from any other as far as they go."""
    if len(rows) < n:
        raise ValueError(
            f"{images.name}/{images.category}: {n} outliers are needed for {what}, but there are "
            f"{len(rows)}."
        )
    shuffled = images.table["kind"].iloc[rng.permutation(rows)]
    turn = shuffled.groupby(shuffled).cumcount().sort_values(kind="stable")
    return np.sort(turn.index.to_numpy()[:n])
