"""Small generated data sets on disk, in the layouts that the real ones have."""

import gzip
import hashlib
import pickle
import struct
import tarfile
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

import adlib.data as data
from adlib.data import synthetic

CIFAR_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    """Write uint8 pixels (H, W) or (H, W, 3), or a boolean mask (H, W), as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    Image.fromarray(pixels).save(path, **options)
    return path


def mvtec_tree(
    folder: Path,
    look: str = "object",
    counts: tuple[int, int, int] = (8, 4, 4),
    side: int = 16,
    masks: bool = True,
    suffix: str = ".png",
    seed: int = 0,
) -> Path:
    """MVTec layout in `folder`: counts of training normal, test normal and test abnormal images."""
    images, truth, rows = synthetic.generate(look, side, *counts, seed=seed)
    for image, mask, (name, label, kind, _) in zip(images, truth, rows, strict=True):
        save(folder / (name + suffix), image)
        if label and masks:
            stem = Path(name).name
            save(folder / "ground_truth" / kind / f"{stem}_mask{suffix}", mask)
    return folder


def two_folder_tree(
    folder: Path, n_normal: int = 10, n_abnormal: int = 4, kinds: bool = False, side: int = 16
) -> Path:
    """`normal/` and `abnormal/`, the latter with a folder for each kind if `kinds`."""
    images, _, rows = synthetic.generate("object", side, n_normal, 0, n_abnormal)
    for image, (name, label, kind, _) in zip(images, rows, strict=True):
        where = ["abnormal", kind] if label and kinds else ["abnormal" if label else "normal"]
        save(folder.joinpath(*where, f"{kind}_{Path(name).name}.png"), image)
    return folder


def magnetic_tile_tree(folder: Path, n_normal: int = 10, n_abnormal: int = 4) -> Path:
    """Layout of the magnetic tile set: grey JPG files of differing sizes, PNG masks beside them."""
    kinds = {"good": "MT_Free", "blot": "MT_Blowhole", "scratch": "MT_Crack"}
    images, masks, rows = synthetic.generate("texture", 24, n_normal, 0, n_abnormal)
    for i, (image, mask, (name, _, kind, _)) in enumerate(zip(images, masks, rows, strict=True)):
        rows_kept = 24 - i % 3
        path = folder / kinds[kind] / "Imgs" / f"exp1_num_{Path(name).name}"
        save(path.with_suffix(".jpg"), image[:rows_kept, :, 0], quality=95)
        save(path.with_suffix(".png"), mask[:rows_kept])
    return folder


def noise(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    """Distinct pictures, uint8 (n, *shape)."""
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


def mnist_tree(
    root: Path,
    per_class: tuple[int, int] = (6, 3),
    packed: bool = False,
    order: int = 0,
    name: str = "MNIST",
) -> Path:
    """MNIST's four files under `root`: images of each digit in the training and the test part.

    The first pixel is the digit. `order` is the seed of the images' order in their files, `name`
    the folder of MNIST or of a set like it.
    """
    folder = root / name / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for part, n in zip(("train", "t10k"), per_class, strict=True):
        targets = np.repeat(np.arange(10, dtype=np.uint8), n)
        images = noise(10 * n, 28, 28, seed=n)
        images[:, 0, 0] = targets
        shuffled = np.random.default_rng(order).permutation(10 * n)
        for name, content in [("images", images[shuffled]), ("labels", targets[shuffled])]:
            head = bytes([0, 0, 8, content.ndim]) + struct.pack(f">{content.ndim}I", *content.shape)
            path = folder / f"{part}-{name}-idx{content.ndim}-ubyte"
            if packed:
                path.with_name(path.name + ".gz").write_bytes(
                    gzip.compress(head + content.tobytes())
                )
            else:
                path.write_bytes(head + content.tobytes())
    return folder


def cifar_batches(root: Path, monkeypatch: object) -> Path:
    """CIFAR-10's six pickles of ten images each; torchvision is told their MD5."""
    from torchvision.datasets import CIFAR10

    folder = root / CIFAR10.base_folder
    folder.mkdir(parents=True)
    known = {}
    for i, name in enumerate([f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]):
        images = noise(10, 3072, seed=i)
        images[:, 0] = np.arange(10)  # red of the first pixel is the class
        known[name] = pickle.dumps({"data": images, "labels": list(range(10))})
    known["batches.meta"] = pickle.dumps({"label_names": list(CIFAR_NAMES)})
    for name, content in known.items():
        (folder / name).write_bytes(content)
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in known.items()}
    for attribute, start in [("train_list", "data_batch"), ("test_list", "test_batch")]:
        files = [[name, md5[name]] for name in known if name.startswith(start)]
        monkeypatch.setattr(CIFAR10, attribute, files)
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5["batches.meta"]})
    return folder


def cifar100_files(root: Path, monkeypatch: object) -> Path:
    """CIFAR-100's three pickles, an image of each class and part; torchvision is told their MD5.

    Red of an image's first pixel is its class. The superclass is the remainder of 20.
    """
    from torchvision.datasets import CIFAR100

    fine, coarse = (data.categories(f"cifar100{ending}")[:-1] for ending in ("", "_superclasses"))
    content = {"meta": {"fine_label_names": fine, "coarse_label_names": coarse}}
    for seed, part in enumerate(("train", "test")):
        images = noise(100, 3072, seed=seed)
        images[:, 0] = np.arange(100)
        labels = {"fine_labels": list(range(100)), "coarse_labels": [i % 20 for i in range(100)]}
        content[part] = {"data": images} | labels
    folder = root / CIFAR100.base_folder
    folder.mkdir(parents=True)
    for name, values in content.items():
        (folder / name).write_bytes(pickle.dumps(values))
    md5 = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in content}
    for part in ("train", "test"):
        monkeypatch.setattr(CIFAR100, f"{part}_list", [[part, md5[part]]])
    monkeypatch.setattr(CIFAR100, "meta", CIFAR100.meta | {"md5": md5["meta"]})
    return folder


def cifar_tree(folder: Path, per_class: tuple[int, int] = (2, 1), suffix: str = ".jpg") -> Path:
    """`{train,test}/<class>/*` with flat 32 px pictures: the grey level is 20 times the class."""
    for part, n in zip(("train", "test"), per_class, strict=True):
        for digit, name in enumerate(CIFAR_NAMES):
            for i in range(n):
                flat = np.full((32, 32, 3), 20 * digit + i, np.uint8)
                save(folder / part / name / f"{i:04d}{suffix}", flat)
    return folder


def cifar_archive(root: Path, **options) -> Path:
    """`cifar10_jpg.tar.xz` with `cifar_tree` in it, which does not stay beside it."""
    folder = cifar_tree(root / "tree" / "cifar10", **options)
    archive = root / "cifar10_jpg.tar.xz"
    with tarfile.open(archive, "w:xz") as packed:
        packed.add(folder, "cifar10")
    return archive


def caltech_tree(folder: Path, counts: dict[str, int], side: int = 12) -> Path:
    """`<class>/*.jpg`; the first image of each class is grey, the others are in colour."""
    for i, (name, n) in enumerate(counts.items()):
        for j, image in enumerate(noise(n, side, side, 3, seed=i)):
            save(folder / name / f"{j:04d}.jpg", image if j else image[..., 0])
    return folder


def breast_tree(
    folder: Path, counts: tuple[int, int, int] = (6, 5, 4), kinds: bool = False
) -> Path:
    """`normal/` and `abnormal/` with the official names, or with a folder for each kind."""
    pictures = iter(noise(sum(counts), 8, 8))
    for name, n in zip(("normal", "benign", "malignant"), counts, strict=True):
        where = [name] if name == "normal" else ["abnormal", name][: 1 + kinds]
        for i in range(1, n + 1):
            stem = f"{i}" if kinds else f"{name} ({i})"
            save(folder.joinpath(*where, f"{stem}.png"), next(pictures))
    return folder


def oct_tree(folder: Path, per_class: tuple[int, int, int] = (4, 1, 2)) -> Path:
    """`{train,val,test}/{CNV,DME,DRUSEN,NORMAL}/*.jpeg`, with as many images of each class."""
    for i, (part, n) in enumerate(zip(("train", "val", "test"), per_class, strict=True)):
        for j, kind in enumerate(("CNV", "DME", "DRUSEN", "NORMAL")):
            for k, image in enumerate(noise(n, 10, 12, seed=4 * i + j)):
                save(folder / part / kind / f"{kind}-{100 * i + k}-1.jpeg", image)
    return folder


def hdf5(path: Path, name: str, content: np.ndarray) -> Path:
    """Write an array to an HDF5 file of its own, instead of one that may still be open."""
    path.unlink(missing_ok=True)
    with h5py.File(path, "w") as file:
        file[name] = content
    return path


def pcam_tree(root: Path, counts: tuple[int, int, int] = (5, 3, 4)) -> Path:
    """PatchCamelyon's six files: patches of train, valid and test part, every other abnormal."""
    folder = root / "pcam"
    folder.mkdir(parents=True)
    for part, n in zip(("train", "valid", "test"), counts, strict=True):
        labels = (np.arange(n, dtype=np.uint8) % 2).reshape(n, 1, 1, 1)
        for name, content in [("x", noise(n, 96, 96, 3, seed=n)), ("y", labels)]:
            hdf5(folder / f"camelyonpatch_level_2_split_{part}_{name}.h5", name, content)
    return folder
