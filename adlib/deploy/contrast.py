"""Which of their values images use: a set that uses few may have been read in a wrong range."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from adlib.data import ImageSet

FRACTION = 64  # grey levels of 256, below which a set's range is too small to go unsaid
_CHUNK = 256  # images in memory at once


@dataclass
class Contrast:
    """Lowest and highest value of all images seen, and the names of those of one value."""

    low: int = 255
    high: int = 0
    images: int = 0
    flat: list[str] = field(default_factory=list)

    def add(self, names: Sequence[str], images: Tensor) -> None:
        """Look at images, uint8 `(N, C, S, S)`, and their names."""
        if not names:
            return
        low, high = images.flatten(2).aminmax(dim=2)
        self.low, self.high = min(self.low, int(low.min())), max(self.high, int(high.max()))
        self.images += len(names)
        self.flat += [names[i] for i in (low == high).all(1).nonzero()[:, 0].tolist()]

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


def of_set(images: ImageSet, side: int, channels: int) -> Contrast:
    """Look at all images of a set, resized to `side`."""
    seen, names = Contrast(), list(images.table["path"])
    for start in range(0, len(names), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        seen.add(names[chunk], images.pixels(chunk, side, channels))
    return seen
