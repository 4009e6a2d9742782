"""Small generated data sets on disk, in the layouts of industrial benchmarks."""

from pathlib import Path

import numpy as np
from data_trees import noise, save

SHAPE = 6, 9  # rows and columns of every image


def spot(row: int, value: int = 255) -> np.ndarray:
    """A mask that is `value` in its first `row + 1` pixels of the first row of images."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[0, : row + 1] = value
    return mask


def images(folder: Path, n: int, ending: str = ".png", digits: int = 3, seed: int = 0) -> list[str]:
    """`n` colour images named by numbers; their stems."""
    stems = [f"{i:0{digits}d}" for i in range(n)]
    for stem, image in zip(stems, noise(n, *SHAPE, 3, seed=seed), strict=True):
        save(folder / f"{stem}{ending}", image)
    return stems


def visa_tree(root: Path, category: str = "candle", counts: tuple[int, ...] = (5, 2, 3)) -> Path:
    """VisA's official layout: JPG images, masks of class numbers, and the split beside.

    `counts` are of training, of test normal and of abnormal images.
    """
    folder, lines = root / "visa" / category, ["object,split,label,image,mask"]
    pictures = folder / "Data" / "Images"
    normal = images(pictures / "Normal", sum(counts[:2]), ".JPG", 4)
    for i, stem in enumerate(normal):
        part = "test" if i % 3 == 1 and i < 3 * counts[1] else "train"  # not in order of the names
        lines.append(f"{category},{part},normal,{category}/Data/Images/Normal/{stem}.JPG,")
    for i, stem in enumerate(images(pictures / "Anomaly", counts[2], ".JPG", seed=1)):
        save(folder / "Data" / "Masks" / "Anomaly" / f"{stem}.png", spot(i, i + 1))
        image, mask = f"Images/Anomaly/{stem}.JPG", f"Masks/Anomaly/{stem}.png"
        lines.append(f"{category},test,anomaly,{category}/Data/{image},{category}/Data/{mask}")
    split = root / "visa" / "split_csv" / "1cls.csv"
    split.parent.mkdir(parents=True, exist_ok=True)
    split.write_text("\n".join([*lines, "other,train,normal,other/Data/Images/Normal/0.JPG,"]))
    return folder


def btad_tree(folder: Path, ending: str = ".bmp", counts: tuple[int, ...] = (4, 2, 3)) -> Path:
    """A product of BTAD: folders ok and ko; masks are PNG whatever the images are."""
    for i, (place, n) in enumerate(zip(("train/ok", "test/ok", "test/ko"), counts, strict=True)):
        stems = images(folder / place, n, ending, 4, seed=i)
    for i, stem in enumerate(stems):
        save(folder / "ground_truth" / "ko" / f"{stem}.png", spot(i))
    return folder


def dagm_tree(folder: Path, counts: tuple[int, ...] = (5, 2, 4, 3)) -> Path:
    """A class of DAGM: normal and abnormal images of training, then of test; grey PNG files."""
    for i, (name, normal, abnormal) in enumerate([("Train", *counts[:2]), ("Test", *counts[2:])]):
        part = folder / name
        for j, image in enumerate(noise(normal + abnormal, *SHAPE, seed=i)):
            save(part / f"{j + 1:04d}.PNG", image)
        for j in range(abnormal):  # every other image from the first on
            save(part / "Label" / f"{2 * j + 1:04d}_label.PNG", spot(j))
        (part / "Label" / "Labels.txt").write_text("1\n")
        (part / "Thumbs.db").write_bytes(b"x")
    return folder


def loco_tree(folder: Path, counts: tuple[int, ...] = (4, 2, 3, 2, 3)) -> Path:
    """A category of MVTec LOCO: training, validation, test good, logical and structural.

    The abnormal image number i has i + 1 masks, of one pixel each and of values of their own.
    """
    kinds = "logical_anomalies", "structural_anomalies"
    places = ["train/good", "validation/good", "test/good", *(f"test/{kind}" for kind in kinds)]
    for i, (place, n) in enumerate(zip(places, counts, strict=True)):
        for j, stem in enumerate(images(folder / place, n, seed=i)):
            for k in range(j + 1 if place[5:] in kinds else 0):
                mask = np.zeros(SHAPE, np.uint8)
                mask[k, j] = 255 - k
                save(folder / "ground_truth" / place[5:] / stem / f"{k:03d}.png", mask)
    return folder


def ad_2_tree(folder: Path, counts: tuple[int, ...] = (4, 2, 3, 2, 3)) -> Path:
    """A category of MVTec AD 2: training, validation, public test, and each private test."""
    places = ["train/good", "validation/good", "test_public/good", "test_public/bad"]
    named = [*zip(places, counts, strict=False), ("test_private", counts[4])]
    for i, (place, n) in enumerate([*named, ("test_private_mixed", counts[4])]):
        light = "mixed" if place.endswith("mixed") else "regular"
        for j, stem in enumerate(images(folder / place, n, f"_{light}.png", seed=i)):
            if place.endswith("bad"):
                truth = folder / "test_public" / "ground_truth" / "bad"
                save(truth / f"{stem}_{light}_mask.png", spot(j))
    return folder
