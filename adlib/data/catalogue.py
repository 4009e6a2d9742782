"""The data sets: what each is, where it comes from, where it lies and how it is listed."""

from dataclasses import replace
from pathlib import Path

from adlib.data import image_packs, layouts, listers
from adlib.data.class_sets import CLASS_SETS
from adlib.data.dataset import Dataset, part_counts
from adlib.data.decode import Conversion
from adlib.data.images import ImageSet
from adlib.data.industrial import INDUSTRIAL
from adlib.data.medical import MEDICAL
from adlib.host.paths import data_root

_ALL = [
    *INDUSTRIAL,
    *CLASS_SETS,
    *MEDICAL,
    Dataset(
        "folder",
        "Your own images",
        "",
        "",
        "",
        {},
        listers.users_folder,
        note="The category is a folder: normal/ and abnormal/ (with or without a folder for each "
        "kind), or MVTec layout.",
    ),
    Dataset(
        "synthetic",
        "Generated textures and objects with planted defects",
        "public domain (generated)",
        "",
        "",
        {"texture": "texture", "object": "object"},
        listers.generated,
        dict.fromkeys(("texture", "object"), part_counts(64, 24, 24)),
        "Generated in memory, for tests and a first trial; its numbers mean nothing beyond that.",
        packaged=("texture", "object"),
    ),
]
CATALOGUE = {dataset.name: dataset for dataset in _ALL}


def names() -> list[str]:
    """Names of all data sets."""
    return list(CATALOGUE)


def info(name: str) -> Dataset:
    """Entry of a data set. An unknown name is a ValueError with the nearest names."""
    if name not in CATALOGUE:
        raise ValueError(f"Unknown data set {name!r}. {layouts.nearest(name, CATALOGUE)}")
    return CATALOGUE[name]


def categories(name: str) -> list[str]:
    """Categories of a data set; none for "folder", where a category is a path."""
    return list(info(name).modes)


def require_category(dataset: Dataset, category: str) -> None:
    """Raise a ValueError with the nearest names unless `category` is one of the data set's."""
    if dataset.modes and category not in dataset.modes:
        nearest = layouts.nearest(category, dataset.modes)
        raise ValueError(f"Unknown category {category!r} of {dataset.name}. {nearest}")


def load(
    name: str,
    category: str | Path,
    root: str | Path | None = None,
    convert: bool | Conversion = False,
) -> ImageSet:
    """List the images of one category: the originals or else, where there is one, their pack.

    Nothing is opened before pixels are asked for, but for a pack.

    Args:
        name: a data set of `names()`.
        category: one of `categories(name)`; for "folder" a path, absolute or under the data root.
        root: folder of the data sets; None means `ADLIB_DATA`, else `data/`.
        convert: convert images that are not plain 8-bit grey or RGB, and sets that mix the two, by
            the rules in `adlib.data.decode`, instead of raising an error; a `Conversion` says which
            range of numbers or which page counts where the files do not.

    Raises:
        ValueError: unknown name or category (with the nearest names), or files out of order.
        FileNotFoundError: the data are not there (with the page where to get them).
    """
    dataset, category, root = info(name), str(category), data_root(root)
    require_category(dataset, category)
    place = dataset.found(root, category)
    if place in dataset.packs(root, category):
        images = image_packs.read(dataset, category, place)
    else:
        images = dataset.lister(dataset, category, root)
    return replace(images, convert=convert) if convert else images


def miscounted(images: ImageSet) -> list[str]:
    """Which numbers of images differ from the published ones, in words; mostly none does."""
    counts = images.counts()
    return [
        f"{key.removeprefix('n_').replace('_', ' ')} images {counts[key]} instead of {n}"
        for key, n in info(images.name).expected.get(images.category, {}).items()
        if counts[key] != n
    ]
