"""Images that stand in for a user's: which are learnt, and what is said of the promise."""

import numpy as np
import pandas as pd
import pytest

from adlib import data
from adlib.study import results
from adlib.study.beyond import promised
from adlib.study.profiles import Cell

CELL = Cell("smoke", "beyond", "your_own_images", "synthetic", "object", 0)


def written(kind="fpr", promise=0.05, difference=0.0):
    """Rows of 10 normal images, 1 flagged, and 4 abnormal ones, 1 missed."""
    folder = pd.Series([promised.GOOD] * 10 + [promised.BAD] * 4)
    flagged = pd.Series([True] + [False] * 9 + [True] * 3 + [False])
    shared = {"method": ("A", kind), "promise": promise, "n_held": 19, "note": "Promised: so."}
    more = {"threshold": 3.0, "difference_after_loading": difference}
    return results.write_rows(CELL, promised.rows(flagged, folder, more, **shared))


def test_no_image_is_both_learnt_and_judged():
    """Would catch a promise that is held against images the detector has seen."""
    split = data.one_class(data.load("synthetic", "object"), 0)
    folders = promised.folders(split)
    everything = np.concatenate(list(folders.values()))
    assert len(everything) == len(set(everything)) == len(split.images)
    labels = split.images.table["label"].to_numpy()
    for name, images in folders.items():
        assert set(labels[images]) == {int(name in ("abnormal", "new/bad"))}


def test_rates_are_of_their_own_kind_of_image():
    """Would catch misses counted among normal images."""
    values = written().set_index("metric")["value"]
    assert values["false_alarm_rate"] == 0.1 and values["miss_rate"] == 0.25
    lines = promised.shown(written()).frame
    assert lines["of the new images"].tolist() == ["10 normal", "4 abnormal"]
    assert lines["measured"].tolist() == ["10.0%", "25.0%"]


@pytest.mark.parametrize(
    ("kind", "promise", "said"),
    [
        ("fpr", 0.05, "5.0% of normal images called abnormal, on average over sets of 19 held-out "
         "images. Here it is 1 of 10, 10.0%: not kept"),
        ("fpr", 0.2, "10.0%: kept"),
        ("miss", 0.3, "30.0% of abnormal images missed, on average over sets of 19 held-out "
         "images. Here it is 1 of 4, 25.0%: kept"),
    ],
)  # fmt: skip
def test_the_promised_rate_is_the_one_that_is_judged(kind, promise, said):
    """Would catch a promise on misses that is held against false alarms."""
    assert said in promised.said(written(kind, promise))[0]


def test_a_promise_for_most_sets_is_not_judged_by_one():
    """Would catch a confidence that is read as a mean."""
    (text,) = promised.said(written("miss", None, difference=0.001))
    assert "Promised" not in text and "of a score is 0.001" in text
