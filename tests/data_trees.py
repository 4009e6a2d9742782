"""Small generated data sets on disk, in the layouts that the real ones have."""

from pathlib import Path

import numpy as np
from PIL import Image

from adlib.data import synthetic


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    """Write uint8 pixels (H, W) or (H, W, 3), or a boolean mask (H, W), as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    Image.fromarray(pixels).save(path, **options)
    return path


def mvtec_tree(
    folder: Path,
    look: str = "object",
    counts: tuple[int, int, int] = (8, 4, 4),
    side: int = 16,
    masks: bool = True,
    suffix: str = ".png",
    seed: int = 0,
) -> Path:
    """MVTec layout in `folder`: counts of training normal, test normal and test abnormal images."""
    images, truth, rows = synthetic.generate(look, side, *counts, seed=seed)
    for image, mask, (name, label, kind, _) in zip(images, truth, rows, strict=True):
        save(folder / (name + suffix), image)
        if label and masks:
            stem = Path(name).name
            save(folder / "ground_truth" / kind / f"{stem}_mask{suffix}", mask)
    return folder


def two_folder_tree(
    folder: Path, n_normal: int = 10, n_abnormal: int = 4, kinds: bool = False, side: int = 16
) -> Path:
    """`normal/` and `abnormal/`, the latter with a folder for each kind if `kinds`."""
    images, _, rows = synthetic.generate("object", side, n_normal, 0, n_abnormal)
    for image, (name, label, kind, _) in zip(images, rows, strict=True):
        where = ["abnormal", kind] if label and kinds else ["abnormal" if label else "normal"]
        save(folder.joinpath(*where, f"{kind}_{Path(name).name}.png"), image)
    return folder


def magnetic_tile_tree(folder: Path, n_normal: int = 10, n_abnormal: int = 4) -> Path:
    """Layout of the magnetic tile set: grey JPG files of differing sizes, PNG masks beside them."""
    kinds = {"good": "MT_Free", "blot": "MT_Blowhole", "scratch": "MT_Crack"}
    images, masks, rows = synthetic.generate("texture", 24, n_normal, 0, n_abnormal)
    for i, (image, mask, (name, _, kind, _)) in enumerate(zip(images, masks, rows, strict=True)):
        rows_kept = 24 - i % 3
        path = folder / kinds[kind] / "Imgs" / f"exp1_num_{Path(name).name}"
        save(path.with_suffix(".jpg"), image[:rows_kept, :, 0], quality=95)
        save(path.with_suffix(".png"), mask[:rows_kept])
    return folder
