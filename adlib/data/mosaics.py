"""IR-MNIST: mosaics of digits, abnormal where one of them is a 3, drawn again by rule.

The rule of the paper (Kimura and Yanagihara 2018, section 4.1): draw 11 x 11 digits with
replacement, without any 3 for a normal mosaic. The number of test mosaics is what Table 1 leaves of
6,051.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adlib.data import layouts
from adlib.data.arrays import Mosaics, array_digests
from adlib.data.classes import digit_arrays, mnist_arrays
from adlib.data.dataset import Dataset
from adlib.data.images import ImageSet
from adlib.data.split import generator

ABNORMAL_DIGIT = 3


@dataclass(frozen=True)
class Rule:
    """How many cells a mosaic has a side, and how many mosaics each part has: normal, abnormal."""

    cells: int
    train: tuple[int, int]
    test: tuple[int, int]


RULES = {"all": Rule(11, (5000, 50), (501, 500)), "digits": Rule(4, (300, 20), (61, 60))}


def ir_mnist(dataset: Dataset, category: str, root: Path) -> ImageSet:
    """Mosaics of MNIST ("all") or of scikit-learn's digits ("digits").

    Test mosaics consist of MNIST's test part, or of the second half of scikit-learn's digits.
    """
    if category == "all":
        sources = [mnist_arrays(dataset, root, part) for part in ("train", "test")]
    else:
        arrays, targets = digit_arrays()
        half = len(arrays) // 2
        sources = [(arrays[:half], targets[:half]), (arrays[half:], targets[half:])]
    for i, (arrays, targets) in enumerate(sources):
        # Sorted by content, so that copies of MNIST in another order give the same mosaics.
        order = np.argsort(array_digests(arrays))
        sources[i] = arrays[order], targets[order]
    tiles = np.concatenate([arrays for arrays, _ in sources])
    is_three = np.concatenate([targets for _, targets in sources]) == ABNORMAL_DIGIT
    rows, index = _drawn(category, RULES[category], is_three, len(sources[0][0]))
    marked = np.broadcast_to(is_three[:, None, None], tiles.shape)
    return dataset.image_set(
        category, root, layouts.table(rows),
        arrays=Mosaics(tiles, index), mask_arrays=Mosaics(marked, index),
        note="mosaics made anew by the paper's rule",
    )  # fmt: skip


def _drawn(
    category: str, rule: Rule, is_three: np.ndarray, n_train: int
) -> tuple[list[tuple[str, int, str, str, str]], np.ndarray]:
    """Rows sorted by path, and the tiles of each mosaic; the first `n_train` are for training."""
    rng = generator(0, "ir_mnist", category)
    rows, index = [], []
    for part, tiles in [("test", np.arange(n_train, len(is_three))), ("train", np.arange(n_train))]:
        n_normal, n_abnormal = getattr(rule, part)
        index.append(rng.choice(tiles[~is_three[tiles]], (n_normal, rule.cells, rule.cells)))
        abnormal = rng.choice(tiles, (n_abnormal, rule.cells, rule.cells))
        while (lacking := ~is_three[abnormal].any((1, 2))).any():
            abnormal[lacking] = rng.choice(tiles, (lacking.sum(), rule.cells, rule.cells))
        index.append(abnormal)
        rows += [(f"{part}/good/{i:04d}", 0, "good", part, "") for i in range(n_normal)]
        names = [f"{part}/three/{i:04d}" for i in range(n_abnormal)]
        rows += [(name, 1, "three", part, f"mask/{name}") for name in names]
    return rows, np.concatenate(index)


def cell_truth(images: ImageSet) -> np.ndarray:
    """Which cells of each mosaic hold a 3: bool (N, cells, cells); only mosaics have cells."""
    masks = images.mask_arrays
    if not isinstance(masks, Mosaics):
        raise ValueError(f"{images.title} is not made of mosaics; only ir_mnist is, unpacked.")
    return masks.tiles[:, 0, 0][masks.index]
