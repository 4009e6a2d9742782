"""Decisions on the images of a folder."""

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from adlib.deploy import image_folders, inference, outputs
from adlib.deploy.contrast import Contrast
from adlib.deploy.decisions import CalibratedDetector
from adlib.deploy.framing import Picture
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
) -> Summary:
    """Score and decide on all images of a folder and of those below it, or on one image file.

    Images keep their aspect ratio; `adlib.deploy.framing` says how they become the detector's. They
    are read and scored a batch at a time, so memory does not grow with their number. An
    earlier table and gallery are set aside first; `adlib.deploy.outputs` says what may be replaced,
    and where the rows stand if the run is stopped.

    Args:
        detector: with its threshold.
        folder: images, grey or colour, of any size.
        csv_file: gets a row an image: path (relative to the folder, see `outputs.cell`), score,
            threshold, decision ("normal" or "abnormal"), error (why there is no decision). A folder
            that cannot be read has a row too.
        gallery_file: PNG of the most anomalous images with their heat maps.
        batch: network inputs worked on at once, of which an image may be several.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no image in it, a batch below 1, results that cannot be written there or would
            replace something else. Nothing was changed.
        StoppedError: not all images could be judged; the rows before stay.

    Warns:
        UserWarning: pictures of one value, or values that fill a fraction of the range.
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
    counts, top, seen, framing = Counter(), [], Contrast(), detector.framing
    progress = {"total": len(found.images), "unit": "image", "mininterval": 1, "leave": False}
    with outputs.table(csv_file) as write, tqdm(**progress) as bar:
        if gallery_file:
            outputs.set_aside(gallery_file)
        rows, _ = _decided(detector, [*found.closed], [], dict(found.closed), batch)
        write(rows)
        counts[""] += len(rows)
        read = image_folders.batches(folder, found.images, batch, framing, detector.convert)
        for chunk, pictures, errors in read:
            for name, size, tiles in pictures:
                seen.add(name, tiles[:, :, *framing.window(size)])
            rows, scored = _decided(detector, chunk, pictures, errors, batch)
            write(rows)
            counts.update(decision for _, _, _, decision, _ in rows)
            top = heapq.nlargest(SHOWN, top + scored, key=lambda image: image[0])
            bar.update(len(chunk))
    if gallery_file and top:
        outputs.save_gallery(gallery(detector, top, batch), gallery_file)
    seen.warn()
    called = (counts[decision] for decision in ("normal", "abnormal", ""))
    return Summary(csv_file, *called, [*found.others], top)


def _decided(
    detector: CalibratedDetector,
    names: Sequence[str],
    pictures: Sequence[Picture],
    errors: dict[str, str],
    batch: int,
) -> tuple[list[tuple], list[Scored]]:
    """Rows of the CSV for all names, and what was scored: `pictures` are those without an error."""
    values = []
    if pictures:
        values, _ = inference.judge(detector.detector, pictures, batch, maps=False)
    scores = {picture.name: float(v) for picture, v in zip(pictures, values, strict=True)}
    wrong = {name: score for name, score in scores.items() if not math.isfinite(score)}
    errors |= {name: f"the detector gives the score {score}" for name, score in wrong.items()}
    rows, threshold = [], repr(detector.threshold)
    for name in names:
        if name in errors:
            rows.append((name, "", threshold, "", errors[name]))
        else:
            decision = "abnormal" if scores[name] >= detector.threshold else "normal"
            rows.append((name, repr(scores[name]), threshold, decision, ""))
    return rows, [(scores[p.name], p) for p in pictures if p.name not in errors]
