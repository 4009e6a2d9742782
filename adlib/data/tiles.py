"""Images put together from tiles: mosaics that exist only while they are looked at."""

import hashlib
from collections.abc import Iterator

import numpy as np


class Mosaics:
    """Square mosaics of equal tiles, like an array (N, rows * h, columns * w), made when read.

    Only the tiles and which of them make up each mosaic are held in memory. Over boolean tiles the
    mosaics are masks.

    Attributes:
        tiles: (M, h, w), the tiles.
        index: (N, rows, columns), the tile in each cell of each mosaic.
    """

    ndim = 3

    def __init__(self, tiles: np.ndarray, index: np.ndarray):
        if tiles.ndim != 3 or index.ndim != 3:
            raise ValueError(
                f"tiles must be (M, h, w) and index (N, rows, columns), not of {tiles.ndim} and "
                f"{index.ndim} dimensions."
            )
        self.tiles, self.index = tiles, index

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of mosaics, height and width in pixels."""
        n, rows, columns = self.index.shape
        return n, rows * self.tiles.shape[1], columns * self.tiles.shape[2]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, item: int | slice | np.ndarray) -> np.ndarray:
        """One mosaic (H, W), or several (n, H, W)."""
        cells = self.tiles[self.index[item]]  # (..., rows, columns, h, w)
        return cells.swapaxes(-3, -2).reshape(*cells.shape[:-4], *self.shape[1:])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def digests(self) -> list[str]:
        """SHA-256 of each mosaic's tile digests, row by row: equal for mosaics that look alike."""
        tiles = np.array([list(bytes.fromhex(d)) for d in array_digests(self.tiles)], np.uint8)
        return [hashlib.sha256(tiles[cells].tobytes()).hexdigest() for cells in self.index]


def array_digests(arrays: np.ndarray | Mosaics) -> list[str]:
    """SHA-256 of each image's pixels; mosaics are told by their tiles, which is much quicker."""
    if isinstance(arrays, Mosaics):
        return arrays.digests()
    return [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays]
