"""A threshold on anomaly maps, and what is promised of the pixels that it flags.

The promise is on normal images that the detector has not learnt from:

- ``images 0.05``: of normal images at most 5 in 100 have any pixel flagged.
- ``pixels 0.001``: of a normal image's pixels at most 1 in 1000 are flagged.

Both hold on average over calibration sets: the first by the rule of `Target` on the maps' maxima,
the second by conformal risk control (Angelopoulos, Bates, Fisch, Lei & Schuster 2024),
whose loss is the share of flagged pixels. Of abnormal images nothing is promised.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from adlib.deploy.targets import Target
from adlib.metrics import thresholds

_LEVELS = 10_000  # values that are kept of a map


@dataclass(frozen=True)
class PixelTarget:
    """The rate that a threshold on maps is to keep.

    Attributes:
        kind: "images" (share of normal images with any pixel flagged) or "pixels" (share of a
            normal image's pixels).
        rate: the share, between 0 and 1.
    """

    kind: str
    rate: float

    @classmethod
    def parse(cls, text: "str | PixelTarget") -> "PixelTarget":
        """Read "images 0.05" or "pixels 0.001". A ValueError names the forms."""
        match = re.fullmatch(r"\s*(images|pixels)\s+(\d*\.?\d+)\s*", str(text))
        if not match or not 0 < float(match[2]) < 1:
            raise ValueError(
                f"pixels '{text}': allowed are for example 'images 0.05' (normal images with any "
                "pixel flagged) and 'pixels 0.001' (flagged share of a normal image's pixels); "
                "rates lie between 0 and 1"
            )
        return cls(match[1], float(match[2]))

    def __str__(self) -> str:
        """The text that `parse` reads."""
        return f"{self.kind} {np.format_float_positional(self.rate, trim='-')}"

    def images_needed(self) -> int:
        """How many normal images must be held out."""
        return thresholds.images_needed(self.rate)

    def check(self, n: int) -> None:
        """Raise a ValueError if `n` held-out normal images are too few."""
        if n < self.images_needed():
            best = math.ceil(1000 / (n + 1)) / 1000
            raise ValueError(
                f"pixels='{self}' needs {self.images_needed()} normal images that the detector has "
                f"not learnt from, and {n} are held out. Add normal images or ask for "
                f"'{self.kind} {best}'."
            )

    @staticmethod
    def upper_values(values: np.ndarray) -> np.ndarray:
        """What is kept of an image's map of any size: at most `_LEVELS` values, falling.

        Each is the highest of as many pixels, so no share of flagged pixels is taken too low.
        """
        values = np.sort(values, axis=None)[::-1]
        if values.size <= _LEVELS:
            return values
        return values[np.arange(_LEVELS) * values.size // _LEVELS]

    def threshold(self, maps: Iterable[np.ndarray]) -> float:
        """The lowest map value from which on pixels may be flagged.

        Args:
            maps: what `upper_values` keeps of the map of each held-out normal image.

        Raises:
            ValueError: too few maps.
        """
        kept = list(maps)
        self.check(len(kept))
        if self.kind == "images":
            return Target("fpr", self.rate).threshold([values[0] for values in kept])
        flagged = self.rate * (len(kept) + 1) - 1  # what the images' shares may add up to
        every = np.unique(np.concatenate(kept))
        low, high = 0, len(every)  # the lowest value that no more than `flagged` reaches
        while low < high:
            middle = (low + high) // 2
            if _reaching(kept, every[middle]) <= flagged:
                high = middle
            else:
                low = middle + 1
        if low == len(every):  # not even the highest value may be flagged
            return -thresholds.between_scores(-every, -every[-1])
        return float(every[low])


def _reaching(kept: list[np.ndarray], threshold: float) -> float:
    """Sum over images of the share of pixels at or above the threshold, never too low."""
    return sum(float((values >= threshold).mean()) for values in kept)
