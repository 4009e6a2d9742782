"""The sets of classes of the catalogue: digits, clothes, small pictures, Caltech."""

from adlib.data import classes, mosaics
from adlib.data.classes import CIFAR, DIGITS, INLIERS
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
]
