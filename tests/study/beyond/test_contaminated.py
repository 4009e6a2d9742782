"""Defects among the training images: what is compared with what, and what is said of the claim."""

from dataclasses import replace

import pandas as pd
import pytest

from adlib import data
from adlib.study import results
from adlib.study.beyond import contaminated
from adlib.study.profiles import Cell

CELL = Cell("smoke", "beyond", "contamination", "synthetic", "object", 0)


@pytest.fixture(scope="module")
def planned():
    """Both experiments of the profile."""
    return contaminated.experiments(CELL, data.load("synthetic", "object"))


def written(*rows):
    """Rows as `results.write_rows` gives them back: method, variant, x, metric and ends."""
    columns = ["name", "variant", "x", "metric", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


CLEAN = ("Noisy-AnoGAN", "0% with a patch", 0.0, "auroc", 0.8, 0.7, 0.9)
PATCHED = ("Noisy-AnoGAN", "10% with a patch", 0.1, "auroc", 0.7, 0.6, 0.8)
LESS = ("Noisy-AnoGAN", "10% with a patch", 0.1, "difference_points", -10.0, -15.0, -5.0)


def test_all_trainings_are_tested_on_the_same_images(planned):
    """Would catch a share that changes the test, so that a difference is not of the training."""
    first = planned[0].splits[0.0]
    for experiment in planned:
        for share, split in experiment.splits.items():
            assert list(split.test) == list(first.test)
            touched = split.labels_of("train").sum() + len(getattr(split.images, "patches", ()))
            assert bool(touched) == bool(share)
    assert [one.name for one in planned] == ["auroc", "patches"]


def test_a_difference_is_against_the_clean_training(planned):
    """Would catch a difference of the wrong sign, and one of the clean training to itself."""
    one = planned[0]
    rows = contaminated.rows(CELL, replace(one, methods=["AE-L2"]))
    clean, spoilt, points = rows
    assert [row["metric"] for row in rows] == ["auroc", "auroc", "difference_points"]
    assert points["value"] == pytest.approx(100 * (spoilt["value"] - clean["value"]))
    assert points["x"] == spoilt["x"] == 0.1 and clean["x"] == 0.0
    table = results.write_rows(CELL, rows)
    shown = contaminated.shown(table, [one]).frame
    assert shown["method"].tolist() == ["AE-L2"]
    assert shown["auROC, clean"].tolist() == [f"{clean['value']:.3f}"]


def test_the_two_experiments_are_told_apart(planned):
    """Would catch images with a patch in the picture of abnormal images."""
    table = written(CLEAN, PATCHED, ("A", "10%", 0.1, "auroc", 0.7, 0.6, 0.8))
    assert contaminated.of(table, planned[0])["name"].tolist() == ["A"]
    assert contaminated.of(table, planned[1])["name"].tolist() == ["Noisy-AnoGAN"] * 2


@pytest.mark.parametrize(
    ("ends", "verb"),
    [((-15, -5), "loses"), ((5, 15), "gains"), ((-1, 1), "is not shown to change")],
)
def test_the_claim_s_method_is_judged_by_its_interval(ends, verb):
    """Would catch a change within chance that is told as a loss."""
    text = contaminated.said(written(CLEAN, PATCHED, (*LESS[:5], *ends)))
    assert f"which the claim is about, {verb}: −10.0 (" in text[0] and len(text) == 1


def test_what_was_not_tried_is_said():
    """Would catch a claim that counts as checked by abnormal images, or by another method."""
    other = ("AE-L2", *LESS[1:])
    assert "not tried with Noisy-AnoGAN" in contaminated.said(written(CLEAN, other))[0]


def test_who_stands_at_chance_has_nothing_to_lose():
    """Would catch a blind detector that is praised for losing nothing."""
    blind = ("A", "0%", 0.0, "auroc", 0.52, 0.4, 0.6)
    assert "nothing to lose: A (0.400 to 0.600)" in contaminated.said(written(CLEAN, blind))[1]
