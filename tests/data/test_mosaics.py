"""Mosaics of digits: how they are put together, drawn, marked and kept."""

import numpy as np
import pytest
from data_trees import mnist_tree

import adlib.data as data
from adlib.data import arrays
from adlib.data.arrays import Mosaics


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def digits():
    return data.load("ir_mnist", "digits")


def test_mosaics_put_together_by_hand():
    """Would catch rows and columns of cells swapped, also where mosaics are not square."""
    small = np.arange(4, dtype=np.uint8)[:, None, None] * 10 + np.arange(6).reshape(2, 3)
    mosaics = Mosaics(small.astype(np.uint8), np.array([[[0, 1], [2, 3]], [[3, 3], [0, 0]]]))
    assert mosaics.shape == (2, 4, 6)
    by_hand = [[0, 1, 2, 10, 11, 12], [3, 4, 5, 13, 14, 15],
               [20, 21, 22, 30, 31, 32], [23, 24, 25, 33, 34, 35]]  # fmt: skip
    assert mosaics[0].tolist() == by_hand
    assert mosaics[0].dtype == np.uint8
    assert (mosaics[[1, 0]] == np.stack([mosaics[1], mosaics[0]])).all()
    assert (np.stack(list(mosaics)) == mosaics[:]).all()
    with pytest.raises(ValueError, match="index"):
        Mosaics(small, np.zeros((2, 2), int))


def test_only_mosaics_have_cells():
    """Would catch cell metrics on images that have no cells."""
    with pytest.raises(ValueError, match="synthetic/object"):
        data.cell_truth(data.load("synthetic", "object"))


def test_counts_and_labels(digits):
    """Would catch parts of other sizes than stated, and labels that the cells contradict."""
    counts, expected = digits.counts(), data.info("ir_mnist").expected["digits"]
    assert {key: counts[key] for key in expected} == expected
    truth = data.cell_truth(digits)
    assert truth.shape == (441, 4, 4)
    assert (truth.any((1, 2)) == (digits.table["label"] == 1)).all()
    assert set(digits.table["kind"][digits.table["label"] == 1]) == {"three"}
    # At least one 3 among 16 digits, a tenth of which are threes.
    assert abs(truth[digits.table["label"] == 1].mean() - 0.1 / (1 - 0.9**16)) < 0.02


def test_masks_are_the_cells(digits):
    """Would catch masks of other cells than the truth says."""
    assert digits.has_masks
    masks = digits.masks().numpy()
    assert masks.shape == (441, 32, 32)
    cells = masks.reshape(-1, 4, 8, 4, 8).transpose(0, 1, 3, 2, 4)
    truth = data.cell_truth(digits)
    assert (cells.all((3, 4)) == truth).all()
    assert (cells.any((3, 4)) == truth).all()


def test_cells_show_what_they_are_said_to(digits):
    """Would catch a 3 in a normal mosaic, and test cells that training mosaics are made of."""
    source = data.load("digits", "3")
    kinds = dict(zip(source.digests(), source.table["kind"], strict=True))
    place = {digest: i for i, digest in enumerate(source.digests())}
    names = arrays.array_digests(digits.arrays.tiles)
    is_three = np.array([kinds[name] == "3" for name in names])
    assert (is_three[digits.arrays.index] == data.cell_truth(digits)).all()
    used = {
        part: {
            place[names[i]] for i in np.unique(digits.arrays.index[digits.table["part"] == part])
        }
        for part in ("train", "test")
    }
    assert max(used["train"]) < len(source) // 2 <= min(used["test"])


def test_pixels_are_those_of_the_digits(digits):
    """Would catch mosaics resized cell by cell, or kept at another grey scale."""
    pixels = digits.pixels(channels=1)[:, 0].numpy()
    assert (pixels[7] == digits.arrays[7]).all()
    assert pixels.max() == 255
    assert digits.pixels([5], side=16).shape == (1, 3, 16, 16)


def test_the_same_mosaics_every_time(digits):
    """Would catch mosaics that change between machines, or between two loads."""
    again = data.load("ir_mnist", "digits")
    assert again.fingerprint() == digits.fingerprint()
    # Recorded once: a change breaks the comparison with stored runs.
    assert digits.fingerprint()[:12] == "d38c483b6945"


def test_mosaics_of_mnist(tmp_path):
    """Would catch mosaics that depend on the order of a copy of MNIST, or that fill the memory."""
    for order in (0, 1):
        mnist_tree(tmp_path / str(order), order=order)
    first, second = (data.load("ir_mnist", "all", tmp_path / str(order)) for order in (0, 1))
    assert first.fingerprint() == second.fingerprint()
    counts, expected = first.counts(), data.info("ir_mnist").expected["all"]
    assert {key: counts[key] for key in expected} == expected
    assert first.arrays.shape == (6051, 308, 308)
    assert first.arrays.tiles.nbytes + first.arrays.index.nbytes < 10e6
    train = first.arrays.index[first.table["part"] == "train"]
    test = first.arrays.index[first.table["part"] == "test"]
    assert train.max() < 60 <= test.min()  # 60 training digits, then 30 test digits
    cell = first.arrays[first.table.index[-1]].reshape(11, 28, 11, 28)[:, 0, :, 0]
    assert ((cell == 3) == data.cell_truth(first)[-1]).all()


def test_digests_of_mosaics():
    """Would catch mosaics that differ in one cell, or in a pixel of a tile, taken for copies."""
    small = np.zeros((3, 2, 2), np.uint8)
    small[1, 0, 0] = 1  # the third tile is a copy of the first
    digests = Mosaics(small, np.array([[[0, 1]], [[1, 0]], [[2, 1]]])).digests()
    assert digests[0] == digests[2] != digests[1]
    small[2, 1, 1] = 9
    assert len(set(Mosaics(small, np.array([[[0, 1]], [[1, 0]], [[2, 1]]])).digests())) == 3
