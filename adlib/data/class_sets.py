"""The sets of classes of the catalogue: digits, clothes, small pictures, Caltech."""

from collections.abc import Sequence
from functools import partial

from adlib.data import classes, mosaics
from adlib.data.classes import CIFAR, CLOTHES, DIGITS, INLIERS
from adlib.data.dataset import Dataset

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

_CIFAR_CITATION = (
    "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report, "
    "University of Toronto, 2009"
)
_CIFAR_100 = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup",
    "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house",
    "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man",
    "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
    "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy",
    "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal",
    "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar",
    "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman",
    "worm",
)  # fmt: skip
_CIFAR_20 = (
    "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables",
    "household_electrical_devices", "household_furniture", "insects", "large_carnivores",
    "large_man-made_outdoor_things", "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates", "people",
    "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2",
)  # fmt: skip


def _equal_classes(names: Sequence[str], train: int, test: int) -> dict[str, dict[str, int]]:
    """Counts of a set whose classes have as many images each, and of all of them."""
    n = len(names)
    one = {"n_images": n * (train + test), "n_train_normal": train, "n_test_normal": test}
    every = one | {"n_train_normal": n * train, "n_test_normal": n * test}
    return dict.fromkeys(names, one) | {"all": every}


CLASS_SETS = [
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
        torchvision="MNIST",
    ),
    Dataset(
        "fashion_mnist",
        "Fashion-MNIST",
        "MIT",
        "Xiao, Rasul and Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine "
        "Learning Algorithms, arXiv 1708.07747, 2017",
        "https://github.com/zalandoresearch/fashion-mnist",
        dict.fromkeys([*CLOTHES, "all"], "object"),
        partial(classes.mnist, names=CLOTHES),
        _equal_classes(CLOTHES, 6_000, 1_000),
        f"70,000 grey images of 28 x 28 pixels. {_SINGLED_OUT}",
        dict.fromkeys([*CLOTHES, "all"], 28),
        lies_in=("FashionMNIST/raw",),
        whole="all",
        torchvision="FashionMNIST",
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
        _CIFAR_CITATION,
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        dict.fromkeys([*CIFAR, "all"], "object"),
        classes.cifar10,
        _equal_classes(CIFAR, 5_000, 1_000),
        f"60,000 colour images of 32 x 32 pixels. {_SINGLED_OUT}",
        dict.fromkeys([*CIFAR, "all"], 32),
        lies_in=("cifar-10-batches-py", "cifar10", "cifar10_jpg.tar.xz"),
        whole="all",
        torchvision="CIFAR10",
    ),
    Dataset(
        "cifar100",
        "CIFAR-100",
        "research use",
        _CIFAR_CITATION,
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        dict.fromkeys([*_CIFAR_100, "all"], "object"),
        classes.cifar100,
        _equal_classes(_CIFAR_100, 500, 100),
        f"60,000 colour images of 32 x 32 pixels in 100 classes. {_SINGLED_OUT}",
        dict.fromkeys([*_CIFAR_100, "all"], 32),
        lies_in=("cifar-100-python",),
        whole="all",
        torchvision="CIFAR100",
    ),
    Dataset(
        "cifar100_superclasses",
        "CIFAR-100, superclasses",
        "research use",
        _CIFAR_CITATION,
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        dict.fromkeys([*_CIFAR_20, "all"], "object"),
        partial(classes.cifar100, superclasses=True),
        _equal_classes(_CIFAR_20, 2_500, 500),
        f"The images of cifar100 in its 20 superclasses of five classes each. {_SINGLED_OUT}",
        dict.fromkeys([*_CIFAR_20, "all"], 32),
        lies_in=("cifar-100-python",),
        whole="all",
        torchvision="CIFAR100",
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
]
