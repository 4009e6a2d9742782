"""Listers: each makes the `ImageSet` of a category of a data set that shows normal and abnormal.

A lister takes the data set, the category, the data root and `convert` of `adlib.data.load`. Those
of sets that show classes of things are in `adlib.data.classes`, mosaics in `adlib.data.mosaics`.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from adlib.data import layouts, synthetic
from adlib.data.dataset import Dataset
from adlib.data.images import ImageSet


def elpv(dataset: Dataset, category: str, root: Path, convert: bool) -> ImageSet:
    """Read the package's labels.csv; its images are opened where they are."""
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None:
        raise ModuleNotFoundError(
            "The data set elpv comes with the package elpv-dataset: pip install elpv-dataset."
        )
    folder = Path(spec.submodule_search_locations[0]) / "data"
    rows = pd.read_csv(
        folder / "labels.csv",
        sep=r"\s+",
        names=["path", "probability", "type"],
        dtype={"type": str},
    )
    rows = rows[rows["type"] == category]
    clear = rows[rows["probability"].isin([0.0, 1.0])]
    made = layouts.table(
        (path, int(p), "defective" if p else "good", "", "")
        for path, p in zip(clear["path"], clear["probability"], strict=True)
    )
    return dataset.image_set(
        category, folder, made, n_left_out=len(rows) - len(clear), convert=convert
    )


def generated(dataset: Dataset, category: str, root: Path, convert: bool) -> ImageSet:
    """Textures and objects of `adlib.data.synthetic`."""
    arrays, masks, rows = synthetic.generate(category)
    made = layouts.table((*row, f"mask/{row[0]}" if row[1] else "") for row in rows)
    return dataset.image_set(category, root, made, arrays=arrays, mask_arrays=masks)


def on_disk(layout: Callable[[Path, Path], pd.DataFrame], nested: bool = False) -> Callable:
    """Lister of a set in `<root>/<name>`, or `<root>/<name>/<category>` where it is nested."""

    def lister(dataset: Dataset, category: str, root: Path, convert: bool) -> ImageSet:
        folder = root / dataset.name / category if nested else root / dataset.name
        if not folder.is_dir():
            raise dataset.not_there(folder, category=category if nested else "")
        return dataset.image_set(category, root, layout(folder, root), convert=convert)

    return lister


def users_folder(dataset: Dataset, category: str, root: Path, convert: bool) -> ImageSet:
    """A user's own folder; the category is its path."""
    folder = (root / Path(category).expanduser()).absolute()
    if not folder.is_dir():
        beside = [path.name for path in folder.parent.glob("*") if path.is_dir()]
        raise FileNotFoundError(
            f"{folder}: no such folder. The category of 'folder' is a path, absolute or under "
            f"{root}. " + layouts.nearest(folder.name, beside)
        )
    root = folder if Path(category).expanduser().is_absolute() else root
    return dataset.image_set(category, root, layouts.user(folder, root), convert=convert)
