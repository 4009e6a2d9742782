"""Packs: records, scores, losses and splits of many runs in one archive.

A pack is a `.tar.xz`, or a plain `.tar`, with the members `<key>/record.json`, `<key>/scores.csv`
and, where a run has them, `<key>/history.csv`, `<key>/split.json` and `<key>/curve.safetensors`;
weights and snapshots only on request. Equal runs give equal bytes.

An archive may come from anyone. Nothing but these members is taken, every hash that a record names
is checked, and so is that the key is the hash of the description. No other run is ever changed.
"""

import hashlib
import io
import json
import lzma
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, ClassVar

import numpy as np
import pandas as pd
from filelock import FileLock
from safetensors.numpy import load

from adlib.host.files import atomic, check_output, sha256_file

CURVE = "curve.safetensors"
SMALL = ("record.json", "scores.csv", "history.csv", "split.json", CURVE)
MEMBER = re.compile(
    r"(?P<key>[0-9a-f]{16})/"
    r"(?P<name>record\.json|scores\.csv|history\.csv|split\.json|curve\.safetensors"
    r"|weights\.safetensors|snapshots/step[0-9]+\.safetensors)"
)
# Packs of this study hold about ten times their size; an archive that would fill a disk holds
# thousands of times its own.
RATIO, SLACK = 100, 2**24
XZ = b"\xfd7zXZ\x00"  # how an xz file begins
TAR_END = 1024  # zeros at least
INTEGERS = ("seed", "steps", "batch")
COUNTS = ("train", "abnormal", "validation", "validation_normal", "test")
ENDINGS = {".tar": "w", ".tar.xz": "w:xz"}  # of a pack -> how it is opened to write
UNPACKED = "unpacked"  # an empty file in the folder of a run that was not made in this store


class PackError(ValueError):
    """An archive that is not what `pack` writes, or that disagrees with a run at hand."""


@dataclass(frozen=True)
class Packed:
    """A run of a pack as the content of its files by name, without weights.

    The functions of `adlib.study.results` take it in place of a run.
    """

    files: Mapping[str, bytes]
    other_code: ClassVar[bool] = False

    @cached_property
    def record(self) -> dict:
        """Description, provenance and hashes of the run."""
        return json.loads(self.files["record.json"])

    @cached_property
    def key(self) -> str:
        """Hash of the description."""
        return digest(self.record["description"])

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per validation and test image: path, label, kind, split, score."""
        return pd.read_csv(io.BytesIO(self.files["scores.csv"]), keep_default_na=False)

    def curve(self) -> dict[str, np.ndarray]:
        """Scores by the snapshots, see `adlib.study.curve.write`; {} where the pack has none."""
        return load(self.files[CURVE]) if CURVE in self.files else {}

    def part(self, name: str) -> tuple:
        """Labels and scores of the `validation` or `test` images as two arrays."""
        rows = self.scores[self.scores["split"] == name]
        return rows["label"].to_numpy(), rows["score"].to_numpy()


def digest(content: object) -> str:
    """Hash of what can be written as JSON, 16 hexadecimal digits; of a description: a run's key."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def record(folder: Path) -> dict:
    """The record of a run's folder."""
    return json.loads((folder / "record.json").read_text(encoding="utf-8"))


def write(runs: Iterable[tuple[str, Mapping[str, bytes]]], file: Path) -> None:
    """Write a pack of runs, each a key and its files (name -> content), in the order given.

    Raises:
        ValueError: the file ends neither in `.tar` nor in `.tar.xz`.
    """
    ending = check_ending(file)
    more = {"preset": 6} if ending == ".tar.xz" else {}
    with atomic(file) as temporary, tarfile.open(temporary, ENDINGS[ending], **more) as archive:
        for key, files in runs:
            for name in sorted(files):
                member = tarfile.TarInfo(f"{key}/{name}")  # without time or owner
                member.size = len(files[name])
                archive.addfile(member, io.BytesIO(files[name]))


def check_ending(file: Path) -> str:
    """Ending of a pack's name; a ValueError where it is none."""
    for ending in ENDINGS:
        if file.name.endswith(ending):
            return ending
    raise ValueError(f"{file}: a pack ends in {' or '.join(ENDINGS)}")


def check_place(file: Path) -> None:
    """Raise a ValueError unless a pack can be written to `file`.

    Raises:
        ValueError: another ending, or as in `adlib.host.files.check_output`.
    """

    def ours(path: Path) -> bool:
        try:
            return next(_members(path), None) is not None
        except PackError:
            return False

    check_ending(file)
    check_output(file, ours, "a pack of runs")


def pack(root: Path, file: Path, keys: Iterable[str] = (), weights: bool = False) -> list[str]:
    """Write a pack of finished runs of a store, and return their keys.

    Args:
        root: folder of the store, one folder a run.
        file: the archive to write, ends in `.tar.xz`, or in `.tar`, which is written quickly.
        keys: which runs; all finished ones by default.
        weights: also the scored weights and the snapshots.

    Raises:
        PackError: a run's files are not what its record says.
        ValueError: as in `check_place`, a key that is no finished run, or no finished run.
    """
    check_place(file)
    folders = [file.parent for file in root.glob("*/record.json")]
    finished = {folder.name for folder in folders if record(folder)["status"] == "done"}
    chosen = sorted(set(keys)) or sorted(finished)
    if unknown := sorted(set(chosen) - finished):
        raise ValueError(f"{root} holds no finished run {unknown[0]}; see `adlib runs list`")
    if not chosen:
        raise ValueError(f"{root} holds no finished run")

    def checked() -> Iterator[tuple[str, dict[str, bytes]]]:
        for key in chosen:  # one at a time, because weights are large
            files = contents(root / key, weights)
            _check(key, files, root)
            yield key, files

    write(checked(), file)
    return chosen


def contents(folder: Path, weights: bool = False) -> dict[str, bytes]:
    """Files of a run's folder that travel, by name."""
    paths = [folder / name for name in SMALL]
    if weights:
        paths += [folder / "weights.safetensors", *folder.glob("snapshots/*.safetensors")]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths if p.is_file()}


def read(file: Path) -> dict[str, Packed]:
    """All runs of a pack by key, checked; weights and snapshots are passed over.

    Raises:
        FileNotFoundError: no such file.
        PackError: no pack, a member that does not belong there, or a file that is not what its
            record says.
    """
    runs: dict[str, dict[str, bytes]] = {}
    for key, name, content in _members(file):
        files = runs.setdefault(key, {})
        if name in SMALL:
            files[name] = content
    for key, files in runs.items():
        _check(key, files, file)
    return {key: Packed(files) for key, files in runs.items()}


def unpack(file: Path, root: Path) -> list[str]:
    """Put the runs of a pack into a store, and return the keys of those that were not there.

    Raises:
        FileNotFoundError, PackError: as in `read`; or a run at hand has the same key and other
            scores. Nothing is written then.
        TimeoutError: one of the runs is being trained here. Nothing is written.
    """
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".unpacking-") as temporary:
        for key, name, content in _members(file):
            path = Path(temporary, key, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        folders = sorted(Path(temporary).iterdir())
        for folder in folders:
            _check(folder.name, contents(folder, weights=True), file)
        new = [folder for folder in folders if not _at_hand(folder, root / folder.name, file)]
        with ExitStack() as locks:
            unfinished = [root / folder.name for folder in new if (root / folder.name).exists()]
            for own in unfinished:
                locks.enter_context(FileLock(own.with_suffix(".lock"), timeout=0))
            for own in unfinished:
                shutil.rmtree(own)
            for folder in new:
                (folder / UNPACKED).touch()
                folder.replace(root / folder.name)
    return [folder.name for folder in new]


def listed(root: Path) -> pd.DataFrame:
    """One row a finished or failed run of a store: the columns of `runs.csv`, and `weights`."""
    folders = sorted(file.parent for file in root.glob("*/record.json"))
    weights = [(folder / "weights.safetensors").is_file() for folder in folders]
    return table((folder.name, record(folder)) for folder in folders).assign(weights=weights)


def table(records: Iterable[tuple[str, Mapping]]) -> pd.DataFrame:
    """`runs.csv` of keys and records: one row a run, integers as integers where one is missing."""
    rows = pd.DataFrame([_flat(*one) for one in records])
    integers = [name for name in rows if name in INTEGERS or name.startswith("n_")]
    return rows.astype(dict.fromkeys(integers, "Int64"))


def _flat(key: str, facts: Mapping) -> dict[str, object]:
    """One row of `runs.csv`."""
    description, machine = facts["description"], facts["machine"]
    budget, memory = description["budget"], facts.get("peak_memory_mb", {})
    return {
        "run": key,
        "status": facts["status"],
        **{name: description[name] for name in ("detector", "dataset", "category", "protocol")},
        "seed": description["seed"],
        "settings": json.dumps(description["settings"]),
        **{name: budget.get(name) for name in ("steps", "batch", "precision")},
        "scores_of": description.get("scores_of", ""),
        **{name: description[name] for name in ("images", "split", "code")},
        **{name: facts.get(name) for name in ("commit", "dirty", "started", "device")},
        "processor": machine["processor"],
        "gpu": machine.get("gpu", ""),
        "torch": facts["versions"]["torch"],
        **{f"n_{name}": facts["counts"].get(name) for name in COUNTS},
        **{name: facts.get(name) for name in ("train_s", "score_s")},
        **{f"{name}_mb": memory.get(name) for name in ("host", "gpu")},
    }


def _check(key: str, files: Mapping[str, bytes], where: Path) -> None:
    """Refuse a run that its record does not describe; `where` is the archive or the store."""
    if missing := {"record.json", "scores.csv"} - set(files):
        raise PackError(f"{where}: run {key} lacks {', '.join(sorted(missing))}")
    try:
        content = json.loads(files["record.json"])
        description, hashes = content["description"], dict(content["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise PackError(f"{where}: {key}/record.json is no record of a run") from error
    if digest(description) != key:
        raise PackError(f"{where}: the description in {key}/record.json is that of another run")
    for name, content in files.items():
        if name != "record.json" and hashlib.sha256(content).hexdigest() != hashes.get(name):
            raise PackError(f"{where}: {key}/{name} is not what record.json says")


class _Content(lzma.LZMAFile):
    """What an xz file holds, as long as that is no more than a pack of its size may hold."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.file, self.limit = file, SLACK + RATIO * file.stat().st_size

    def read(self, size: int = -1) -> bytes:
        content = super().read(size)
        if self.tell() > self.limit:
            raise PackError(
                f"{self.file}: holds more than {RATIO} times its own size; no pack does"
            )
        return content


def _opened(file: Path) -> IO[bytes]:
    """What an archive holds, unpacked; a PackError where it is neither xz nor a whole tar."""
    content = file.open("rb")
    if content.read(len(XZ)) == XZ:
        content.close()
        return _Content(file)
    # A plain tar may be cut off between two members; then it lacks the zeros at its end.
    content.seek(-min(TAR_END, file.stat().st_size), os.SEEK_END)
    if content.read() != bytes(TAR_END):
        content.close()
        raise PackError(f"{file}: no pack, or only a part of one")
    content.seek(0)
    return content


def _members(file: Path) -> Iterator[tuple[str, str, bytes]]:
    """Key, name and content of every member of a pack; the first that has no place raises."""
    names = set()
    with _opened(file) as content:
        try:
            with tarfile.open(fileobj=content, mode="r|") as archive:
                for member in archive:  # read, never extracted: filters have no part
                    place = MEMBER.fullmatch(member.name)
                    # A sparse member may hold any number of zeros that the archive does not.
                    if place is None or member.type != tarfile.REGTYPE or member.issparse():
                        raise PackError(f"{file}: {member.name!r} has no place in a pack of runs")
                    if member.name in names:
                        raise PackError(f"{file}: {member.name} stands in it twice")
                    names.add(member.name)
                    yield place["key"], place["name"], archive.extractfile(member).read()
            while content.read(2**16):  # to the end, where a file that was cut off shows it
                pass
        except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
            raise PackError(f"{file}: no pack, or only a part of one ({error})") from error


def _at_hand(folder: Path, own: Path, file: Path) -> bool:
    """Whether a store has an unpacked run already; a PackError where its scores are others."""
    if not (own / "record.json").is_file():
        return False
    scores = own / "scores.csv"  # a failed run has none
    packed = record(folder)["files"]["scores.csv"]
    if not scores.is_file() or sha256_file(scores) != packed:
        raise PackError(f"{file}: run {own.name} has other scores than {own}; nothing was unpacked")
    return True
