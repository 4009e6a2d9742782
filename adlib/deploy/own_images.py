"""Decisions on a user's own images: train and calibrate on folders, then score other folders.

>>> detector = train("parts/normal", target="fpr 0.05")
>>> detector.save("parts.safetensors")
>>> print(score_folder(detector, "parts/today", "decisions.csv", "most_anomalous.png"))
"""

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from adlib import models
from adlib.data import Conversion, ImageSet, Split
from adlib.data.protocols import usable
from adlib.data.split import generator
from adlib.deploy import contrast, decisions, image_folders, outputs
from adlib.deploy.contrast import Contrast
from adlib.deploy.decisions import CalibratedDetector, Target
from adlib.host.files import expanded
from adlib.models.features import FeatureDetector
from adlib.models.training import Budget

Scored = tuple[float, str, Tensor]  # score, name and pixels of an image, uint8 (C, S, S)
HELD_OUT = 0.2  # share of the normal images that set or check the threshold, if no more are needed
SHOWN = 12  # images in a gallery
PORTABLE = "efficientnet_lite0"  # the backbone that every installation has


def train(
    normal_dir: str | Path,
    abnormal_dir: str | Path | None = None,
    method: str = "PatchCore",
    target: str | Target = "fpr 0.05",
    steps: int = 2000,
    batch: int = 32,
    seed: int = 0,
    device: str | torch.device | None = None,
    range: tuple[float, float] | None = None,
    page: int | None = None,
    **settings: object,
) -> CalibratedDetector:
    """Train a detector on a folder of normal images and set its threshold on held-out ones.

    Folders below the given ones count too. Files that hold the same bytes count once.

    Args:
        normal_dir: normal images, grey or colour, of any size.
        abnormal_dir: abnormal images, needed for a target on the miss rate and by methods that
            learn from them. Methods that do not learn from them hold all of them out, others half.
        method: name of a detector in `adlib.models.REGISTRY`.
        target: rate to keep, for example "fpr 0.05"; see `adlib.deploy.decisions`.
        steps: training steps; PaDiM and PatchCore go over the images once whatever it is.
        batch: images in a training step.
        seed: of the images held out and of the training.
        device: where to work; CUDA where there is one by default.
        range: black and white of files of more than 8 bits, see `adlib.data.Conversion`.
        page: the page that counts in files of several. Both are kept for scoring.
        **settings: of the detector, for example `side`, the side in pixels that images get. PaDiM
            and PatchCore take features of EfficientNet-Lite0 unless `backbone` names another.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: too few images for the target (with the number needed), a file that cannot be
            read or needs `range` or `page`, an unknown method or a bad setting.

    Warns:
        UserWarning: pictures of one value, or values that fill a fraction of the range.
    """
    convert = Conversion(range, page)
    target, budget = Target.parse(target), Budget(steps, batch)
    if seed < 0:
        raise ValueError(f"seed={seed}: allowed is at least 0")
    if target.label and abnormal_dir is None:
        raise ValueError(f"'{target}' needs abnormal images: give the folder that holds them.")
    images = image_folders.image_set(normal_dir, abnormal_dir, convert)
    if issubclass(models.REGISTRY.get(method, object), FeatureDetector):
        settings = {"backbone": PORTABLE} | settings
    detector = models.build(method, **settings)
    if detector.uses_abnormal and abnormal_dir is None:
        raise ValueError(f"{method} learns from abnormal images: give the folder that holds them.")
    split = hold_out(images, target, detector.uses_abnormal, seed)
    size = detector.settings.side, detector.settings.channels
    contrast.of_set(images, *size).warn()
    detector.fit(split, budget, seed, device=device)
    labels = split.labels_of("validation")
    scores = detector.score(split.pixels("validation", *size), batch)
    facts = {
        "trained_on": {"normal": len(split.train), "abnormal": len(split.abnormal)},
        "left_out": len(images) - len(split.train) - len(split.abnormal) - len(labels),
        "images": images.fingerprint(),
        "seed": seed,
    }
    if isinstance(detector, models.Trainable):
        facts |= {"steps": steps, "batch": batch}
    calibration = scores[labels == 0], scores[labels == 1]
    return decisions.calibrate(detector, target, *calibration, convert, **facts)


def hold_out(images: ImageSet, target: Target, learns_abnormal: bool, seed: int) -> Split:
    """Split images into those learnt from and those held out (validation); there is no test.

    A fifth of the normal images is held out, more where the target needs them, at most half. Too
    few images are a ValueError.
    """
    labels = images.table["label"].to_numpy(copy=True)
    rows, dropped = usable(images, labels)
    rows = rows[~pd.Series(images.digests())[rows].duplicated().to_numpy()]
    rng = generator(seed, "own images")
    needed = {label: target.images_needed() if label == target.label else 1 for label in (0, 1)}
    normal, abnormal = (rng.permutation(rows[labels[rows] == label]) for label in (0, 1))
    n_normal = min(len(normal) // 2, max(round(HELD_OUT * len(normal)), needed[0]))
    n_abnormal = len(abnormal)
    copies = len(images) - len(rows)
    copies = f" {copies} of {len(images)} files are left out as byte copies." if copies else ""
    if len(normal) < 2:
        raise ValueError(
            f"{images.category}: {len(normal)} normal image(s); at least 2 are needed.{copies}"
        )
    if learns_abnormal and n_abnormal < 2:
        raise ValueError(
            f"{n_abnormal} abnormal image(s) that are no copies of others: this method learns from "
            "some and holds others out, so at least 2 are needed"
        )
    if learns_abnormal:
        n_abnormal = min(n_abnormal - 1, max(n_abnormal // 2, needed[1]))
    target.check((n_normal, n_abnormal)[target.label], copies)
    held = np.sort(np.concatenate([normal[:n_normal], abnormal[:n_abnormal]]))
    train, learnt = np.sort(normal[n_normal:]), np.sort(abnormal[n_abnormal:])
    nothing = np.empty(0, np.int64)
    return Split(images, "own images", seed, labels, train, held, nothing, dropped, learnt)


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
    counts, top, seen = Counter(), [], Contrast()
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
            best = heapq.nlargest(SHOWN, top + scored, key=lambda image: image[0])
            # Copies, because one image kept would keep its whole batch.
            top = [(score, name, image.clone()) for score, name, image in best]
            bar.update(len(chunk))
    if gallery_file and top:
        outputs.save_gallery(gallery(detector, top, batch), gallery_file)
    seen.warn()
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


def gallery(detector: CalibratedDetector, shown: Sequence[Scored], batch: int = 16) -> Figure:
    """Draw images beside themselves with their anomaly maps laid over, on one scale of colours.

    Args:
        detector: gives the maps.
        shown: score, name and pixels of each, as in `Summary.shown`; at least one.
        batch: network inputs worked on at once.
    """
    images = torch.stack([image for _, _, image in shown])
    maps = detector.detector.anomaly_map(images, batch)
    scale = mpl.colors.Normalize(maps.min(), maps.max())
    heat = mpl.colormaps["magma"](scale(maps))[..., :3]
    plain = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy() / 255
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(4.4 * columns, 2.6 * lines + 0.3), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    both = np.concatenate([plain, 0.4 * plain + 0.6 * heat], 2)
    for ax, (score, name, _), pair in zip(axes, shown, both, strict=False):
        ax.imshow(pair)
        name = outputs.plain(name)
        label = name if len(name) <= 40 else f"...{name[-37:]}"
        abnormal = score >= detector.threshold
        text = f"{label}\nscore {score:.4g}, {'abnormal' if abnormal else 'normal'}"
        colour = "firebrick" if abnormal else "0.2"
        # A dollar in a file's name is a dollar.
        ax.set_title(text, fontsize=9, color=colour, parse_math=False)
    colours = mpl.cm.ScalarMappable(scale, "magma")
    figure.colorbar(colours, ax=list(axes), shrink=0.8).set_label("anomaly map")
    figure.suptitle(f"Most anomalous images; threshold {detector.threshold:.4g}", fontsize=11)
    return figure
