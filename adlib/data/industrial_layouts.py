"""Folder layouts of industrial benchmarks that are not MVTec AD's; see `adlib.data.layouts`."""

from pathlib import Path

import pandas as pd

from adlib.data.images import AND
from adlib.data.layouts import by_stem, files, folders, listed, masks_of, mvtec, table

PRIVATE = ("test_private", "test_private_mixed")  # test parts of MVTec AD 2 without labels
_AGAIN = "Get the set again."


def visa(folder: Path, root: Path) -> pd.DataFrame:
    """`Data/Images/{Normal,Anomaly}` and `Data/Masks/Anomaly`; or MVTec layout, as tools make it.

    Which images are for training says `split_csv/1cls.csv` beside the category, with the columns
    object, split, label, image (path from that folder's parent) and mask.
    """
    if (folder / "train").is_dir():
        return mvtec(folder, root)
    images = folder / "Data" / "Images"
    normal = files(images / "Normal", root, "normal images")
    abnormal = files(images / "Anomaly", root, "abnormal images")
    masks = files(folder / "Data" / "Masks" / "Anomaly", root, "masks of all abnormal images")
    masks = masks_of(abnormal, masks, _AGAIN)
    parts = _visa_parts(folder)
    if differ := sorted({*normal, *abnormal} ^ parts.keys()):
        where = "a file without a line" if differ[0].exists() else "a line without a file"
        raise ValueError(f"{differ[0]}: {where} in {_split_file(folder)}. {_AGAIN}")
    if trained := [path for path in abnormal if parts[path] == "train"]:
        raise ValueError(f"{trained[0]}: abnormal, but for training in {_split_file(folder)}.")
    rows = [(path, 0, "good", parts[path], "") for path in normal]
    return table(rows + listed(abnormal, 1, "anomaly", "test", masks), root)


def _split_file(folder: Path) -> Path:
    return folder.parent / "split_csv" / "1cls.csv"


def _visa_parts(folder: Path) -> dict[Path, str]:
    """Part, "train" or "test", of each image of the category."""
    file = _split_file(folder)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; it says which images are for training.")
    lines = pd.read_csv(file, dtype=str, keep_default_na=False)
    if lacking := {"object", "split", "image"} - set(lines.columns):
        raise ValueError(f"{file}: no column {', '.join(sorted(lacking))}. {_AGAIN}")
    lines = lines[lines["object"] == folder.name]
    if strange := sorted(set(lines["split"]) - {"train", "test"}):
        raise ValueError(f"{file}: split {strange[0]!r} where train or test is expected.")
    return {
        folder.parent / image: part
        for image, part in zip(lines["image"], lines["split"], strict=True)
    }


def dagm(folder: Path, root: Path) -> pd.DataFrame:
    """`{Train,Test}/*.PNG`, abnormal where `Label/` beside them holds `NAME_label.PNG`."""
    rows = []
    for name, part in (("Train", "train"), ("Test", "test")):
        images = by_stem(files(folder / name, root, strays={"Label"}))
        labels = files(folder / name / "Label", root, "masks", {"Labels.txt"})
        masks = by_stem(labels, "_label")
        if alone := sorted(masks.keys() - images.keys()):
            raise ValueError(f"{masks[alone[0]]}: a mask without an image. {_AGAIN}")
        for stem, path in images.items():
            mask = masks.get(stem)
            rows.append((path, 1, "defect", part, mask) if mask else (path, 0, "good", part, ""))
    return table(rows, root)


def _trained(folder: Path, root: Path) -> list[tuple]:
    """Rows of `train/good` and `validation/good`, which both count as training."""
    parts = (folder / name / "good" for name in ("train", "validation"))
    images = [path for part in parts for path in files(part, root, "normal images")]
    return listed(images, 0, "good", "train")


def mvtec_loco(folder: Path, root: Path) -> pd.DataFrame:
    """`{train,validation,test}/good` and `test/{logical,structural}_anomalies`.

    An abnormal image has one or more masks, `ground_truth/<kind>/<name of the image>/*`.
    """
    rows = _trained(folder, root)
    rows += listed(files(folder / "test" / "good", root, "normal images"), 0, "good", "test")
    for kind in ("logical_anomalies", "structural_anomalies"):
        images = by_stem(files(folder / "test" / kind, root, "abnormal images"))
        masked = {each.name: each for each in folders(folder / "ground_truth" / kind, root)}
        if alone := sorted(masked.keys() - images.keys()):
            raise ValueError(f"{masked[alone[0]]}: masks without an image. {_AGAIN}")
        for stem, path in images.items():
            masks = files(folder / "ground_truth" / kind / stem, root, f"masks of {path}")
            mask = AND.join(each.relative_to(root).as_posix() for each in masks)
            rows.append((path, 1, kind, "test", mask))
    return table(rows, root)


def mvtec_ad_2(folder: Path, root: Path) -> pd.DataFrame:
    """`{train,validation}/good` and `test_public/{good,bad}`; the private tests are left out.

    Masks are `test_public/ground_truth/bad/NAME_mask.png`.
    """
    test = folder / "test_public"
    abnormal = files(test / "bad", root, "abnormal images")
    masks = files(test / "ground_truth" / "bad", root, "masks of all abnormal images")
    rows = _trained(folder, root)
    rows += listed(files(test / "good", root, "normal images"), 0, "good", "test")
    rows += listed(abnormal, 1, "bad", "test", masks_of(abnormal, masks, _AGAIN))
    return table(rows, root)
