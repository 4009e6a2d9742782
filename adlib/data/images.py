"""A set of images of one category: its table, its pixels and masks, its digests."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np
import pandas as pd
from PIL import Image

from adlib.data import cache, decode
from adlib.data.arrays import Mosaics, Stored, array_digests
from adlib.host.files import slug

COLUMNS = ["path", "label", "kind", "part", "mask"]
if TYPE_CHECKING:
    import torch

Index = Union[Sequence[int], np.ndarray, "torch.Tensor", slice, None]


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn whatever decoding a file raises into a ValueError or OSError that names the file.

    Broken metadata raise errors of many kinds: `struct.error`, TypeError, SyntaxError, ...
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (ValueError, OSError)) and str(path) in str(error):
            raise
        raise ValueError(
            f"{path}: damaged image ({type(error).__name__}: {error}). Get it again or remove it."
        ) from error


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one category, listed; they are opened when pixels are asked for.

    Attributes:
        name: the data set's name in the catalogue.
        category: the category, as it was asked for.
        root: folder that the table's paths are relative to.
        table: one row an image, sorted by path. `path` (posix, relative to `root`, or a generated
            name for sets without files), `label` (0 normal, 1 abnormal), `kind` (type of defect or
            class, "good" for normal), `part` ("train", "test", or "" where the set has no official
            parts), `mask` (path or "").
        mode: "object" or "texture".
        n_left_out: images of the source that the set leaves out on purpose.
        convert: convert what is not plain 8-bit grey or RGB (rules in `adlib.data.decode`).
        arrays: images of a set that is not files of one image each, uint8 (N, H, W) or
            (N, H, W, 3), or what makes or reads them when they are asked for.
        mask_arrays: masks of a set without files, bool (N, H, W), or mosaics of them.
        note: what sets these images apart from the official ones, for tables; mostly empty.
    """

    name: str
    category: str
    root: Path
    table: pd.DataFrame
    mode: str
    n_left_out: int = 0
    convert: bool | decode.Conversion = False
    arrays: np.ndarray | Mosaics | Stored | None = None
    mask_arrays: np.ndarray | Mosaics | None = None
    note: str = ""

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        counts = ", ".join(f"{key[2:]} {value}" for key, value in self.counts().items() if value)
        return f"ImageSet({self.title}, {self.mode}: {counts})"

    @property
    def title(self) -> str:
        """Data set and category, as messages name them."""
        return f"{self.name}/{self.category}"

    def counts(self) -> dict[str, int]:
        """Numbers of images: in all, per label, per official part and label, and left out."""
        counts, part = {"n_images": len(self)}, self.table["part"]
        groups = {"": self.table, "train_": self.table[part == "train"]}
        groups["test_"] = self.table[part == "test"]
        for prefix, rows in groups.items():
            counts[f"n_{prefix}normal"] = int((rows["label"] == 0).sum())
            counts[f"n_{prefix}abnormal"] = int((rows["label"] == 1).sum())
        return counts | {"n_left_out": self.n_left_out}

    @property
    def has_masks(self) -> bool:
        """Whether every abnormal image has a mask (and there is an abnormal image)."""
        masks = self.table["mask"][self.table["label"] == 1]
        return len(masks) > 0 and bool((masks != "").all())

    def pixels(
        self, index: Index = None, side: int | None = None, channels: int = 3
    ) -> "torch.Tensor":
        """Pixels of the images `index` (all by default): uint8 (N, channels, side, side), 0 to 255.

        Images are resized with an antialiased bilinear filter; one that is not square is squeezed
        into the square. This is done once for the whole set and kept in the cache, which categories
        that show the same images share. Grey images get three equal channels; with `channels=1`
        colour becomes ITU-R 601 luma.

        Args:
            index: rows of the table.
            side: side in pixels; None keeps the images' own, which must then be equal and square.
            channels: 1 or 3.

        Raises:
            ValueError: a bad file (named, with the way out), or no `side` where sizes differ.
        """
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, not {channels}.")
        side, rows = self._side(side), self._rows(index)
        path = cache.build(
            f"{self.name}-{side}-{channels}",
            self._key(side, channels),
            (len(self), channels, side, side),
            lambda row: decode.resized(self._opened(row), side, channels),
        )
        return _tensor(cache.read(path, rows))

    def count(self, index: Index, side: int) -> int:
        """How many images `pixels` gives for rows: one each, unless a subclass cuts them."""
        return len(self._rows(index))

    def masks(self, index: Index = None, side: int | None = None) -> "torch.Tensor":
        """Masks of the images `index`: bool (N, side, side), True = defective, False on normals.

        A resized pixel is defective where at least half of its area is; a defect too small for that
        keeps the pixels it covers most. A set without masks, or a mask that does not fit its image,
        is a ValueError.
        """
        self.check_masks()
        side, rows = self._side(side), self._rows(index)
        masked = np.flatnonzero(self.table["mask"] != "")
        path = cache.build(
            f"{self.name}-{side}-mask",
            self._key(side, "mask"),
            (len(masked), side, side),
            lambda i: decode.resized_mask(self._opened_mask(masked[i]), side),
        )
        masks = np.zeros((len(rows), side, side), bool)
        wanted = np.flatnonzero(np.isin(rows, masked))
        masks[wanted] = cache.read(path, np.searchsorted(masked, rows[wanted])).astype(bool)
        return _tensor(masks)

    def check_masks(self) -> None:
        """Raise a ValueError for a set without masks."""
        if not self.has_masks:
            raise ValueError(
                f"{self.title} has no masks, so pixel metrics cannot be computed on it."
            )

    def sides(self) -> tuple[int, int]:
        """Shortest and longest side in pixels over all images."""
        lengths = [length for size in self._sizes for length in size]
        return min(lengths), max(lengths)

    def digests(self) -> list[str]:
        """SHA-256 of each image's bytes (of a mosaic: of its tiles' digests), in table order."""
        return self._digests

    @property
    def grey(self) -> bool:
        """Whether the first image is grey; a set holds grey or colour, unless it is converted."""
        return self._opened(0).mode == "L"

    def fingerprint(self) -> str:
        """SHA-256 of the whole set: names, labels, kinds, parts and bytes of images and masks."""
        rows = self.table[COLUMNS].itertuples(index=False, name=None)
        return cache.hashed([self.name, *zip(rows, self._digests, self._mask_digests, strict=True)])

    # What follows reads files.

    @cached_property
    def _digests(self) -> list[str]:
        if self.arrays is not None:
            return array_digests(self.arrays)
        return self._file_digests("images", list(self.table["path"]))

    @cached_property
    def _mask_digests(self) -> list[str]:
        if self.mask_arrays is not None:
            return array_digests(self.mask_arrays)
        paths = [path for path in self.table["mask"] if path]
        digests = iter(self._file_digests("masks", paths))
        return [next(digests) if path else "" for path in self.table["mask"]]

    def _file_digests(self, what: str, paths: list[str]) -> list[str]:
        name = f"{self.name}-{slug(Path(self.category).name)}-{what}"
        return cache.digests(name, self.root, paths)

    def _key(self, side: int, what: object) -> str:
        """Hash of all that the cached pixels (or masks) depend on."""
        is_mask = what == "mask"
        if self.arrays is not None:
            content = self._mask_digests if is_mask else self._digests
        else:
            files = [path for path in self.table["mask" if is_mask else "path"] if path]
            content = [self.root, *((path, *cache.stamp(self.root / path)) for path in files)]
        return cache.hashed([decode.RULE, self.convert, side, what, *content])

    def _rows(self, index: Index) -> np.ndarray:
        rows = np.arange(len(self))
        if index is None or isinstance(index, slice):
            return rows[index or slice(None)]
        index = np.atleast_1d(np.asarray(index))
        return rows[index] if index.size else rows[:0]

    def _path(self, row: int, column: str = "path") -> Path:
        return self.root / self.table[column].iat[row]

    @cached_property
    def _first_mode(self) -> str:
        return decode.open_image(self._path(0), self.convert).mode

    def _opened(self, row: int) -> Image.Image:
        if self.arrays is not None:
            return Image.fromarray(self.arrays[row])
        with decoding(self._path(row)):
            image = decode.open_image(self._path(row), self.convert)
        if not self.convert and image.mode != self._first_mode:
            names = {"L": "grey", "RGB": "colour"}
            raise ValueError(
                f"{self._path(row)} is {names[image.mode]} but {self._path(0)} is "
                f"{names[self._first_mode]}: the set mixes grey and colour images. Make them "
                "alike, or load with convert=True (grey then gets three equal channels)."
            )
        return image

    def _opened_mask(self, row: int) -> np.ndarray:
        if self.mask_arrays is not None:
            return self.mask_arrays[row]
        path = self._path(row, "mask")
        with decoding(path):
            return decode.open_mask(path, self._path(row), self.convert)

    @cached_property
    def _sizes(self) -> set[tuple[int, int]]:
        """All (width, height) that occur, in pixels."""
        if self.arrays is not None:
            return {self.arrays.shape[2:0:-1]}
        with ThreadPoolExecutor(cache.WORKERS) as pool:
            return set(pool.map(self._size, range(len(self))))

    def _size(self, row: int) -> tuple[int, int]:
        with decoding(self._path(row)):
            return decode.image_size(self._path(row), self.convert)

    def _side(self, side: int | None) -> int:
        """Check `side`; None stands for the images' own, where all are equal and square."""
        if side is None:
            (width, height), largest = min(self._sizes), max(self._sizes)
            if len(self._sizes) > 1 or width != height:
                raise ValueError(
                    f"{self.title}: the images are not all square and of one size (from {width} x "
                    f"{height} to {largest[0]} x {largest[1]} pixels). Give side=, for example "
                    "side=256."
                )
            return width
        if not isinstance(side, (int, np.integer)) or side < 1:
            raise ValueError(f"side must be a whole number of pixels above 0, not {side!r}.")
        return int(side)


def _tensor(array: np.ndarray) -> "torch.Tensor":
    import torch  # here, because the engine lists images without torch's seconds

    return torch.from_numpy(array)
