"""Warnings on images that use little of the range: said where due, with true numbers, else not."""

import numpy as np

from adlib.deploy.contrast import Contrast


def test_words_have_the_numbers():
    """Would catch a colour picture of one value taken for one with contrast, or a wrong count."""
    seen = Contrast()
    spread = np.arange(48, dtype=np.uint8).reshape(1, 3, 4, 4) * 5
    red = np.zeros_like(spread)
    red[:, 0] = 200
    seen.add("spread", spread)
    seen.add("red", red)
    (said,) = seen.words()
    assert "1 of 2 image(s) are of one value, for example red" in said


def test_a_picture_counts_as_a_whole():
    """Would catch a plain corner of a picture taken for a picture of one value."""
    seen, tiles = Contrast(), np.zeros((2, 1, 4, 4), np.uint8)
    tiles[1] = 255
    seen.add("half", tiles)
    assert not seen.words()


def test_a_fraction_of_the_range():
    """Would catch images whose extremes are lost, and a warning on images that fill the range."""
    seen, ramp = Contrast(), np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    assert not seen.words()
    seen.add("a", ramp)
    seen.add("b", ramp + 47)
    (said,) = seen.words()
    assert "2 image(s) lie between 0 and 62 " in said
    seen.add("c", ramp + 49)
    assert not seen.words()
