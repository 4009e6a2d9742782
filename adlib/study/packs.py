"""Runs that travel: records, scores, losses and splits of many runs in one archive.

A pack is a `.tar.xz` with the members `<key>/record.json`, `<key>/scores.csv` and, where a run has
them, `<key>/history.csv` and `<key>/split.json`; weights and snapshots only on request. Equal runs
give equal bytes. Whoever needs weights trains a run again; whoever needs scores does not.

An archive may come from anyone: `unpack` takes nothing but these members, checks every hash that a
record names and that the key is the hash of its description, and never changes another run.
"""

import hashlib
import io
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from adlib.host.files import atomic

SMALL = ("record.json", "scores.csv", "history.csv", "split.json")
MEMBER = re.compile(
    r"(?P<key>[0-9a-f]{16})/"
    r"(?P<name>record\.json|scores\.csv|history\.csv|split\.json|weights\.safetensors"
    r"|snapshots/step\d+\.safetensors)"
)
INTEGERS = ("seed", "steps", "batch")
COUNTS = ("train", "abnormal", "validation", "validation_normal", "test")
LARGEST = 2**31  # bytes of one member; more is no run of this study
UNPACKED = "unpacked"  # an empty file in the folder of a run that was not made in this store


class PackError(ValueError):
    """An archive that is not what `pack` writes, or that disagrees with a run at hand."""


@dataclass(frozen=True)
class Packed:
    """A run out of a pack: the content of its files by name."""

    files: Mapping[str, bytes]

    @cached_property
    def record(self) -> dict:
        """Description, provenance and hashes of the run."""
        return json.loads(self.files["record.json"])

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per validation and test image: path, label, kind, split, score."""
        return pd.read_csv(io.BytesIO(self.files["scores.csv"]), keep_default_na=False)

    def part(self, name: str) -> tuple:
        """Labels and scores of the `validation` or `test` images as two arrays."""
        rows = self.scores[self.scores["split"] == name]
        return rows["label"].to_numpy(), rows["score"].to_numpy()


def digest(content: object) -> str:
    """Hash of what can be written as JSON, 16 hexadecimal digits; of a description: a run's key."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def write(runs: Mapping[str, Mapping[str, bytes]], file: Path) -> None:
    """Write a pack of the files (name -> content) of runs (key -> files)."""
    with atomic(file) as temporary, tarfile.open(temporary, "w:xz", preset=6) as archive:
        for key in sorted(runs):
            for name in sorted(runs[key]):
                member = tarfile.TarInfo(f"{key}/{name}")  # without time or owner
                member.size = len(runs[key][name])
                archive.addfile(member, io.BytesIO(runs[key][name]))


def pack(root: Path, file: Path, keys: Iterable[str] = (), weights: bool = False) -> list[str]:
    """Write a pack of the finished runs in a store, and return their keys.

    Args:
        root: folder of the store, one folder a run.
        file: the archive to write, ends in `.tar.xz`.
        keys: which runs; all finished ones by default.
        weights: also the scored weights and the snapshots.

    Raises:
        ValueError: another ending, a key that is not in the store, or no finished run.
    """
    if not file.name.endswith(".tar.xz"):
        raise ValueError(f"{file}: a pack ends in .tar.xz")
    finished = {path.parent.name: path.parent for path in root.glob("*/record.json")}
    if unknown := sorted(set(keys) - set(finished)):
        raise ValueError(f"{root} holds no run {unknown[0]}; `adlib runs list` names those it has")
    chosen = {key: contents(finished[key], weights) for key in keys or finished}
    chosen = {key: files for key, files in chosen.items() if "scores.csv" in files}
    if not chosen:
        raise ValueError(f"{root} holds no finished run")
    write(chosen, file)
    return sorted(chosen)


def contents(folder: Path, weights: bool = False) -> dict[str, bytes]:
    """Files of a run's folder that travel, by name."""
    names = [name for name in SMALL if (folder / name).is_file()]
    if weights:
        large = [folder / "weights.safetensors", *folder.glob("snapshots/*.safetensors")]
        names += [path.relative_to(folder).as_posix() for path in large if path.is_file()]
    return {name: (folder / name).read_bytes() for name in names}


def read(file: Path) -> dict[str, Packed]:
    """All runs of a pack by key, checked.

    Raises:
        FileNotFoundError: no such file.
        PackError: no pack, a member that does not belong there, or a file that is not what its
            record says.
    """
    runs: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(file, "r:xz") as archive:
            for member in archive:
                key, name = _checked(member, file)
                if name in runs.setdefault(key, {}):
                    raise PackError(f"{file}: {member.name} stands in it twice")
                runs[key][name] = archive.extractfile(member).read()
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise PackError(f"{file}: no pack, or only a part of one ({error})") from error
    packed = {key: Packed(files) for key, files in runs.items()}
    for key, run in packed.items():
        _check(key, run, file)
    return packed


def unpack(file: Path, root: Path) -> list[str]:
    """Put the runs of a pack into a store, and return the keys of those that were not there.

    Raises:
        FileNotFoundError, PackError: as in `read`, or a run at hand has the same key and other
            scores; nothing is written then.
    """
    packed = read(file)
    for key, run in packed.items():
        at_hand = root / key / "scores.csv"
        if at_hand.is_file() and at_hand.read_bytes() != run.files["scores.csv"]:
            raise PackError(f"{file}: run {key} has other scores than {at_hand}")
    new = [key for key in sorted(packed) if not (root / key / "record.json").is_file()]
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".unpacking-") as temporary:
        for key in new:
            folder = Path(temporary, key)
            for name, content in {**packed[key].files, UNPACKED: b""}.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            if (root / key).exists():  # a training that never ended: it would begin anew
                shutil.rmtree(root / key)
            folder.replace(root / key)
    return new


def listed(root: Path) -> pd.DataFrame:
    """One row a finished run of a store: what it is, where it was made, whether weights are there.

    Columns as in `results/<profile>/runs.csv`, and `weights`.
    """
    files = sorted(root.glob("*/record.json"))
    records = [(file.parent.name, json.loads(file.read_text(encoding="utf-8"))) for file in files]
    weights = [file.with_name("weights.safetensors").is_file() for file in files]
    return table(records).assign(weights=weights)


def table(records: Iterable[tuple[str, Mapping]]) -> pd.DataFrame:
    """`runs.csv` of keys and records: one row a run, integers as integers where one is missing."""
    rows = pd.DataFrame([_flat(key, record) for key, record in records])
    integers = [name for name in rows if name in INTEGERS or name.startswith("n_")]
    return rows.astype(dict.fromkeys(integers, "Int64"))


def _flat(key: str, record: Mapping) -> dict[str, object]:
    """One row of `runs.csv` out of a run's record."""
    description, machine = record["description"], record["machine"]
    budget, memory = description["budget"], record.get("peak_memory_mb", {})
    return {
        "run": key,
        "status": record["status"],
        **{name: description[name] for name in ("detector", "dataset", "category", "protocol")},
        "seed": description["seed"],
        "settings": json.dumps(description["settings"]),
        **{name: budget.get(name) for name in ("steps", "batch", "precision")},
        "scores_of": description.get("scores_of", ""),
        **{name: description[name] for name in ("images", "split", "code")},
        **{name: record.get(name) for name in ("commit", "dirty", "started", "device")},
        "processor": machine["processor"],
        "gpu": machine.get("gpu", ""),
        "torch": record["versions"]["torch"],
        **{f"n_{name}": record["counts"].get(name) for name in COUNTS},
        "train_s": record.get("train_s"),
        "score_s": record.get("score_s"),
        "host_mb": memory.get("host"),
        "gpu_mb": memory.get("gpu"),
    }


def _checked(member: tarfile.TarInfo, file: Path) -> tuple[str, str]:
    """Key and name of a member, or a PackError that says why it has no place in a pack."""
    place = MEMBER.fullmatch(member.name)
    if place is None or not member.isfile():
        raise PackError(f"{file}: {member.name!r} has no place in a pack of runs")
    if member.size > LARGEST:
        raise PackError(f"{file}: {member.name} would be {member.size:,} bytes")
    return place["key"], place["name"]


def _check(key: str, run: Packed, file: Path) -> None:
    """Compare a run with its record."""
    if missing := {"record.json", "scores.csv"} - set(run.files):
        raise PackError(f"{file}: run {key} lacks {', '.join(sorted(missing))}")
    try:
        description, hashes = run.record["description"], run.record["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise PackError(f"{file}: {key}/record.json is no record of a run") from error
    if digest(description) != key:
        raise PackError(f"{file}: the description in {key}/record.json is that of another run")
    for name, content in run.files.items():
        if name != "record.json" and hashlib.sha256(content).hexdigest() != hashes.get(name):
            raise PackError(f"{file}: {key}/{name} is not what record.json says")
