"""Further normal images for a detector that is in use."""

import copy
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from adlib import models
from adlib.data import ImageSet, Split, cache, layouts
from adlib.data.copies import near_copies
from adlib.data.split import generator
from adlib.deploy import image_folders
from adlib.deploy.decisions import CalibratedDetector
from adlib.deploy.framed_set import FramedSet
from adlib.deploy.holding_out import HELD_OUT, Groups, by_hand, grouped, images_needed
from adlib.deploy.own_images import BATCH, LEFT_OUT, calibrated, contrast
from adlib.deploy.pixels import PixelTarget
from adlib.host.files import expanded, sha256_file

NEW, LEARNT, HELD = "", "train", "validation"  # part of an image in the set of all, or LEFT_OUT


def extend(
    detector: CalibratedDetector,
    normal_dir: str | Path,
    groups: Groups = "auto",
    seed: int = 0,
    device: str | torch.device | None = None,
) -> CalibratedDetector:
    """Learn further normal images and set the threshold anew; `detector` itself stays as it is.

    A fifth of the new groups is held out (of one or two none), more where the target needs them.
    They and the images that were held out before set the threshold, so the promise is for images
    like both. Files that are known already count once, and what was left out before stays so; the
    folder may be the one that the detector was trained on, with more images in it.

    Args:
        detector: a calibrated PatchCore that `train` or `extend` made.
        normal_dir: normal images, read and framed as before. Known files may have moved into it.
        groups: of the new images and those before, as for `train`.
        seed: of what is drawn.
        device: where to work; where the detector is by default.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: another detector, nothing new in the folder, an image held out before that is
            gone or changed, and what `train` raises.

    Warns:
        UserWarning: images learnt from before are gone, so near-copies of them may be held out; no
            new image is held out; and of new pictures what `train` warns of by their values.
    """
    _check(detector)
    new = image_folders.image_set(expanded(normal_dir), None, detector.convert)
    images = _together(new, detector.facts["files"])
    target, framing = detector.target, detector.framing
    pixels = detector.facts.get("pixels")
    pixels = PixelTarget.parse(pixels) if pixels else None
    learnt, held = _divided(images, images_needed(target, pixels)[0], groups, seed)
    if len(learnt) == 0:
        raise ValueError(
            f"{new.category}: nothing to learn; its {len(new)} images are known, or belong to what "
            "is held out"
        )
    if not (images.table["part"].iloc[held] == NEW).any():
        warnings.warn(
            f"{new.category}: {len(learnt)} new images are learnt from and none is held out, "
            "because they are few groups or belong to known ones; the promise is for images like "
            "those before",
            stacklevel=2,
        )
    split = _of_rows(images, learnt, held, framing.tiles, seed)
    is_new = split.images.table["part"].to_numpy() == NEW
    contrast(split.images, framing, np.flatnonzero(is_new)).warn()
    model = copy.deepcopy(detector.detector)
    model.extend(split, seed, device or model.device)
    about = {"images": cache.hashed([detector.facts["images"], new.fingerprint()]), "seed": seed}
    return _added(detector, calibrated(model, split, target, pixels, BATCH, about))


def _check(detector: CalibratedDetector) -> None:
    """Raise a ValueError for a detector that cannot be extended, before any file is read."""
    name = type(detector.detector).__name__
    if not isinstance(detector.detector, models.PatchCore):
        raise ValueError(f"{name} cannot learn further images, PatchCore can; train anew on all")
    if "files" not in detector.facts:
        raise ValueError(
            f"the {name} does not say which files it has learnt from and which were held out, as "
            "those of adlib.deploy.train do; train anew on all"
        )


def _added(before: CalibratedDetector, made: CalibratedDetector) -> CalibratedDetector:
    """Add what the detector before says of files; held-out ones stand with the new one."""
    facts = before.facts
    made.facts["files"] = [file for file in facts["files"] if file[0] != HELD] + made.facts["files"]
    made.facts["left_out"] += facts["left_out"]
    for label, count in facts["trained_on"].items():
        made.facts["trained_on"][label] += count
    return made


def _together(new: ImageSet, files: list[list[str]]) -> ImageSet:
    """New images and those known before, as far as they are at hand, with their `part`."""
    here = dict(
        zip(new.digests(), map(str, map(new.root.joinpath, new.table["path"])), strict=True)
    )
    rows, gone = [], {LEARNT: [], HELD: [], LEFT_OUT: []}
    for part, kind, digest, path in files:
        if digest not in here and not _is_there(digest, path):
            gone[part].append(path)
        else:
            rows.append((here.get(digest, path), int(kind != "good"), kind, part, ""))
    if gone[HELD]:
        raise ValueError(
            f"{len(gone[HELD])} of the images that were held out are gone or changed, for example "
            f"{gone[HELD][0]}. They set the threshold, so put them back, or into {new.category}, "
            "or train again."
        )
    if gone[LEARNT]:
        warnings.warn(
            f"{len(gone[LEARNT])} of the images that were learnt from are gone or changed, for "
            f"example {gone[LEARNT][0]}. Near-copies of them in {new.category} may be held out, "
            "which makes the promise too good.",
            stacklevel=3,
        )
    known = {digest for *_, digest, _ in files}
    rows += [(path, 0, "good", NEW, "") for digest, path in here.items() if digest not in known]
    return replace(new, table=layouts.table(rows))


def _is_there(digest: str, path: str) -> bool:
    return Path(path).is_file() and sha256_file(Path(path)) == digest


def _divided(
    images: ImageSet, needed: int, groups: Groups, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of new images to learn from, and of all that are held out, new and before."""
    part, labels = images.table["part"].to_numpy(), images.table["label"].to_numpy()
    own = np.flatnonzero(labels == 0)
    before = np.flatnonzero(part == HELD)
    near = near_copies(images, own)
    group = grouped(images, own, near, by_hand(groups, images), needed)
    # A group stays held out if it was before; of one that was learnt from nothing may be held out.
    ours = part[own]
    kept = np.unique(group[np.isin(ours, [HELD, LEFT_OUT])])
    free = np.setdiff1d(group, np.concatenate([kept, group[ours == LEARNT]]))
    more = needed - len(np.unique(group[ours == HELD]))
    count = min(len(free) // 2, max(round(HELD_OUT * len(free)), more))
    rng = generator(seed, "further images")
    drawn = rng.permutation(free)[:count]
    held = [rng.choice(own[group == g]) for g in drawn]
    learnt = own[(ours == NEW) & ~np.isin(group, np.concatenate([drawn, kept]))]
    return learnt, np.concatenate([before, held]).astype(np.int64)


def _of_rows(
    images: ImageSet, learnt: np.ndarray, held: np.ndarray, tiles: int, seed: int
) -> Split:
    """A split over all new rows and the held-out ones, framed."""
    rows = np.union1d(np.flatnonzero(images.table["part"] == NEW), held)
    images = replace(images, table=images.table.iloc[rows].reset_index(drop=True))
    labels = images.table["label"].to_numpy(copy=True)
    place = {row: i for i, row in enumerate(rows.tolist())}
    learnt, held = (np.array([place[row] for row in part.tolist()]) for part in (learnt, held))
    nothing = np.empty(0, np.int64)
    framed = FramedSet.of(images, tiles)
    return Split(framed, "own images", seed, labels, np.sort(learnt), np.sort(held), nothing)
