"""What the benchmark server of MVTec AD 2 (https://benchmark.mvtec.com) asks for.

>>> split = data.one_class(data.load("mvtec_ad_2", "vial"))
>>> detector.fit(split, budget)
>>> submission.write(detector, split, "submission")

For each image of both private tests a submission holds

- `anomaly_images/<category>/<test>/NAME.tiff`: the anomaly map at the image's size, one channel of
  16-bit floating-point values,
- `anomaly_images_thresholded/<category>/<test>/NAME.png`: the flagged pixels, 255, the others 0.

The server takes all eight categories at once. The publisher's program
`check_and_prepare_data_for_upload.py` checks a whole submission and packs it for the upload.
"""

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from adlib import models
from adlib.data import Split, decode, layouts
from adlib.data.industrial_layouts import PRIVATE
from adlib.host.files import atomic, expanded

MAPS, FLAGGED = "anomaly_images", "anomaly_images_thresholded"
DEVIATIONS = 3  # above the mean, as the publisher's program suggests


def write(
    detector: models.Detector,
    split: Split,
    folder: str | Path,
    threshold: float | None = None,
    batch: int = 16,
) -> Path:
    """Write the maps of a category's private test images; all of them or nothing.

    A detector sees an image squeezed to its square side; the map is stretched to the image's size
    again (bilinear). All maps of a category are multiplied by one power of two, which puts the
    largest held-out value between 1 and 2, because 16 bits hold small values coarsely; no order of
    values depends on it.

    Args:
        detector: fitted on `split`.
        split: of a category of mvtec_ad_2, read from its images.
        folder: of the submission; gets the category's folders.
        threshold: map value from which on pixels are flagged. By default the mean plus three
            standard deviations over all pixels of the maps of the held-out normal images.
        batch: images worked on at once.

    Raises:
        ValueError: another data set; a split without held-out images; a submission that has the
            category already; a map that 16 bits cannot hold.
        FileNotFoundError: a private test is not there.
    """
    images, folder = split.images, expanded(folder)
    if images.name != "mvtec_ad_2":
        raise ValueError(f"{images.title}: only images of mvtec_ad_2 can be submitted.")
    if len(split.validation) == 0:
        raise ValueError(f"{images.title}: the split holds out no image; raise validation.")
    places = [folder / kind / images.category for kind in (MAPS, FLAGGED)]
    if there := [place for place in places if place.exists()]:
        raise ValueError(f"{there[0]} is there already. Move it away or name another folder.")
    tests = {test: _private(split, test) for test in PRIVATE}
    usual, scale = _held_out(detector, split, batch)
    threshold = usual if threshold is None else threshold
    unfinished = folder / f".{images.category}.part"
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a killed call
    try:
        for test, paths in tests.items():
            for path, values in _maps(detector, split, paths, batch):
                name = Path(test, path.stem)
                _save_map(unfinished / MAPS / name.with_suffix(".tiff"), values * scale, path)
                _save_flagged(unfinished / FLAGGED / name.with_suffix(".png"), values >= threshold)
        for place in places:
            place.parent.mkdir(parents=True, exist_ok=True)
            (unfinished / place.parent.name).replace(place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _private(split: Split, test: str) -> list[Path]:
    """The images of a private test."""
    images = split.images
    category = (images.root / images.table["path"].iat[0]).parents[2]  # <category>/<part>/good/NAME
    return layouts.files(category / test, images.root, f"images of {images.title}'s private test")


def _held_out(detector: models.Detector, split: Split, batch: int) -> tuple[float, float]:
    """The default threshold, and the power of two that brings the largest value to 1 to 2."""
    s = detector.settings
    values = detector.anomaly_map(split.pixels("validation", s.side, s.channels), batch)
    most = float(np.abs(values).max())
    if not 0 < most < np.inf:
        raise ValueError(
            f"{split.images.title}: the largest map value of held-out images is {most}; no map can "
            "be scaled by it. Train the detector again."
        )
    threshold = values.mean(dtype=np.float64) + DEVIATIONS * values.std(dtype=np.float64)
    return float(threshold), 2.0 ** -np.floor(np.log2(most))


def _maps(
    detector: models.Detector, split: Split, paths: list[Path], batch: int
) -> Iterator[tuple[Path, np.ndarray]]:
    """Each path with its image's map, float32 (H, W) of the image's size."""
    s, convert = detector.settings, split.images.convert
    for start in tqdm(range(0, len(paths), batch), split.images.title, unit="batch", leave=False):
        some = paths[start : start + batch]
        opened = [decode.open_image(path, convert) for path in some]
        pixels = np.stack([decode.resized(image, s.side, s.channels) for image in opened])
        squares = detector.anomaly_map(torch.from_numpy(pixels), batch)
        for path, image, square in zip(some, opened, squares, strict=True):
            stretched = Image.fromarray(square).resize(image.size, Image.Resampling.BILINEAR)
            yield path, np.asarray(stretched)


def _save_map(path: Path, values: np.ndarray, image: Path) -> None:
    """Write a map (H, W) as a TIFF file of 16-bit floating-point values."""
    with np.errstate(over="ignore"):
        half = values.astype("<f2")
    if not np.isfinite(half).all():
        raise ValueError(
            f"{image}: its map has values that are not finite or more than 65,504 times the "
            "held-out ones, which 16 bits cannot hold. Train the detector again."
        )
    with atomic(path) as temporary:
        temporary.write_bytes(_tiff(half))


def _save_flagged(path: Path, flagged: np.ndarray) -> None:
    """Write flagged pixels, bool (H, W), as 0 and 255."""
    with atomic(path) as temporary:
        Image.fromarray(np.where(flagged, 255, 0).astype(np.uint8)).save(temporary)


def _tiff(values: np.ndarray) -> bytes:
    """A TIFF file with one uncompressed strip of values "<f2" (H, W); Pillow writes no such one."""
    height, width = values.shape
    # Tag, type (3: 16 bits, 4: 32 bits) and value, in the order of the tags.
    entries = [
        (256, 4, width), (257, 4, height),
        (258, 3, 16),  # bits of a value
        (259, 3, 1),  # not compressed
        (262, 3, 1),  # 0 is black
        (273, 4, 0),  # where the values begin, see below
        (277, 3, 1),  # values a pixel
        (278, 4, height),  # rows of the strip
        (279, 4, values.nbytes),
        (339, 3, 3),  # floating point
    ]  # fmt: skip
    start = 8 + 2 + 12 * len(entries) + 4
    directory = b"".join(
        struct.pack("<HHII", tag, kind, 1, start if tag == 273 else value)
        for tag, kind, value in entries
    )
    header = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
    return header + directory + struct.pack("<I", 0) + values.tobytes()
