"""How a picture of any shape becomes square images of a detector, and maps become the picture's.

The rule. A picture keeps its aspect ratio. With `tiles=1` its longer side becomes `side` pixels and
grey fills the square (a letterbox). With `tiles=k` its longer side becomes as long as `k` squares
that overlap by a quarter of their side, and no longer than it is, so nothing is made up by
enlarging; a picture smaller than one square is letterboxed. Along each side as few squares as cover
it, with at least that overlap, lie evenly spread. The filter is that of `adlib.data.decode`.

The score of a picture is the highest score of its tiles, so a threshold's promise is one per
picture, however many tiles it has.
"""

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from PIL import Image

RULE = "letterbox-1"  # stands with a detector: changes with any change of the rule above
GREY = 128  # beside a letterboxed picture
OVERLAP = 4  # by this part of their side: at its edges a network sees less, so maps are lower
Size = tuple[int, int]  # width and height in pixels


class Picture(NamedTuple):
    """A picture as a detector sees it.

    Attributes:
        name: of its file.
        size: width and height of the original in pixels.
        tiles: uint8 `(t, C, side, side)`, row by row.
    """

    name: str
    size: Size
    tiles: np.ndarray


@dataclass(frozen=True)
class Framing:
    """The images that a detector takes.

    Attributes:
        side: of an image, in pixels.
        channels: 1 or 3.
        tiles: how many images span a picture's longer side; 1: a letterbox.
    """

    side: int
    channels: int
    tiles: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.tiles, int) or self.tiles < 1:
            raise ValueError(f"tiles={self.tiles}: a whole number of at least 1 is needed")

    def count(self, size: Size) -> int:
        """How many tiles a picture of this size has."""
        return len(self._corners(size))

    def window(self, size: Size) -> tuple[slice, slice]:
        """Rows and columns of every tile that show the picture, not the grey beside it."""
        return tuple(slice(one.start, min(one.stop, self.side)) for one in self._place(size))

    def cut(self, picture: Image.Image) -> np.ndarray:
        """Tiles of a picture, uint8 `(t, C, side, side)`, row by row."""
        size, side = picture.size, self.side
        if size != (scaled := self._scaled(size)):
            picture = picture.resize(scaled, Image.Resampling.BILINEAR)
        values = np.asarray(picture.convert("L" if self.channels == 1 else "RGB"))
        canvas = np.full((self.channels, *self._canvas(size)), GREY, np.uint8)
        canvas[:, *self._place(size)] = np.atleast_3d(values).transpose(2, 0, 1)
        return np.stack([canvas[:, y : y + side, x : x + side] for y, x in self._corners(size)])

    def joined(self, tiles: np.ndarray, size: Size, shown: Size | None = None) -> np.ndarray:
        """Put values of tiles together: float32 `(H, W)`, as `shown` says.

        Where tiles overlap they fade into each other, so no seam shows.

        Args:
            tiles: `(t, side, side)`, for example the anomaly maps of a picture's tiles.
            size: of the original.
            shown: width and height of the result; that of the original by default.
        """
        side = self.side
        ramp = np.minimum(np.arange(side), np.arange(side)[::-1]) + 1.0
        weight = np.outer(ramp, ramp)
        total = np.zeros((2, *self._canvas(size)))
        for tile, (y, x) in zip(tiles, self._corners(size), strict=True):
            total[:, y : y + side, x : x + side] += weight * tile, weight
        values = (total[0] / total[1])[self._place(size)].astype(np.float32)
        return np.asarray(Image.fromarray(values).resize(shown or size, Image.Resampling.BILINEAR))

    # ---- geometry: rows before columns, but sizes are width and height as in Pillow ---------

    def _scaled(self, size: Size) -> Size:
        """Size at which a picture is cut."""
        longest = max(size)
        spanned = self.side + (self.tiles - 1) * self._step
        target = min(spanned, max(longest, self.side))
        return tuple(max(1, round(length * target / longest)) for length in size)

    @property
    def _step(self) -> int:
        """Largest distance from a tile to the next."""
        return self.side - self.side // OVERLAP

    def _canvas(self, size: Size) -> tuple[int, int]:
        """Height and width of the scaled picture with the grey beside it."""
        return tuple(max(length, self.side) for length in self._scaled(size)[::-1])

    def _place(self, size: Size) -> tuple[slice, slice]:
        """Where the scaled picture lies on its canvas: in the middle."""
        lengths, full = self._scaled(size)[::-1], self._canvas(size)
        starts = [(most - length) // 2 for length, most in zip(lengths, full, strict=True)]
        return tuple(slice(at, at + n) for at, n in zip(starts, lengths, strict=True))

    def _corners(self, size: Size) -> list[tuple[int, int]]:
        """Top and left of every tile on the canvas."""
        return list(product(*(self._starts(length) for length in self._canvas(size))))

    def _starts(self, length: int) -> list[int]:
        """Starts of the fewest tiles that cover a length, evenly spread."""
        rest = length - self.side
        steps = -(-rest // self._step)
        return [round(i * rest / steps) for i in range(steps + 1)] if steps else [0]
