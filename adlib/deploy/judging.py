"""Decisions on the images of a folder."""

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from adlib.deploy import exchangeability, image_folders, inference, outputs
from adlib.deploy.contrast import Contrast
from adlib.deploy.decisions import CalibratedDetector
from adlib.deploy.framing import Picture
from adlib.deploy.gallery import Scored, gallery
from adlib.deploy.outputs import Row
from adlib.host.files import expanded

SHOWN = 12  # images in a gallery


@dataclass(frozen=True)
class Summary:
    """Counts of the decisions on a folder.

    Attributes:
        csv: the decisions.
        normal, abnormal: images called so.
        unreadable: image files without a decision, and folders that cannot be read.
        passed_over: what is no image by name or no plain file, and linked folders.
        shown: the most anomalous images, highest score first: (score, picture).
    """

    csv: Path
    normal: int
    abnormal: int
    unreadable: int
    passed_over: list[str]
    shown: list[Scored] = field(repr=False)

    def __str__(self) -> str:
        images = self.normal + self.abnormal + self.unreadable
        text = f"{images} images: {self.normal} normal, {self.abnormal} abnormal"
        if self.unreadable:
            text += f", {self.unreadable} without a decision (column error)"
        if self.passed_over:
            text += (
                f"; passed over {len(self.passed_over)}, e.g. {outputs.plain(self.passed_over[0])}"
            )
        return f"{text}; see {self.csv}"


def score_folder(
    detector: CalibratedDetector,
    folder: str | Path,
    csv_file: str | Path = "decisions.csv",
    gallery_file: str | Path | None = None,
    batch: int = 16,
    masks_dir: str | Path | None = None,
) -> Summary:
    """Score and decide on all images of a folder and of those below it, or on one image file.

    Images keep their aspect ratio; `adlib.deploy.framing` says how they become the detector's. They
    are read and scored a batch at a time, so memory does not grow with their number. An earlier
    table, gallery and folder of masks are set aside first; `adlib.deploy.outputs` says what may be
    replaced, and where the rows stand if the run is stopped.

    Args:
        detector: with its threshold.
        folder: images, grey or colour, of any size.
        csv_file: gets a row an image: path (relative to the folder, see `outputs.cell`), score,
            threshold, decision ("normal" or "abnormal"), error (why there is no decision). A folder
            that cannot be read has a row too.
        gallery_file: PNG of the most anomalous images with their heat maps.
        batch: network inputs worked on at once, of which an image may be several.
        masks_dir: gets for every judged image, normal ones too, a PNG of its width and height, 255
            where the anomaly map reaches the detector's pixel threshold and 0 elsewhere, under the
            image's relative name with `.png` behind it.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no image in it, a batch below 1, masks of a detector without a pixel threshold,
            results that cannot be written there or would replace something else. Nothing was
            changed.
        StoppedError: not all images could be judged; the rows before stay.

    Warns:
        UserWarning: pictures of one value, values that fill a fraction of the range, or scores that
            the calibration's normal images do not have (`adlib.deploy.exchangeability`).
    """
    folder, csv_file = expanded(folder), expanded(csv_file)
    gallery_file = expanded(gallery_file) if gallery_file else None
    masks_dir = expanded(masks_dir).absolute() if masks_dir else None
    if batch < 1:
        raise ValueError(f"batch={batch}: at least 1 is needed")
    if masks_dir:
        check_pixels(detector)
    outputs.check(folder, csv_file, gallery_file, masks_dir)
    if folder.is_file():
        folder, found = folder.parent, image_folders.Listing([folder.name], {}, {})
    else:
        found = image_folders.listed(folder)
    counts, top, seen, scores = Counter(), [], Contrast(), []
    framing = detector.framing
    progress = {"total": len(found.images), "unit": "image", "mininterval": 1, "leave": False}
    with outputs.table(csv_file, gallery_file, masks_dir) as write, tqdm(**progress) as bar:
        rows, _ = decided(detector, [*found.closed], [], dict(found.closed), batch)
        write(rows)
        counts[""] += len(rows)
        read = image_folders.batches(folder, found.images, batch, framing, detector.convert)
        for chunk, pictures, errors in read:
            for name, size, tiles in pictures:
                seen.add(name, tiles[:, :, *framing.window(size)])
            rows, judged = decided(detector, chunk, pictures, errors, batch, bool(masks_dir))
            for _, picture, maps in judged if masks_dir else ():
                outputs.save_mask(masks_dir, picture.name, flagged(detector, picture, maps))
            write(rows)
            counts.update(row.decision for row in rows)
            scored = [(score, picture) for score, picture, _ in judged]
            scores += [score for score, _ in scored]
            top = heapq.nlargest(SHOWN, top + scored, key=lambda image: image[0])
            bar.update(len(chunk))
    if gallery_file and top:
        outputs.save_gallery(gallery(detector, top, batch), gallery_file)
    seen.warn()
    held = detector.facts["held_out"]["normal_scores"]
    exchangeability.warn(held, scores, detector.threshold)
    called = (counts[decision] for decision in ("normal", "abnormal", ""))
    return Summary(csv_file, *called, [*found.others], top)


class Judged(NamedTuple):
    """A picture with a finite score; `maps` are of its tiles, float32 `(t, side, side)`."""

    score: float
    picture: Picture
    maps: np.ndarray | None


def decided(
    detector: CalibratedDetector,
    names: Sequence[str],
    pictures: Sequence[Picture],
    errors: dict[str, str],
    batch: int,
    maps: bool = False,
) -> tuple[list[Row], list[Judged]]:
    """Decide on a batch.

    Args:
        detector: with its threshold.
        names: of all files of the batch.
        pictures: those that could be read, in the same order.
        errors: by name, why the others could not; gets those whose score is no number.
        batch: network inputs worked on at once.
        maps: whether maps are needed too.

    Returns:
        A row for every name, and what has a decision.
    """
    scores, of_tiles = [], []
    if pictures:
        scores, of_tiles = inference.judge(detector.detector, pictures, batch, maps)
    all_maps = of_tiles or [None] * len(pictures)
    judged = [Judged(float(s), p, m) for s, p, m in zip(scores, pictures, all_maps, strict=True)]
    wrong = [one for one in judged if not math.isfinite(one.score)]
    errors |= {one.picture.name: f"the detector gives the score {one.score}" for one in wrong}
    found = {one.picture.name: one for one in judged if one.picture.name not in errors}
    rows = []
    for name in names:
        if name in errors:
            rows.append(Row(name, None, detector.threshold, "", errors[name]))
        else:
            score = found[name].score
            decision = "abnormal" if score >= detector.threshold else "normal"
            rows.append(Row(name, score, detector.threshold, decision, ""))
    return rows, [*found.values()]


def check_pixels(detector: CalibratedDetector) -> None:
    """Raise a ValueError unless a detector has the pixel threshold that masks need."""
    if detector.pixel_threshold is None:
        raise ValueError(
            "the detector has no pixel threshold, which masks need; train one with `pixels=` of "
            "adlib.deploy.train"
        )


def flagged(detector: CalibratedDetector, picture: Picture, maps: np.ndarray) -> np.ndarray:
    """The picture's pixels whose map reaches the pixel threshold, bool `(H, W)`."""
    return detector.framing.joined(maps, picture.size) >= detector.pixel_threshold
