"""A data set's entry in the catalogue, and what its listers share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from adlib.data.images import ImageSet

PACK = ".images.xz"  # ending of a pack of images, see `adlib.data.image_packs`


def part_counts(train: int, good: int, bad: int) -> dict[str, int]:
    """Published counts of a set with official parts, as `Dataset.expected` has them."""
    return {"n_train_normal": train, "n_test_normal": good, "n_test_abnormal": bad}


@dataclass(frozen=True)
class Archive:
    """One file (tar or zip) that holds a whole data set, a folder for each category.

    Attributes:
        urls: addresses tried in turn.
        sha256: what the file must hash to.
        shared: folders beside the categories' that every category needs.
    """

    urls: tuple[str, ...]
    sha256: str
    shared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Facts on a data set, before any of it is opened.

    Attributes:
        name: name in the catalogue.
        title: name in words.
        licence: licence as its page or package states it.
        citation: whom to cite.
        homepage: page where to get it by hand; empty where nothing is to be got.
        modes: "object" or "texture" of each category.
        lister: makes the `ImageSet` of a category under a data root.
        expected: counts of each category where they are published (`n_train_normal`, ...).
        sides: side of each category's images in pixels, where it is published.
        note: what a reader of a table should know.
        archive: where `adlib.data.download` gets it; None where it does not.
        lies_in: folders or files under the data root, any of which may hold it, the official layout
            first; "{category}" stands for the category. By default a folder of the set's name.
        packaged: categories that need no data root: they come with a package or are generated.
        colour: whether the official images are in colour, where copies in grey go round.
        varied: whether they vary in size, where copies of one size go round.
        whole: category that shows the images of all others, each of which is a class of them.
        torchvision: class of `torchvision.datasets` that fetches the set and checks its MD5; "" for
            none.
    """

    name: str
    title: str
    licence: str
    citation: str
    homepage: str
    modes: dict[str, str]
    lister: Callable[["Dataset", str, Path], ImageSet] = field(repr=False)
    expected: dict[str, dict[str, int]] = field(default_factory=dict)
    note: str = ""
    sides: dict[str, int] = field(default_factory=dict)
    archive: Archive | None = None
    lies_in: tuple[str, ...] = ()
    packaged: tuple[str, ...] = ()
    colour: bool = False
    varied: bool = False
    whole: str = ""
    torchvision: str = ""

    @property
    def terms(self) -> str:
        """What the licence says on passing images on, in a sentence or two."""
        cite = f" Cite {self.citation}." if self.citation else ""
        if "CC" in self.licence or self.licence.startswith(("public domain", "MIT")):
            return f"Licence: {self.licence}; a pack may be passed on under its terms only.{cite}"
        return (
            f"Licence: {self.licence}; it does not say that images may be passed on: keep the pack "
            f"to yourself.{cite}"
        )

    def places(self, root: Path, category: str = "") -> list[Path]:
        """Where under `root` a category may lie, the official layout first."""
        return [root / place.format(category=category) for place in self.lies_in or (self.name,)]

    def place(self, root: Path, category: str = "") -> Path:
        """The first of the places that is there; a FileNotFoundError where none is."""
        places = self.places(root, category)
        there = next((place for place in places if place.exists()), None)
        if there is None:
            raise self.not_there(*places, category=category)
        return there

    def packs(self, root: Path, category: str) -> list[Path]:
        """Where under `root` a pack that holds a category may lie."""
        packed = [name for name in (category, self.whole) if name and self.modes]
        return [root / f"{self.name}-{name}{PACK}" for name in packed]

    def found(self, root: Path, category: str) -> Path | None:
        """Where a category lies: its originals, else a pack; None where no file is, or need be."""
        if category in self.packaged:
            return None
        there = [*self.places(root, category), *self.packs(root, category)]
        return next((place for place in there if place.exists()), None)

    def image_set(self, category: str, root: Path, table: pd.DataFrame, **more) -> ImageSet:
        """Make the set of a category; `more` are further fields of `ImageSet`."""
        return ImageSet(
            self.name, category, root, table, self.modes.get(category, "object"), **more
        )

    def not_there(self, *places: Path, category: str = "") -> FileNotFoundError:
        """Make the error for data at none of `places`, the official layout first."""
        first, *others = places
        also = f", nor is {' or '.join(map(str, others))}" if others else ""
        in_parts = any("{category}" in place for place in self.lies_in)
        what = f"{self.name}/{category}" if in_parts else self.name
        command = f"adlib data get {self.name} {category if in_parts else ''}".rstrip()
        by_program = f" (or run: {command})" if self.archive or self.torchvision else ""
        return FileNotFoundError(
            f"{first}: not there{also}. Get {self.title} from {self.homepage} and unpack it "
            f"there{by_program}, or point ADLIB_DATA (or root=) at the folder that holds {what} or "
            "its pack."
        )
