"""When to stop: what is said of each way to pick a snapshot."""

import pandas as pd

from adlib.study import curve
from adlib.study.beyond import stopping

COLUMNS = ["name", "variant", "form", "x", "value", "low", "high"]
ROWS = [
    ("A", "step 10", "", 10.0, 0.6, 0.5, 0.7),
    ("A", "step 20", "", 20.0, 0.5, 0.4, 0.6),
    ("A", curve.LAST, "", 20.0, 0.5, 0.4, 0.6),
    ("A", curve.HELD_OUT, "deployable", 10.0, 0.45, 0.4, 0.5),
    ("A", curve.BEST, "oracle", 10.0, 0.6, float("nan"), float("nan")),
]
AUTHORS = ("A", curve.BEST_AS_AUTHORS, "authors", 20.0, 0.9, float("nan"), float("nan"))


def test_each_way_is_held_against_the_end_of_the_budget():
    """Would catch a gain of the wrong sign, and an evaluation of others told as a gain of ours."""
    (text,) = stopping.said(pd.DataFrame([*ROWS, AUTHORS], columns=COLUMNS))
    assert "the last weights of A, with 0.500" in text
    assert "on the test is worth +10.0 points" in text
    assert "held-out normal images −5.0" in text and "gives 0.900" in text


def test_a_way_that_a_method_lacks_is_left_out():
    """Would catch a batch statistic of a detector without one, and a pick that is not there."""
    rows = [row for row in ROWS if row[1] != curve.HELD_OUT]
    (text,) = stopping.said(pd.DataFrame(rows, columns=COLUMNS))
    assert "held-out" not in text and "authors" not in text


def test_the_table_shows_ways_to_stop_alone():
    """Would catch the points of the curve as ways to stop, and an interval where none covers."""
    frame = stopping.shown(pd.DataFrame([*ROWS, AUTHORS], columns=COLUMNS)).frame
    ways = [curve.LAST, curve.HELD_OUT, curve.BEST, curve.BEST_AS_AUTHORS]
    assert frame["snapshot"].tolist() == ways
    assert frame["95 % interval"].tolist() == ["0.400 to 0.600", "0.400 to 0.500", "–", "–"]
