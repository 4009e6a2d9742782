"""Near-copies: found where images are shots of one object, and only there."""

import numpy as np
import pytest
from data_trees import save

from adlib.data import copies, synthetic
from adlib.deploy import image_folders


@pytest.fixture(scope="module")
def pictures():
    """Generated pictures of twelve parts, (12, 128, 128, 3)."""
    return synthetic.generate("object", 128, 12, 1, 1)[0][:12].astype(np.float64)


def groups(folder, pictures):
    """Sizes of the groups that are found among pictures, and the number of each picture's group."""
    for i, picture in enumerate(pictures):
        save(folder / f"{i:03d}.png", picture.round().clip(0, 255).astype(np.uint8))
    images = image_folders.image_set(folder)
    return copies.near_copies(images, np.arange(len(images)))


@pytest.mark.parametrize("noise", [2, 6])
def test_shots_of_a_part_are_one_group(pictures, tmp_path, noise):
    """Would catch noise or an exposure that makes five shots pass for five parts."""
    rng = np.random.default_rng(0)
    shots = [
        picture * rng.normal(1, 0.02) + rng.normal(0, noise, picture.shape)
        for picture in pictures
        for _ in range(5)
    ]
    found = groups(tmp_path, shots)
    assert (found == np.repeat(found[::5], 5)).all() and len(set(found)) == 12


def test_parts_are_groups_of_their_own(pictures, tmp_path):
    """Would catch parts that look alike taken for shots of one, at the same noise."""
    noise = np.random.default_rng(0).normal(0, 6, pictures.shape)
    assert len(set(groups(tmp_path, pictures + noise))) == 12


def test_equal_pixels_and_blank_pictures_are_near_copies(pictures, tmp_path):
    """Would catch a division by nothing, and a copy saved in another format."""
    blank = np.full_like(pictures[0], 7)
    found = groups(tmp_path, [pictures[0], blank, pictures[1], pictures[0], blank + 90])
    assert found[0] == found[3] and found[1] == found[4] and len(set(found)) == 3


def test_the_blocks_do_not_matter(pictures, tmp_path, monkeypatch):
    """Would catch pairs lost between two blocks, or a quartile of too few images."""
    noisy = np.random.default_rng(0).normal(0, 4, (2, *pictures.shape)) + pictures
    whole = groups(tmp_path, np.concatenate(noisy))
    monkeypatch.setattr(copies, "_ROWS", 5)
    monkeypatch.setattr(copies, "_OTHERS", 16)
    assert (groups(tmp_path, np.concatenate(noisy)) == whole).all()
    assert (whole[:12] == whole[12:]).all() and len(set(whole)) == 12


def test_few_images(pictures, tmp_path):
    """Would catch a set of one or no image that ends in an error."""
    assert groups(tmp_path, pictures[:1]).tolist() == [0]
    images = image_folders.image_set(tmp_path)
    assert len(copies.near_copies(images, np.arange(0))) == 0
