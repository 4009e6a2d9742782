"""What limits the numbers at hand is counted, and what a mean does not have is not given to it."""

from types import SimpleNamespace

import pytest
from report_tree import cell, publish, read, row

from adlib.study import notes
from adlib.study.verdict import verdicts

pytestmark = pytest.mark.usefixtures("no_data")


def limits(study):
    """The sentences of a study's only profile."""
    return notes.limits(study, {"study": verdicts.compare(study, "study")})


def test_only_measures_of_quality_are_counted(tmp_path):
    """Would catch times and p values among the numbers that three seeds have to support."""
    times = {"metric": "inference_time_ms", "form": ""}
    for seed in range(3):
        rows = [row("CBiGAN", 0.7 + seed / 100), row("CBiGAN", 8.0, **times)]
        rows += [row("CBiGAN", 0.01, metric="p", form=""), row("EGBAD", 0.6, run="")]
        cell(tmp_path, rows, seed=seed)
    publish(tmp_path, ("screw", "CBiGAN", "0.73"))
    said = limits(read(tmp_path))
    assert said[0] == "1 of our 2 measures of quality comes from 3 seeds or more at full scale."


def test_facts_about_data_are_no_numbers_of_methods(tmp_path):
    """Would catch a printed count of images among the numbers that wait for data."""
    cell(tmp_path, [row("CBiGAN", 0.7)])
    facts = ("pill", "-", "320", "Table I", "n_train_normal")
    publish(tmp_path, ("pill", "CBiGAN", "0.73"), ("carpet", "CBiGAN", "0.7"), facts)
    assert "2 published numbers of methods are on data not at hand." in limits(read(tmp_path))


@pytest.mark.parametrize(("images", "said"), [("ab", True), ("aa", False)])
def test_two_copies_of_one_data_set_are_said(tmp_path, images, said):
    """Would catch rows of an incomplete copy of the images beside those of the whole one."""
    cell(tmp_path, [row("CBiGAN", 0.7, run="r1"), row("EGBAD", 0.7, run="r2")])
    publish(tmp_path, ("screw", "CBiGAN", "0.73"))
    study, where = read(tmp_path), {"dataset": "mvtec_ad", "category": "screw"}
    told = limits(study)
    records = {
        f"r{i}": SimpleNamespace(record={"description": {**where, "images": one}})
        for i, one in enumerate(images, 1)
    }
    study.__dict__["packs"] = {"study": records}  # read once and kept
    (found,) = [one for one in limits(study) if one not in told] or [""]
    wanted = "Profile study's rows on MVTec AD screw come from 2 different copies of the images."
    assert found == wanted * said and len(found.split()) <= 20


def test_a_mean_has_no_reading_of_one_category(tmp_path):
    """Would catch "raises the number", said of one category, beside the mean of several."""
    same = {"metric": "difference_points", "form": ""}
    for category, reading in (("screw", "raises the number"), ("bottle", "no difference shown")):
        rows = [row("CBiGAN", 5.0, reading=reading, n_held=7, **same)]
        cell(tmp_path, rows, "audit", category=category, paper="beyond")
    summary = read(tmp_path).summary
    means = summary[summary["categories"] > 1]
    assert len(means) > 0 and set(means["reading"]) == {""} and means["n_held"].isna().all()
    assert set(summary[summary["categories"] == 1]["reading"]) != {""}
