"""Download of MVTec AD: `adlib data get mvtec_ad [category]`.

The archive is fetched once, checked against its SHA-256, and kept beside the data for other
categories; it may be deleted when all is unpacked. A category is unpacked into a temporary folder,
counted, and renamed, so a folder of its name is always whole.
"""

import lzma
import shutil
import tarfile
from pathlib import Path, PurePosixPath

import pooch
import requests
from filelock import FileLock
from tqdm.auto import tqdm

from adlib.data import layouts
from adlib.data.catalogue import Dataset, info, miscounted, require_category
from adlib.host.paths import data_root


def download(name: str, category: str | None = None, root: str | Path | None = None) -> Path:
    """Get a data set, or a category of it, as far as it is not there; returns the set's folder.

    Args:
        name: a data set that can be downloaded (`mvtec_ad`).
        category: one category; None for all.
        root: folder of the data sets; None means `ADLIB_DATA`, else `data/`.

    Raises:
        ValueError: a data set that is not downloaded; a folder that is there but not whole; an
            unsafe or damaged archive, or one without the expected images.
        ConnectionError: no address gave the archive; names the page where to get it by hand.
    """
    dataset, root = info(name), data_root(root)
    if dataset.archive is None:
        where = f"Get it by hand from {dataset.homepage}. " if dataset.homepage else ""
        raise ValueError(f"{name} is not downloaded by this program. {where}{dataset.note}")
    if category is not None:
        require_category(dataset, category)
    wanted = list(dataset.modes) if category is None else [category]
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".download.lock"):
        missing = [each for each in wanted if not (folder / each).exists()]
        for present in set(wanted) - set(missing):
            _check_counts(dataset, folder / present, present, root)
        if missing:
            _unpack(dataset, _archive(dataset, folder), missing, root)
    return folder


def _by_hand(dataset: Dataset, folder: Path) -> str:
    return (
        f"Get {dataset.title} by hand from {dataset.homepage} and unpack it so that "
        f"{folder / next(iter(dataset.modes)) / 'train' / 'good'} and its like exist."
    )


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
    lines = [f"{dataset.title} could not be downloaded.", *failures, _by_hand(dataset, folder)]
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


def _safe(member: tarfile.TarInfo, archive: Path) -> PurePosixPath:
    """The member's path, if it is a plain file or folder that stays inside the archive's folder."""
    path, fault = PurePosixPath(member.name), ""
    if path.is_absolute() or ".." in path.parts or any(c in member.name for c in "\\:\0"):
        fault = "leads out of the folder"
    elif not (member.isfile() or member.isdir()):
        fault = "is a link or a device, not a file"
    if fault:
        raise ValueError(f"{archive}: {member.name!r} {fault}; nothing was installed.")
    return path


def _unpack(dataset: Dataset, archive: Path, wanted: list[str], root: Path) -> None:
    """Unpack categories into a temporary folder, count them, and move them to their place."""
    folder = root / dataset.name
    partial = folder / ".unpacking"
    shutil.rmtree(partial, ignore_errors=True)  # left by a killed call; the lock keeps others out
    try:
        # Content is copied, nothing is extracted: tarfile's filters guard `extract` alone.
        with tarfile.open(archive) as tar:
            for member in tar:
                path = _safe(member, archive)
                if member.isfile() and len(path.parts) > 1 and path.parts[0] in wanted:
                    target = partial.joinpath(*path.parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with tar.extractfile(member) as source, target.open("wb") as out:
                        shutil.copyfileobj(source, out)
        for category in wanted:
            if not (partial / category).is_dir():
                raise ValueError(f"{archive}: the archive does not hold the category {category!r}.")
            _check_counts(dataset, partial / category, category, root)
        for category in wanted:
            (partial / category).replace(folder / category)
    except (tarfile.ReadError, lzma.LZMAError, EOFError) as error:
        raise ValueError(
            f"{archive}: damaged or truncated archive ({error}). Delete it and call again. "
            + _by_hand(dataset, folder)
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_counts(dataset: Dataset, folder: Path, category: str, root: Path) -> None:
    """Raise unless a folder holds the published number of images, abnormal ones masked."""
    images = dataset.image_set(category, root, layouts.mvtec(folder, root))
    wrong = miscounted(images) + ([] if images.has_masks else ["abnormal images without masks"])
    if wrong:
        raise ValueError(
            f"{folder} is not the whole category {category} of {dataset.title}: "
            f"{'; '.join(wrong)}. Move the folder away and call again."
        )
