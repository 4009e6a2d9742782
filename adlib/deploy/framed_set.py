"""A set of images whose pictures are learnt as tiles."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch

from adlib.data import ImageSet, cache
from adlib.data.images import Index
from adlib.deploy import framing
from adlib.deploy.framing import Framing, Picture, Size

_AT_ONCE = 256  # tiles in memory, or those of one picture


@dataclass(frozen=True, eq=False, repr=False)
class FramedSet(ImageSet):
    """A set of which a row is still a picture, but its pixels are the picture's tiles.

    So which picture is learnt and which is held out is settled before there are tiles.

    Attributes:
        tiles: see `Framing`.
    """

    tiles: int = 1

    @classmethod
    def of(cls, images: ImageSet, tiles: int) -> "FramedSet":
        """Frame the pictures of a set of files."""
        same = {field.name: getattr(images, field.name) for field in fields(ImageSet)}
        return cls(**same, tiles=tiles)

    def pixels(
        self, index: Index = None, side: int | None = None, channels: int = 3
    ) -> torch.Tensor:
        """All tiles of the pictures `index`, in order: uint8 (T, channels, side, side).

        They are cut once for the whole set and kept in the cache. Errors as of `ImageSet.pixels`.
        """
        path, ends = self._stored(Framing(self._side(side), channels, self.tiles))
        places = [np.arange(*ends[row : row + 2]) for row in self._rows(index)]
        return torch.from_numpy(cache.read(path, np.concatenate([np.arange(0), *places])))

    def count(self, index: Index, side: int) -> int:
        """How many tiles the pictures `index` have."""
        frame = Framing(side, 3, self.tiles)
        return sum(frame.count(self._each[row]) for row in self._rows(index))

    def pictures(self, index: Index, frame: Framing) -> Iterator[Sequence[Picture]]:
        """The pictures `index`, a few at a time, in a framing of so many tiles."""
        path, ends = self._stored(frame)
        rows, step = self._rows(index), max(1, _AT_ONCE // frame.tiles**2)
        for some in (rows[start : start + step] for start in range(0, len(rows), step)):
            yield [
                Picture(
                    self.table["path"].iat[row],
                    self._each[row],
                    cache.read(path, np.arange(*ends[row : row + 2])),
                )
                for row in some
            ]

    def _stored(self, frame: Framing) -> tuple[Path, np.ndarray]:
        """File of the cache with all tiles; those of picture i are `ends[i]` to `ends[i + 1]`."""
        ends = np.cumsum([0, *(frame.count(size) for size in self._each)])
        cut = lru_cache(2 * cache.WORKERS)(lambda row: frame.cut(self._opened(row)))

        def tile(i: int) -> np.ndarray:
            row = int(np.searchsorted(ends, i, side="right")) - 1
            return cut(row)[i - ends[row]]

        path = cache.build(
            f"{self.name}-{frame.side}-{frame.channels}-{frame.tiles}",
            self._key(frame.side, (framing.RULE, frame.channels, frame.tiles)),
            (int(ends[-1]), frame.channels, frame.side, frame.side),
            tile,
        )
        return path, ends

    @cached_property
    def _each(self) -> list[Size]:
        """Width and height of every picture."""
        with ThreadPoolExecutor(cache.WORKERS) as pool:
            return list(pool.map(self._size, range(len(self))))
