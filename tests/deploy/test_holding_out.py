"""What is held out: groups, so that no held-out image has a near-copy among the learnt ones."""

import warnings

import numpy as np
import pytest
from data_trees import save

from adlib.data import synthetic
from adlib.deploy import holding_out, image_folders
from adlib.deploy.targets import Target

EASY = Target("fpr", 0.2)  # needs four held-out images


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    """Ten parts in a folder each, every one shot three times with noise."""
    root, rng = tmp_path_factory.mktemp("shots"), np.random.default_rng(0)
    for i, part in enumerate(synthetic.generate("object", 128, 10, 1, 1)[0][:10]):
        for k in range(3):
            noisy = part + rng.normal(0, 4, part.shape)
            save(root / f"part{i}" / f"{k}.png", noisy.round().clip(0, 255).astype(np.uint8))
    return image_folders.image_set(root)


def parts(split, rows):
    """Names of the parts that rows show."""
    return [path.partition("/")[0] for path in split.images.table["path"].iloc[rows]]


def test_no_part_is_learnt_and_held_out(shots):
    """Would catch a promise that rests on other shots of learnt parts."""
    with pytest.warns(UserWarning, match="30 images are 10 independent ones: near-copies"):
        split = holding_out.hold_out(shots, EASY, False, 0)
    held = parts(split, split.validation)
    assert len(held) == len(set(held)) == 4
    assert set(held).isdisjoint(parts(split, split.train)) and len(split.train) == 18


def test_parts_count_not_shots(shots):
    """Would catch 5 % promised by ten parts because there are thirty images."""
    with pytest.raises(ValueError, match=r"needs 19 .* 5 can .* 30 images are 10 group"):
        holding_out.hold_out(shots, Target("fpr", 0.05), False, 0)


def test_shots_that_are_taken_apart_are_warned_of(shots):
    """Would catch a promise broken in silence, because the user says that no images are alike."""
    with pytest.warns(UserWarning, match=r"\d of 6 held-out .* rests on \d independent images"):
        split = holding_out.hold_out(shots, EASY, False, 0, "none")
    assert len(split.validation) == 6 and len(split.train) == 24


@pytest.mark.parametrize("absolute", [False, True])
def test_groups_by_hand(shots, absolute):
    """Would catch groups that are looked up by another path, or a lost image without one."""
    names = shots.table["path"].tolist()
    where = f"{shots.root}/" if absolute else ""
    groups = {where + name: int(name[4]) // 2 for name in names if not name.startswith("part9")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the ninth part's shots stand alone
        split = holding_out.hold_out(shots, Target("fpr", 0.3), False, 3, groups)
    held = {groups.get(where + names[row], row) for row in split.validation}
    assert len(held) == len(split.validation)
    assert held.isdisjoint({groups.get(where + names[row], row) for row in split.train})
    with pytest.raises(ValueError, match=r"groups names .*nowhere\.png, which is none of the"):
        holding_out.hold_out(shots, EASY, False, 0, {"nowhere.png": 1})
    with pytest.raises(ValueError, match=r"groups='parts': allowed are auto, folder, none and"):
        holding_out.hold_out(shots, EASY, False, 0, "parts")


def test_folders_are_groups_where_there_are_enough(tmp_path):
    """Would catch days that are mixed, and a set refused for its few folders."""
    squares = np.random.default_rng(0).integers(0, 256, (24, 8, 8), np.uint8)
    pictures = squares.repeat(16, 1).repeat(16, 2)

    def days(count):
        for i, picture in enumerate(pictures):
            save(tmp_path / str(count) / f"day{i % count}" / f"{i}.png", picture)
        return image_folders.image_set(tmp_path / str(count))

    def held(count, groups):
        split = holding_out.hold_out(days(count), EASY, False, 0, groups)
        return len(split.train), len(split.validation)

    assert held(8, "auto") == held(8, "folder") == (12, 4)  # eight are twice the four needed
    assert held(6, "auto") == held(6, "none") == (19, 5)
    assert held(1, "auto") == held(1, "folder") == (19, 5)  # one folder is no grouping
    with pytest.raises(ValueError, match=r"needs 4 .* 3 can .* 24 images are 6 group"):
        held(6, "folder")


def test_two_folders_are_too_few_where_abnormal_images_set_the_threshold(tmp_path):
    """Would catch a whole day left out for one held-out image that no promise needs."""
    squares = np.random.default_rng(0).integers(0, 256, (33, 8, 8), np.uint8)
    for i, picture in enumerate(squares.repeat(16, 1).repeat(16, 2)):
        folder = f"normal/day{i % 2}" if i < 24 else "abnormal"
        save(tmp_path / folder / f"{i}.png", picture)
    images = image_folders.image_set(tmp_path / "normal", tmp_path / "abnormal")
    split = holding_out.hold_out(images, Target("miss", 0.1), False, 0)
    assert len(split.train) == 19 and (split.labels[split.validation] == 0).sum() == 5


def test_a_warning_says_what_was_done(shots):
    """Would catch near-copies said to be held out together where a user's groups decide."""
    names = shots.table["path"].tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        holding_out.hold_out(shots, EASY, False, 0, {name: name[:5] for name in names})
        holding_out.hold_out(shots, EASY, False, 0, "folder")


def test_groups_on_a_command_line(tmp_path):
    """Would catch a misspelt rule taken for a file, and a table without the columns."""
    file = tmp_path / "groups.csv"
    file.write_text("path,group,more\na.png,007,x\nb.png,7,y\n")
    assert holding_out.named(str(file)) == {"a.png": "007", "b.png": "7"}
    assert holding_out.named("folder") == "folder"
    with pytest.raises(ValueError, match="groups 'folders': allowed are auto, folder, none or a"):
        holding_out.named("folders")
    file.write_text("file,part\na.png,1\n")
    with pytest.raises(ValueError, match=r"groups\.csv: columns file, part; needed are path and"):
        holding_out.named(str(file))


def test_tables_as_spreadsheets_write_them(tmp_path):
    """Would catch shifted columns, one group of all empty cells and errors that name no file."""
    file = tmp_path / "groups.csv"

    def read(text, encoding="utf-8"):
        file.write_bytes(text.encode(encoding))
        return holding_out.named(str(file))

    wanted = {"ä.png": "1", "b c.png": "2"}
    rows = "path,group\r\nä.png,1\r\nb c.png,2\r\nd.png,\r\n"
    assert read(rows, "utf-8-sig") == wanted
    assert read(rows.replace("\r\n", ",\n")) == wanted
    assert read(rows.replace(",", ", ")) == wanted
    for encoding in ("utf-16", "latin-1"):
        with pytest.raises(ValueError, match=r"groups\.csv: no CSV file in UTF-8"):
            read(rows, encoding)
    with pytest.raises(ValueError, match=r"groups\.csv: columns path;group; .* a comma between"):
        read(rows.replace(",", ";"))
    with pytest.raises(ValueError, match=r"groups\.csv: columns ; needed are path and group"):
        read("")
    with pytest.raises(ValueError, match=r"groups\.csv: ä\.png is in the groups 1 and 2"):
        read(f"{rows}ä.png,2\n")


def test_images_without_a_group_stand_alone(shots):
    """Would catch NaN, a table's empty cell, as a group that no image is in."""
    groups = dict.fromkeys(shots.table["path"], float("nan"))
    with pytest.warns(UserWarning, match="near-copies"):
        split = holding_out.hold_out(shots, EASY, False, 0, groups)
    assert len(split.validation) == 6 and len(split.train) == 24
