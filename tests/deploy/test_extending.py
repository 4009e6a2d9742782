"""Further images for a detector in use: what is learnt, what is held out, what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from data_trees import save
from PIL import Image

from adlib import deploy
from adlib.deploy import extending
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
