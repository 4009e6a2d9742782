"""Further images for a detector in use: what is learnt, what is held out, what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from data_trees import save
from PIL import Image

from adlib import deploy, models
from adlib.deploy import decisions, extending
from adlib.deploy.extending import HELD, LEARNT, NEW


def pictures(rng, count):
    """Pictures of squares, no two alike."""
    squares = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return squares.repeat(8, 1).repeat(8, 2)


def shot(rng, picture):
    """Another shot of a picture."""
    return (picture + rng.normal(0, 3, picture.shape)).round().clip(0, 255).astype(np.uint8)


@pytest.fixture
def known(tmp_path):
    """A folder of 20 pictures and a detector that knows them."""
    rng = np.random.default_rng(0)
    for i, picture in enumerate(pictures(rng, 20)):
        save(tmp_path / "normal" / f"{i:02d}.png", picture)
    made = deploy.train(tmp_path / "normal", target="fpr 0.2", side=32, coreset=1.0)
    return made, tmp_path / "normal", rng


def test_more_images_are_learnt_and_calibrated(known, tmp_path):
    """Would catch images that are not learnt, and old held-out ones that no longer count."""
    made, folder, rng = known
    (tmp_path / "more").mkdir()
    for i, picture in enumerate(pictures(rng, 10)):
        save(tmp_path / "more" / f"{i}.png", picture)
    made = deploy.load(made.save(tmp_path / "m.safetensors"))
    more = deploy.extend(made, tmp_path / "more")
    assert more.facts["trained_on"]["normal"] == made.facts["trained_on"]["normal"] + 8 == 24
    assert more.facts["calibration"] == made.facts["calibration"] + 2 == 6
    more = deploy.load(more.save(tmp_path / "m.safetensors"))
    before, after = (
        pd.read_csv(deploy.score_folder(one, tmp_path / "more", tmp_path / "d.csv").csv).score
        for one in (made, more)
    )
    assert (after < before / 2).sum() >= 8  # what is held out need not be near
    again = deploy.extend(deploy.load(made.save(tmp_path / "n.safetensors")), tmp_path / "more")
    assert again.threshold == more.threshold


def test_the_folder_may_have_grown(known, tmp_path):
    """Would catch learnt images that are held out because the folder is given again."""
    made, folder, rng = known
    for i, picture in enumerate(pictures(rng, 10)):
        save(folder / f"new{i}.png", picture)
    more = deploy.extend(made, folder)
    files = {path: part for part, *_, path in made.facts["files"]}
    for part, *_, path in more.facts["files"]:
        assert files.get(path, part) == part
    assert len(more.facts["files"]) == len({path for *_, path in more.facts["files"]}) == 30
    with pytest.raises(ValueError, match="nothing to learn; its 30 images are known"):
        deploy.extend(more, folder)


def test_shots_of_known_parts_are_not_held_out(known, tmp_path):
    """Would catch a threshold set on shots of learnt parts, or parts learnt that are held out."""
    made, folder, rng = known
    roles = {path: part for part, *_, path in made.facts["files"]}
    for path, part in roles.items():
        picture = np.asarray(Image.open(path))
        save(tmp_path / "more" / f"{part}{path[-6:]}", shot(rng, picture))
    new = extending.image_folders.image_set(tmp_path / "more", None, made.convert)
    images = extending._together(new, made.facts["files"])
    assert images.table["part"].value_counts().to_dict() == {NEW: 20, LEARNT: 16, HELD: 4}
    learnt, held = extending._divided(images, 4, "auto", 0)
    names = images.table["path"]
    assert sorted("validation" in names[row] for row in learnt) == [False] * 16
    assert (images.table["part"][held] == HELD).all() and len(held) == 4


def test_held_out_images_must_be_there(known, tmp_path):
    """Would catch a threshold on fewer images than before, in silence."""
    made, folder, rng = known
    for i, picture in enumerate(pictures(rng, 4)):
        save(tmp_path / "more" / f"{i}.png", picture)
    learnt = next(path for part, *_, path in made.facts["files"] if part == "train")
    (folder / learnt[-6:]).unlink()
    with pytest.warns(UserWarning, match=r"1 of the images that were learnt from are gone"):
        deploy.extend(made, tmp_path / "more")
    held = next(path for part, *_, path in made.facts["files"] if part == "validation")
    save(folder / held[-6:], pictures(rng, 1)[0])
    with pytest.raises(ValueError, match=r"1 of the images that were held out are gone or changed"):
        deploy.extend(made, tmp_path / "more")
    json.dumps(made.facts)  # stays what a file can hold


def test_what_was_left_out_stays_so(tmp_path):
    """Would catch other images of a held-out group that are learnt by other groups."""
    rng = np.random.default_rng(0)
    for i, picture in enumerate(pictures(rng, 24)):
        save(tmp_path / "normal" / f"day{i % 8}" / f"{i}.png", picture)
    made = deploy.train(tmp_path / "normal", groups="folder", target="fpr 0.2", side=32)
    assert made.facts["left_out"] == 8
    for i, picture in enumerate(pictures(rng, 5)):
        save(tmp_path / "normal" / f"new{i}.png", picture)
    more = deploy.extend(made, tmp_path / "normal", groups="none")
    assert more.facts["trained_on"]["normal"] == made.facts["trained_on"]["normal"] + 4
    assert more.facts["left_out"] == 8 and more.facts["calibration"] == 5
    parts = {path: part for part, *_, path in more.facts["files"]}
    assert len(parts) == 29
    assert all(parts[path] == part for part, *_, path in made.facts["files"])


def test_known_files_may_have_moved_into_the_folder(known, tmp_path):
    """Would catch a detector that no other machine can extend, where folders lie elsewhere."""
    made, folder, rng = known
    moved = folder.rename(tmp_path / "moved")
    for i, picture in enumerate(pictures(rng, 5)):
        save(moved / f"new{i}.png", picture)
    more = deploy.extend(made, moved)
    assert more.facts["calibration"] == made.facts["calibration"] + 1
    held = [path for part, *_, path in more.facts["files"] if part == "validation"]
    assert len(held) == 5 and all(path.startswith(str(moved)) for path in held)


def test_what_is_odd_about_new_images_is_said(known, tmp_path):
    """Would catch images read in a wrong range that are learnt in silence, and none held out."""
    made, folder, rng = known
    for i, picture in enumerate(pictures(rng, 2)):
        save(tmp_path / "dark" / f"{i}.png", picture // 16)
    with (
        pytest.warns(UserWarning, match=r"dark: 2 new images are learnt from and none is held out"),
        pytest.warns(UserWarning, match=r"The values of 2 image\(s\) lie between 0 and 15"),
    ):
        deploy.extend(made, tmp_path / "dark")


def test_detectors_that_cannot_be_extended(known, tmp_path):
    """Would catch a crash, and minutes of reading before it."""
    made, folder, rng = known
    other = decisions.calibrate(models.AutoEncoder(side=32, width=2), "fpr 0.2", range(9))
    with pytest.raises(ValueError, match="AutoEncoder cannot learn further images, PatchCore can"):
        deploy.extend(other, tmp_path / "nowhere")
    by_hand = decisions.calibrate(made.detector, "fpr 0.2", range(9))
    with pytest.raises(ValueError, match="PatchCore does not say which files it has learnt from"):
        deploy.extend(by_hand, tmp_path / "nowhere")
