"""Stand-ins for an array of images that make or read an image when it is indexed."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adlib.data import cache

if TYPE_CHECKING:
    import h5py


class Mosaics:
    """Mosaics of equal tiles, like an array (N, rows * h, columns * w), assembled on access.

    Only the tiles and their places are held in memory. Over boolean tiles the mosaics are masks.

    Args:
        tiles: (M, h, w).
        index: (N, rows, columns), the tile in each cell of each mosaic.
    """

    def __init__(self, tiles: np.ndarray, index: np.ndarray):
        if tiles.ndim != 3 or index.ndim != 3:
            raise ValueError(
                f"tiles must be (M, h, w) and index (N, rows, columns), not of {tiles.ndim} and "
                f"{index.ndim} dimensions."
            )
        self.tiles, self.index = tiles, index
        n, rows, columns = index.shape
        self.shape = n, rows * tiles.shape[1], columns * tiles.shape[2]

    def __getitem__(self, item: int | slice | np.ndarray) -> np.ndarray:
        """One mosaic (H, W), or several (n, H, W)."""
        cells = self.tiles[self.index[item]]  # (..., rows, columns, h, w)
        return cells.swapaxes(-3, -2).reshape(*cells.shape[:-4], *self.shape[1:])

    def digests(self) -> list[str]:
        """SHA-256 of each mosaic's tile digests, row by row: equal for equal mosaics."""
        tiles = np.array([list(bytes.fromhex(d)) for d in array_digests(self.tiles)], np.uint8)
        return [hashlib.sha256(tiles[cells].tobytes()).hexdigest() for cells in self.index]


class Stored:
    """Images in HDF5 files, like one array uint8 (N, H, W, 3), read when they are asked for.

    Args:
        sources: the files' arrays, (n, H, W, 3) each.
    """

    def __init__(self, sources: "Sequence[h5py.Dataset]"):
        self._sources = sources
        self._starts = np.cumsum([0, *map(len, sources)])  # the last is the number of images
        self.shape = int(self._starts[-1]), *sources[0].shape[1:]

    def __getitem__(self, row: int) -> np.ndarray:
        """One image (H, W, 3)."""
        row = range(self.shape[0])[row]
        which = np.searchsorted(self._starts, row, side="right") - 1
        return self._sources[which][row - self._starts[which]]

    def digests(self) -> list[str]:
        """SHA-256 of each image's pixels, kept in the cache: hashing gigabytes takes a minute."""
        files = [Path(source.file.filename) for source in self._sources]
        path = cache.build(
            f"{files[0].parent.name}-digests",
            cache.hashed([(file, *cache.stamp(file)) for file in files]),
            (self.shape[0], hashlib.sha256().digest_size),
            lambda row: np.frombuffer(hashlib.sha256(self[row].tobytes()).digest(), np.uint8),
        )
        return [row.tobytes().hex() for row in np.load(path)]


def array_digests(arrays: np.ndarray | Mosaics | Stored) -> list[str]:
    """SHA-256 of each image's pixels; a stand-in for an array has a faster way of its own."""
    if not isinstance(arrays, np.ndarray):
        return arrays.digests()
    return [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays]
