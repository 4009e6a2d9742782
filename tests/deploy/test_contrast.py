"""Warnings on images that use little of the range: said where due, with true numbers, else not."""

import torch

from adlib.deploy.contrast import Contrast


def test_words_have_the_numbers():
    """Would catch a colour picture of one value taken for one with contrast, or a wrong count."""
    seen = Contrast()
    red = torch.tensor([200, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    spread = torch.arange(48, dtype=torch.uint8).view(1, 3, 4, 4) * 5
    seen.add(["spread", "red"], torch.cat([spread, red]))
    (said,) = seen.words()
    assert "1 of 2 image(s) are of one value, for example red" in said


def test_a_fraction_of_the_range():
    """Would catch batches whose extremes are lost, and a warning on images that fill the range."""
    seen = Contrast()
    seen.add([], torch.empty(0, 1, 4, 4, dtype=torch.uint8))
    assert not seen.words()
    for start in (0, 47):
        seen.add(["a"], torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4) + start)
    (said,) = seen.words()
    assert "2 image(s) lie between 0 and 62 " in said
    seen.add(["b"], torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4) + 49)
    assert not seen.words()
