"""Listers of sets that show classes of things: digits, MNIST and its like, CIFAR, Caltech.

The table's `kind` is the class. For a category that is a class the label is 0 for that class and 1
for all others (a protocol may turn it round); for any other category ("all", "3_inlier_categories",
...) it is 0 everywhere, and the protocol says what is normal.
"""

import gzip
import io
import json
import pickle
import struct
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from PIL import Image

from adlib.data import cache, layouts
from adlib.data.dataset import Dataset
from adlib.data.images import COLUMNS, ImageSet
from adlib.host.files import write_text

DIGITS = tuple("0123456789")
CLOTHES = (
    "t_shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
    "ankle_boot",
)  # fmt: skip
CIFAR = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
INLIERS = ("1_inlier_categories", "3_inlier_categories", "5_inlier_categories")
COPY = "from a lossy JPEG copy"
Rows = Iterable[tuple[str, str, str]]  # path, class and part of each image
LOSSY = (".jpg", ".jpeg")
_ALIASES = {"airplane": "plane", "automobile": "car"}
_IDX = {"train": "train", "test": "t10k"}  # how MNIST's files call its parts
_RULE = "pillow-rgb-1"  # how an archive's images are decoded, part of the cache key
_STRAYS = ("greg", "RENAME2")  # a folder and a program left in the official Caltech-256 archive


def labelled(table: pd.DataFrame, category: str) -> pd.DataFrame:
    """`table` with the labels of a category: 0 for that class, 1 for all others."""
    is_class = (table["kind"] == category).any()
    return table.assign(label=(table["kind"] != category).astype("int64") if is_class else 0)


def _array_set(
    dataset: Dataset, category: str, root: Path, rows: Rows, arrays: np.ndarray, note: str = ""
) -> ImageSet:
    """Make the set of rows (path, class, part) and the images that belong to them."""
    table = pd.DataFrame(rows, columns=["path", "kind", "part"]).assign(mask="")
    if not table["path"].is_monotonic_increasing:  # else an array that lies on disk is not read
        table = table.sort_values("path")
        arrays = arrays[table.index]
    table = labelled(table, category)[COLUMNS].reset_index(drop=True)
    return dataset.image_set(category, root, table, arrays=arrays, note=note)


def digits(dataset: Dataset, category: str, root: Path) -> ImageSet:
    """scikit-learn's digits: grey levels 0 to 16 become 0 to 255."""
    arrays, targets = digit_arrays()
    rows = ((f"digits/{i:04d}", str(digit), "") for i, digit in enumerate(targets))
    return _array_set(dataset, category, root, rows, arrays)


def digit_arrays() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits, uint8 (1797, 8, 8), and what they show, (1797,)."""
    # Imported here: it takes seconds that the other sets do not need.
    from sklearn.datasets import load_digits

    source = load_digits()
    return np.round(source.images * (255 / 16)).astype(np.uint8), source.target


def mnist(dataset: Dataset, category: str, root: Path, names: tuple[str, ...] = DIGITS) -> ImageSet:
    """MNIST's own files, or those of a set like it, packed or not, as torchvision lays them out.

    `names` are the classes in the order of the labels 0, 1, ...
    """
    rows, arrays = [], []
    for part in _IDX:
        images, targets = mnist_arrays(dataset, root, part)
        if len(targets) and (most := targets.max()) >= len(names):
            raise ValueError(
                f"{dataset.place(root)}: a {part} label is {most}, but there are {len(names)} "
                f"classes. Get it again from {dataset.homepage}."
            )
        arrays.append(images)
        kinds = [names[target] for target in targets]
        rows += [(f"{part}/{kind}/{i:05d}", kind, part) for i, kind in enumerate(kinds)]
    return _array_set(dataset, category, root, rows, np.concatenate(arrays))


def mnist_arrays(dataset: Dataset, root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 28, 28) of MNIST's part "train" or "test", and what they show, (N,)."""
    folder = dataset.place(root)
    images = _idx(dataset, folder / f"{_IDX[part]}-images-idx3-ubyte", 3)
    targets = _idx(dataset, folder / f"{_IDX[part]}-labels-idx1-ubyte", 1)
    if len(images) != len(targets):
        raise ValueError(f"{folder}: {len(images)} {part} images but {len(targets)} labels.")
    return images, targets


def _idx(dataset: Dataset, path: Path, ndim: int) -> np.ndarray:
    """Read a file of MNIST's format IDX: bytes after a header with the shape, big-endian."""
    packed = path.with_name(path.name + ".gz")
    if not path.is_file() and not packed.is_file():
        raise dataset.not_there(path, packed)
    content = path.read_bytes() if path.is_file() else gzip.decompress(packed.read_bytes())
    start = 4 + 4 * ndim
    shape = struct.unpack(f">{ndim}I", content[4:start]) if len(content) >= start else (-1,)
    if content[:4] != bytes([0, 0, 8, ndim]) or len(content) != start + np.prod(shape):
        raise ValueError(f"{path}: not a whole IDX file of bytes in {ndim} dimensions. Get it "
                         f"again from {dataset.homepage}.")  # fmt: skip
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def cifar10(dataset: Dataset, category: str, root: Path) -> ImageSet:
    """CIFAR-10 as its own batches, as a folder of images, or as an archive of that folder."""
    place = dataset.place(root)
    batches, _, archive = dataset.places(root)
    if place == batches:
        rows, arrays = _cifar_batches(dataset, root, "CIFAR10")
        return _array_set(dataset, category, root, rows, arrays)
    if place == archive:
        names, arrays = _archived(archive)
        rows = [(name, *_cifar_place(name, archive)) for name in names]
        return _array_set(dataset, category, root, rows, arrays, COPY)
    parts = [layouts.classes(place / part, root) for part in ("train", "test")]
    table = pd.concat(parts).sort_values("path", ignore_index=True)
    where = [_cifar_place(path, place) for path in table["path"]]
    table["kind"], table["part"] = zip(*where, strict=True)
    note = COPY if table["path"].str.lower().str.endswith(LOSSY).any() else ""
    return dataset.image_set(category, root, labelled(table, category), note=note)


def cifar100(dataset: Dataset, category: str, root: Path, superclasses: bool = False) -> ImageSet:
    """CIFAR-100 as its own files; a class is one of its 100, or else one of 20 superclasses."""
    dataset.place(root)
    rows, arrays = _cifar_batches(dataset, root, "CIFAR100", "coarse" if superclasses else "")
    if strange := {kind for _, kind, _ in rows} - dataset.modes.keys():
        raise ValueError(f"{dataset.place(root)}: unknown classes {', '.join(sorted(strange))}.")
    return _array_set(dataset, category, root, rows, arrays)


def _cifar_batches(
    dataset: Dataset, root: Path, source: str, labels: str = ""
) -> tuple[Rows, np.ndarray]:
    """Rows and images of the official files, whose MD5 torchvision checks before it opens them.

    `source` is a class of `torchvision.datasets`. `labels` is the start of the files' names for
    other labels than that class gives.
    """
    from torchvision import datasets

    reader, rows, arrays = getattr(datasets, source), [], []
    for part in ("train", "test"):
        try:
            read = reader(root, train=part == "train", download=False)
        except RuntimeError as error:
            raise ValueError(
                f"{root / reader.base_folder}: files are missing or not the official ones "
                f"({error}). Get {dataset.title} again from {dataset.homepage}."
            ) from error
        names, targets = read.classes, read.targets
        if labels:
            folder = root / reader.base_folder
            names = _pickled(folder / reader.meta["filename"])[f"{labels}_label_names"]
            targets = _pickled(folder / part)[f"{labels}_labels"]
        kinds = [_ALIASES.get(names[i], names[i]) for i in targets]
        rows += [(f"{part}/{kind}/{i:05d}", kind, part) for i, kind in enumerate(kinds)]
        arrays.append(read.data)
    return rows, np.concatenate(arrays)


def _pickled(path: Path) -> dict:
    """Content of one of CIFAR's files; only for those whose MD5 has been checked."""
    with path.open("rb") as file:
        return pickle.load(file, encoding="latin1")


def _cifar_place(path: str, source: Path) -> tuple[str, str]:
    """Class and part of an image by its path `.../<part>/<class>/<name>`."""
    part, folder = PurePosixPath(path).parts[-3:-1]
    kind = _ALIASES.get(folder, folder)
    if part not in ("train", "test") or kind not in CIFAR:
        raise ValueError(
            f"{source}: {path} is not in train/ or test/ and a folder of one of the classes "
            f"{', '.join(CIFAR)}."
        )
    return kind, part


def _archived(archive: Path) -> tuple[list[str], np.ndarray]:
    """Names of the images in an archive, sorted, and their pixels, uint8 (N, H, W, 3).

    The archive is read once; the pixels are kept in the cache and mapped into memory from there.
    """
    name, key = archive.name.partition(".")[0], cache.hashed([*cache.stamp(archive), _RULE])
    pixels = cache.file(name, key)
    index = pixels.with_suffix(".json")
    names = cache.read_json(index)
    if not (names and cache.is_whole(pixels)):
        # Nothing is extracted, so tarfile's filters, which guard `extract`, have no part in it.
        with tarfile.open(archive) as packed:
            files = [member for member in packed if member.isfile()]
            content = {member.name: packed.extractfile(member).read() for member in files}
        names = sorted(path for path in content if not PurePosixPath(path).name.startswith("."))
        if not names:
            raise ValueError(f"{archive}: no image in it. Get it again or remove it.")
        shape = _decoded(archive, names[0], content).shape

        def make(row: int) -> np.ndarray:
            image = _decoded(archive, names[row], content)
            if image.shape != shape:
                raise ValueError(
                    f"{archive}: {names[row]} in it is of shape {image.shape}, not {shape}."
                )
            return image

        cache.build(name, key, (len(names), *shape), make)
        write_text(index, json.dumps(names, indent=0))
    return names, np.load(pixels, mmap_mode="r")


def _decoded(archive: Path, name: str, content: dict[str, bytes]) -> np.ndarray:
    """Pixels of an image of the archive, whose files' bytes are in `content`."""
    try:
        return np.asarray(Image.open(io.BytesIO(content[name])).convert("RGB"))
    except OSError as error:
        raise ValueError(f"{archive}: {name} in it is not an image that can be read.") from error


def caltech(dataset: Dataset, category: str, root: Path) -> ImageSet:
    """Caltech-101 or Caltech-256 as torchvision lays them out, or a copy of small images.

    Some of the official images are grey: they get three equal channels without being asked to. Of
    Caltech-101's two classes of the same faces one is left out where classes stand against others.
    """
    folder, reduced = dataset.place(root), dataset.places(root)[1]
    table = layouts.classes(folder, root, _STRAYS)
    twins = (table["kind"] == "Faces_easy") & (category != "all")
    note = f"from a copy of small images ({reduced.name})" if folder == reduced else ""
    table, n_left_out = table[~twins].reset_index(drop=True), int(twins.sum())
    return dataset.image_set(category, root, table, convert=True, note=note, n_left_out=n_left_out)
