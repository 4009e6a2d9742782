"""Image packs: the images of a category as a network gets them, in one file, to train elsewhere.

A pack holds the table, the digests of the originals and the pixels (and masks) that they have at
one side, so a run on a pack has the identity and the numbers of the run on the originals. A set
that is one array in memory (MNIST, CIFAR-10) keeps its own size, and every side is made of it.

The file is one xz stream: a line with format and SHA-256 of the next line, a line of JSON, then
pixels and masks as plain bytes, whose SHA-256 the JSON names. Equal images give equal bytes. A pack
may come from anyone: it is read without pickle, no more of it than its size allows, and every hash
is checked before anything is used.
"""

import hashlib
import json
import lzma
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from adlib.data import cache
from adlib.data.classes import labelled
from adlib.data.dataset import PACK, Dataset
from adlib.data.images import COLUMNS, ImageSet, Index
from adlib.host.files import atomic, check_output

if TYPE_CHECKING:
    import torch

_FORMAT = "adlib images 1"
# Pictures shrink to a half or a tenth; a file that would fill the memory to a thousandth.
_RATIO, _SLACK = 100, 2**24
# What reading something else than a pack raises.
_NO_PACK = (
    lzma.LZMAError, EOFError, ValueError, KeyError, TypeError, AttributeError, OverflowError,
    RecursionError,
)  # fmt: skip
_KEPT = {"mode": str, "n_left_out": int, "convert": bool, "note": str}  # fields of an ImageSet


@dataclass(frozen=True, eq=False, repr=False)
class PackedSet(ImageSet):
    """Images of a pack, at the one side that it holds; all else is as with the originals.

    Attributes:
        file: the pack.
        side: in pixels.
        luma: whether colour was packed as one channel, so that three cannot be had.
        first_grey: whether the first original is grey.
        sizes: (width, height) in pixels that occur among the originals.
        content: hash of all that the pack holds.
    """

    file: Path = Path()
    side: int = 0
    luma: bool = False
    first_grey: bool = False
    sizes: tuple[tuple[int, int], ...] = ()
    content: str = ""

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}; packed at {self.side} px)"

    def pixels(
        self, index: Index = None, side: int | None = None, channels: int = 3
    ) -> "torch.Tensor":
        """As `ImageSet.pixels`; another side or channels that are not held are a ValueError."""
        if channels == 3 and self.luma:
            raise ValueError(
                f"{self.file}: holds colour images as one channel; three cannot be made of it. Ask "
                "for channels=1, or pack the originals with --channels 3."
            )
        return super().pixels(index, side, channels)

    @property
    def grey(self) -> bool:
        """Whether the first original is grey."""
        return self.first_grey

    @property
    def _sizes(self) -> set[tuple[int, int]]:
        return set(self.sizes)

    def _side(self, side: int | None) -> int:
        side = super()._side(side)
        if side != self.side:
            raise ValueError(
                f"{self.file}: holds images of {self.side} px, not of {side}. Ask for side="
                f"{self.side}, pack the originals with --side {side}, or bring the originals."
            )
        return side

    def _key(self, side: int, what: object) -> str:
        return cache.hashed([super()._key(side, what), self.content])


@dataclass(frozen=True, eq=False)
class _Packed:
    """Pixels or masks of a pack, like an array (N, ...), with the digests of the originals."""

    array: np.ndarray | None
    originals: list[str]

    def __getitem__(self, row: int) -> np.ndarray:
        return self.array[row]

    def digests(self) -> list[str]:
        return self.originals


def write(
    dataset: Dataset,
    images: ImageSet,
    file: Path,
    side: int | None = None,
    channels: int = 3,
) -> None:
    """Write a pack. All of its pixels are held in memory meanwhile.

    Args:
        dataset: the set's entry in the catalogue.
        images: of one category; of a set of classes in one array, category "all".
        file: ends in `.images.xz`.
        side: side in pixels; None for a set that is one array, which keeps its own.
        channels: 1 turns colour into grey levels; grey images take the room of one either way.

    Raises:
        ValueError: another ending, a side or channels that cannot be packed, or a bad image; or as
            in `adlib.host.files.check_output`, before an image is opened.
    """
    if not file.name.endswith(PACK):
        raise ValueError(f"{file}: a pack of images ends in {PACK}.")
    if not dataset.modes:
        raise ValueError(f"{dataset.name}: folders of your own are copied, not packed.")
    if dataset.whole and images.category != dataset.whole:
        raise ValueError(
            f"{images.title}: category {dataset.whole!r} packs the set once for all categories."
        )
    check_output(file, _is_pack, "a pack of images")
    arrays, more = _content(images, side, channels)
    arrays = {name: np.ascontiguousarray(a) for name, a in arrays.items() if a is not None}
    header = {
        "name": images.name,
        "category": images.category,
        "licence": dataset.licence,
        "citation": dataset.citation,
        **{name: kind(getattr(images, name)) for name, kind in _KEPT.items()},
        "table": images.table[COLUMNS].to_dict("list"),
        "arrays": {name: [a.shape, _sha256(a)] for name, a in arrays.items()},
        **more,
    }
    line = json.dumps(header, sort_keys=True).encode()
    with atomic(file) as temporary, lzma.open(temporary, "wb", preset=6) as out:
        out.write(f"{_FORMAT} {_sha256(line)}\n".encode() + line + b"\n")
        out.writelines(a.data for a in arrays.values())


def _is_pack(file: Path) -> bool:
    """Whether a file begins as a pack does."""
    begin = f"{_FORMAT} ".encode()
    try:
        with lzma.open(file) as content:
            return content.read(len(begin)) == begin
    except (lzma.LZMAError, EOFError):
        return False


def _content(images: ImageSet, side: int | None, channels: int) -> tuple[dict, dict]:
    """Pixels and masks to pack, and what of the originals these do not tell."""
    if isinstance(images.arrays, np.ndarray):
        if side is not None or channels != 3:
            raise ValueError(
                f"{images.title} is packed as it is, and every side can be made of it: leave "
                "--side and --channels out."
            )
        return {"pixels": images.arrays, "masks": images.mask_arrays}, {}
    if side is None:
        raise ValueError(f"{images.title}: say with --side which side in pixels is packed.")
    pixels = images.pixels(side=side).numpy()
    all_grey = bool((pixels == pixels[:, :1]).all())  # then one channel says all
    luma = channels == 1 and not all_grey
    if luma:
        pixels = images.pixels(side=side, channels=1).numpy()
    arrays = {
        "pixels": pixels[:, 0] if luma or all_grey else pixels.transpose(0, 2, 3, 1),
        "masks": images.masks(side=side).numpy() if images.has_masks else None,
    }
    return arrays, {
        "side": side,
        "luma": luma,
        "grey": images.grey,
        "sizes": sorted(images._sizes),
        "digests": images.digests(),
        "mask_digests": images._mask_digests,
    }


def read(dataset: Dataset, category: str, file: Path) -> ImageSet:
    """Read the images of a category from a pack; its pixels go into the cache.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no pack, a part of one, a changed one, or one of other images.
    """
    with _reading(file), lzma.open(file) as content:
        limit = _SLACK + _RATIO * file.stat().st_size
        header = _header(content, limit)
        table = _table(header)
        arrays = _arrays(content, header, len(table), limit)
        at_side = "side" in header
        more = _of_side(file, header, arrays, len(table)) if at_side else arrays
        kept = {name: header[name] for name in _KEPT}
        for name, value in kept.items():
            _require(type(value) is _KEPT[name], f"{name} {value!r}")
    name, packed = header["name"], header["category"]
    if name != dataset.name or packed not in (category, dataset.whole):
        raise ValueError(f"{file}: holds {name}/{packed}, not {dataset.name}/{category}.")
    if packed != category:
        table = labelled(table, category)
    kind = PackedSet if at_side else ImageSet
    return kind(name, category, file.parent, table, **kept | more)


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Turn what a file that is no whole pack brings about into a ValueError that names it."""
    try:
        yield
    except _NO_PACK as error:
        raise ValueError(
            f"{file}: no pack of images, or a damaged or incomplete one ({error}). Get it again, "
            "or pack the originals again."
        ) from error


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


def _header(content: lzma.LZMAFile, limit: int) -> dict:
    """Read the first two lines, at most `limit` bytes of them."""
    *words, sha256 = content.readline(len(_FORMAT) + 66).decode().split()
    _require(" ".join(words) == _FORMAT, f"it does not begin with {_FORMAT!r}")
    line = content.readline(limit).removesuffix(b"\n")
    _require(_sha256(line) == sha256, "its header is not what its hash says")
    return json.loads(line) | {"sha256": sha256}


def _table(header: dict) -> pd.DataFrame:
    """The table of a header, checked."""
    table = pd.DataFrame({name: header["table"][name] for name in COLUMNS})
    texts = table[["path", "kind", "part", "mask"]].to_numpy().flat
    _require(all(isinstance(text, str) for text in texts), "texts are expected")
    _require(bool(table["label"].isin([0, 1]).all()), "a label is 0 or 1")
    _require(bool(table["part"].isin(["train", "test", ""]).all()), "a part is train or test")
    paths = table["path"]
    _require(paths.is_monotonic_increasing and paths.is_unique, "paths are sorted, each once")
    return table.astype({"label": "int64"})


def _arrays(content: lzma.LZMAFile, header: dict, n: int, limit: int) -> dict[str, np.ndarray]:
    """Arrays of a pack as fields of an `ImageSet`, through the cache, checked when they enter it.

    `pixels` are uint8 (N, H, W) or (N, H, W, 3), `masks` bool (N, H, W).
    """
    shapes = {name: tuple(map(int, shape)) for name, (shape, _) in header["arrays"].items()}
    hashes = {name: sha256 for name, (_, sha256) in header["arrays"].items()}
    _require([*shapes] in (["pixels"], ["masks", "pixels"]), "it holds pixels and perhaps masks")
    shape = shapes["pixels"]
    right = len(shape) > 2 and shape[0] == n > 0 and min(shape) > 0 and shape[3:] in ((), (3,))
    _require(right and shapes.get("masks", shape[:3]) == shape[:3], f"{shapes} for {n} images")
    _require(sum(map(math.prod, shapes.values())) <= limit, "it claims more than its size can hold")
    keys = {name: cache.hashed([shapes[name], hashes[name]]) for name in shapes}
    paths = {name: cache.file(f"pack-{name}", key) for name, key in keys.items()}
    if not all(map(cache.is_whole, paths.values())):
        for name in ("pixels", "masks"):
            if name in shapes:
                raw = content.read(math.prod(shapes[name]))
                _require(_sha256(raw) == hashes[name], f"its {name} are not what their hash says")
                rows = np.frombuffer(raw, np.uint8).reshape(shapes[name])
                cache.build(f"pack-{name}", keys[name], rows.shape, rows.__getitem__)
        _require(content.read(1) == b"", "something follows its end")
    stored = {
        name: np.load(path, mmap_mode="r").view(np.ndarray)  # rows of a memory map are slow
        for name, path in paths.items()
    }
    masks = stored.get("masks")
    masks = None if masks is None else masks != 0
    return {"arrays": stored["pixels"], "mask_arrays": masks}


def _of_side(file: Path, header: dict, arrays: dict, n: int) -> dict[str, object]:
    """Fields of a `PackedSet` that an `ImageSet` of one array has not, or has otherwise."""
    side, pixels = header["side"], arrays["arrays"]
    _require(pixels.shape[1:3] == (side, side), f"pixels of {pixels.shape[1:3]}, side {side}")
    digests, mask_digests = header["digests"], header["mask_digests"]
    _require(len(digests) == len(mask_digests) == n, f"{len(digests)} digests of {n} images")
    _require(all(isinstance(text, str) for text in digests + mask_digests), "a digest is a text")
    return {
        "arrays": _Packed(pixels, digests),
        "mask_arrays": _Packed(arrays["mask_arrays"], mask_digests),
        "file": file,
        "side": side,
        "luma": bool(header["luma"]),
        "first_grey": bool(header["grey"]),
        "sizes": tuple((int(width), int(height)) for width, height in header["sizes"]),
        "content": header["sha256"],
    }


def _sha256(content: bytes | np.ndarray) -> str:
    return hashlib.sha256(content).hexdigest()
