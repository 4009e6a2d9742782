"""The report's numbers: means, intervals, verdicts, bounds, and rows that are not valid."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_tree import METRIC, cell, made_tree, publish, row

from adlib import data
from adlib.metrics import interval_over_seeds
from adlib.paths import home
from adlib.report import assemble, tables, verdicts


@pytest.fixture(autouse=True)
def no_data(tmp_path, monkeypatch):
    """A data root without data sets."""
    monkeypatch.setenv("ADLIB_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The tree, to read."""
    return made_tree(tmp_path_factory.mktemp("made") / "results")


@pytest.fixture
def tree(made, tmp_path):
    """A copy to change."""
    return Path(shutil.copytree(made, tmp_path / "results", ignore=lambda *_: ["report"]))


def verdicts_of(tree, profile="study"):
    """(verdict, reason) by category, method and metric."""
    rows = verdicts.compare(assemble.read(tree), profile)
    keys = zip(rows["category"], rows["method"], rows["metric"], strict=True)
    return dict(zip(keys, zip(rows["verdict"], rows["reason"], strict=True), strict=True))


def test_profiles_never_share_a_table(made):
    """Catches a mean or a verdict over two profiles."""
    study = assemble.read(made)
    assert set(study.summary["profile"]) == {"study", "other"}
    ours = verdicts.compare(study, "other")["ours"]
    assert ours.isna().all()


def test_seeds_and_categories_are_averaged_with_their_intervals(made):
    """Catches seeds counted as images, means over rows instead of categories, wrong quadrature."""
    summary = assemble.read(made).summary
    chosen = summary[(summary["method"] == "CBiGAN") & (summary["metric"] == METRIC)]
    screw = chosen[chosen["category"] == "screw"].iloc[0]
    assert (screw["value"], screw["seeds"]) == (pytest.approx(0.72), 3)
    values = np.array([0.70, 0.72, 0.74])
    assert (screw["low"], screw["high"]) == pytest.approx(
        interval_over_seeds(values, values - 0.05, values + 0.05)
    )
    mean = chosen[chosen["category"] == "mean_objects"].iloc[0]
    assert mean["categories"] == 3
    assert mean["value"] == pytest.approx((0.70 + 0.9 + 0.8) / 3)  # seed 0, which all have
    assert np.isnan(mean["low"])  # hazelnut brings no interval


def test_mean_interval_adds_categories_in_quadrature(tmp_path):
    """Catches half-widths averaged as if the categories shared their test images."""
    for category in ("screw", "bottle", "pill", "cable"):
        cell(tmp_path, [row("CBiGAN", 0.7, 0.6, 0.8)], category=category)
    summary = assemble.read(tmp_path).summary
    mean = summary[summary["category"] == "mean_objects"].iloc[0]
    assert (mean["low"], mean["high"]) == pytest.approx((0.65, 0.75))


def test_verdicts_follow_their_rule(made):
    """Catches a wrong join, a wrong verdict, and reasons that are not given."""
    found = verdicts_of(made)
    few = "from fewer than three seeds"
    for category, method, expected in [
        ("screw", "CBiGAN", ("reproduced", "")),
        ("screw", "EGBAD", ("not reproduced", "")),
        ("bottle", "CBiGAN", ("not reproduced", few)),
        ("hazelnut", "CBiGAN", ("not comparable", "another set")),
        ("pill", "CBiGAN", ("not run", "mvtec_ad-pill-s0 failed")),
        ("carpet", "CBiGAN", ("data not at hand", "")),
        ("screw", "AnoGAN", ("not run", "not a method of this study")),
    ]:
        assert found[category, method, METRIC] == expected
    verdict, reason = found["mean_objects", "CBiGAN", METRIC]
    assert verdict == "not comparable"
    assert "mean over 3 of 10 categories" in reason
    assert found["screw", "-", "n_train_normal"] == ("reproduced", "")
    assert found["screw", "-", "n_test_abnormal"] == ("not reproduced", "")
    other = verdicts_of(made, "other")
    assert other["screw", "CBiGAN", METRIC] == ("not run", "not in this profile")


def test_rounding_of_the_printed_value_is_allowed_for(tree):
    """Catches 0.8 read as 0.800: one printed place means plus or minus 0.05."""
    for printed, verdict in [("0.8", "reproduced"), ("0.80", "not reproduced")]:
        publish(tree, ("bottle", "CBiGAN", printed))  # ours is 0.90, from 0.85 to 0.95
        assert verdicts_of(tree)["bottle", "CBiGAN", METRIC][0] == verdict
    assert [verdicts.half_unit(text) for text in ("280", "0.7", "0.70")] == [0.5, 0.05, 0.005]


def test_a_wide_interval_is_called_wide(tmp_path):
    """Catches a reproduction claimed from an interval that holds everything."""
    cell(tmp_path, [row("CBiGAN", 0.7, 0.4, 0.95)])
    publish(tmp_path, ("screw", "CBiGAN", "0.50"))
    verdict, reason = verdicts_of(tmp_path)["screw", "CBiGAN", METRIC]
    assert verdict == "reproduced"
    assert "the interval is wide" in reason


def test_data_under_the_data_root_is_at_hand(made, tmp_path):
    """Catches "data not at hand" said of a data set that is there."""
    (tmp_path / "data/mvtec_ad/carpet").mkdir(parents=True)
    assert verdicts_of(made)["carpet", "CBiGAN", METRIC] == ("not run", "not in this profile")


def test_bounds_of_published_rows(tree):
    """Catches impossible published pairs that go unsaid, and rounding taken for a fault."""
    broken, checked = verdicts.bounds_of_published(assemble.read(tree))
    assert checked == 8
    # screw 0.75 and auROC 0.9 are more than the bound 0.875, but 0.9 has one printed place
    assert list(zip(broken["method"], broken["category"], strict=True)) == [("AnoGAN", "screw")]
    publish(tree, ("screw", "A", "0.75"), ("screw", "A", "0.90", "Table III", "auroc"))
    broken, checked = verdicts.bounds_of_published(assemble.read(tree))
    assert checked == len(broken) == 1


def test_bounds_of_own_runs(made):
    """Catches an impossible pair of ours that the report does not confess."""
    broken, checked = verdicts.bounds_of_ours(assemble.read(made))
    assert checked == 3
    assert len(broken) == 2  # 2B - 1 is 0.40, 0.44, 0.48 and the auROC 0.4 each time
    assert all("below 2B - 1" in line for line in broken)


def test_numbers_are_written_alike():
    """Catches counts with decimals, metrics with other than three, and hyphens for minus signs."""
    assert [tables.number(v) for v in (320, 0.5, 1.0, np.nan, -0.25)] == [
        "320", "0.500", "1.000", "–", "−0.250"
    ]  # fmt: skip
    assert tables.signed(0.1, "0.50") == "+0.100"
    assert tables.signed(-3.0, "320") == "−3"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("method", "way", 1), "lacks the columns method"),
        (lambda text: text.replace("0.7,", "high,", 1), "column value"),
        (lambda text: text + text.splitlines()[1] + "\n", "given more than once"),
        (lambda text: text.replace("table2_x", "table9", 1), "its folder says 'table2_x'"),
    ],
)
def test_bad_rows_name_their_file(tmp_path, change, message):
    """Catches a broken table that is half shown instead of named."""
    cell(tmp_path, [row("CBiGAN", 0.7)])
    path = next(tmp_path.rglob("*.csv"))
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        assemble.read(tmp_path)


def test_published_values_of_the_study_are_whole():
    """Catches a lost place ("0.6" for "0.60"), a broken printed mean, a row without its source."""
    rows = pd.read_csv(home() / "results/published.csv", dtype=str, keep_default_na=False)
    assert list(rows.columns) == assemble.PUBLISHED
    assert (rows["source"] != "").all()
    assert not rows.duplicated(assemble.PUBLISHED[:6]).any()
    ours = rows[(rows["table"] == "Table II") & (rows["method"] == "CBiGAN")]
    ours = ours.set_index("category")["value"]
    assert len(ours) == 18 and (ours.str.len() == 4).all()
    for mean, names in assemble.GROUPS["mvtec_ad"].items():
        assert float(ours[mean]) == pytest.approx(ours[list(names)].astype(float).mean(), abs=0.006)


def test_textures_agree_with_the_data_catalogue():
    """Catches means over textures that are not the catalogue's textures."""
    modes = data.info("mvtec_ad").modes
    textures = assemble.GROUPS["mvtec_ad"]["mean_textures"]
    assert set(textures) == {name for name, mode in modes.items() if mode == "texture"}
