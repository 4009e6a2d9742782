"""Where the defects are: maps of all sizes against the masks, and what is said of them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from adlib import data
from adlib.study import results
from adlib.study.beyond import localised
from adlib.study.profiles import Cell

SIDE = 8


@pytest.fixture
def maps():
    """Maps of two methods on two normal and three abnormal images: one finds all, one nothing."""
    masks = torch.zeros(5, SIDE, SIDE, dtype=torch.bool)
    masks[2:, :2, :2] = True
    right = masks.numpy().astype("float32")
    right[3] *= 0.5  # found, but less clearly
    right[4] = 0.2  # as grey as the normal ones are not
    wrong = 1 - masks.numpy().astype("float32")
    return localised.Maps({}, None, SIDE, masks, {"right": right, "wrong": wrong})


def table(**values):
    """Rows of the measures: method -> auROC and AUPRO at 0.30, average precision of neither."""
    names = ("auroc", "aupro_0.30", "pixel_average_precision")
    return pd.DataFrame(
        [
            {"method": method, "metric": name, "value": value}
            for method, of in values.items()
            for name, value in zip(names, of, strict=True)
        ]
    )


def test_best_and_worst_are_of_one_image_each(maps):
    """Would catch a worst image that is the best, or a normal one."""
    found = maps.places["right"]
    assert found["best"][1] == 1.0 and found["best"][1] >= found["median"][1] >= found["worst"][1]
    assert found["worst"][0] == 4
    assert all(image >= 2 for places in maps.places.values() for image, _ in places.values())


def test_aupimo_is_left_out_where_there_are_too_few_pixels(maps):
    """Would catch a rate that no threshold on these images can have."""
    assert "aupimo" not in maps.measures
    assert "AUPIMO is not given" in " ".join(maps.said(table(right=(1, 1, 1), wrong=(0, 0, 0))))
    many = torch.zeros(8, 120, 120, dtype=torch.bool)
    many[7, :9, :9] = True
    own = many.numpy().astype("float32")
    large = localised.Maps({}, None, 120, many, {"right": own})
    values = table(right=(1, 1, 1)).to_dict("records")
    values.append(
        {"method": "right", "metric": "aupimo", "value": large.measures["aupimo"](many, own)}
    )
    assert "right, covers 100.0% of" in " ".join(large.said(pd.DataFrame(values)))


def test_who_finds_the_image_and_not_the_place_is_named(maps):
    """Would catch a blind map that hides behind a good auROC, or one that finds neither."""
    text = maps.said(table(right=(0.9, 0.8, 0.7), wrong=(0.8, 0.1, 0.1)))
    assert text[0].endswith("on defects: wrong.")
    assert maps.said(table(right=(0.4, 0.1, 0.7), wrong=(0.3, 0.1, 0.1)))[0].endswith("no method.")
    assert f"{12 / (5 * SIDE * SIDE):.2%} of the pixels" in text[1] and "right, reaches" in text[1]


def test_maps_of_all_sizes_come_to_the_largest():
    """Would catch maps against masks of another size, and an image auROC that is not the run's."""
    images = data.load("synthetic", "object")
    cell, split = Cell("smoke", "beyond", "localisation", "synthetic", "object", 0), None
    split = data.one_class(images, 0)
    found = {"AE-L2": results.run(cell, "AE-L2", split), "PaDiM": results.run(cell, "PaDiM", split)}
    maps = localised.maps(found, split)
    sides = [run.record["description"]["settings"]["side"] for run in found.values()]
    assert maps.side == max(sides) and maps.masks.shape[1:] == (maps.side, maps.side)
    assert {own.shape for own in maps.of.values()} == {tuple(maps.masks.shape)}
    rows = results.write_rows(cell, maps.rows("ours"))
    assert (rows.groupby("method").size() == 1 + len(maps.measures) + 3).all()
    assert np.isfinite(rows["value"]).all()
    drawn = localised.titled(rows, [*maps.measures])
    assert {"image auROC", "pixel auROC", "AUPRO at 0.30"} <= set(drawn["title"])
    assert not drawn["metric"].str.endswith("_image").any()


def test_the_picture_has_a_line_a_method():
    """Would catch masks that are drawn on another image than the map's."""
    masks = torch.zeros(4, SIDE, SIDE, dtype=torch.bool)
    masks[1:, :3, :3] = True
    pixels = torch.zeros(4, 1, SIDE, SIDE, dtype=torch.uint8)
    split = SimpleNamespace(pixels=lambda part, side: pixels)
    own = masks.numpy().astype("float32")
    maps = localised.Maps({}, split, SIDE, masks, {"A (x)": own, "B": own})
    assert len(maps.drawn().axes) == 2 * 6
