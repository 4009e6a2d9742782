"""Decoded pixels and digests kept on disk, so that an image is decoded and hashed once.

Pixels live in plain `.npy` files of uint8 under `cache_root()/images`. A file's name holds the hash
of everything its content depends on, so a stale one is never read; the folder may be deleted at any
time.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from adlib.host.files import atomic, sha256_file, write_text
from adlib.host.paths import cache_root

_BLOCK = 64 * 2**20  # bytes of decoded images held in memory while a cache file is built
WORKERS = min(16, os.cpu_count() or 1)


def hashed(parts: Iterable[object]) -> str:
    """SHA-256 over the text of `parts`, one a line."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def stamp(path: Path) -> tuple[int, int, int, int]:
    """Size in bytes, times of last change of content and of status in ns, and inode of a file.

    An equal stamp means an unchanged file: copying tools give another file the same size and time
    of content, but not the same inode and time of status.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def file(name: str, key: str) -> Path:
    """Where the cache keeps the rows of a name and key."""
    return cache_root() / "images" / f"{name}-{key[:20]}.npy"


def is_whole(path: Path) -> bool:
    """Whether a cache file is there and not cut short; one that is gives a warning."""
    if not path.is_file():
        return False
    try:
        rows = np.load(path, mmap_mode="r")
        whole = path.stat().st_size == rows.offset + rows.nbytes
    except (ValueError, EOFError):
        whole = False
    if not whole:
        _warn(path)
    return whole


def read_json(path: Path) -> object:
    """Content of a JSON file of the cache; None without one, or with a warning if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except ValueError:
        _warn(path)
        return None


def _warn(path: Path) -> None:
    warnings.warn(f"{path}: the cache file is damaged and is made again", stacklevel=3)


def build(name: str, key: str, shape: tuple[int, ...], make: Callable[[int], np.ndarray]) -> Path:
    """Path of the cache file with rows `make(0) .. make(shape[0] - 1)`, built if it is not whole.

    Rows come from a thread pool and are written in blocks, so memory does not grow with the set.
    Two processes that build it at once write the same bytes to temporary names of their own.

    Args:
        name: readable start of the file's name, also the label of the progress bar.
        key: hash of all the rows depend on.
        shape: (rows, *shape of one row).
        make: makes row i as uint8 of shape[1:].
    """
    path = file(name, key)
    if is_whole(path):
        return path
    block = max(WORKERS, _BLOCK // max(1, int(np.prod(shape[1:]))))
    task = min(64, block // WORKERS)  # rows of one call of a thread: small rows cost less than it
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}

    def rows(start: int, stop: int) -> list[np.ndarray]:
        return [np.ascontiguousarray(make(i), np.uint8) for i in range(start, stop)]

    with (
        atomic(path) as temporary,
        temporary.open("wb") as out,
        ThreadPoolExecutor(WORKERS) as pool,
        tqdm(total=shape[0], desc=f"decoding {name}", unit="image", delay=1, leave=False) as bar,
    ):
        np.lib.format.write_array_header_1_0(out, header)
        for start in range(0, shape[0], block):
            stop = min(start + block, shape[0])
            edges = [*range(start, stop, task), stop]
            for decoded in pool.map(rows, edges[:-1], edges[1:]):
                out.writelines(decoded)
                bar.update(len(decoded))
    return path


def read(path: Path, index: np.ndarray) -> np.ndarray:
    """Rows `index` of a cache file as a new array.

    Read with plain file reads: pages of a memory map would count as memory beside the copy.
    """
    stored = np.load(path, mmap_mode="r")
    rows = np.empty((len(index), *stored.shape[1:]), np.uint8)
    with path.open("rb", buffering=0) as file:
        for row, i in zip(rows, index, strict=True):
            file.seek(stored.offset + int(i) * row.nbytes)
            if file.readinto(row) != row.nbytes:
                raise OSError(f"{path}: the cache file is cut short. Delete it and try again.")
    return rows


def digests(name: str, root: Path, paths: Sequence[str]) -> list[str]:
    """SHA-256 of each file's bytes; a file is read again only if its stamp changed."""
    store = cache_root() / "digests" / f"{name}-{hashed([root])[:20]}.json"
    entries = read_json(store) or {}
    stamps = {path: list(stamp(root / path)) for path in paths}
    new = [path for path in stamps if entries.get(path, [])[:-1] != stamps[path]]
    if new:
        with ThreadPoolExecutor(WORKERS) as pool:
            done = pool.map(lambda path: sha256_file(root / path), new)
            bar = tqdm(done, f"hashing {name}", len(new), unit="file", delay=1, leave=False)
            entries |= {path: [*stamps[path], sha] for path, sha in zip(new, bar, strict=True)}
        write_text(store, json.dumps(entries, indent=0))
    return [entries[path][-1] for path in paths]
