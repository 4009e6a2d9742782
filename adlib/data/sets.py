"""Which categories are at hand, and a stamp of their files; no image is opened here."""

import hashlib
import os
from pathlib import Path

from adlib.data import cache
from adlib.data.catalogue import CATALOGUE
from adlib.host import paths

# The categories that a table of all goes through: the whole of a set of classes is none of them,
# but `all` of ir_mnist shows other images than its other category.
ALL = {
    name: [category for category in dataset.modes if category != "all" or name == "ir_mnist"]
    for name, dataset in CATALOGUE.items()
}


def _place(dataset: str, category: str) -> Path | None:
    """Folder, archive or pack of a category; None where there is none, or needs to be none."""
    about = CATALOGUE.get(dataset)
    return about and about.found(paths.data_root(), category)


def at_hand(dataset: str, category: str) -> bool:
    """Whether the images can be loaded without a download; never those of an unknown data set."""
    packaged = dataset in CATALOGUE and category in CATALOGUE[dataset].packaged
    return packaged or _place(dataset, category) is not None


def stamp(dataset: str, category: str) -> str:
    """Hash of names, sizes and times of a category's files; "" for sets that come in packages.

    No file is opened, so it is quick; hidden files (`.DS_Store`, `.download.lock`) do not count.
    Inodes and times of status do not either, though the cache looks at them: they are others after
    the data have been copied, and a study would run again.
    """
    if (folder := _place(dataset, category)) is None:
        return ""
    if folder.is_file():
        return _size_and_time(folder)
    lines = []
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in (Path(where, name) for name in files if not name.startswith(".")):
            lines.append(f"{file.relative_to(folder).as_posix()} {_size_and_time(file)}\n")
    return hashlib.sha256("".join(sorted(lines)).encode(errors="surrogatepass")).hexdigest()


def _size_and_time(file: Path) -> str:
    return "{} {}".format(*cache.stamp(file)[:2])
