"""Further normal images for a detector that is in use."""

import copy
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from adlib.data import ImageSet, Split, cache, layouts
from adlib.data.copies import near_copies
from adlib.data.split import generator
from adlib.deploy import image_folders
from adlib.deploy.decisions import CalibratedDetector
from adlib.deploy.framed_set import FramedSet
from adlib.deploy.holding_out import HELD_OUT, Groups, by_hand, grouped, images_needed
from adlib.deploy.own_images import BATCH, calibrated
from adlib.deploy.pixels import PixelTarget
from adlib.host.files import expanded, sha256_file

NEW, LEARNT, HELD = "", "learnt", "held out"  # part of an image in the set of all


def extend(
    detector: CalibratedDetector,
    normal_dir: str | Path,
    groups: Groups = "auto",
    seed: int = 0,
    device: str | torch.device | None = None,
) -> CalibratedDetector:
    """Learn further normal images and set the threshold anew; `detector` itself stays as it is.

    A fifth of the new groups is held out, more where the target needs them. They and the images
    that were held out before set the threshold, so the promise is for images like both. Files that
    are known already count once; the folder may be the one that the detector was trained on, with
    more images in it.

    Args:
        detector: a calibrated PatchCore.
        normal_dir: normal images, read and framed as before.
        groups: of the new images and those before, as for `train`.
        seed: of what is drawn.
        device: where to work; where the detector is by default.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: another method, nothing new in the folder, an image held out before that is gone
            or changed, and what `train` raises.

    Warns:
        UserWarning: images learnt from before are gone, so near-copies of them may be held out.
    """
    new = image_folders.image_set(expanded(normal_dir), None, detector.convert)
    images = _together(new, detector.facts["files"])
    target = detector.target
    pixels = detector.facts.get("pixels")
    pixels = PixelTarget.parse(pixels) if pixels else None
    learnt, held = _divided(images, images_needed(target, pixels)[0], groups, seed)
    if len(learnt) == 0:
        raise ValueError(
            f"{new.category}: nothing to learn; its {len(new)} images are known, or near-copies of "
            "images that are held out"
        )
    split = _of_rows(images, learnt, held, detector.framing.tiles, seed)
    model = copy.deepcopy(detector.detector)
    model.extend(split, seed, device or model.device)
    about = {"images": cache.hashed([detector.facts["images"], new.fingerprint()]), "seed": seed}
    made = calibrated(model, split, target, pixels, BATCH, about)
    before = [file for file in detector.facts["files"] if file[0] != "validation"]
    made.facts["files"] = before + made.facts["files"]
    for label, count in detector.facts["trained_on"].items():
        made.facts["trained_on"][label] += count
    return made


def _together(new: ImageSet, files: list[list[str]]) -> ImageSet:
    """New images and those known before, as far as they are at hand, with their `part`."""
    gone = [file for file in files if not _is_there(*file[-2:])]
    held = [path for part, *_, path in gone if part == "validation"]
    if held:
        raise ValueError(
            f"{len(held)} of the images that were held out are gone or changed, for example "
            f"{held[0]}. They set the threshold, so put them back, or train again."
        )
    if gone:
        warnings.warn(
            f"{len(gone)} of the images that were learnt from are gone or changed, for example "
            f"{gone[0][-1]}. Near-copies of them in {new.category} may be held out, which makes "
            "the promise too good.",
            stacklevel=3,
        )
    known, rows = {digest for *_, digest, _ in files}, []
    for digest, path in zip(new.digests(), new.table["path"], strict=True):
        if digest not in known:
            known.add(digest)
            rows.append((str(new.root / path), 0, "good", NEW, ""))
    for part, kind, digest, path in files:
        if [part, kind, digest, path] not in gone:
            role = HELD if part == "validation" else LEARNT
            rows.append((path, int(kind != "good"), kind, role, ""))
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
    # A group is held out if it was before; of one that was learnt from nothing may be held out.
    tied = {role: np.unique(group[part[own] == role]) for role in (LEARNT, HELD)}
    free = np.setdiff1d(group, np.concatenate([*tied.values()]))
    count = min(len(free) // 2, max(round(HELD_OUT * len(free)), needed - len(tied[HELD])))
    rng = generator(seed, "further images")
    drawn = rng.permutation(free)[:count]
    held = [rng.choice(own[group == g]) for g in drawn]
    learnt = own[(part[own] == NEW) & ~np.isin(group, np.concatenate([drawn, tied[HELD]]))]
    return learnt, np.concatenate([before, held]).astype(np.int64)


def _of_rows(
    images: ImageSet, learnt: np.ndarray, held: np.ndarray, tiles: int, seed: int
) -> Split:
    """A split over the given rows alone, framed."""
    rows = np.sort(np.concatenate([learnt, held]))
    images = replace(images, table=images.table.iloc[rows].reset_index(drop=True))
    labels = images.table["label"].to_numpy(copy=True)
    place = {row: i for i, row in enumerate(rows.tolist())}
    learnt, held = (np.array([place[row] for row in part.tolist()]) for part in (learnt, held))
    nothing = np.empty(0, np.int64)
    framed = FramedSet.of(images, tiles)
    return Split(framed, "own images", seed, labels, np.sort(learnt), np.sort(held), nothing)
