"""Decisions on the images of a folder."""

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from adlib.deploy import exchangeability, image_folders, outputs
from adlib.deploy.contrast import Contrast
from adlib.deploy.decisions import CalibratedDetector
from adlib.deploy.gallery import Scored, gallery
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
        shown: the most anomalous images, highest score first: (score, name, uint8 `(C, S, S)`).
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
) -> Summary:
    """Score and decide on all images of a folder and of those below it, or on one image file.

    Images are read and scored a batch at a time, so memory does not grow with their number. An
    earlier table and gallery are set aside first; `adlib.deploy.outputs` says what may be replaced,
    and where the rows stand if the run is stopped.

    Args:
        detector: with its threshold.
        folder: images, grey or colour, of any size.
        csv_file: gets a row an image: path (relative to the folder, see `outputs.cell`), score,
            threshold, decision ("normal" or "abnormal"), error (why there is no decision). A folder
            that cannot be read has a row too.
        gallery_file: PNG of the most anomalous images with their heat maps.
        batch: images, and network inputs, worked on at once.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no image in it, a batch below 1, results that cannot be written there or would
            replace something else. Nothing was changed.
        StoppedError: not all images could be judged; the rows before stay.

    Warns:
        UserWarning: pictures of one value, values that fill a fraction of the range, or scores that
            the calibration's normal images do not have (`adlib.deploy.exchangeability`).
    """
    folder, csv_file = expanded(folder), expanded(csv_file)
    gallery_file = expanded(gallery_file) if gallery_file else None
    if batch < 1:
        raise ValueError(f"batch={batch}: at least 1 is needed")
    outputs.check(folder, csv_file, gallery_file)
    if folder.is_file():
        folder, found = folder.parent, image_folders.Listing([folder.name], {}, {})
    else:
        found = image_folders.listed(folder)
    counts, top, seen, scores = Counter(), [], Contrast(), []
    size = detector.detector.settings.side, detector.detector.settings.channels
    progress = {"total": len(found.images), "unit": "image", "mininterval": 1, "leave": False}
    with outputs.table(csv_file) as write, tqdm(**progress) as bar:
        if gallery_file:
            outputs.set_aside(gallery_file)
        rows, _ = _decided(detector, [*found.closed], [], dict(found.closed), batch)
        write(rows)
        counts[""] += len(rows)
        read = image_folders.batches(folder, found.images, batch, *size, detector.convert)
        for chunk, images, errors in read:
            seen.add([name for name in chunk if name not in errors], images)
            rows, scored = _decided(detector, chunk, images, errors, batch)
            write(rows)
            counts.update(decision for _, _, _, decision, _ in rows)
            scores += [score for score, _, _ in scored]
            best = heapq.nlargest(SHOWN, top + scored, key=lambda image: image[0])
            # Copies, because one image kept would keep its whole batch.
            top = [(score, name, image.clone()) for score, name, image in best]
            bar.update(len(chunk))
    if gallery_file and top:
        outputs.save_gallery(gallery(detector, top, batch), gallery_file)
    seen.warn()
    held = detector.facts["held_out"]["normal_scores"]
    exchangeability.warn(held, scores, detector.threshold)
    called = (counts[decision] for decision in ("normal", "abnormal", ""))
    return Summary(csv_file, *called, [*found.others], top)


def _decided(
    detector: CalibratedDetector,
    names: Sequence[str],
    images: Tensor,
    errors: dict[str, str],
    batch: int,
) -> tuple[list[tuple], list[Scored]]:
    """Rows of the CSV for all names, and what was scored: `images` are those without an error."""
    readable = [name for name in names if name not in errors]
    values = detector.detector.score(images, batch).tolist() if readable else []
    scores = dict(zip(readable, values, strict=True))
    wrong = {name: score for name, score in scores.items() if not math.isfinite(score)}
    errors |= {name: f"the detector gives the score {score}" for name, score in wrong.items()}
    rows, threshold = [], repr(detector.threshold)
    for name in names:
        if name in errors:
            rows.append((name, "", threshold, "", errors[name]))
        else:
            decision = "abnormal" if scores[name] >= detector.threshold else "normal"
            rows.append((name, repr(scores[name]), threshold, decision, ""))
    finite = [(scores[n], n, x) for n, x in zip(scores, images, strict=True) if n not in errors]
    return rows, finite
