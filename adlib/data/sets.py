"""Which categories there are and where their images lie; no image is opened here."""

import hashlib
import os
from pathlib import Path

from adlib.host import paths

MVTEC_TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
MVTEC_OBJECTS = (
    "bottle", "cable", "capsule", "hazelnut", "metal_nut",
    "pill", "screw", "toothbrush", "transistor", "zipper",
)  # fmt: skip
DIGITS = tuple("0123456789")
CIFAR = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
INLIERS = ("1_inlier_categories", "3_inlier_categories", "5_inlier_categories")
ALL = {  # the categories that a table of all goes through
    "mvtec_ad": [*MVTEC_TEXTURES, *MVTEC_OBJECTS],
    "magnetic_tile": ["tile"],
    "wood_surface": ["wood"],
    "mnist": list(DIGITS),
    "cifar10": list(CIFAR),
    "caltech101": list(INLIERS),
    "caltech256": list(INLIERS),
    "brain_mri": ["brain"],
    "breast_ultrasound": ["breast"],
    "malaria": ["cell"],
    "pcam": ["lymph_node"],
    "oct": ["retina"],
}
IN_PACKAGES = ("elpv", "digits", "synthetic")  # sets that need no folder
PLACES = {  # where under the data root a set may lie, if not in a folder of its name
    "mnist": ("MNIST/raw",),
    "ir_mnist": ("MNIST/raw",),
    "cifar10": ("cifar-10-batches-py", "cifar10", "cifar10_jpg.tar.xz"),
    "caltech101": ("caltech101/101_ObjectCategories", "caltech101_64"),
    "caltech256": ("caltech256/256_ObjectCategories", "caltech256_64"),
}


def _in_package(dataset: str, category: str) -> bool:
    return dataset in IN_PACKAGES or (dataset, category) == ("ir_mnist", "digits")


def _place(dataset: str, category: str) -> Path | None:
    """Folder or archive of a category's images; None where there is none."""
    own = (f"{dataset}/{category}" if dataset == "mvtec_ad" else dataset,)
    places = (paths.data_root() / place for place in PLACES.get(dataset, own))
    return next((place for place in places if place.exists()), None)


def at_hand(dataset: str, category: str) -> bool:
    """Whether the images can be loaded without a download."""
    return _in_package(dataset, category) or _place(dataset, category) is not None


def stamp(dataset: str, category: str) -> str:
    """Hash of names, sizes and times of a category's files; "" for sets that come in packages.

    No file is opened, so it is quick; hidden files (`.DS_Store`, `.download.lock`) do not count.
    """
    if _in_package(dataset, category) or (folder := _place(dataset, category)) is None:
        return ""
    if folder.is_file():
        return f"{folder.stat().st_size} {folder.stat().st_mtime_ns}"
    lines = []
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in (Path(where, name) for name in files if not name.startswith(".")):
            found = file.stat()
            name = file.relative_to(folder).as_posix()
            lines.append(f"{name} {found.st_size} {found.st_mtime_ns}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
