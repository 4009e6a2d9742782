"""Folder layouts: each lists a category's images as a table.

Nothing is opened here, so listing is quick. A layout takes the category's folder and the data root
and returns a table with the columns of `images.COLUMNS`, sorted by path, paths from the root on.
"""

import difflib
import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from adlib.data.decode import SUFFIXES
from adlib.data.images import COLUMNS

# Left by file managers, servers, archivers and file systems, as are names that start with a dot.
_OTHERS = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "#recycle", "@recycle", "__macosx"),
    *("$recycle.bin", "system volume information", "lost+found"),
}
CLUTTER = "clutter"  # kind of images that show none of a set's classes


def nearest(name: str, names: Iterable[str]) -> str:
    """A sentence that names what comes closest to `name`, else all there is."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    return f"There is: {', '.join(names)}." if names else "There is none."


def table(
    rows: Iterable[tuple[str | Path, int, str, str, str | Path]], root: Path | None = None
) -> pd.DataFrame:
    """Rows (path, label, kind, part, mask) as a table sorted by path; files named from `root`."""

    def name(path: str | Path) -> str:
        return path.relative_to(root).as_posix() if isinstance(path, Path) else path

    named = [(name(path), *others, name(mask)) for path, *others, mask in rows]
    frame = pd.DataFrame(named, columns=COLUMNS).astype({"label": "int64"})
    return frame.sort_values("path", ignore_index=True)


def listed(
    paths: Iterable[Path], label: int, kind: str, part: str = "", masks: Mapping[Path, Path] = {}
) -> list[tuple]:
    """Rows for `table` of images of one kind."""
    return [(path, label, kind, part, masks.get(path, "")) for path in paths]


def inside(path: Path, root: Path) -> Path:
    """`path`, if it does not lead out of `root` through a symbolic link; else a ValueError."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(
            f"{path}: a symbolic link (or ..) that leads out of the data folder {root} (to "
            f"{path.resolve()}). Copy the files there, or point ADLIB_DATA (or root=) at the "
            "folder that holds them."
        )
    return path


def is_listed(name: str) -> bool:
    """Whether a name is neither hidden nor of what file managers and servers leave behind."""
    return not name.startswith(".") and name.lower() not in _OTHERS


def _entries(folder: Path, root: Path) -> list[Path]:
    """What a folder holds, sorted by name, without hidden files and those of file managers."""
    entries = [entry for entry in sorted(inside(folder, root).iterdir()) if is_listed(entry.name)]
    return [inside(entry, root) if entry.is_symlink() else entry for entry in entries]


def folders(folder: Path, root: Path) -> list[Path]:
    """Sub-folders of `folder`, sorted by name."""
    return [entry for entry in _entries(folder, root) if entry.is_dir()]


def files(
    folder: Path, root: Path, what: str = "images", strays: Container[str] = ()
) -> list[Path]:
    """Image files of `folder`, sorted by name, without what is named in `strays`.

    An empty folder, and something that is not an image by its name, are ValueErrors.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; {what} are expected there.")
    images = [entry for entry in _entries(folder, root) if entry.name not in strays]
    if not images:
        raise ValueError(f"{folder}: the folder is empty; {what} are expected there.")
    for path in images:
        if not (is_image := path.suffix.lower() in SUFFIXES) or not path.is_file():
            other = (
                "a pipe, a device or a link to nothing" if is_image else "not an image by its name"
            )
            raise ValueError(
                f"{path}: {'a folder' if path.is_dir() else other}, where only {what} are expected "
                f"({' '.join(SUFFIXES)}). Move it elsewhere."
            )
    return images


def by_stem(paths: Iterable[Path], suffix: str = "") -> dict[str, Path]:
    """Paths by name without `suffix` and file type; two of one name are an error."""
    found: dict[str, Path] = {}
    for path in paths:
        stem = path.stem.removesuffix(suffix)
        if stem in found:
            raise ValueError(
                f"{path} and {found[stem]} share a name; an image and its mask are matched by "
                "name. Rename one."
            )
        found[stem] = path
    return found


def masks_of(images: Iterable[Path], masks: Iterable[Path], way_out: str) -> dict[Path, Path]:
    """Mask `NAME_mask.*` or `NAME.*` of each image; one missing on either side is an error."""
    images, masks = by_stem(images), by_stem(masks, "_mask")
    if alone := sorted(masks.keys() - images.keys()):
        raise ValueError(
            f"{masks[alone[0]]}: a mask without an image of the name {alone[0]}. Add the image or "
            "remove the mask."
        )
    if alone := sorted(images.keys() - masks.keys()):
        raise ValueError(
            f"{images[alone[0]]}: an abnormal image without a mask of the name {alone[0]}_mask or "
            f"{alone[0]}. {way_out}"
        )
    return {image: masks[stem] for stem, image in images.items()}


def mvtec(folder: Path, root: Path, good: str = "good") -> pd.DataFrame:
    """`train/good`, `test/good`, `test/<kind>` and, where there are masks, `ground_truth/<kind>`.

    A mask is named after its image, `NAME_mask` of any file type. With a folder `ground_truth`,
    every abnormal test image must have its mask and every mask its image. `good` is the name of the
    folders of normal images.
    """
    train, test, truth = folder / "train", folder / "test", folder / "ground_truth"
    rows = listed(files(train / good, root, "normal training images"), 0, "good", "train")
    rows += listed(files(test / good, root, "normal test images"), 0, "good", "test")
    if others := [kind for kind in folders(train, root) if kind.name != good]:
        raise ValueError(f"{others[0]}: training images are normal; only train/{good} is expected.")
    kinds = [kind.name for kind in folders(test, root) if kind.name != good]
    if not kinds:
        raise ValueError(f"{test}: no folder with abnormal test images beside {good}/.")
    masked = [kind.name for kind in folders(truth, root)] if truth.is_dir() else []
    if alone := sorted({*masked} - {good, *kinds}):
        raise ValueError(
            f"{truth / alone[0]}: masks without images ({test / alone[0]} is missing)."
        )
    way_out = "Add it, or move the whole ground_truth folder away to go on without masks."
    for kind in kinds:
        images = files(test / kind, root, "abnormal test images")
        masks = {}
        if truth.is_dir():
            paths = files(truth / kind, root, "masks (one for every abnormal image)")
            masks = masks_of(images, paths, way_out)
        rows += listed(images, 1, kind, "test", masks)
    return table(rows, root)


def classes(folder: Path, root: Path, strays: Container[str] = ()) -> pd.DataFrame:
    """`<class>/*` with images of each class; all labels are 0, no parts, no masks.

    A class has its folder's name without a number in front (`056.dog` of Caltech-256). The clutter
    class is "clutter" (`257.clutter`, or `BACKGROUND_Google` of Caltech-101). `strays` names what
    lies among the images by mistake.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; one for each class is expected there.")
    rows = []
    for of_class in folders(folder, root):
        kind = re.sub(r"^\d+\.", "", of_class.name).replace("BACKGROUND_Google", CLUTTER)
        rows += listed(files(of_class, root, strays=strays), 0, kind)
    return table(rows, root)


def two_folders(folder: Path, root: Path, both: bool = False) -> pd.DataFrame:
    """`normal/` and, if any (with `both`: always), `abnormal/` of images or a folder a kind."""
    normal, abnormal = files(folder / "normal", root, "normal images"), folder / "abnormal"
    rows = listed(normal, 0, "good")
    kinds = folders(abnormal, root) if abnormal.is_dir() else []
    if kinds and (loose := [path for path in _entries(abnormal, root) if not path.is_dir()]):
        raise ValueError(
            f"{loose[0]}: abnormal/ holds files beside folders. Use a folder for each kind or none."
        )
    for kind in kinds or ([abnormal] if both or abnormal.is_dir() else []):
        rows += listed(files(kind, root, "abnormal images"), 1, kind.name)
    return table(rows, root)


def breast_ultrasound(folder: Path, root: Path) -> pd.DataFrame:
    """`two_folders`; where abnormal/ has no folder for each kind, the files' names say it.

    The official folders hold a mask beside each image, which is no image.
    """
    images = two_folders(folder, root, both=True)
    stem = images["path"].map(lambda path: PurePosixPath(path).stem)
    if (is_mask := stem.str.contains(r"_mask(?:_\d+)?$")).any():
        raise ValueError(
            f"{root / images['path'][is_mask].iat[0]}: a mask by its name. Remove the masks "
            f"(*_mask*) from {folder}; only images are expected there."
        )
    loose = images["kind"] == "abnormal"
    kind = stem[loose].str.extract("(benign|malignant)", expand=False)
    if kind.isna().any():
        raise ValueError(
            f"{root / images['path'][kind.index[kind.isna()][0]]}: neither benign nor malignant by "
            "its name. Keep the official names, or put the images into abnormal/benign and "
            "abnormal/malignant."
        )
    images.loc[loose, "kind"] = kind
    return images


def retina(folder: Path, root: Path) -> pd.DataFrame:
    """`{train,val,test}/{CNV,DME,DRUSEN,NORMAL}/*`: val counts as training, and may be missing."""
    rows, classes = [], ("CNV", "DME", "DRUSEN", "NORMAL")
    for name in ("train", "val", "test") if (folder / "val").is_dir() else ("train", "test"):
        part = "test" if name == "test" else "train"
        for of_class in classes:
            kind, label = ("good", 0) if of_class == "NORMAL" else (of_class, 1)
            rows += listed(files(folder / name / of_class, root), label, kind, part)
        if strays := [path for path in _entries(folder / name, root) if path.name not in classes]:
            raise ValueError(
                f"{strays[0]}: only folders {', '.join(classes)} are expected there. Move it "
                "elsewhere."
            )
    return table(rows, root)


def user(folder: Path, root: Path) -> pd.DataFrame:
    """A user's own images: MVTec layout where there is `train/`, else `normal/` and `abnormal/`."""
    if (folder / "train").is_dir():
        return mvtec(folder, root)
    if (folder / "normal").is_dir():
        return two_folders(folder, root)
    raise FileNotFoundError(
        f"{folder}: neither normal/ (with abnormal/ beside it) nor train/good and test/ are in it. "
        "Put the normal images into normal/ and the abnormal ones, if any, into abnormal/."
    )


def magnetic_tile(folder: Path, root: Path) -> pd.DataFrame:
    """`MT_Free/Imgs/*.jpg` is normal, `MT_<kind>/Imgs/*.jpg` abnormal.

    The mask is the PNG beside an image; those of `MT_Free` are empty and are passed over.
    """
    if not (folder / "MT_Free").is_dir():
        raise FileNotFoundError(
            f"{folder / 'MT_Free'}: no such folder; normal images are expected there."
        )
    rows = []
    for of_kind in folders(folder, root):
        if not of_kind.name.startswith("MT_"):
            continue
        paths = files(of_kind / "Imgs", root)
        images = [path for path in paths if path.suffix.lower() in (".jpg", ".jpeg")]
        masks = [path for path in paths if path.suffix.lower() == ".png"]
        if not images:
            raise ValueError(f"{of_kind / 'Imgs'}: no .jpg image in it.")
        if of_kind.name == "MT_Free":
            rows += listed(images, 0, "good")
        else:
            kind = of_kind.name.removeprefix("MT_").lower()
            rows += listed(images, 1, kind, masks=masks_of(images, masks, "Get it again."))
    return table(rows, root)
