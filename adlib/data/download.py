"""Download of data sets: `adlib data get NAME [category]`, checked against a published hash.

An archive is fetched once, checked, and kept beside the data for other categories; it may be
deleted when all is unpacked. A category is unpacked into a temporary folder, counted, and renamed,
so a folder of its name is always whole. Small sets of classes are fetched and checked by
torchvision, whole, and moved to their place in the same way.
"""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pooch
import requests
from filelock import FileLock
from tqdm.auto import tqdm

from adlib.data.catalogue import Dataset, info, miscounted, require_category
from adlib.host.paths import data_root

# Name, "file", "folder" or "" for anything else, and what opens it.
Member = tuple[str, str, Callable[[], BinaryIO]]
_DAMAGED = (
    tarfile.ReadError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError,
)  # fmt: skip


def download(name: str, category: str | None = None, root: str | Path | None = None) -> Path:
    """Get a data set, or a category of it, as far as it is not there; returns the set's folder.

    Args:
        name: a data set that can be downloaded: it has an `archive` or a class of torchvision.
        category: one category; None for all. Sets of classes come whole.
        root: folder of the data sets; None means `ADLIB_DATA`, else `data/`.

    Raises:
        ValueError: a data set that is not downloaded; a folder that is there but not whole; an
            unsafe or damaged archive, or one without the expected images.
        ConnectionError: no address gave the data; names the page where to get them by hand.
    """
    dataset, root = info(name), data_root(root)
    if category is not None:
        require_category(dataset, category)
    if dataset.torchvision:
        return _by_torchvision(dataset, root)
    if dataset.archive is None:
        where = f"Get it by hand from {dataset.homepage}. " if dataset.homepage else ""
        raise ValueError(f"{name} is not downloaded by this program. {where}{dataset.note}")
    wanted = list(dataset.modes) if category is None else [category]
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".download.lock"):
        missing = [each for each in wanted if not (folder / each).exists()]
        for present in sorted(set(wanted) - set(missing)):
            _check_counts(dataset, folder / present, present, root)
        if missing:
            _unpack(dataset, _archive(dataset, folder), missing, root)
    return folder


def _by_hand(dataset: Dataset, place: Path) -> str:
    return (
        f"Get {dataset.title} by hand from {dataset.homepage} and unpack it so that {place} exists."
    )


def _by_torchvision(dataset: Dataset, root: Path) -> Path:
    """Fetch the official files of a set of classes, all or none; returns their folder."""
    from torchvision import datasets  # here, because archives need none of it

    folder = root / Path(dataset.lies_in[0]).parts[0]
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f".{dataset.torchvision}.lock"):
        if not folder.exists():
            with _scratch(root / f".{dataset.torchvision}.download") as scratch:
                try:
                    getattr(datasets, dataset.torchvision)(scratch, download=True)
                except (OSError, RuntimeError) as error:
                    place = dataset.places(root)[0]
                    raise ConnectionError(
                        f"{dataset.title} could not be downloaded: {error}. "
                        + _by_hand(dataset, place)
                    ) from error
                (scratch / folder.name).replace(folder)
        try:
            wrong = miscounted(dataset.lister(dataset, dataset.whole, root))
        except (ValueError, FileNotFoundError) as error:
            wrong = [str(error)]
    if wrong:
        raise ValueError(
            f"{folder} is there but is not the whole set {dataset.title}: {'; '.join(wrong)}. Move "
            "the folder away and call again."
        )
    return folder


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """An empty folder that is removed afterwards; one that a killed call left is emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _archive(dataset: Dataset, folder: Path) -> Path:
    """The archive from the first address that gives the right bytes, or the one there."""
    failures = []
    for url in dataset.archive.urls:
        try:
            archive = pooch.retrieve(
                url,
                known_hash=f"sha256:{dataset.archive.sha256}",
                fname=PurePosixPath(url).name,
                path=folder / ".archive",
                downloader=_transfer,
            )
        except (OSError, ValueError) as error:
            failures.append(f"{url}: {error}")
        else:
            return Path(archive)
    if any((folder / ".archive").glob("*.part")):
        failures.append("Call again: the transfer goes on where it broke off.")
    by_hand = _by_hand(dataset, folder / next(iter(dataset.modes)))
    lines = [f"{dataset.title} could not be downloaded.", *failures, by_hand]
    raise ConnectionError("\n".join(lines))


def _transfer(url: str, output: str | Path, _: object = None) -> None:
    """Downloader for pooch that goes on where an earlier transfer of the same file broke off.

    What has come so far stands beside the archive in `<name>.<size of the whole file>.part`. It is
    thrown away when the server does not send exactly the rest of a file of that size, and kept
    after an OSError. A whole file is handed over to pooch, which checks its hash.
    """
    folder, name = Path(output).parent, PurePosixPath(url).name
    part = next(folder.glob(f"{name}.*.part"), None)
    have, size = (part.stat().st_size, int(part.suffixes[-2][1:])) if part else (0, 0)
    if not size or have < size:  # else the last call was killed just before it handed the file over
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=60) as response:
            goes_on = response.headers.get("Content-Range") == f"bytes {have}-{size - 1}/{size}"
            if part and not goes_on and response.status_code in (206, 416):
                part.unlink()
                return _transfer(url, output)
            response.raise_for_status()
            if not goes_on:  # the whole file comes, from its start
                if part:
                    part.unlink()
                have, size = 0, int(response.headers.get("Content-Length", 0))
                part = folder / f"{name}.{size}.part"
            _write(response, part, have, size)
    part.replace(output)
    return None


def _write(response: requests.Response, part: Path, have: int, size: int) -> None:
    """Append the body of a response to `part`, which holds `have` of `size` bytes (0: unknown)."""
    bar = tqdm(total=size or None, initial=have, unit="B", unit_scale=True)
    with part.open("ab") as file, bar:
        for chunk in response.iter_content(2**13):  # a chunk that does not come whole is lost
            bar.update(file.write(chunk))
    if size and part.stat().st_size != size:
        raise OSError(f"the transfer broke off after {part.stat().st_size} of {size} bytes")


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    """What a tar or zip archive holds. Content is copied, nothing is extracted.

    So tarfile's filters, which guard `extract` alone, have no part in it.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            yield (
                (one.filename, _kind(one), partial(packed.open, one)) for one in packed.infolist()
            )
    else:
        with tarfile.open(archive) as tar:
            yield (
                (one.name, "file" if one.isfile() else "folder" if one.isdir() else "",
                 partial(tar.extractfile, one))
                for one in tar
            )  # fmt: skip


def _kind(member: zipfile.ZipInfo) -> str:
    """Kind of a member of a zip archive; the mode is 0 where a system that has none packed it."""
    if member.is_dir():
        return "folder"
    return "file" if stat.S_IFMT(member.external_attr >> 16) in (0, stat.S_IFREG) else ""


def _safe(name: str, kind: str, archive: Path) -> PurePosixPath:
    """The member's path, if it is a plain file or folder that stays inside the archive's folder."""
    path, fault = PurePosixPath(name), ""
    if path.is_absolute() or ".." in path.parts or any(c in name for c in "\\:\0"):
        fault = "leads out of the folder"
    elif not kind:
        fault = "is a link or a device, not a file"
    if fault:
        raise ValueError(f"{archive}: {name!r} {fault}; nothing was installed.")
    return path


def _within(path: PurePosixPath, wanted: list[str]) -> PurePosixPath | None:
    """The path from a wanted folder on, which lies at the archive's top or one folder below."""
    for start in (0, 1):
        if len(path.parts) > start + 1 and path.parts[start] in wanted:
            return PurePosixPath(*path.parts[start:])
    return None


def _unpack(dataset: Dataset, archive: Path, wanted: list[str], root: Path) -> None:
    """Unpack categories under a temporary data root, count them, and move them to their place."""
    folder = root / dataset.name
    taken = [*dataset.archive.shared, *wanted]
    with _scratch(folder / ".unpacking") as scratch:
        partial_set = scratch / dataset.name
        with _whole(dataset, archive, folder), _members(archive) as members:
            for name, kind, opened in members:
                path = _within(_safe(name, kind, archive), taken)
                if kind == "file" and path:
                    target = partial_set.joinpath(*path.parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with opened() as source, target.open("wb") as out:
                        shutil.copyfileobj(source, out)
        for category in wanted:
            if not (partial_set / category).is_dir():
                raise ValueError(f"{archive}: the archive does not hold the category {category!r}.")
            _check_counts(dataset, partial_set / category, category, scratch)
        for name in taken:  # what categories share comes first
            if (partial_set / name).exists() and not (folder / name).exists():
                (partial_set / name).replace(folder / name)


@contextmanager
def _whole(dataset: Dataset, archive: Path, folder: Path) -> Iterator[None]:
    """Turn what a damaged archive raises into a ValueError that names it."""
    try:
        yield
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk
            raise
        raise ValueError(
            f"{archive}: damaged or truncated archive ({error}). Delete it and call again. "
            + _by_hand(dataset, folder / next(iter(dataset.modes)))
        ) from error


def _check_counts(dataset: Dataset, folder: Path, category: str, root: Path) -> None:
    """Raise unless a category under `root` has the published numbers of images, all masked."""
    images = dataset.lister(dataset, category, root)
    wrong = miscounted(images) + ([] if images.has_masks else ["abnormal images without masks"])
    if wrong:
        raise ValueError(
            f"{folder} is not the whole category {category} of {dataset.title}: "
            f"{'; '.join(wrong)}. Move the folder away and call again."
        )
