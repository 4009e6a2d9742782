"""What is concluded of a paper: one sentence that counts, the scale, what is open, the cost."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from report_tree import cell, publish, read, row, run

from adlib.host import paths
from adlib.study import summary
from adlib.study.verdict import conclusions, hours, verdicts, wanting

pytestmark = pytest.mark.usefixtures("no_data")


@pytest.fixture(scope="module")
def committed():
    """What the committed results say of every paper that prints numbers."""
    return conclusions.conclude_all(summary.read(paths.home() / "results")).values()


def test_sentences_are_short(committed):
    """Would catch a card of the front page that nobody reads to its end."""
    for one in committed:
        for text, most in ((one.sentence, 30), (one.scale, 20), (one.unknown, 30)):
            assert 0 < len(text.split()) <= most and text.endswith("."), text


def test_every_published_number_is_counted_once(committed):
    """Would catch a number that is lost, counted twice, or a fact about data among the methods."""
    for one in committed:
        published = one.paper.published
        facts = int((published["method"] == "-").sum())
        assert one.counts.total() == len(published) - facts == len(one.rows) - facts
        assert one.facts.total() == facts
        assert len(one.entries) == len(one.paper.claims)


def tree(root, **settings):
    """Screw with three seeds, and what the paper prints of it."""
    for seed, value in enumerate([0.71, 0.72, 0.73]):
        rows = [row("CBiGAN", value, value - 0.05, value + 0.05), row("EGBAD", 0.6, 0.55, 0.65)]
        cell(root, rows, seed=seed)
    run(root, **settings)
    publish(
        root,
        *(("screw", "CBiGAN", "0.73"), ("screw", "EGBAD", "0.99"), ("screw", "AnoGAN", "0.75")),
        ("screw", "-", "320", "Table I", "n_train_normal"),
    )
    return read(root)


def test_numbers_that_are_judged_come_first(tmp_path):
    """Would catch a verdict that hides what agrees and what differs behind what is open."""
    one = conclusions.conclude(tree(tmp_path), "cbigan")
    assert one.counts == Counter({"agrees": 1, "differs": 1, verdicts.NOT_RUN: 1})
    said = "Of 3 published numbers 1 agrees and 1 differs with our runs; 1 stands beside none."
    assert one.sentence == said
    assert one.scale == "The paper's own scale, 3 seeds."
    assert one.unknown.startswith("1 open number wants runs at full scale")


def test_toy_scale_is_said_with_its_ratio(tmp_path):
    """Would catch a conclusion from small runs that does not say how small they are."""
    one = conclusions.conclude(tree(tmp_path, steps=500, side=64), "cbigan")
    assert one.sentence.startswith("No published number is judged yet: of 3, 2 stand beside")
    assert one.scale == "500 of 200,000 training steps, 64 of 128 px, 3 seeds."
    assert "runs at full scale" in one.unknown


def test_values_that_are_no_targets_are_counted_apart(tmp_path):
    """Would catch a value that no run can decide, for which runs at full scale are asked."""
    tree(tmp_path)
    publish(
        tmp_path,
        *(("screw", "CBiGAN", "0.73"), ("screw", "AnoGAN", "0.35"), ("screw", "EGBAD", "0.2")),
    )
    one = conclusions.conclude(read(tmp_path), "cbigan")
    assert one.sentence == "Of 1 target among 3 published numbers 1 agrees with our runs."
    assert one.unknown == "1 of 3 numbers is a target; none is open."
    publish(tmp_path, ("screw", "CBiGAN", "0.73"), ("pill", "CBiGAN", "0.7"), origin="quoted")
    one = conclusions.conclude(read(tmp_path), "cbigan")
    assert one.sentence == "No published number could be judged: none of 2 is a target."


def test_every_open_number_has_the_reason_that_it_has(tmp_path):
    """Would catch numbers of another evaluation that seem to lack seeds, or means that lack data.

    It would also catch runs asked for of a method that is not run, and hours of other methods.
    """
    cell(tmp_path, [row("CBiGAN", 0.7)], category="bottle")
    tree(tmp_path, steps=500)
    published = (("screw", "CBiGAN", "0.73"), ("mean_objects", "CBiGAN", "0.7"))
    publish(tmp_path, *published, ("screw", "CAVGA-Ru", "0.8"), ("pill", "CBiGAN", "0.8"))
    study = read(tmp_path)
    one = conclusions.conclude(study, "cbigan")
    counts = {name: one.wants.tolist().count(name) for name in set(one.wants)}
    assert counts == {wanting.SCALE: 1, wanting.CATEGORIES: 1, wanting.NEVER: 1, wanting.DATA: 1}
    assert "1 stands beside toy scale, 1 beside means over fewer categories" in one.sentence
    assert "2 open numbers want data (MVTec AD), 1 runs at full scale" in one.unknown
    assert "1 methods that no profile runs" in one.unknown


def test_hours_name_the_methods_that_they_are_of():
    """Would catch hours of two methods of ten that read as those of all."""
    table = pd.DataFrame({
        "method": ["A", "B", "C"], "full_gpu_hours": [30.0, np.nan, 10.0],
        "full_cpu_hours": [1.0, 2.0, 3.0],
    })  # fmt: skip
    assert hours.in_words(table) == "A and C: at least 40 GPU-hours"
    assert hours.in_words(table[table["method"] == "B"]) == "B: at least 2 CPU-hours"
    assert hours.in_words(table.head(0)) == ""


def test_the_profile_nearest_to_the_paper_speaks(tmp_path):
    """Would catch the profile that ran last standing for a number."""
    for profile, value in (("cpu", 0.72), ("quick", 0.4)):
        for seed in range(3):
            cell(tmp_path, [row("CBiGAN", value + seed / 1000)], seed=seed, profile=profile)
    publish(tmp_path, ("screw", "CBiGAN", "0.72"))
    study = read(tmp_path)
    one = conclusions.conclude(study, "cbigan")
    assert one.rows["profile"].tolist() == ["cpu"] and one.counts == {"agrees": 1}
    one = conclusions.conclude(study, "cbigan", ["quick", "cpu"])
    assert one.rows["profile"].tolist() == ["quick"]


def test_nothing_beside_the_numbers_is_said_so(tmp_path):
    """Would catch a paper without runs whose conclusion fails, or sounds like one."""
    cell(tmp_path, [row("CBiGAN", 0.7)], dataset="elpv", category="mono")
    publish(tmp_path, ("screw", "CBiGAN", "0.72"), ("pill", "CBiGAN", "0.72"))
    one = conclusions.conclude(read(tmp_path), "cbigan")
    assert one.sentence.endswith("none of 2 has a run beside it.")
    assert one.scale.startswith("1 data set was run")
    with pytest.raises(ValueError, match="holds no results"):
        conclusions.conclude(read(tmp_path), "cbigan", ["smoke"])


def records(**changed):
    """A run's record at half the paper's side and a tenth of its steps."""
    return {
        "machine": {"processor": "p"}, "train_s": 360.0, "score_s": 36.0, "counts": {"train": 100},
        "description": {
            "detector": "CBiGAN", "dataset": "mvtec_ad", "category": "screw",
            "settings": {"side": 64, "rotation": (0, 0)},
            "budget": {"steps": 20_000, "batch": 32}, **changed,
        },
    }  # fmt: skip


def test_an_estimate_is_scaled_by_images_and_area(tmp_path):
    """Would catch an estimate by steps alone, and seconds of a training that is counted twice."""
    paper = summary.papers.load("cbigan")
    assert hours._full(records(), paper) == pytest.approx(360 * 10 * 4 + 36 * 4)
    shared = records(scores_of="another")
    assert hours._full(shared, paper) is None
    unknown = records(detector="AutoEncoder")
    assert hours._full(unknown, paper) is None  # the paper says no budget of it
    _, _, needed, on_cpu, on_gpu = hours._hours(tmp_path, paper, [records()], 2)
    assert (needed, on_cpu) == (2, pytest.approx(2 * (360 * 40 + 36 * 4) / 3600))
    assert on_gpu != on_gpu  # nothing was timed on one
