"""The sentences of a notebook's last cell: what they say of which rows."""

from dataclasses import replace

import pytest

from adlib import data, study
from adlib.study import results
from adlib.study.lab import facts, published, ranking
from adlib.study.profiles import Cell

AUROC = {"metric": "auroc"}


def seen(*rows, paper="cbigan", notebook="table3_auroc", dataset="elpv", category="mono", **more):
    """What is seen in a cell with the given rows."""
    cell = Cell("smoke", paper, notebook, dataset, category, 0)
    results.write_rows(cell, rows)
    return study.seen(cell, **more).data


def test_the_first_is_told_from_the_second_only_where_intervals_do_not_meet():
    """Would catch a ranking of noise, and one that hides where the paper's own method stands."""
    rows = [
        AUROC | {"method": "A", "value": 0.9, "low": 0.85, "high": 0.95},
        AUROC | {"method": "B", "value": 0.7, "low": 0.6, "high": 0.84},
        AUROC | {"method": "CBiGAN", "value": 0.4, "low": 0.3, "high": 0.45},
    ]
    text = seen(*rows)
    assert "By auROC A comes first of 3 with 0.900 (0.850 to 0.950), before B with 0.700" in text
    assert "CBiGAN takes place 3" in text and "do not" not in text.split("place 3")[0]
    assert "intervals overlap" not in text
    assert "intervals overlap" in seen(rows[0] | {"low": 0.8}, *rows[1:])
    assert "1 of 3 values lies below chance with its whole interval, the lowest CBiGAN" in text
    tied = seen(rows[0], rows[0] | {"method": "B", "value": 0.9002})
    assert "B and A share the first place with 0.900 (0.850 to 0.950)." in tied
    third = seen(*rows[:2], rows[2] | {"value": 0.6996, "low": 0.6, "high": 0.8})
    assert "CBiGAN takes place 2 with 0.700" in third  # as is printed of B


def test_what_has_no_number_takes_no_place():
    """Would catch a method without a value that comes first, or is said to reach something."""
    rows = [AUROC | {"method": name, "value": 2.0} for name in "AB"]
    costs = [row | {"metric": "inference_time_ms"} for row in rows]
    cell = Cell("smoke", "cbigan", "figure3_architecture", "elpv", "mono", 0)
    results.write_rows(cell, [*rows, *costs])
    found = published.compared(cell)
    assert len([*ranking.first(cell, found, {})]) == 2
    assert not [*ranking.first(cell, found.assign(value=float("nan")), {})]
    same = seen(*(row | {"value": 2.0} for row in costs), notebook="figure3_architecture")
    assert "All 2 have the same inference time (ms), 2." in same


def test_the_authors_way_to_evaluate_is_said_and_ranks_nobody():
    """Would catch a first place that an epoch picked on the test has won."""
    rows = [
        AUROC | {"method": "GANomaly", "value": 0.4},
        AUROC | {"method": "GANomaly", "value": 0.9, "form": "authors"},
        AUROC | {"method": "EGBAD", "value": 0.6},
    ]
    where = {"paper": "ganomaly", "notebook": "table1_mnist", "dataset": "mnist", "category": "1"}
    text = seen(*rows, **where)
    assert "EGBAD comes first of 2 with 0.600, before GANomaly with 0.400" in text
    assert "Evaluated as the authors do (the best of the epochs" in text
    assert "the auROC is 0.900 instead of 0.400 (GANomaly)" in text
    assert "GANomaly 0.900 against 0.330" in text


def test_a_leaderboard_s_numbers_are_not_the_paper_s():
    """Would catch a number laid to a paper that does not have it."""
    row = AUROC | {"method": "GANomaly", "value": 0.4}
    text = seen(row, paper="ganomaly", notebook="table_mvtec")
    assert "a leaderboard prints no number" in text and "the paper prints" not in text
    assert "runs can tell only whether the method reaches them" in text


def test_an_oracle_s_pick_does_not_come_first():
    """Would catch the best of all on the test ranked before what can be had without labels."""
    rows = [
        AUROC | {"method": "paper's values", "value": 0.7},
        AUROC | {"method": "best on test", "form": "oracle", "value": 0.8},
    ]
    assert "comes first" not in seen(*rows, paper="beyond", notebook="alpha_lambda")
    assert "comes first" in seen(*(row | {"form": ""} for row in rows))


def test_a_cost_is_not_won():
    """Would catch the slowest detector praised as the first."""
    rows = [
        {"method": m, "metric": "inference_time_ms", "value": v}
        for m, v in zip("AB", (2, 9), strict=True)
    ]
    text = seen(*rows, notebook="figure3_architecture")
    assert "A has the least inference time (ms), 2, and B the most, 9." in text


def test_one_threshold_is_not_an_average():
    """Would catch `1 of 1 miss` where there is one detector."""
    row = {"method": "A", "metric": "miss_rate", "form": "deployable", "value": 0.25}
    text = seen(row, paper="beyond", notebook="your_own_images")
    assert "A misses 25.0 % of the abnormal test images" in text and "of 1" not in text
    two = seen(row, row | {"method": "B", "value": 0.0}, paper="beyond", notebook="your_own_images")
    assert "1 of 2 misses" in two


def test_what_was_swept_is_named():
    """Would catch a trend without its unit, or one read in the order of the rows."""
    rows = [AUROC | {"method": "A", "variant": f"step {x}", "x": x, "value": v}
            for x, v in ((40, 0.7), (10, 0.5), (20, 0.8))]  # fmt: skip
    text = seen(*rows, notebook="training_curves", swept="training steps")
    assert "From 10 to 40 training steps the auROC of A goes from 0.500 to 0.700" in text
    assert "best at 20 with 0.800" in text


def test_settings_that_were_swept_are_told_apart():
    """Would catch one trend that is made of the values of two settings."""
    rows = [AUROC | {"method": "A", "variant": f"{name} {x}", "x": x, "value": v}
            for name, x, v in (("width", 4, 0.7), ("width", 8, 0.5), ("loss_weight", 1, 0.8),
                               ("loss_weight", 50, 0.9))]  # fmt: skip
    text = seen(*rows, notebook="training_curves")
    assert "From width 4 to 8 the auROC of A goes from 0.700 to 0.500" in text
    assert "From loss weight 1 to 50 the auROC of A goes from 0.800 to 0.900" in text


def test_two_sweeps_of_a_method_stay_apart():
    """Would catch a trend that begins in one experiment and ends in another."""
    rows = [
        AUROC | {"method": "A", "variant": f"{10 * x:.0f}%{kind}", "x": x, "value": v}
        for kind, values in (("", (0.9, 0.4)), (" with a patch", (0.8, 0.7)))
        for x, v in zip((0.0, 0.1), values, strict=True)
    ]
    text = seen(*rows, paper="beyond", notebook="contamination", swept="of the images")
    assert "From 0 to 0.1 of the images the auROC of A goes from 0.900 to 0.400." in text
    assert "the auROC of A, with a patch, goes from 0.800 to 0.700." in text


def test_differences_count_those_told_from_zero():
    """Would catch a choice that is said to raise a number although its interval holds zero."""
    points = {"metric": "difference_points", "method": "A"}
    rows = [
        points | {"variant": "one", "value": 5.0, "low": 1.0, "high": 9.0},
        points | {"variant": "two", "value": -2.0, "low": -5.0, "high": 1.0},
    ]
    text = seen(*rows, paper="beyond", notebook="contamination")
    assert "Of 2 differences 1 lies above zero and 0 below it" in text
    assert "in points: A, one, +5.0 (+1.0 to +9.0); A, two, −2.0 (−5.0 to +1.0)." in text


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"dataset": "elpv", "category": "mono"}, "which are about MVTec AD"),
        ({"dataset": "mvtec_ad", "category": "bottle"}, "1 is not comparable. What would decide"),
        ({"notebook": "figure4_examples", "shows": "defects"}, "show defects. They are examples"),
        ({"notebook": "figure3_architecture"}, "The paper prints no number here"),
        ({"paper": "beyond", "notebook": "cost"}, "1 of the 3 seeds"),
    ],
)
def test_every_notebook_ends_on_a_verdict(place, said):
    """Would catch a notebook that computes and decides nothing, or more than its rows can."""
    text = seen(AUROC | {"method": "CBiGAN", "value": 0.5}, **place)
    assert said in text.partition("**Verdict.**")[2]


def test_odd_metrics_are_read_in_the_notebook_s_words():
    """Would catch a figure whose numbers go unsaid."""
    rows = [{"method": m, "metric": "grey", "value": v} for m, v in (("A", 0.2), ("B", 0.7))]
    text = seen(*rows, notebook="figure4_examples", grey="Distance to the input, in grey levels")
    assert "Distance to the input, in grey levels: from 0.200 (A) to 0.700 (B)." in text
    rows.insert(0, {"method": "C", "metric": "grey", "value": 0.4})
    text = seen(*rows, notebook="figure4_examples", grey="Distance")
    assert "Distance: from 0.200 (A) over 0.400 (C) to 0.700 (B)." in text


def test_methods_that_a_claim_compares_are_named_with_it():
    """Would catch a table whose own claim is not answered, or is answered with other methods."""
    rows = [AUROC | {"method": m, "value": v} for m, v in (("CBiGAN", 0.6), ("EGBAD", 0.7))]
    text = seen(*rows)
    assert "(section V-E): here CBiGAN 0.600 and EGBAD 0.700, auROC." in text
    assert "about mean of textures: here CBiGAN 0.600 and EGBAD, the best other one, 0.700" in text
    assert "about mean of objects: here CBiGAN 0.600 and EGBAD 0.700, auROC." in text
    assert "Whether these claims hold no single cell decides" in text
    assert "[verdict](verdict.ipynb)." in text
    assert "(section V-E): here CBiGAN 0.600, auROC." in seen(rows[0])


def test_every_claim_of_the_table_is_said():
    """Would catch a claim about categories, a group or a variant that its notebook passes over."""
    row = {"method": "Noisy-AnoGAN", "metric": "best_f1", "form": "oracle", "value": 0.6}
    where = {"paper": "noisy_anogan", "dataset": "digits", "category": "1_inlier_categories"}
    text = seen(row, notebook="table2_caltech", **where)
    assert text.count("The claim ") == 3 and "about 1 inlier category and 5 inlier" in text
    row = {"method": "Cycle-GAN", "variant": "lowest", "metric": "miss_rate", "value": 0.25}
    text = seen(row | {"form": "deployable"}, paper="cyclegan", notebook="table_zfn_promise")
    assert "flagged as normal or not.” " in text and ": here Cycle-GAN 0.250, miss rate." in text
    text = seen(AUROC | {"method": "A", "value": 0.5}, paper="beyond", notebook="contamination")
    assert "such noise severely affects" in text and "../noisy_anogan/verdict.ipynb" in text


@pytest.mark.parametrize(
    ("category", "value", "said", "decided"),
    [
        ("bottle", 209, "1 of 1 fact about the data is what the paper prints", "1 agrees"),
        ("bottle", 208, "0 of 1 fact about the data are what", "1 differs"),
        ("mono", 470, "The data have train normal 470", "about MVTec AD. Only those data"),
    ],
)
def test_facts_are_what_the_paper_prints_or_they_are_not(category, value, said, decided):
    """Would catch counts that are said to need seeds, or are held against those of other images."""
    where = {"dataset": "elpv" if category == "mono" else "mvtec_ad", "category": category}
    rows = [
        {"method": "-", "metric": "n_train_normal", "value": value},
        {"method": "-", "metric": "auroc_of_brightness", "value": 0.25},
    ]
    text = seen(*rows, notebook="table1_dataset", **where, auroc_of_brightness="By grey level")
    text, _, verdict = text.partition("**Verdict.**")
    assert said in text and "By grey level: 0.250." in text
    assert decided in verdict and "seeds" not in verdict


def test_counted_parameters_need_no_seeds():
    """Would catch the number of a network's weights called an indication."""
    text = seen(
        {"method": "A", "metric": "parameters_critic", "value": 5}, notebook="figure3_architecture"
    )
    assert "no seed changes them" in text


def test_rows_with_a_meaning_of_their_own_are_told_by_it_alone():
    """Would catch a general sentence beside that of a function that knows what the rows mean."""
    row = AUROC | {"method": "A", "value": 0.9, "low": 0.85, "high": 0.95}
    text = seen(row, own=(["It rains.", "It pours."], "Wet."))
    assert text == "## What we see\n\n- It rains.\n- It pours.\n\n**Verdict.** Wet."


def test_what_would_decide_is_a_remedy():
    """Would catch a reason that is told as what would decide."""
    where = {"paper": "ganomaly", "notebook": "table1_mnist", "dataset": "mnist", "category": "1"}
    row = AUROC | {"method": "GANomaly", "value": 0.4}
    assert "decide the rest: the records of the runs." in seen(row, **where)  # they name none


def test_milliseconds_of_another_machine_decide_nothing():
    """Would catch runs of ours that are said to decide another machine's times."""
    rows = [
        {"method": method, "metric": "inference_time_ms", "value": value}
        for method, value in (("GANomaly", 1.0), ("AnoGAN", 100.0))
    ]
    where = {"paper": "ganomaly", "notebook": "table_runtime", "category": "all"}
    for dataset in ("digits", "mnist"):
        decided = seen(*rows, dataset=dataset, **where).partition("**Verdict.**")[2]
        assert "The ratio of two methods" in decided and "seeds" not in decided


def test_a_constrained_accuracy_has_no_gain():
    """Would catch an accuracy without misses held against one that may have some."""
    rows = [
        {"method": "A", "metric": metric, "form": form, "value": value}
        for metric, form, value in (
            ("best_accuracy", "oracle", 0.7), ("zfn_accuracy", "oracle", 0.5),
            ("accuracy", "deployable", 0.8),
        )
    ]  # fmt: skip
    text = seen(*rows, paper="cyclegan", notebook="table_accuracy_zfn")
    assert "is worth −10.0 points of best accuracy" in text
    assert "points of ZFN accuracy" not in text


def test_a_side_that_was_made_smaller_is_no_difference():
    """Would catch a smaller copy of the official images that counts as a fact that differs."""
    images = data.load("synthetic", "texture")
    images = replace(images, name="mvtec_ad", category="bottle")
    cell = Cell("smoke", "cbigan", "table1_dataset", "mvtec_ad", "bottle", 0)
    values = {"n_train_normal": 209, "image_side_px": images.sides()[1]}
    results.write_rows(cell, facts.rows(cell, images, values, protocol="one_class"))
    text, _, decided = study.seen(cell).data.partition("**Verdict.**")
    assert "1 of 1 fact about the data is what the paper prints." in text
    assert "against 900 is not comparable: Official images, made smaller from 900 to" in text
    assert "1 agrees and 1 is not comparable" in decided and "differ" not in decided
    own = facts.rows(replace(cell, dataset="elpv"), images, values)
    assert {row["comparable"] for row in own} == {"elpv is not a data set of the paper"}
