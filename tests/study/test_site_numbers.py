"""The report's numbers: means, intervals, verdicts, bounds, and rows that are not valid."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from report_tree import METRIC, cell, publish, publish_others, read, row, run, sources

import adlib
from adlib import data
from adlib.host.paths import home
from adlib.metrics import interval_over_seeds
from adlib.models import REGISTRY
from adlib.study import departures, grids, notes, papers, summary, tables
from adlib.study.verdict import deciding, verdicts

pytestmark = pytest.mark.usefixtures("no_data")


def matrices(tree):
    """Tables of a tree that has one page and profile."""
    study = read(tree)
    return grids.of_section(study.summary, study.papers)


def noted(tree):
    """Notes on a tree that has one page and profile."""
    return notes.notes(read(tree).summary, prints=True)


def verdicts_of(tree, profile="study"):
    """(verdict, reason) by category, method and metric."""
    rows = verdicts.compare(read(tree), profile)
    keys = zip(rows["category"], rows["method"], rows["metric"], strict=True)
    return dict(zip(keys, zip(rows["verdict"], rows["reason"], strict=True), strict=True))


def test_profiles_never_share_a_table(made):
    """Catches a mean or a verdict over two profiles."""
    study = read(made)
    assert set(study.summary["profile"]) == {"study", "other"}
    ours = verdicts.compare(study, "other")["ours"]
    assert ours.isna().all()


def test_seeds_and_categories_are_averaged_with_their_intervals(made):
    """Catches seeds counted as images, means over rows instead of categories, wrong quadrature."""
    summary = read(made).summary
    chosen = summary[(summary["method"] == "CBiGAN") & (summary["metric"] == METRIC)]
    screw = chosen[chosen["category"] == "screw"].iloc[0]
    assert (screw["value"], screw["seeds"]) == (pytest.approx(0.72), 3)
    values = np.array([0.71, 0.72, 0.73])
    assert (screw["low"], screw["high"]) == pytest.approx(
        interval_over_seeds(values, values - 0.05, values + 0.05)
    )
    mean = chosen[chosen["category"] == "mean_objects"].iloc[0]
    assert mean["categories"] == 3
    assert mean["value"] == pytest.approx((0.71 + 0.9 + 0.8) / 3)  # seed 0, which all have
    assert np.isnan(mean["low"])  # hazelnut brings no interval


def test_mean_interval_adds_categories_in_quadrature(tmp_path):
    """Catches half-widths averaged as if the categories shared their test images."""
    for category in ("screw", "bottle", "pill", "cable"):
        cell(tmp_path, [row("CBiGAN", 0.7, 0.6, 0.8)], category=category)
    summary = read(tmp_path).summary
    mean = summary[summary["category"] == "mean_objects"].iloc[0]
    assert (mean["low"], mean["high"]) == pytest.approx((0.65, 0.75))


def test_data_sets_side_by_side_and_their_mean(tmp_path):
    """Catches a mean over data sets that is lost, or judged as if it were of all nine."""
    for dataset, category, value in (("mvtec_ad", "screw", 0.8), ("malaria", "cell", 0.6)):
        rows = [row("Cycle-GAN", value, value - 0.1, value + 0.1, "zfn_accuracy")]
        where = {"dataset": dataset, "category": category, "paper": "cyclegan"}
        cell(tmp_path, rows, "table_accuracy_zfn", **where)
    line = {"table": "table_accuracy_zfn", "dataset": "all data sets", "category": "mean_overall"}
    line |= {"method": "Cycle-GAN", "metric": "zfn_accuracy", "value": "0.7989"}
    line |= {"printed_as": "abstract; 79.89 %", "origin": "own", "source": "abstract", "note": ""}
    file = sources(tmp_path) / "cyclegan" / "published.csv"
    pd.DataFrame([line])[papers.PUBLISHED].to_csv(file, index=False)
    study = read(tmp_path)
    (table,) = grids.of_section(study.summary, study.papers)
    heads = ["method", "mvtec_ad screw", "malaria cell", "mean of all (2 of 9)"]
    assert [head for head, _ in table.columns] == heads and table.form.endswith("1 seed")
    assert [value.text for value in table.lines[0]] == ["Cycle-GAN", "0.800", "0.600", "0.700"]
    (judged,) = verdicts.compare(study, "study").to_dict("records")
    assert (judged["printed"], judged["half_unit"]) == ("0.7989", pytest.approx(0.00005))
    assert judged["ours"] == pytest.approx(0.7) and judged["verdict"] == "not comparable"
    assert "mean over 2 of 9" in judged["reason"]


def test_verdicts_follow_their_rule(made):
    """Catches a wrong join, a wrong verdict, and reasons that are not given."""
    found = verdicts_of(made)
    for category, method, expected in [
        ("screw", "CBiGAN", ("agrees", "")),
        ("screw", "EGBAD", ("differs", "")),
        ("bottle", "CBiGAN", ("cannot tell", "one seed has no spread")),
        ("hazelnut", "CBiGAN", ("not comparable", "another set")),
        ("pill", "CBiGAN", ("not run", "mvtec_ad-pill-s0 failed")),
        ("carpet", "CBiGAN", ("data not at hand", "")),
        ("screw", "AnoGAN", ("not run", "not run for this table")),
    ]:
        assert found[category, method, METRIC] == expected
    verdict, reason = found["mean_objects", "CBiGAN", METRIC]
    assert verdict == "not comparable"
    assert "mean over 3 of 10 categories" in reason
    assert found["screw", "-", "n_train_normal"] == ("agrees", "")
    assert found["screw", "-", "n_test_abnormal"] == ("differs", "")
    other = verdicts_of(made, "other")
    assert other["screw", "CBiGAN", METRIC] == ("not run", "not in this profile")


def test_a_method_that_is_never_run_says_why(tmp_path):
    """Catches a reason of the paper's file that the report does not show."""
    cell(tmp_path, [row("CBiGAN", 0.8)])
    publish(tmp_path, ("screw", "CAVGA-Ru", "0.97"), origin="quoted")
    why = papers.load("cbigan").not_run["CAVGA-Ru"]
    assert verdicts_of(tmp_path)["screw", "CAVGA-Ru", METRIC] == ("not run", why)


def test_a_published_value_that_is_no_target_is_not_comparable(tmp_path):
    """Catches verdicts on values that no scores can give, or that are not the authors' own."""
    cell(tmp_path, [row("EGBAD", 0.5, 0.4, 0.9)])
    cell(tmp_path, [row("EGBAD", 0.5, 0.4, 0.9, "auroc", "")], "table3_y")
    area = ("screw", "EGBAD", "0.54", "Table III", "auroc")
    for printed, origin, broken, judged in [
        ("0.60", "own", "", {METRIC, "auroc"}),
        ("0.48", "own", "is below 0.5", {"auroc"}),  # the auROC alone can be
        ("0.50", "own", "no scores give the published values", set()),
        ("0.60", "quoted", "from another work", set()),
        ("0.60", "leaderboard", "does not say what gave", set()),
    ]:
        publish(tmp_path, ("screw", "EGBAD", printed), area, origin=origin)
        for metric in (METRIC, "auroc"):
            verdict, reason = verdicts_of(tmp_path)["screw", "EGBAD", metric]
            if metric in judged:
                assert verdict == "cannot tell"
            else:
                assert verdict == "not comparable" and broken in reason


def test_other_implementations_are_flagged_beyond_the_margin_alone(tmp_path):
    """Catches a flag at toy scale, in another setting or protocol, within margin and rounding."""
    pooled = row("PaDiM", 0.1, protocol="pooled and balanced")
    for seed in range(3):
        made = [row("CBiGAN", 0.70), row("EGBAD", 0.70), row("AE-L2", 0.7, comparable="JPEG")]
        made += [
            row("PaDiM", 0.70, variant="one class"),
            pooled,
            row("CBiGAN", 0.2, form="authors"),
        ]
        cell(tmp_path, made, seed=seed)
        cell(tmp_path, [row("CBiGAN", 0.9, run="r2")], category="bottle", seed=seed)
    run(tmp_path)
    run(tmp_path, "r2", steps=10)
    publish(tmp_path, ("screw", "CBiGAN", "0.75"), ("screw", "AE-SSIM", "0.7"))
    publish_others(
        tmp_path,
        ("screw", "CBiGAN", "0.60"), ("screw", "EGBAD", "0.733"), ("pill", "EGBAD", "0.5"),
        ("screw", "AE-L2", "0.60"), ("screw", "PaDiM", "0.60"), ("bottle", "CBiGAN", "0.60"),
        ("screw", "CBiGAN", "0.74"), ("mean_overall", "CBiGAN", "0.60"),
    )  # fmt: skip
    found = verdicts.beside_others(read(tmp_path), "study")
    assert found["ours"].round(3).tolist()[:2] == [0.7, 0.7]  # not the authors' 0.2
    assert found["flagged"].tolist() == [True, True, False, False, True, False, True, False]
    assert found["verdict"].tolist() == [
        "differs", "differs", "", "not comparable", "differs", "toy scale", "differs",
        "not comparable",
    ]  # fmt: skip
    assert found["ours"].isna().tolist() == [False, False, True, *[False] * 5]
    assert found["ours"][4] == pytest.approx(0.7)  # of the protocol that theirs has
    publish_others(tmp_path, ("screw", "CBiGAN", "0.6"), ("screw", "CBiGAN", "0.73"))
    others = verdicts.compare(read(tmp_path), "study").set_index("method")["others"]
    assert others["CBiGAN"] == "0.6 Somebody (ours differs); 0.73 Somebody"
    assert others["AE-SSIM"] == ""
    publish_others(tmp_path, ("screw", "CBiGAN", "0.6"), form="authors")
    assert verdicts.beside_others(read(tmp_path), "study")["ours"].round(3).tolist() == [0.2]


def test_a_cell_without_record_is_unfinished(tree):
    """Catches rows of a cell that was cut off before its record, counted as done."""
    cell(tree, [row("CBiGAN", 0.9)], category="bottle", status="unfinished")
    expected = ("not run", "mvtec_ad-bottle-s0 was not finished")
    assert verdicts_of(tree)["bottle", "CBiGAN", METRIC] == expected
    assert "bottle" not in set(read(tree).rows["category"])


def departures_of(tree):
    """{setting: (here, published)} of the profile `study`, and detectors without settings."""
    study = read(tree)
    (part,) = departures.departures(study.rows, study.records("study"), study.papers)
    return {r["setting"]: (r["here"], r["published"]) for r in part["rows"]}, part["unknown"]


def test_departures_are_computed_from_the_run_records(tmp_path):
    """Catches a departure that goes unsaid, one that is none, and runs that no row names."""
    cell(tmp_path, [row("CBiGAN", 0.7), row("EGBAD", 0.7, run="r2"), row("AE-L2", 0.7, run="r3")])
    always = {"antialiasing": ("yes", "no"), "held_out_normals": ("10 %", "0 %")}
    always["sampling"] = ("drawn with replacement", "shuffled passes")
    always["ema_counted_in"] = ("updates of encoder and generator", "batches, also the critic's")
    run(tmp_path, "r1", ema=0.999)
    run(tmp_path, "r2", alpha=0.0, ema=0.999)  # another method, not another alpha
    run(tmp_path, "r3", detector="AutoEncoder", width=99)
    run(tmp_path, "stale", width=99)
    assert departures_of(tmp_path) == (always | {"ema_warm_up": ("yes", "no")}, ["AutoEncoder"])
    run(tmp_path, "r1", ema=0.999, width=16, alpha=4e-4, side=64, rotation=[0.0, 0.0])
    run(tmp_path, "r2", ema=0.999, width=8, steps=10, penalty="joint")
    found, _ = departures_of(tmp_path)
    assert list(found) == [
        "side", "rotation", "width", "alpha", "steps", "penalty",
        "ema_warm_up", "ema_counted_in", "sampling", "antialiasing", "held_out_normals",
    ]  # fmt: skip
    assert found["side"] == ("64", "128")
    assert found["rotation"] == ("0 to 0", "−45 to 45")
    assert found["width"] == ("16, 8", "3")
    assert found["alpha"] == ("0.0004", "0.0001")


def test_sizes_of_textures_are_held_against_the_papers_textures(tmp_path):
    """Catches textures compared with objects, also where a texture is shown whole."""
    cell(tmp_path, [row("CBiGAN", 0.7)], category="grid")
    run(tmp_path, category="grid", side=512, patch=64, rotation=[0.0, 45.0])
    assert not {"side", "patch", "rotation"} & set(departures_of(tmp_path)[0])
    run(tmp_path, category="grid")
    assert departures_of(tmp_path)[0]["patch"] == ("0", "64")


def test_what_is_true_of_textures_alone_is_said_of_textures_alone(tmp_path):
    """Catches objects that are said to rotate otherwise than the authors' textures do."""
    cell(tmp_path, [row("CBiGAN", 0.7)], category="grid")
    run(tmp_path, category="grid", side=512, patch=64, rotation=[0.0, 45.0])
    found, _ = departures_of(tmp_path)
    assert found["texture_rotation"] == ("0 to 45 degrees", "full circle")
    run(tmp_path, category="grid")
    assert not {"texture_rotation", "texture_patches"} & set(departures_of(tmp_path)[0])


def test_held_out_images_are_counted_before_a_test_on_fewer():
    """Catches 48 held-out images of 480 told as 20 of 452, because a test on 20 scores no more."""
    description = {"protocol": "one_class; test on at most 20 images of either label"}
    description |= {"settings": {}, "budget": {"steps": 1, "batch": 1}}
    counts = {"train": 432, "validation": 20, "validation_normal": 20, "held_out_normal": 48}
    assert (
        departures.stated({"description": description, "counts": counts})["held_out_normals"]
        == "10 %"
    )
    del counts["held_out_normal"]
    old = departures.stated({"description": description, "counts": counts})
    assert old["held_out_normals"] == "not recorded"


@pytest.mark.parametrize("name", [name for name, paper in papers.read().items() if paper.authors])
def test_published_settings_have_names_that_runs_record(name):
    """Catches a mistyped setting in paper.toml, one told wrongly, and a data set nobody knows."""
    paper = papers.load(name)
    description = {"protocol": "", "settings": {}, "budget": {"steps": 1, "batch": 1}}
    said = departures.stated({"description": description, "counts": {"train": 1, "validation": 0}})
    for detector, settings in paper.authors.items():
        known = {field.name for field in fields(REGISTRY[detector].Settings)} | {"steps", "batch"}
        different = settings.get("by_dataset", {})
        assert set(different) <= set(data.names())
        for listed in [
            {k: v for k, v in settings.items() if k != "by_dataset"},
            *different.values(),
        ]:
            assert set(listed) <= (known | set(said)) & set(settings)
            assert all(len(value) == 2 and value[1] for value in listed.values())
        if detector == "CBiGAN":  # the paper's own method has an entry for every setting
            assert set(settings) >= known - set(departures.SIZES)


def test_a_data_set_of_its_own_settings():
    """Catches grey images of one set held against the colour of the others."""
    paper = papers.load("cyclegan")
    assert paper.authors_of("CycleGAN", "brain_mri")["channels"][0] == 1
    assert paper.authors_of("CycleGAN", "malaria")["channels"][0] == 3
    assert "by_dataset" not in paper.authors_of("CycleGAN", "oct")


def test_notes_are_sentences():
    """Catches notes without capital or full stop, and file names that get a capital."""
    for note, wanted in [
        ("threshold at 5% false positives", "Threshold at 5% false positives."),
        ("one. Two.", "One. Two."),
        ("images/cell7.png (defective)", "images/cell7.png (defective)."),
        ("auROC of it", "auROC of it."),
        ("", ""),
    ]:
        assert tables.sentence(note) == wanted


def test_a_note_of_one_value_says_whose_it_is(tmp_path):
    """Catches a list of bare file names under a table; a note of all rows is said once."""
    cell(tmp_path, [row("A", 0.7, note="a.png"), row("B", 0.6, note="b.png")])
    assert noted(tmp_path)[-1] == "A on screw: a.png; B on screw: b.png."
    cell(tmp_path, [row("A", 0.7, note="threshold at 5%"), row("B", 0.6, note="threshold at 5%")])
    assert [note for note in noted(tmp_path) if "5%" in note] == ["Threshold at 5%."]


def test_what_tables_share_is_said_once(tmp_path):
    """Catches the same three notes under every table of a page, and one dropped in silence."""
    same = {"comparable": "64 px", "protocol": "one class"}
    rows = [row("A", 0.7, **same), row("A", 0.6, metric="auroc", form="", note="careful", **same)]
    cell(tmp_path, rows)
    assert noted(tmp_path) == [
        "not comparable with the paper: 64 px.".capitalize(), "Protocol: one class.",
        "Test images, normal + abnormal: screw: 10 + 20.", "Careful.",
    ]  # fmt: skip


def test_numbers_of_test_images_are_short(tmp_path):
    """Catches ten times the same numbers, and two numbers of one category without a reason."""
    for category in ("screw", "bottle"):
        cell(tmp_path, [row("A", 0.7)], category=category)
    assert "Test images, normal + abnormal: every category: 10 + 20." in noted(tmp_path)
    other = row("B", 0.7, protocol="pooled", n_normal=5)
    cell(tmp_path, [row("A", 0.7), other])
    assert "screw (one class): 10 + 20, screw (pooled): 5 + 20" in noted(tmp_path)[-1]


def test_protocols_are_told_apart(tmp_path):
    """Catches methods tested on other images than their neighbours without a word."""
    rows = [row("A", 0.7, protocol="pooled"), row("B", 0.6, protocol="pooled; 20 images")]
    cell(tmp_path, rows)
    assert noted(tmp_path)[0] == "Protocol of A: pooled."
    assert noted(tmp_path)[1] == "Protocol of B: pooled; 20 images."
    for category, protocol in (("screw", "1 class"), ("bottle", "3 classes")):
        cell(tmp_path, [row(m, 0.7, protocol=protocol) for m in "AB"], category=category)
    told = {"Protocol of screw: 1 class.", "Protocol of bottle: 3 classes."}
    assert told <= set(noted(tmp_path))


def test_choices_stand_in_one_table_with_what_they_show(tmp_path):
    """Catches three tables where one is read, and a note that no longer names its choice."""
    metrics = ("with_trap", "without_trap", "difference_points")
    rows = [
        row("A", value, metric=metric, form="", variant=trap, measure="auROC", note=note)
        | {"reading": reading}
        for trap, note, reading in (("best epoch", "Of 3.", "raises it"), ("range", "", "nothing"))
        for metric, value in zip(metrics, (0.75, 0.5, 25.0), strict=True)
    ]
    cell(tmp_path, rows, "audit", paper="beyond")
    (table,) = matrices(tmp_path)
    heads = ["choice", "with trap", "without trap", "difference (points)", "reads"]
    assert [head for head, _ in table.columns] == heads
    first, second = ([value.text for value in line] for line in table.lines)
    assert first == ["best epoch: A, auROC", "0.750", "0.500", "25", "raises it"]
    assert second[-1] == "nothing"
    assert "Best epoch: Of 3." in noted(tmp_path)


def test_data_sets_of_a_comparison_stand_side_by_side(tmp_path):
    """Catches sets of one file under the name of another, and a count given an interval."""
    rows = [
        row("A", value, metric=metric, form="", dataset=where, category=category, seed=seed)
        for metric, step in (("auroc", 0.1), ("images_seen", 0))
        for where, category, value in (("elpv", "mono", 0.5), ("malaria", "cell", 0.7))
        for seed, value in enumerate((value, value + step))
    ]
    cell(tmp_path, rows, "comparison", paper="beyond")
    areas, seen = matrices(tmp_path)
    heads = ["method", "elpv mono", "malaria cell", "mean of all (2)"]
    assert [head for head, _ in areas.columns] == heads and areas.form == "2 seeds"
    assert [value.text for value in areas.lines[0]] == ["A", "0.550", "0.750", "0.650"]
    assert areas.lines[0][1].below[0] and not seen.lines[0][1].below[0]


def test_seeds_that_differ_stand_beside_the_method(tmp_path):
    """Catches a method of one seed in a table that says three, and one count in every row."""
    for seed in range(2):
        cell(tmp_path, [row("A", 0.7), *([row("B", 0.6)] if seed else [])], seed=seed)
    (table,) = matrices(tmp_path)
    assert [line[0].below for line in table.lines] == [("2 seeds",), ("1 seed",)]
    assert "seed" not in table.form


def test_intervals_over_seeds_keep_to_what_a_value_can_be(tmp_path):
    """Catches seconds below zero, and a difference cut off at zero."""
    for name, metric in (("table2_x", "train_s"), ("audit", "difference_points")):
        for seed, value in enumerate((1.0, 9.0)):
            cell(tmp_path, [row("A", value, metric=metric, form="")], name, seed=seed)
    summary = read(tmp_path).summary.set_index("metric")
    assert summary.loc["train_s", "low"] == 0
    assert summary.loc["difference_points", "low"] < 0


def test_units_stand_in_brackets():
    """Catches `train s`, and a rate that loses its second."""
    named = {"train_s": "train (s)", "train_images_per_s": "train images per s"}
    named |= {"peak_memory_mb": "peak memory (MB)", "auroc": "auROC", "aupro_0.30": "AUPRO 0.30"}
    assert {name: tables.in_words(name) for name in named} == named


def test_counts_are_whole(tmp_path):
    """Catches 0.000 copies."""
    cell(tmp_path, [row("-", 0, metric="n_copies_dropped", form="", run="")], "table1_z")
    (table,) = matrices(tmp_path)
    assert table.columns == [("category", ""), ("copies dropped", "n")]
    assert table.lines[0][1].text == "0"


def test_rounding_of_the_printed_value_is_allowed_for(tree):
    """Catches 0.8 read as 0.800: one printed place means plus or minus 0.05."""
    for printed, verdict in [("0.8", "agrees"), ("0.76", "cannot tell"), ("0.60", "differs")]:
        publish(tree, ("screw", "CBiGAN", printed))  # ours are 0.71, 0.72 and 0.73
        assert verdicts_of(tree)["screw", "CBiGAN", METRIC][0] == verdict
    assert [verdicts.half_unit(text) for text in ("280", "0.7", "0.70")] == [0.5, 0.05, 0.005]


def test_seeds_far_apart_cannot_tell(tmp_path):
    """Catches agreement claimed from runs that differ by more than any margin."""
    for seed, value in enumerate((0.68, 0.70, 0.72)):
        cell(tmp_path, [row("CBiGAN", value)], seed=seed)
    publish(tmp_path, ("screw", "CBiGAN", "0.70"))
    verdict, reason = verdicts_of(tmp_path)["screw", "CBiGAN", METRIC]
    assert (verdict, reason) == ("cannot tell", "from 3 seeds; 6 would decide at their spread")


def test_runs_smaller_than_the_papers_are_at_toy_scale(tmp_path):
    """Catches a verdict for or against a paper from a fraction of its training or its images."""
    for seed in range(3):
        cell(tmp_path, [row("CBiGAN", 0.7 + seed / 1000, run=f"r{seed}")], seed=seed)
        run(tmp_path, f"r{seed}", width=16)
    publish(tmp_path, ("screw", "CBiGAN", "0.70"))
    assert verdicts_of(tmp_path)["screw", "CBiGAN", METRIC] == ("agrees", "")
    for seed in range(3):
        run(tmp_path, f"r{seed}", steps=20_000, side=64)
    verdict, reason = verdicts_of(tmp_path)["screw", "CBiGAN", METRIC]
    assert verdict == "toy scale"
    assert reason == "20,000 of 200,000 training steps, 10 % of the images, 64 of 128 px"
    for seed in range(3):  # fewer steps of larger batches show as many images
        run(tmp_path, f"r{seed}", steps=20_000, batch=320)
    assert verdicts_of(tmp_path)["screw", "CBiGAN", METRIC][0] == "agrees"


def test_runs_without_a_record_are_judged_by_nobody(tmp_path):
    """Catches runs of any size held against the paper because their pack was lost."""
    for seed in range(3):
        cell(tmp_path, [row("CBiGAN", 0.7 + seed / 1000, run=f"r{seed}")], seed=seed)
        run(tmp_path, f"r{seed}")
    publish(tmp_path, ("screw", "CBiGAN", "0.70"))
    assert verdicts_of(tmp_path)["screw", "CBiGAN", METRIC] == ("agrees", "")
    (tmp_path / "study" / "runs.tar.xz").unlink()
    lost = ("not comparable", "the record of the run is not at hand")
    assert verdicts_of(tmp_path)["screw", "CBiGAN", METRIC] == lost


def test_a_number_that_names_no_run_is_judged_by_nobody(tmp_path):
    """Catches a number that agrees although no record says at what scale it was made."""
    for seed, value in enumerate((0.72, 0.73, 0.74)):
        cell(tmp_path, [row("CBiGAN", value, run="")], seed=seed)
    publish(tmp_path, ("screw", "CBiGAN", "0.73"))
    wanted = (verdicts.NOT_COMPARABLE, departures.UNKNOWN)
    assert verdicts_of(tmp_path)["screw", "CBiGAN", METRIC] == wanted


def test_what_the_rule_did_not_decide_does_not_move_with_the_margin(tmp_path):
    """Catches a number that waits for the authors' evaluation counted as agreeing or differing."""
    file = sources(tmp_path) / "cbigan" / "paper.toml"
    text = file.read_text(encoding="utf-8")
    for seed in range(3):
        cell(tmp_path, [row("CBiGAN", 0.70 + seed / 1000)], seed=seed)
    publish(tmp_path, ("screw", "CBiGAN", "0.80"))
    compared = {"study": verdicts.compare(read(tmp_path), "study")}
    assert deciding.by_margin(compared).groupby("outcome")["numbers"].max()["differs"] == 1
    file.write_text(text.replace("[evaluation]", '[evaluation]\ntable2_x = "the best"'), "utf-8")
    compared = {"study": verdicts.compare(read(tmp_path), "study")}
    assert deciding.by_margin(compared)["numbers"].sum() == 0


def test_numbers_picked_by_the_authors_rule_are_judged_by_it(tmp_path):
    """Catches the best of fifteen epochs on the test held against the last of ours."""
    printed = ("screw", "CBiGAN", "0.80", "Table II", "auroc")
    file = sources(tmp_path) / "cbigan" / "paper.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("[evaluation]", '[evaluation]\ntable2_x = "the best"'), "utf-8")
    publish(tmp_path, printed)
    for seed in range(3):
        ours = row("CBiGAN", 0.70 + seed / 1000, metric="auroc", form="")
        cell(tmp_path, [ours], seed=seed)
    found = verdicts_of(tmp_path)["screw", "CBiGAN", "auroc"]
    assert found == ("cannot tell", "not run as the authors evaluate: the best")
    for seed in range(3):
        ours = row("CBiGAN", 0.70 + seed / 1000, metric="auroc", form="")
        theirs = row("CBiGAN", 0.80 + seed / 1000, metric="auroc", form="authors")
        cell(tmp_path, [ours, theirs], seed=seed)
    assert verdicts_of(tmp_path)["screw", "CBiGAN", "auroc"] == ("agrees", "")
    (judged,) = verdicts.compare(read(tmp_path), "study").to_dict("records")
    assert judged["ours"] == pytest.approx(0.801) and judged["honest"] == pytest.approx(0.701)


def test_data_under_the_data_root_is_at_hand(made, tmp_path):
    """Catches "data not at hand" said of a data set that is there."""
    (tmp_path / "data/mvtec_ad/carpet").mkdir(parents=True)
    assert verdicts_of(made)["carpet", "CBiGAN", METRIC] == ("not run", "not in this profile")


def test_bounds_of_published_rows(tree):
    """Catches impossible published pairs that go unsaid, and rounding taken for a fault."""
    broken, checked = verdicts.bounds_of_published(read(tree))
    assert len(checked) == 8
    # screw 0.75 and auROC 0.9 are more than the bound 0.875, but 0.9 has one printed place
    assert list(zip(broken["method"], broken["category"], strict=True)) == [("AnoGAN", "screw")]
    pair = ("screw", "A", "0.75"), ("screw", "A", "0.90", "Table III", "auroc")
    publish(tree, *pair)
    broken, checked = verdicts.bounds_of_published(read(tree))
    assert len(checked) == len(broken) == 1
    publish(tree, *pair, origin="quoted")  # perhaps two systems of one name
    broken, checked = verdicts.bounds_of_published(read(tree))
    assert broken.empty and checked[["both", "pair"]].to_numpy().tolist() == [[True, False]]


def test_the_published_rows_that_no_scores_give():
    """Catches a pair of two systems called impossible, and one of the six that goes unsaid."""
    study = summary.Study(Path(), [], pd.DataFrame(), papers.read())
    broken, checked = verdicts.bounds_of_published(study)
    assert sorted(zip(broken["method"], broken["category"], strict=True)) == [
        ("AE-L2", "leather"), ("AE-SSIM", "leather"), ("AnoGAN", "carpet"), ("AnoGAN", "screw"),
        ("EGBAD", "grid"), ("EGBAD", "toothbrush"),
    ]  # fmt: skip
    assert (len(checked), checked["both"].sum(), checked["pair"].sum()) == (180, 54, 36)


def test_bounds_of_own_runs(made):
    """Catches an impossible pair of ours that the report does not confess."""
    broken, checked = verdicts.bounds_of_ours(read(made))
    assert checked == 3
    assert len(broken) == 2  # 2B - 1 is 0.42, 0.44, 0.46 and the auROC 0.43 each time
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
        (lambda text: text.replace("table2_x", "table9", 1), "its place says 'table2_x'"),
    ],
)
def test_bad_rows_name_their_file(tmp_path, change, message):
    """Catches a broken table that is half shown instead of named."""
    cell(tmp_path, [row("CBiGAN", 0.7)])
    path = tmp_path / "study" / "cbigan" / "table2_x.csv"
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_the_citation_file_is_whole():
    """Catches a file that no tool reads, another version than the package's, and invented DOIs."""
    text = (home() / "CITATION.cff").read_text(encoding="utf-8")
    cited = yaml.safe_load(text)
    printing = [paper for paper in papers.read().values() if paper.prints]
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert (cited["cff-version"], cited["version"]) == ("1.2.0", adlib.__version__)
    assert len(cited["references"]) == len(printing)
    for paper in cited["references"]:
        assert {"type", "title", "authors", "year"} <= set(paper)
        assert all({"family-names", "given-names"} == set(name) for name in paper["authors"])
    first = {paper["authors"][0]["family-names"] for paper in cited["references"]}
    assert {paper.citation.split()[0].rstrip(",") for paper in printing} == first
    assert "doi" not in text.lower()
