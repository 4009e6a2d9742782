"""Which of a user's images are learnt from, and which set or check the threshold.

A threshold keeps its promise where the images that set it are to the learnt ones as the images to
come will be. Several shots of one part are not: a shot is easy for a detector that has learnt
another shot of that part. So images are held out by groups, and a group counts once: one image of
it is held out, drawn by lot, and no image of it is learnt from.
"""

import csv
import os
import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from adlib.data import ImageSet, Split
from adlib.data.copies import near_copies
from adlib.data.protocols import usable
from adlib.data.split import generator
from adlib.deploy.pixels import PixelTarget
from adlib.deploy.targets import Target
from adlib.host.files import expanded

HELD_OUT = 0.2  # share of the normal groups that set or check the threshold, if no more are needed
FOLDERS = 10  # that are enough where no threshold needs any: a fifth of them are two
RULES = ("auto", "folder", "none")
Groups = str | Mapping[str, object]


def hold_out(
    images: ImageSet,
    target: Target,
    learns_abnormal: bool,
    seed: int,
    groups: Groups = "auto",
    pixels: PixelTarget | None = None,
) -> Split:
    """Split images into those learnt from and those held out (validation); there is no test.

    A fifth of the normal groups is held out, more where the target needs them, at most half.

    Args:
        images: normal and abnormal ones.
        target: says how many groups have to be held out.
        learns_abnormal: whether abnormal images are learnt from too; else all are held out.
        seed: of what is drawn.
        groups: what counts once. "auto": near-copies (`adlib.data.copies`), and the images of a
            sub-folder where there are enough sub-folders for the target. "folder": the normal
            images of a sub-folder. "none": every image. Or the group of each image by its path as
            it stands in the set, or absolute; an image without one, or with None or NaN, stands
            alone.
        pixels: says how many normal groups have to be held out for masks.

    Raises:
        ValueError: too few groups (with the number needed), unknown `groups`.

    Warns:
        UserWarning: near-copies were found, with the number of images that are independent.
    """
    labels = images.table["label"].to_numpy(copy=True)
    rows, dropped = usable(images, labels)
    rows = rows[~pd.Series(images.digests())[rows].duplicated().to_numpy()]
    copies = len(images) - len(rows)
    copies = f" {copies} of {len(images)} files are left out as byte copies." if copies else ""
    rng, parts = generator(seed, "own images"), []
    groups = by_hand(groups, images)
    for label, needed in enumerate(images_needed(target, pixels)):
        own = rows[labels[rows] == label]
        near = near_copies(images, own)
        group = grouped(images, own, near, groups, needed)
        count = len(np.unique(group))
        about = copies
        if count < len(own):
            about += f" {len(own)} images are {count} group(s), each of which counts once."
        n = _held(label, count, needed, learns_abnormal, f"{images.category}: ", about)
        if label == target.label:
            target.check(n, about)
        if label == 0 and pixels:
            pixels.check(n)
        order = rng.permutation(count)
        held = np.array([rng.choice(own[group == g]) for g in order[:n]], np.int64)
        learnt = own[np.isin(group, order[n:])]
        _warn_of_near_copies(images, own, near, learnt, held, together=groups == "auto")
        parts.append((learnt, held))
    (train, normal), (learnt, abnormal) = parts
    held, nothing = np.sort(np.concatenate([normal, abnormal])), np.empty(0, np.int64)
    return Split(images, "own images", seed, labels, train, held, nothing, dropped, learnt)


def images_needed(target: Target, pixels: PixelTarget | None) -> list[int]:
    """Normal and abnormal groups that have to be held out; at least one of either."""
    needed = [1, 1]
    needed[target.label] = target.images_needed()
    if pixels:
        needed[0] = max(needed[0], pixels.images_needed())
    return needed


def _held(label: int, n: int, needed: int, learns_abnormal: bool, where: str, about: str) -> int:
    """How many of `n` groups are held out."""
    if label == 0:
        if n < 2:
            raise ValueError(f"{where}{n} normal image(s); at least 2 are needed.{about}")
        return min(n // 2, max(round(HELD_OUT * n), needed))
    if not learns_abnormal:
        return n
    if n < 2:
        raise ValueError(
            f"{n} abnormal image(s) that are no copies of others: this method learns from some and "
            "holds others out, so at least 2 are needed"
        )
    return min(n - 1, max(n // 2, needed))


def by_hand(groups: Groups, images: ImageSet) -> Groups:
    """Check a rule or a mapping; the paths of a mapping become absolute."""
    if isinstance(groups, Mapping):
        groups = {str(images.root / path): name for path, name in groups.items()}
        there = {str(images.root / path) for path in images.table["path"]}
        if unknown := sorted(set(groups) - there):
            raise ValueError(
                f"groups names {unknown[0]}, which is none of the images; paths are absolute, or "
                f"those below {images.root} with / between folders"
            )
    elif groups not in RULES:
        raise ValueError(
            f"groups={groups!r}: allowed are {', '.join(RULES)} and the group of each image"
        )
    return groups


def grouped(
    images: ImageSet, rows: np.ndarray, near: np.ndarray, groups: Groups, needed: int
) -> np.ndarray:
    """Number of each row's group, from 0 on.

    Args:
        images: the set.
        rows: those that are grouped.
        near: groups of near-copies among them.
        groups: what `by_hand` gives.
        needed: groups that must be held out. From twice as many on, and from `FOLDERS` on where it
            is only one, the rule "auto" goes by folders too; of normal images alone.
    """
    paths = images.table["path"].iloc[rows].tolist()
    if isinstance(groups, Mapping):
        return _numbered([groups.get(str(images.root / path)) for path in paths])
    if groups == "none":
        return np.arange(len(rows))
    if images.table["label"].iloc[rows].any():  # folders of abnormal images name kinds of defects
        return near
    parents = [os.path.dirname(path) for path in paths]  # noqa: PTH120 (also of "")
    top = os.path.commonpath(parents) if paths and all(parents) else ""
    folders = _numbered([parent if parent != top else None for parent in parents])
    if groups == "folder":
        return folders
    # Whoever shares a folder or is a near-copy belongs together, and so does who does with them.
    n = len(rows)
    ends = np.concatenate([n + folders, 2 * n + near])
    links = coo_array((np.ones(2 * n), (np.tile(np.arange(n), 2), ends)), (3 * n, 3 * n))
    both = _numbered(connected_components(links, directed=False)[1][:n].tolist())
    enough = 2 * needed if needed > 1 else FOLDERS
    return both if len(np.unique(both)) >= enough else near


def _numbered(names: list[object]) -> np.ndarray:
    """Numbers from 0 on, equal for equal names; None and NaN are another name each time."""
    # NaN differs from itself.
    names = [("alone", i) if x is None or x != x else x for i, x in enumerate(names)]
    return pd.factorize(np.fromiter(names, object, len(names)))[0].astype(np.int64)


def _warn_of_near_copies(
    images: ImageSet,
    rows: np.ndarray,
    near: np.ndarray,
    learnt: np.ndarray,
    held: np.ndarray,
    together: bool,
) -> None:
    """Warn of held-out near-copies of learnt images; of all, if the rule holds them `together`."""
    if len(np.unique(near)) == len(rows):
        return
    paths, group = images.table["path"], dict(zip(rows.tolist(), near.tolist(), strict=True))
    first = {group[row]: row for row in learnt[::-1].tolist()}
    copied = [row for row in held.tolist() if group[row] in first]
    if copied:
        other = first[group[copied[0]]]
        warnings.warn(
            f"{len(copied)} of {len(held)} held-out images are near-copies of images that are "
            f"learnt from ({paths[copied[0]]} of {paths[other]}), so the promise rests on "
            f"{len(held) - len(copied)} independent images. groups='auto' holds near-copies out "
            "together.",
            stacklevel=3,
        )
        return
    if not together:
        return
    of = np.flatnonzero(near == np.bincount(near).argmax())[:2]
    one, two = paths[rows[of]]
    warnings.warn(
        f"{len(rows)} images are {len(np.unique(near))} independent ones: near-copies, for example "
        f"{one} and {two}, are held out together and count once. If they show different objects, "
        "groups says so.",
        stacklevel=3,
    )


def named(groups: str) -> Groups:
    """The groups that a command line names: a rule, or a CSV file of paths and groups.

    Paths are those of files below the folder of normal images, or absolute. An image whose group is
    empty stands alone. A file that is not there, is no CSV file in UTF-8, lacks the columns `path`
    and `group` or puts an image into two groups is a ValueError.
    """
    if groups in RULES:
        return groups
    file = expanded(groups)
    if not file.is_file():
        raise ValueError(f"groups {groups!r}: allowed are {', '.join(RULES)} or a CSV file")
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            table = csv.DictReader(text, skipinitialspace=True)
            rows, columns = list(table), table.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: no CSV file in UTF-8 ({error})") from error
    if not {"path", "group"} <= set(columns):
        raise ValueError(
            f"{file}: columns {', '.join(columns)}; needed are path and group, with a comma between"
        )
    found = {}
    for row in rows:
        path, group = row["path"], row["group"]
        if group and found.setdefault(path, group) != group:
            raise ValueError(f"{file}: {path} is in the groups {found[path]} and {group}")
    return found
