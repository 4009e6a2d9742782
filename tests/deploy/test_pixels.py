"""The threshold on maps keeps what it promises of normal images."""

import numpy as np
import pytest

from adlib.deploy import pixels
from adlib.deploy.pixels import PixelTarget


def maps(rng, n, size=(12, 10)):
    """Maps of normal images: each has its own level."""
    return rng.gamma(2, size=(n, 1, 1)) + rng.gamma(2, size=(n, *size))


def threshold(text, drawn):
    """The threshold that a target sets on maps."""
    return PixelTarget.parse(text).threshold(map(PixelTarget.upper_values, drawn))


@pytest.mark.parametrize(("text", "n"), [("pixels 0.1", 9), ("pixels 0.1", 40), ("images 0.2", 9)])
def test_promises_hold_on_average(text, n):
    """Would catch a rule that is off by one image, or a share taken over the wrong pixels."""
    rng, target = np.random.default_rng(0), PixelTarget.parse(text)
    flagged = []
    for _ in range(1500):
        drawn = maps(rng, n + 1)
        above = drawn[-1] >= threshold(text, drawn[:-1])
        flagged.append(above.any() if target.kind == "images" else above.mean())
    assert np.mean(flagged) <= target.rate + 3 * np.std(flagged) / len(flagged) ** 0.5
    if n == 40:  # enough images to come close
        assert np.mean(flagged) > 0.05


def test_it_is_the_lowest_threshold():
    """Would catch pixels left unflagged that the promise allows."""
    drawn = maps(np.random.default_rng(0), 30)
    found = threshold("pixels 0.1", drawn)
    allowed = 0.1 * 31 - 1
    assert (drawn >= found).mean((1, 2)).sum() <= allowed
    lower = drawn[drawn < found].max()
    assert (drawn >= lower).mean((1, 2)).sum() > allowed


def test_large_maps_are_thinned_to_the_safe_side(monkeypatch):
    """Would catch a share that is counted too low because few values of a map are kept."""
    drawn = maps(np.random.default_rng(0), 30, (40, 50))
    exact = threshold("pixels 0.1", drawn)
    monkeypatch.setattr(pixels, "_LEVELS", 64)
    assert exact <= threshold("pixels 0.1", drawn) < 1.2 * exact


def test_nine_images_may_flag_nothing():
    """Would catch the highest value flagged where the promise leaves no room for it."""
    drawn = maps(np.random.default_rng(0), 9)
    assert threshold("pixels 0.1", drawn) > drawn.max()


def test_what_cannot_be_promised_is_refused():
    """Would catch a promise from too few images, and a text taken for another target."""
    with pytest.raises(ValueError, match=r"needs 19 normal .* 8 are held out.* 'images 0\.112'"):
        threshold("images 0.05", maps(np.random.default_rng(0), 8))
    for text in ("", "pixels", "pixels 0", "images 1", "fpr 0.1", "pixels 5%"):
        with pytest.raises(ValueError, match=r"'images 0\.05'.*'pixels 0\.001'.*between 0 and 1"):
            PixelTarget.parse(text)
    for text in ("images 0.05", "pixels 0.00001"):
        assert str(PixelTarget.parse(text)) == text
