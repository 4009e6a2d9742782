"""The data sets: what each is, where it comes from, where it lies and how it is listed."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from adlib.data import classes, image_packs, layouts, listers, mosaics
from adlib.data.classes import CIFAR, DIGITS, INLIERS
from adlib.data.dataset import Archive, Dataset
from adlib.data.decode import Conversion
from adlib.data.images import ImageSet
from adlib.data.medical import MEDICAL
from adlib.host.paths import data_root

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
_TEXTURES = ("carpet", "grid", "leather", "tile", "wood")

# As anomalib publishes them over its versions; all lead to one archive of 5,264,982,680 bytes.
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


# Images of each digit in the official parts.
_MNIST_TRAIN = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
_MNIST_TEST = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)

_SINGLED_OUT = (
    "The category is the class singled out (label 0); the protocol says which side is normal."
)
_CALTECH = (
    "Sizes vary, so images are squeezed to a square; grey images get three equal channels. No "
    "official parts."
)

_ALL = [
    Dataset(
        "elpv",
        "ELPV: electroluminescence images of solar cells",
        "CC BY-NC-SA 4.0",
        "Buerhop-Lutz et al., EU PVSEC 2018; Deitsch et al., Solar Energy 185, 2019; "
        "Deitsch et al., Machine Vision and Applications 32, 2021",
        "https://github.com/zae-bayern/elpv-dataset",
        {"mono": "object", "poly": "object"},
        listers.elpv,
        {
            "mono": {"n_normal": 588, "n_abnormal": 313, "n_left_out": 173},
            "poly": {"n_normal": 920, "n_abnormal": 402, "n_left_out": 228},
        },
        "Comes with the package elpv-dataset. Normal = defect probability 0, abnormal = 1; cells "
        "with 1/3 and 2/3 are left out. No masks.",
        packaged=("mono", "poly"),
    ),
    Dataset(
        "digits",
        "Handwritten digits of scikit-learn",
        "CC BY 4.0",
        "Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning "
        "Repository, 1998",
        "https://archive.ics.uci.edu/dataset/80",
        dict.fromkeys([*DIGITS, "all", *INLIERS], "object"),
        classes.digits,
        note=f"Comes with scikit-learn: 1,797 images of 8 x 8 pixels. {_SINGLED_OUT} No official "
        "parts.",
        packaged=(*DIGITS, "all", *INLIERS),
    ),
    Dataset(
        "mnist",
        "MNIST handwritten digits",
        "CC BY-SA 3.0",
        "LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document "
        "recognition, Proceedings of the IEEE 86, 1998",
        "https://yann.lecun.com/exdb/mnist/",
        dict.fromkeys([*DIGITS, "all"], "object"),
        classes.mnist,
        {
            digit: {"n_images": 70_000, "n_train_normal": train, "n_test_normal": test}
            for digit, train, test in zip(DIGITS, _MNIST_TRAIN, _MNIST_TEST, strict=True)
        }
        | {"all": {"n_images": 70_000, "n_train_normal": 60_000, "n_test_normal": 10_000}},
        f"70,000 grey images of 28 x 28 pixels. {_SINGLED_OUT}",
        dict.fromkeys([*DIGITS, "all"], 28),
        lies_in=("MNIST/raw",),
        whole="all",
    ),
    Dataset(
        "ir_mnist",
        "IR-MNIST: mosaics of digits",
        "that of the digits: CC BY-SA 3.0 (all), CC BY 4.0 (digits)",
        "Kimura and Yanagihara, Anomaly Detection Using GANs for Visual Inspection in Noisy "
        "Training Data, ACCV Workshops 2018; digits: see mnist and digits",
        "https://yann.lecun.com/exdb/mnist/",
        dict.fromkeys(mosaics.RULES, "object"),
        mosaics.ir_mnist,
        {
            name: {"n_train_normal": rule.train[0], "n_train_abnormal": rule.train[1]}
            | {"n_test_normal": rule.test[0], "n_test_abnormal": rule.test[1]}
            for name, rule in mosaics.RULES.items()
        },
        "Drawn again by the paper's rule, with other draws: abnormal mosaics hold at least one 3, "
        "normal ones none. all: 11 x 11 digits of MNIST. digits: 4 x 4 digits of scikit-learn, "
        "not in the paper. Test mosaics consist of digits that training mosaics do not hold. "
        "Masks mark the cells with a 3.",
        {"all": 308, "digits": 32},
        lies_in=("MNIST/raw",),
        packaged=("digits",),
    ),
    Dataset(
        "cifar10",
        "CIFAR-10",
        "research use",
        "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report, "
        "University of Toronto, 2009",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        dict.fromkeys([*CIFAR, "all"], "object"),
        classes.cifar10,
        dict.fromkeys(CIFAR, {"n_images": 60_000, "n_train_normal": 5_000, "n_test_normal": 1_000})
        | {"all": {"n_images": 60_000, "n_train_normal": 50_000, "n_test_normal": 10_000}},
        f"60,000 colour images of 32 x 32 pixels. {_SINGLED_OUT}",
        dict.fromkeys([*CIFAR, "all"], 32),
        lies_in=("cifar-10-batches-py", "cifar10", "cifar10_jpg.tar.xz"),
        whole="all",
    ),
    Dataset(
        "caltech256",
        "Caltech-256",
        "CC BY 4.0",
        "Griffin, Holub and Perona, Caltech-256 Object Category Dataset, California Institute of "
        "Technology, 2007",
        "https://doi.org/10.22002/D1.20087",
        dict.fromkeys(["all", *INLIERS], "object"),
        classes.caltech,
        dict.fromkeys(("all", *INLIERS), {"n_images": 30_607}),
        f"256 classes and clutter. {_CALTECH}",
        lies_in=("caltech256/256_ObjectCategories", "caltech256_64"),
    ),
    Dataset(
        "caltech101",
        "Caltech-101",
        "CC BY 4.0",
        "Li, Andreeto, Ranzato and Perona, Caltech 101, California Institute of Technology, 2022; "
        "Fei-Fei, Fergus and Perona, CVPR Workshops 2004",
        "https://doi.org/10.22002/D1.20086",
        dict.fromkeys(["all", *INLIERS], "object"),
        classes.caltech,
        {"all": {"n_images": 9_144}}
        | dict.fromkeys(INLIERS, {"n_images": 8_709, "n_left_out": 435}),
        "101 classes and clutter (BACKGROUND_Google). Faces_easy shows the pictures of Faces, cut "
        f"differently; it is left out where classes stand against others. {_CALTECH}",
        lies_in=("caltech101/101_ObjectCategories", "caltech101_64"),
    ),
    Dataset(
        "mvtec_ad",
        "MVTec AD",
        "CC BY-NC-SA 4.0",
        "Bergmann et al., MVTec AD: A Comprehensive Real-World Dataset for Unsupervised Anomaly "
        "Detection, CVPR 2019",
        "https://www.mvtec.com/company/research/datasets/mvtec-ad",
        {name: "texture" if name in _TEXTURES else "object" for name in _MVTEC},
        partial(listers.on_disk, layout=layouts.mvtec),
        {name: _counts(*counts) for name, (*counts, _) in _MVTEC.items()},
        "Official train and test parts, masks of every defect.",
        {name: side for name, (*_, side) in _MVTEC.items()},
        _MVTEC_ARCHIVE,
        ("mvtec_ad/{category}",),
    ),
    Dataset(
        "magnetic_tile",
        "Magnetic tile surface defects",
        "research use",
        "Huang, Qiu and Yuan, Surface defect saliency of magnetic tile, The Visual Computer 36, "
        "2020",
        "https://github.com/abin24/Magnetic-tile-defect-datasets.",
        {"tile": "texture"},
        partial(listers.on_disk, layout=layouts.magnetic_tile),
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
        partial(listers.on_disk, layout=layouts.mvtec),
        note="A selection in MVTec layout with masks; not the category wood of MVTec AD. Normal "
        "test images 71 and 83 are re-encoded copies of training images.",
    ),
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
        dict.fromkeys(("texture", "object"), _counts(64, 24, 24)),
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
