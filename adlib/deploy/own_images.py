"""Detectors of a user's own images: learn from folders and set the threshold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from adlib import models
from adlib.data import Conversion, Split
from adlib.data.images import Index
from adlib.deploy import decisions, image_folders, inference
from adlib.deploy.contrast import Contrast
from adlib.deploy.decisions import CalibratedDetector
from adlib.deploy.framed_set import FramedSet
from adlib.deploy.framing import Framing
from adlib.deploy.holding_out import Groups, hold_out
from adlib.deploy.pixels import PixelTarget
from adlib.deploy.targets import Target
from adlib.models.features import FeatureDetector
from adlib.models.training import Budget

BATCH = 32  # images in a training step, and in the scoring that sets a threshold
PORTABLE = "efficientnet_lite0"  # the backbone that every installation has
LEFT_OUT = "left out"  # part of files that are neither learnt from nor held out


def train(
    normal_dir: str | Path,
    abnormal_dir: str | Path | None = None,
    method: str = "PatchCore",
    target: str | Target = "fpr 0.05",
    steps: int = 2000,
    batch: int = BATCH,
    seed: int = 0,
    device: str | torch.device | None = None,
    range: tuple[float, float] | None = None,
    page: int | None = None,
    tiles: int = 1,
    groups: Groups = "auto",
    pixels: str | PixelTarget | None = None,
    **settings: object,
) -> CalibratedDetector:
    """Train a detector on a folder of normal images and set its threshold on held-out ones.

    Folders below the given ones count too. Files that hold the same bytes count once.

    Args:
        normal_dir: normal images, grey or colour, of any size and shape.
        abnormal_dir: abnormal images, needed for a target on the miss rate and by methods that
            learn from them. Methods that do not learn from them hold all of them out, others half.
            Where folders directly below it name kinds of defects, misses are counted by kind too.
        method: name of a detector in `adlib.models.REGISTRY`.
        target: rate to keep, for example "fpr 0.05"; see `adlib.deploy.targets`.
        steps: training steps; PaDiM and PatchCore go over the images once whatever it is.
        batch: images in a training step.
        seed: of the images held out and of the training.
        device: where to work; a GPU where there is one by default.
        range: black and white of files of more than 8 bits, see `adlib.data.Conversion`.
        page: the page that counts in files of several. Both are kept for scoring.
        tiles: how many images of `side` pixels span a picture's longer side. 1 shows it as a whole;
            more show smaller defects and take up to `tiles` squared the time and memory. See
            `adlib.deploy.framing`.
        groups: images that count once because they show the same: near-copies by default, see
            `adlib.deploy.holding_out.hold_out`.
        pixels: rate to keep of flagged pixels, for masks, for example "images 0.05"; see
            `adlib.deploy.pixels`.
        **settings: of the detector, for example `side`, the pixels of its images. PaDiM and
            PatchCore take features of EfficientNet-Lite0 unless `backbone` names another.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: too few images for the targets (with the number needed), a file that cannot be
            read or needs `range` or `page`, an unknown method or a bad setting.

    Warns:
        UserWarning: pictures of one value, values that fill a fraction of the range, or near-copies
            among the images.
    """
    convert = Conversion(range, page)
    target, budget = Target.parse(target), Budget(steps, batch)
    pixels = PixelTarget.parse(pixels) if pixels else None
    if seed < 0:
        raise ValueError(f"seed={seed}: allowed is at least 0")
    if target.label and abnormal_dir is None:
        raise ValueError(f"'{target}' needs abnormal images: give the folder that holds them.")
    images = image_folders.image_set(normal_dir, abnormal_dir, convert)
    if issubclass(models.REGISTRY.get(method, object), FeatureDetector):
        settings = {"backbone": PORTABLE} | settings
    detector = models.build(method, **settings)
    if detector.transductive:
        raise ValueError(
            f"{method} scores images by those that it is given with them, so it has no threshold "
            "for one image. Give another method."
        )
    if detector.uses_abnormal and abnormal_dir is None:
        raise ValueError(f"{method} learns from abnormal images: give the folder that holds them.")
    framing = Framing(detector.settings.side, detector.settings.channels, tiles)
    split = hold_out(images, target, detector.uses_abnormal, seed, groups, pixels)
    framed = FramedSet.of(images, tiles)
    contrast(framed, framing).warn()
    split = replace(split, images=framed)
    detector.fit(split, budget, seed, device=device)
    facts = {"images": images.fingerprint(), "seed": seed}
    if isinstance(detector, models.Trainable):
        facts |= {"steps": steps, "batch": batch}
    return calibrated(detector, split, target, pixels, batch, facts)


def calibrated(
    detector: models.Detector,
    split: Split,
    target: Target,
    pixels: PixelTarget | None,
    batch: int,
    facts: dict[str, object],
) -> CalibratedDetector:
    """Set the thresholds of a fitted detector on the validation part of a split of framed images.

    Args:
        detector: has learnt the other parts.
        split: over a `FramedSet`.
        target: of the threshold on scores.
        pixels: of the threshold on maps; None sets none.
        batch: network inputs worked on at once.
        facts: JSON values to keep.
    """
    images, labels = split.images, split.labels_of("validation")
    framing = Framing(detector.settings.side, detector.settings.channels, images.tiles)
    scores, maps = [], []
    for some in images.pictures(split.validation, framing):
        found, of_tiles = inference.judge(detector, some, batch, pixels is not None)
        start = len(scores)
        scores += found.tolist()
        maps += [
            pixels.upper_values(framing.joined(tiles, picture.size))
            for i, (picture, tiles) in enumerate(zip(some, of_tiles, strict=False))
            if labels[start + i] == 0
        ]
    scores = np.array(scores)
    normal, abnormal = scores[labels == 0], scores[labels == 1]
    learnt = {"normal": len(split.train), "abnormal": len(split.abnormal)}
    rest = len(images) - sum(learnt.values()) - len(labels)
    facts = facts | {"trained_on": learnt, "left_out": rest, "files": _files(split)}
    made = decisions.calibrate(
        detector, target, normal, abnormal, images.convert, images.tiles, **facts
    )
    kinds = split.table("validation")["kind"].to_numpy()[labels == 1]
    if set(kinds) - {image_folders.UNNAMED}:
        made.facts["held_out"]["kinds"] = _by_kind(kinds, abnormal < made.threshold)
    if pixels is None:
        return made
    made.facts["pixels"] = str(pixels)
    return replace(made, pixel_threshold=pixels.threshold(maps))


def _files(split: Split) -> list[list[str]]:
    """Part, kind, digest and absolute path of every file; bytes that are there twice count once."""
    paths, kinds = split.images.table["path"], split.images.table["kind"]
    digests = split.images.digests()
    parts = {part: split.rows(part).tolist() for part in ("train", "abnormal", "validation")}
    parts[LEFT_OUT] = range(len(digests))
    files: dict[str, list[str]] = {}
    for part, rows in parts.items():
        for row in rows:
            about = [part, kinds.iat[row], digests[row], str(split.images.root / paths.iat[row])]
            files.setdefault(digests[row], about)
    return [*files.values()]


def _by_kind(kinds: np.ndarray, missed: np.ndarray) -> dict[str, dict[str, int]]:
    """Held-out abnormal images of each kind, and how many of them are missed."""
    return {
        str(kind): {
            "abnormal": int((kinds == kind).sum()),
            "misses": int(missed[kinds == kind].sum()),
        }
        for kind in sorted(set(kinds))
    }


def contrast(images: FramedSet, framing: Framing, index: Index = None) -> Contrast:
    """Look at the pictures `index` of a set, by default at all."""
    seen = Contrast()
    for some in images.pictures(index, framing):
        for name, size, tiles in some:
            seen.add(name, tiles[:, :, *framing.window(size)])
    return seen
