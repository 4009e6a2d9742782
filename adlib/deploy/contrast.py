"""Which of their values images use: a set that uses few may have been read in a wrong range."""

import warnings
from dataclasses import dataclass, field

import numpy as np

FRACTION = 64  # grey levels of 256, below which a set's range is too small to go unsaid


@dataclass
class Contrast:
    """Lowest and highest value of all images seen, and the names of those of one value."""

    low: int = 255
    high: int = 0
    images: int = 0
    flat: list[str] = field(default_factory=list)

    def add(self, name: str, pixels: np.ndarray) -> None:
        """Look at an image, uint8 `(t, C, h, w)` in `t` parts, without any padding."""
        low, high = pixels.min((0, 2, 3)), pixels.max((0, 2, 3))
        self.low, self.high = min(self.low, int(low.min())), max(self.high, int(high.max()))
        self.images += 1
        self.flat += [name] if (low == high).all() else []

    def words(self) -> list[str]:
        """What is to be said, a sentence each; mostly nothing."""
        said = []
        if self.flat:
            said.append(
                f"{len(self.flat)} of {self.images} image(s) are of one value, for example "
                f"{self.flat[0]}."
            )
        if self.images and self.high - self.low < FRACTION:
            said.append(
                f"The values of {self.images} image(s) lie between {self.low} and {self.high} of 0 "
                "to 255, so little differs. Are they saved and read in the right range?"
            )
        return said

    def warn(self) -> None:
        """Give each sentence as a UserWarning."""
        for text in self.words():
            warnings.warn(text, stacklevel=3)
