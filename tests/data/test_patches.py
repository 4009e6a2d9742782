"""Patches of abnormal images in normal training images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from data_trees import mnist_tree

from adlib import data
from adlib.data.patches import Patch


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def clean(tmp_path):
    """The pooled split of 40 zeros and 360 other digits."""
    mnist_tree(tmp_path / "mnist", (30, 10))
    return data.pooled_balanced(data.load("mnist", "0", tmp_path / "mnist"))


def touched(split, clean, part, side=32):
    """Images of a part that differ from the clean ones."""
    different = split.pixels(part, side) != clean.pixels(part, side)
    return different.flatten(1).any(1).nonzero().ravel().tolist()


def test_a_share_of_the_training_images_gets_a_patch_and_nothing_else(clean):
    """Would catch another share, a patched test, whole images pasted, and labels that change."""
    n = len(clean.train)
    for share in (0.1, 0.5, 1.0):
        split = data.with_patches(clean, share)
        assert len(touched(split, clean, "train")) == round(share * n)
        assert not any(touched(split, clean, part) for part in ("validation", "abnormal", "test"))
        assert split.lists() == clean.lists() and not split.labels_of("train").any()
        assert split.protocol == (
            f"{clean.protocol}, {100 * share:g} % of the training images with a patch of an "
            "abnormal one"
        )
    changed = (split.pixels("train", 32, 1) != clean.pixels("train", 32, 1)).float().mean((1, 2, 3))
    assert 0 < changed.max() <= (6 / 32) ** 2


def test_a_patch_is_a_piece_of_a_labelled_abnormal_training_image(clean):
    """Would catch test images that are trained on, and a patch from another place or size."""
    split = data.with_patches(clean, 0.5)
    assert {patch.source for patch in split.images.patches} <= set(clean.abnormal)
    for side, channels in ((32, 1), (20, 3), (7, 3)):
        for patch in split.images.patches:
            down, across = patch.box(side)
            new = split.images.pixels([patch.row], side, channels)[0]
            old, source = clean.images.pixels([patch.row, patch.source], side, channels)
            assert torch.equal(new[:, down, across], source[:, down, across])
            old[:, down, across] = new[:, down, across]
            assert torch.equal(new, old)
    boxes = [Patch(0, 1, top, 0.8, 0.2).box(20) for top in (0.0, 0.99)]
    assert boxes == [(slice(0, 4), slice(16, 20)), (slice(16, 20), slice(16, 20))]
    assert Patch(0, 1, 0.5, 0.5, 0.01).box(8) == (slice(4, 5), slice(4, 5))


def test_a_patch_lies_where_the_two_images_differ_most(clean):
    """Would catch patches of empty background on empty background."""
    split = data.with_patches(clean, 0.5)
    for patch in split.images.patches:
        mine, other = clean.images.pixels([patch.row, patch.source], 32, 1)[:, 0].long()
        difference = (mine - other).abs()
        sums = [
            (difference[y : y + 6, x : x + 6].sum().item()) for y in range(27) for x in range(27)
        ]
        assert difference[patch.box(32)].sum() == max(sums) > 0


def test_draws_are_seeded_and_larger_shares_only_add(clean):
    """Would catch other patches at a larger share, and seeds that share their draws."""
    few, many = (set(data.with_patches(clean, share).images.patches) for share in (0.1, 0.5))
    assert few < many
    assert set(data.with_patches(clean, 0.1).images.patches) == few
    assert set(data.with_patches(replace(clean, seed=1), 0.1).images.patches) != few


def test_runs_tell_patches_apart(clean):
    """Would catch a run of clean images that serves for patched ones, or the reverse."""
    splits = [data.with_patches(clean, share) for share in (0.0, 0.1, 0.5)]
    assert splits[0] is clean
    assert len(data.with_patches(clean, 0.001).images.patches) == 1  # not a clean set of that name
    assert len({split.images.fingerprint() for split in splits}) == 3
    again = data.with_patches(clean, 0.1)
    assert again.images.fingerprint() == splits[1].images.fingerprint()
    assert np.array_equal(splits[1].images.digests(), clean.images.digests())


def test_bad_input_is_named(clean):
    """Would catch shares above one, patches of a whole image, and a split without abnormal ones."""
    with pytest.raises(ValueError, match="share must be at least 0 and at most 1, not 1.5"):
        data.with_patches(clean, 1.5)
    with pytest.raises(ValueError, match="size must be above 0 and below 1, not 1"):
        data.with_patches(clean, 0.1, size=1)
    with pytest.raises(ValueError, match="no labelled abnormal training images to cut"):
        data.with_patches(data.one_class(clean.images), 0.1)
