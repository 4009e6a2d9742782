"""The tests of claims: what rows of one profile say, and what they cannot say."""

import pytest
from report_tree import cell, read, row

from adlib.study import papers
from adlib.study.papers import CHECKS, Claim
from adlib.study.verdict import claim_checks, claims
from adlib.study.verdict.claims import FAILS, HOLDS, OPEN

pytestmark = pytest.mark.usefixtures("no_data")
TABLE, METRIC = "table2_balanced_accuracy", "max_balanced_accuracy"
CALTECH = {"paper": "noisy_anogan", "table": "table2_caltech", "dataset": "caltech256"}


def claim(**given):
    """A claim on CBiGAN in Table II, but for what is given."""
    usual = {"id": "x", "text": "it leads", "place": "abstract", "table": TABLE, "metric": METRIC}
    return Claim(**usual | {"method": "CBiGAN"} | given)


def found(root, paper="cbigan", profile="study", **given):
    """What the rows of a tree say of a claim."""
    study, one = read(root), claim(**given)
    return claim_checks.check(claims.select(study, study.papers[paper], one, profile))


def fill(root, values, seeds=3, table=TABLE, **more):
    """Write rows: category -> method -> value, the same but for 0.001 a seed."""
    metric = more.pop("metric", METRIC)
    for category, methods in values.items():
        for seed in range(seeds):
            rows = [
                row(name, value + seed / 1000, metric=metric) for name, value in methods.items()
            ]
            cell(root, rows, table, category=category, seed=seed, **more)


def test_every_check_has_a_test_in_words_and_a_function():
    """Would catch a check that a file may name but that nothing makes or explains."""
    assert set(CHECKS) == set(claims.TESTS) == set(claim_checks.CHECKS)


@pytest.mark.parametrize(
    ("ours", "other", "outcome", "words"),
    [
        ((0.9, 0.85, 0.95), (0.6, 0.55, 0.65), HOLDS, "first of 2 on MVTec AD screw"),
        ((0.6, 0.55, 0.65), (0.9, 0.85, 0.95), FAILS, "place 2 of 2 on MVTec AD screw"),
        ((0.8, 0.6, 0.9), (0.7, 0.65, 0.75), OPEN, "cannot be distinguished from EGBAD"),
        ((0.9, "", ""), (0.6, 0.55, 0.65), OPEN, "no interval is known"),
        ((0.6, 0.55, 0.65), (0.9, "", ""), OPEN, "no interval is known"),
        ((0.8, 0.8, 0.9), (0.7, 0.6, 0.8), OPEN, "the intervals meet"),
    ],
)
def test_leading_goes_by_intervals(tmp_path, ours, other, outcome, words):
    """Would catch a lead claimed from intervals that meet, and numbers that are not the rows'."""
    cell(tmp_path, [row("CBiGAN", *ours), row("EGBAD", *other)], TABLE)
    said = found(tmp_path)
    assert said.outcome == outcome and words in said.text
    assert f"{ours[0]:.3f}" in said.text and f"{other[0]:.3f}" in said.text


def test_leading_is_over_those_that_are_named(tmp_path):
    """Would catch a third method, a classifier with labels or a variant that decides."""
    rows = [row("CBiGAN", 0.8, 0.75, 0.85), row("EGBAD", 0.6, 0.55, 0.65)]
    rows += [row("Classifier", 0.99, 0.98, 1.0), row("EGBAD", 0.99, 0.98, 1.0, variant="best step")]
    cell(tmp_path, [*rows, row("AE-L2", 0.95, 0.93, 0.97)], TABLE)
    assert found(tmp_path, over=("EGBAD",)).outcome == HOLDS
    assert "behind AE-L2" in found(tmp_path).text


def test_a_mean_waits_for_its_categories(tmp_path):
    """Would catch a claim on textures that is checked on screws, and categories not counted."""
    fill(tmp_path, {"screw": {"CBiGAN": 0.9, "EGBAD": 0.6}})
    assert found(tmp_path, category="mean_textures") is None
    fill(tmp_path, {name: {"CBiGAN": 0.9, "EGBAD": 0.6} for name in ("carpet", "grid")})
    said = found(tmp_path, category="mean_textures")
    assert said.outcome == HOLDS and said.doubts == ["2 of 5 categories"]
    assert set(said.rows["category"]) == {"carpet", "grid"}


def test_the_papers_data_come_before_others(tmp_path):
    """Would catch a claim on a stand-in although the paper's own data were run."""
    fill(tmp_path, {"mono": {"CBiGAN": 0.6, "EGBAD": 0.9}}, dataset="elpv")
    assert found(tmp_path).outcome == FAILS
    fill(tmp_path, {"screw": {"CBiGAN": 0.9, "EGBAD": 0.6}})
    assert "MVTec AD screw" in found(tmp_path).text and found(tmp_path).outcome == HOLDS


@pytest.mark.parametrize(
    ("differences", "outcome", "words"),
    [
        ((0.20, 0.22, 0.24), HOLDS, "+0.220 (+0.170 to +0.270) over 3 categories"),
        ((-0.20, -0.22, -0.24), FAILS, "−0.220"),
        ((0.20, -0.22, 0.10), OPEN, "+0.027"),
        ((0.20, 0.22), OPEN, "+0.210 over 2 categories"),
    ],
)
def test_pairs_are_of_one_category(tmp_path, differences, outcome, words):
    """Would catch a mean that is not paired, or an interval from two categories."""
    names = ("carpet", "grid", "screw")
    fill(
        tmp_path,
        {
            name: {"CBiGAN": 0.5 + i / 10 + difference, "EGBAD": 0.5 + i / 10}
            for i, (name, difference) in enumerate(zip(names, differences, strict=False))
        },
    )
    said = found(tmp_path, check="paired", over=("EGBAD",))
    assert said.outcome == outcome and words in said.text
    assert said.doubts == [f"{len(differences)} of 15 categories"]


@pytest.mark.parametrize(
    ("differences", "outcome"),
    [
        ((-0.01, -0.02, -0.015), HOLDS),  # behind, but by less than counts
        ((-0.05, -0.06, -0.055), FAILS),
        ((-0.03, -0.02, -0.04), OPEN),
    ],
)
def test_not_behind_allows_the_margin(tmp_path, differences, outcome):
    """Would catch a method that has to be ahead to pass for comparable."""
    pairs = zip(("carpet", "grid", "screw"), differences, strict=True)
    fill(tmp_path, {name: {"CBiGAN": 0.7 + off, "EGBAD": 0.7} for name, off in pairs})
    given = {"check": "not_behind", "over": ("EGBAD",)}
    assert found(tmp_path, **given).outcome == outcome
    words = claims.test(read(tmp_path).papers["cbigan"], claim(**given))
    assert "lies above −0.03, does not hold where it lies below it" in words


def test_the_papers_claims_to_be_comparable_allow_the_margin():
    """Would catch a claim that is read as "not behind" and tested for being ahead."""
    read_so = [
        one.check
        for paper in papers.read().values()
        for one in paper.claims
        if "not behind" in one.reading
    ]
    assert len(read_so) == 2 and set(read_so) == {"not_behind"}


def test_differences_of_rates_keep_to_what_they_can_be(tmp_path):
    """Would catch an interval of a difference of two rates that leaves [−1, 1]."""
    names = ("carpet", "grid", "screw")
    values = zip(names, (0.99, 0.01, 0.99), strict=True)
    fill(tmp_path, {name: {"CBiGAN": v, "EGBAD": 0.99 - v} for name, v in values}, 1)
    assert "(−1.000 to +1.000)" in found(tmp_path, check="paired", over=("EGBAD",)).text


def test_pairs_with_a_method_that_was_not_run_stay_open(tmp_path):
    """Would catch a claim on two rivals that one of them decides."""
    names = ("carpet", "grid", "screw")
    fill(tmp_path, {name: {"CBiGAN": 0.9, "EGBAD": 0.5} for name in names})
    said = found(tmp_path, check="paired", over=("EGBAD", "AnoGAN"))
    assert said.outcome == OPEN and "no run of AnoGAN" in said.doubts


def inliers(*values):
    """Noisy-AnoGAN and AnoGAN for 1, 3 and 5 inlier categories."""
    named = [f"{n}_inlier_categories" for n in (1, 3, 5)]
    return {
        name: dict(zip(("Noisy-AnoGAN", "AnoGAN"), pair, strict=True))
        for name, pair in zip(named, values, strict=False)
    }


def on_caltech(root, check, values, **given):
    fill(root, values, metric="best_f1", **CALTECH)
    several = {"table": "table2_caltech", "metric": "best_f1", "method": "Noisy-AnoGAN"}
    return found(root, "noisy_anogan", check=check, **several | {"over": ("AnoGAN",)} | given)


@pytest.mark.parametrize(
    ("values", "outcome", "doubts"),
    [
        (((0.9, 0.8), (0.9, 0.7), (0.9, 0.6)), HOLDS, []),
        (((0.9, 0.8), (0.6, 0.7), (0.9, 0.6)), FAILS, []),
        (((0.9, 0.8), (0.9, 0.7)), HOLDS, ["2 of 3 cases"]),
    ],
)
def test_everywhere_means_in_every_category(tmp_path, values, outcome, doubts):
    """Would catch two cases of three that stand for all, and one defeat that is averaged away."""
    cases = tuple(inliers(*[(0, 0)] * 3))
    said = on_caltech(tmp_path, "everywhere", inliers(*values), categories=cases)
    assert (said.outcome, said.doubts) == (outcome, doubts)
    assert "for 1 inlier category" in said.text
    over = {"over": ("AnoGAN", "CoP", "LRR")}
    said = on_caltech(tmp_path, "everywhere", inliers(*values), categories=cases, **over)
    assert said.doubts == [*doubts, "no run of CoP and LRR"]


@pytest.mark.parametrize(
    ("last", "outcome"), [((0.88, 0.6), HOLDS), ((0.5, 0.7), FAILS), ((0.8, 0.7), OPEN)]
)
def test_a_slower_fall_is_a_difference_of_differences(tmp_path, last, outcome):
    """Would catch a method that is ahead at the end, but fell as much."""
    values = inliers((0.9, 0.8), (0.9, 0.8), last)
    ends = ("1_inlier_categories", "5_inlier_categories")
    said = on_caltech(tmp_path, "falls_less", values, categories=ends)
    assert said.outcome == outcome and "From 1 inlier category to 5" in said.text


def test_groups_compare_two_means_of_one_method(tmp_path):
    """Would catch categories of another group, and a difference from two of them."""
    values = {"carpet": 0.9, "grid": 0.91, "tile": 0.92, "screw": 0.6, "pill": 0.61}
    given = {"check": "groups", "category": "mean_textures", "over": ("mean_objects",)}
    fill(tmp_path, {name: {"CBiGAN": value} for name, value in values.items()})
    said = found(tmp_path, **given)
    assert said.outcome == OPEN and "0.911 as mean of textures (3)" in said.text
    fill(tmp_path, {"zipper": {"CBiGAN": 0.62}})
    assert found(tmp_path, **given).outcome == HOLDS


@pytest.mark.parametrize(
    ("ends", "outcome"), [((0.3, 0.4), HOLDS), ((0.3, 0.6), OPEN), ((0.6, 0.7), FAILS)]
)
def test_below_chance_needs_the_whole_interval(tmp_path, ends, outcome):
    """Would catch a value below 0.5 whose interval reaches above it."""
    values = (row("GANomaly", sum(ends) / 2, *ends, "auroc", ""),)
    cell(tmp_path, values, "table1_mnist", "mnist", "1", paper="ganomaly")
    given = {"table": "table1_mnist", "metric": "auroc", "method": "GANomaly", "category": "1"}
    assert found(tmp_path, "ganomaly", check="below_chance", **given).outcome == outcome


def test_faster_is_read_from_another_folder_by_ratios(tmp_path):
    """Would catch times that are subtracted, and one measurement that decides."""
    given = {"table": "beyond/cost", "metric": "inference_time_ms"}
    given |= {"check": "faster", "over": ("AnoGAN",)}
    times = {"CBiGAN": 8.0, "AnoGAN": 4000.0}
    fill(tmp_path, {"bottle": times}, 1, "cost", metric="inference_time_ms", paper="beyond")
    said = found(tmp_path, **given)
    assert said.outcome == OPEN and "500 times as long" in said.text
    fill(tmp_path, {"bottle": times}, 3, "cost", metric="inference_time_ms", paper="beyond")
    assert found(tmp_path, **given).outcome == HOLDS


@pytest.mark.parametrize(
    ("missed", "limit", "outcome"), [(0.02, 0.1, FAILS), (0.0, 0.1, OPEN), (0.0, 0.04, HOLDS)]
)
def test_no_misses_are_shown_by_a_limit(tmp_path, missed, limit, outcome):
    """Would catch zero of ten images taken for zero, and another threshold's rows."""
    rows = [
        row("Cycle-GAN", value, 0.0, high, "miss_rate", "deployable", variant=variant)
        for variant, value, high in (("lowest", missed, limit), ("conformal", 0.5, 0.6))
    ]
    cell(tmp_path, rows, "table_zfn_promise", "brain_mri", "brain", paper="cyclegan")
    given = {"table": "table_zfn_promise", "metric": "miss_rate", "method": "Cycle-GAN"}
    said = found(tmp_path, "cyclegan", check="misses", variant="lowest", **given)
    assert said.outcome == outcome and f"{100 * limit:.1f} %" in said.text


@pytest.mark.parametrize(
    ("high", "outcome", "words"),
    [(-1.0, FAILS, "a loss on 1 of 2."), (2.0, OPEN, "no loss is shown.")],
)
def test_abnormal_pixels_are_read_by_the_paired_intervals(tmp_path, high, outcome, words):
    """Would catch whole images taken for pixels, one set judged for all, another share's row."""
    same = {"metric": "difference_points", "form": ""}
    few, many, images = (
        {"variant": v, "x": x}
        for v, x in (("5% with a patch", 0.05), ("10% with a patch", 0.1), ("20%", 0.2))
    )
    for category in ("screw", "bottle"):
        ends = (-3.0, -5.0, high) if category == "bottle" else (0.5, -1.0, 2.0)
        rows = [row("PaDiM", -9.0, -10.0, -8.0, **many, **same)]
        rows.append(row("Noisy-AnoGAN", -9.0, -10.0, -8.0, **few, **same))
        rows.append(row("Noisy-AnoGAN", -9.0, -10.0, -8.0, **images, **same))
        rows.append(row("Noisy-AnoGAN", *ends, **many, **same))
        cell(tmp_path, rows, "contamination", category=category, paper="beyond")
    given = {"table": "beyond/contamination", "metric": "auroc", "method": "Noisy-AnoGAN"}
    said = found(tmp_path, "noisy_anogan", check="contaminated", **given)
    assert said.outcome == outcome and said.text.endswith(words)
    assert "10 % of" in said.text and "+0.5 (−1.0 to +2.0) on mvtec_ad screw" in said.text
