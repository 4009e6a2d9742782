"""The methods that the papers' tables name: each is run, or the study says why not."""

import pytest

from adlib import models
from adlib.study import papers, profiles, trainings
from adlib.study.profiles import Cell

TABLES = [
    ("cbigan", "table2_balanced_accuracy"),
    ("cbigan", "table3_auroc"),
    ("noisy_anogan", "table2_caltech"),
    ("ganomaly", "table1_mnist"),
    ("ganomaly", "table2_cifar10"),
]
SHIPPED = ["quick", "cpu", "gpu", "paper"]
TABLE2 = "cbigan", "table2_balanced_accuracy", "mvtec_ad", "bottle", 0


@pytest.mark.parametrize(("name", "table"), TABLES)
def test_every_printed_method_is_run_or_says_why(name, table):
    """Would catch a column of a printed table that is left out in silence."""
    paper = papers.load(name)
    printed = set(paper.published.query("table == @table")["method"])
    asked = {m for one in paper.trains[table] for m in one.methods or paper.methods}
    assert printed and printed == printed & (asked | set(paper.not_run))
    assert not asked & set(paper.not_run) and all(paper.not_run.values())
    assert not printed & set(profiles.load("cpu")[name]["without"])


@pytest.mark.parametrize("profile", SHIPPED)
def test_a_profile_says_why_it_leaves_methods_out(profile):
    """Would catch a profile that drops methods without a reason that its tables can print."""
    for name in {name for name, _ in TABLES} & set(profiles.papers(profile)):
        section = profiles.load(profile)[name]
        assert bool(section["without"]) == bool(section["why_without"]), name


def test_a_table_names_what_is_left_out_and_why():
    """Would catch a note that forgets a method, or that stands where nothing is left out."""
    text = trainings.left_out(Cell("quick", *TABLE2))
    section = profiles.load("quick")["cbigan"]
    named, _, why = text.partition(": ")
    assert named.startswith("Profile quick leaves out AnoGAN, ") and "CAVGA-Du" in named
    assert "GeoTrans" not in text  # of Table III alone
    assert why.startswith(section["why_without"] + ". Profiles that run all of these: cpu, gpu, ")
    unrun = f"CAVGA-Ru is not run: {papers.load('cbigan').not_run['CAVGA-Ru']}."
    assert text.endswith(unrun) and trainings.left_out(Cell("cpu", *TABLE2)) == unrun
    whole = Cell("cpu", "ganomaly", "table_mvtec", "mvtec_ad", "bottle", 0)
    assert trainings.left_out(whole) == "All methods of the table are run."


def test_no_setting_has_the_name_of_a_budget():
    """Would catch a detector's setting that no profile can reach, because training takes it."""
    for name, cls in models.REGISTRY.items():
        assert not set(cls.Settings.__dataclass_fields__) & set(profiles.BUDGET), name


def test_transductive_methods_see_the_whole_test_and_hold_nothing_out():
    """Would catch a sample that lacks images, and a threshold from images of no sample."""
    from adlib import data

    cell = Cell("smoke", "noisy_anogan", "table2_caltech", "digits", "1_inlier_categories", 0)
    found = trainings.splits(cell, data.load("digits", "1_inlier_categories"))
    for (method, _), split in found.items():
        detector, _, _ = profiles.method("smoke", "noisy_anogan", method, *_shown(cell))
        labels = split.labels_of("test")
        if models.REGISTRY[detector].transductive:
            assert len(split.validation) == 0 and len(labels) > 50 and labels.mean() == 0.5
            assert set(found["AnoGAN", ""].test) <= set(split.test)
        else:
            assert len(split.validation) and len(labels) == 8


def _shown(cell):
    return cell.dataset, cell.category, "object"
