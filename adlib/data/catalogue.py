"""The data sets: what each is, where it comes from, and how it is listed."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from adlib.data import layouts, synthetic
from adlib.data.images import ImageSet
from adlib.paths import data_root
from adlib.profiles import MVTEC_TEXTURES


@dataclass(frozen=True)
class Archive:
    """One file that holds a whole data set: addresses tried in turn, and what it must hash to."""

    urls: tuple[str, ...]
    sha256: str


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before any of it is opened.

    Attributes:
        name: name in the catalogue.
        title: name in words.
        licence: licence as its page or package states it.
        citation: whom to cite.
        homepage: page where to get it by hand; empty where nothing is to be got.
        modes: "object" or "texture" of each category.
        lister: makes the `ImageSet` of a category under a data root.
        expected: counts of each category where they are published (`n_train_normal`, ...).
        sides: side of each category's images in pixels, where it is published.
        note: what a reader of a table should know.
        archive: where `adlib.data.download` gets it; None where it does not.
    """

    name: str
    title: str
    licence: str
    citation: str
    homepage: str
    modes: dict[str, str]
    lister: Callable[["Dataset", str, Path, bool], ImageSet] = field(repr=False)
    expected: dict[str, dict[str, int]] = field(default_factory=dict)
    note: str = ""
    sides: dict[str, int] = field(default_factory=dict)
    archive: Archive | None = None


def _image_set(
    dataset: Dataset, category: str, root: Path, table: pd.DataFrame, **more
) -> ImageSet:
    mode = dataset.modes.get(category, "object")
    return ImageSet(dataset.name, category, root, table, mode, **more)


def _elpv(dataset: Dataset, category: str, root: Path, convert: bool) -> ImageSet:
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
    return _image_set(
        dataset, category, folder, made, n_left_out=len(rows) - len(clear), convert=convert
    )


def _digits(dataset: Dataset, category: str, root: Path, convert: bool) -> ImageSet:
    """scikit-learn's digits: grey levels 0 to 16 become 0 to 255."""
    # Imported here: it takes seconds that the other sets do not need.
    from sklearn.datasets import load_digits

    source = load_digits()
    made = layouts.table(
        (f"digits/{i:04d}", int(str(digit) != category), str(digit), "", "")
        for i, digit in enumerate(source.target)
    )
    arrays = np.round(source.images * (255 / 16)).astype(np.uint8)
    return _image_set(dataset, category, root, made, arrays=arrays)


def _synthetic(dataset: Dataset, category: str, root: Path, convert: bool) -> ImageSet:
    arrays, masks, rows = synthetic.generate(category)
    made = layouts.table((*row, f"mask/{row[0]}" if row[1] else "") for row in rows)
    return _image_set(dataset, category, root, made, arrays=arrays, mask_arrays=masks)


def _on_disk(layout: Callable[[Path, Path], pd.DataFrame], nested: bool = False) -> Callable:
    """Lister of a set in `<root>/<name>`, or `<root>/<name>/<category>` where it is nested."""

    def lister(dataset: Dataset, category: str, root: Path, convert: bool) -> ImageSet:
        folder = root / dataset.name / category if nested else root / dataset.name
        if not folder.is_dir():
            command = f"python -m adlib.data.download {dataset.name} {category}"
            by_program = f" (or run: {command})" if dataset.archive else ""
            raise FileNotFoundError(
                f"{folder}: no such folder. Get {dataset.title} from {dataset.homepage} and unpack "
                f"it there{by_program}, or point ADLIB_DATA (or root=) at the folder that holds "
                f"{dataset.name}{'/' + category if nested else ''}."
            )
        return _image_set(dataset, category, root, layout(folder, root), convert=convert)

    return lister


def _folder(dataset: Dataset, category: str, root: Path, convert: bool) -> ImageSet:
    folder = (root / Path(category).expanduser()).absolute()
    if not folder.is_dir():
        beside = [path.name for path in folder.parent.glob("*") if path.is_dir()]
        raise FileNotFoundError(
            f"{folder}: no such folder. The category of 'folder' is a path, absolute or under "
            f"{root}. " + layouts.nearest(folder.name, beside)
        )
    root = folder if Path(category).expanduser().is_absolute() else root
    return _image_set(dataset, category, root, layouts.user(folder, root), convert=convert)


# Images per category: training normal, test normal, test abnormal; side in pixels (Carrara et al.
# 2020, Table I).
_MVTEC = {
    "carpet": (280, 28, 89, 1024), "grid": (264, 21, 57, 1024), "leather": (245, 32, 92, 1024),
    "tile": (230, 33, 84, 840), "wood": (247, 19, 60, 1024), "bottle": (209, 20, 63, 900),
    "cable": (224, 58, 92, 1024), "capsule": (219, 23, 109, 1000), "hazelnut": (391, 40, 70, 1024),
    "metal_nut": (220, 22, 93, 700), "pill": (267, 26, 141, 800), "screw": (320, 41, 119, 1024),
    "toothbrush": (60, 12, 30, 1024), "transistor": (213, 60, 40, 1024),
    "zipper": (240, 32, 119, 1024),
}  # fmt: skip

# Addresses and SHA-256 as anomalib publishes them over its versions (its data module for MVTec AD);
# all lead to the same archive of 5,264,982,680 bytes.
_MVTEC_ARCHIVE = Archive(
    (
        "https://www.mydrive.ch/shares/150996/b52ecdcbf521176e9db9c731f2304b27/download/"
        "420938113-1629960298/mvtec_anomaly_detection.tar.xz",
        "https://www.mydrive.ch/shares/38536/3830184030e49fe74747669442f0f283/download/"
        "420938113-1629960298/mvtec_anomaly_detection.tar.xz",
        "https://www.mydrive.ch/shares/38536/3830184030e49fe74747669442f0f282/download/"
        "420938113-1629952094/mvtec_anomaly_detection.tar.xz",
    ),
    "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
)


def _counts(train: int, good: int, bad: int) -> dict[str, int]:
    return {"n_train_normal": train, "n_test_normal": good, "n_test_abnormal": bad}


_ALL = [
    Dataset(
        "elpv",
        "ELPV: electroluminescence images of solar cells",
        "CC BY-NC-SA 4.0",
        "Buerhop-Lutz et al., EU PVSEC 2018; Deitsch et al., Solar Energy 185, 2019; "
        "Deitsch et al., Machine Vision and Applications 32, 2021",
        "https://github.com/zae-bayern/elpv-dataset",
        {"mono": "object", "poly": "object"},
        _elpv,
        {
            "mono": {"n_normal": 588, "n_abnormal": 313, "n_left_out": 173},
            "poly": {"n_normal": 920, "n_abnormal": 402, "n_left_out": 228},
        },
        "Comes with the package elpv-dataset. Normal = defect probability 0, abnormal = 1; cells "
        "with 1/3 and 2/3 are left out. No masks.",
    ),
    Dataset(
        "digits",
        "Handwritten digits of scikit-learn",
        "CC BY 4.0",
        "Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning "
        "Repository, 1998",
        "https://archive.ics.uci.edu/dataset/80",
        {str(digit): "object" for digit in range(10)},
        _digits,
        note="Comes with scikit-learn: 1,797 images of 8 x 8 pixels. The category is normal.",
    ),
    Dataset(
        "mvtec_ad",
        "MVTec AD",
        "CC BY-NC-SA 4.0",
        "Bergmann et al., MVTec AD: A Comprehensive Real-World Dataset for Unsupervised Anomaly "
        "Detection, CVPR 2019",
        "https://www.mvtec.com/company/research/datasets/mvtec-ad",
        {name: "texture" if name in MVTEC_TEXTURES else "object" for name in _MVTEC},
        _on_disk(layouts.mvtec, nested=True),
        {name: _counts(*counts) for name, (*counts, _) in _MVTEC.items()},
        "Official train and test parts, masks of every defect.",
        {name: side for name, (*_, side) in _MVTEC.items()},
        _MVTEC_ARCHIVE,
    ),
    Dataset(
        "magnetic_tile",
        "Magnetic tile surface defects",
        "research use",
        "Huang, Qiu and Yuan, Surface defect saliency of magnetic tile, The Visual Computer 36, "
        "2020",
        "https://github.com/abin24/Magnetic-tile-defect-datasets.",
        {"tile": "texture"},
        _on_disk(layouts.magnetic_tile),
        {"tile": {"n_normal": 952, "n_abnormal": 392}},
        "Grey; sizes vary, so images are squeezed to a square. No official parts. Four images of "
        "the kind uneven come with an empty mask. Tiles were photographed at several exposures "
        "(exp1 to exp6 in the names), so shots of one tile may stand in training and in test.",
    ),
    Dataset(
        "wood_surface",
        "Wood surface defects",
        "CC BY 4.0",
        "Kodytek, Bodzas and Bilik, A large-scale image dataset of wood surface defects for "
        "automated vision-based quality control processes, F1000Research 10:581, 2022",
        "https://doi.org/10.12688/f1000research.52903",
        {"wood": "texture"},
        _on_disk(layouts.mvtec),
        note="A selection in MVTec layout with masks; not the category wood of MVTec AD. Normal "
        "test images 71 and 83 are re-encoded copies of training images.",
    ),
    Dataset(
        "folder",
        "Your own images",
        "",
        "",
        "",
        {},
        _folder,
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
        _synthetic,
        {name: _counts(64, 24, 24) for name in ("texture", "object")},
        "Generated in memory, for tests and a first look; its numbers mean nothing beyond that.",
    ),
]
CATALOGUE = {dataset.name: dataset for dataset in _ALL}


def names() -> list[str]:
    """Names of all data sets."""
    return list(CATALOGUE)


def info(name: str) -> Dataset:
    """What is known of a data set. An unknown name is a ValueError with the nearest names."""
    if name not in CATALOGUE:
        raise ValueError(f"Unknown data set {name!r}. {layouts.nearest(name, CATALOGUE)}")
    return CATALOGUE[name]


def categories(name: str) -> list[str]:
    """Categories of a data set; none for "folder", where a category is a path."""
    return list(info(name).modes)


def require_category(dataset: Dataset, category: str) -> None:
    """Raise a ValueError with the nearest names unless `category` is one of the data set's."""
    if dataset.modes and category not in dataset.modes:
        raise ValueError(
            f"Unknown category {category!r} of {dataset.name}. "
            + layouts.nearest(category, dataset.modes)
        )


def load(
    name: str, category: str | Path, root: str | Path | None = None, convert: bool = False
) -> ImageSet:
    """List the images of one category; nothing is opened before pixels are asked for.

    Args:
        name: a data set of `names()`.
        category: one of `categories(name)`; for "folder" a path, absolute or under the data root.
        root: folder of the data sets; None means `ADLIB_DATA`, else `data/`.
        convert: convert images that are not plain 8-bit grey or RGB, and sets that mix the two, by
            the rules in `adlib.data.decode`, instead of raising an error.

    Raises:
        ValueError: unknown name or category (with the nearest names), or files out of order.
        FileNotFoundError: the data are not there (with the page where to get them).
    """
    dataset, category = info(name), str(category)
    require_category(dataset, category)
    return dataset.lister(dataset, category, data_root(root), convert)
