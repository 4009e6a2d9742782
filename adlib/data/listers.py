"""Listers: each makes the `ImageSet` of a category of a data set that shows normal and abnormal.

A lister takes the data set, the category and the data root. Those of sets that show classes of
things are in `adlib.data.classes`, mosaics in `adlib.data.mosaics`.
"""

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from adlib.data import industrial_layouts, layouts, synthetic
from adlib.data.arrays import Stored
from adlib.data.dataset import Dataset
from adlib.data.images import ImageSet

if TYPE_CHECKING:
    import h5py

Layout = Callable[[Path, Path], pd.DataFrame]  # see adlib.data.layouts
_PCAM = {"test": "test", "train": "train", "valid": "train"}  # official part -> the table's


def elpv(dataset: Dataset, category: str, root: Path) -> ImageSet:
    """Read the package's labels.csv; its images are opened where they are."""
    folder = Path(resources.files("elpv_dataset")) / "data"
    names = ["path", "probability", "type"]
    rows = pd.read_csv(folder / "labels.csv", sep=r"\s+", names=names)
    rows = rows[rows["type"] == category]
    clear = rows[rows["probability"].isin([0.0, 1.0])]
    table = layouts.table(
        (path, int(p), "defective" if p else "good", "", "")
        for path, p in zip(clear["path"], clear["probability"], strict=True)
    )
    return dataset.image_set(category, folder, table, n_left_out=len(rows) - len(clear))


def generated(dataset: Dataset, category: str, root: Path) -> ImageSet:
    """Textures and objects of `adlib.data.synthetic`."""
    arrays, masks, rows = synthetic.generate(category)
    table = layouts.table((*row, f"mask/{row[0]}" if row[1] else "") for row in rows)
    return dataset.image_set(category, root, table, arrays=arrays, mask_arrays=masks)


def on_disk(
    dataset: Dataset, category: str, root: Path, layout: Layout, mixed: bool = False
) -> ImageSet:
    """A set, or each of its categories, in one folder; `mixed` grey and colour are converted."""
    table = layout(dataset.place(root, category), root)
    return dataset.image_set(category, root, table, convert=mixed)


def mvtec_ad_2(dataset: Dataset, category: str, root: Path) -> ImageSet:
    """The parts of MVTec AD 2 whose labels are public; images of the private tests are counted."""
    place = dataset.place(root, category)
    private = [place / part for part in industrial_layouts.PRIVATE if (place / part).is_dir()]
    return dataset.image_set(
        category, root, industrial_layouts.mvtec_ad_2(place, root),
        n_left_out=sum(len(layouts.files(part, root)) for part in private),
    )  # fmt: skip


def pcam(dataset: Dataset, category: str, root: Path) -> ImageSet:
    """Official files in `<root>/pcam`, unpacked, as `torchvision.datasets.PCAM` lays them out."""
    sources, rows = [], []
    for part, ours in _PCAM.items():
        stem = root / "pcam" / f"camelyonpatch_level_2_split_{part}"
        images, targets = (_array(dataset, Path(f"{stem}_{name}.h5"), name) for name in "xy")
        labels = targets[:].ravel()
        again = f"Get it again from {dataset.homepage}."
        if images.dtype != np.uint8 or images.shape[1:] != (96, 96, 3):
            raise ValueError(
                f"{images.file.filename}: {images.dtype} of shape {images.shape} where bytes of "
                f"(N, 96, 96, 3) are expected. {again}"
            )
        if len(images) != len(labels) or not np.isin(labels, (0, 1)).all():
            raise ValueError(
                f"{targets.file.filename}: {len(labels)} labels of {np.unique(labels).tolist()} "
                f"where a 0 or 1 is expected for each of {len(images)} images. {again}"
            )
        sources.append(images)
        rows += [
            (f"{part}/{i:06d}", int(label), "metastasis" if label else "good", ours, "")
            for i, label in enumerate(labels)
        ]
    return dataset.image_set(category, root, layouts.table(rows), arrays=Stored(sources))


def _array(dataset: Dataset, path: Path, name: str) -> "h5py.Dataset":
    """Array `name` of an HDF5 file, which stays open."""
    import h5py  # here, because the other sets do not need it

    if not path.is_file():
        raise dataset.not_there(path)
    try:
        return h5py.File(path, "r")[name]
    except (OSError, KeyError) as error:
        raise ValueError(
            f"{path}: not an HDF5 file with an array {name} ({error}). Get it again from "
            f"{dataset.homepage} and unpack it."
        ) from error


def users_folder(dataset: Dataset, category: str, root: Path) -> ImageSet:
    """A user's own folder; the category is its path."""
    folder = (root / Path(category).expanduser()).absolute()
    if not folder.is_dir():
        beside = [path.name for path in folder.parent.glob("*") if path.is_dir()]
        raise FileNotFoundError(
            f"{folder}: no such folder. The category of 'folder' is a path, absolute or under "
            f"{root}. " + layouts.nearest(folder.name, beside)
        )
    root = folder if Path(category).expanduser().is_absolute() else root
    return dataset.image_set(category, root, layouts.user(folder, root))
