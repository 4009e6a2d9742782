"""The cards on what goes beyond the papers follow the rows; without rows there is none."""

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from report_tree import cell, read, row, run

from adlib.study import cards as beyond
from adlib.study import summary

pytestmark = pytest.mark.usefixtures("no_data")


def drawn(root, rows, table, name, paper="beyond", profile="study", **more):
    """A cell with its rows and the picture that a card shows."""
    cell(root, rows, table, paper=paper, profile=profile, **more)
    info = PngInfo()
    info.add_text("Description", f"What {table} shows")
    for picture in (root / profile / paper).glob(f"{table}__*__examples.png"):
        target = picture.with_name(picture.name.replace("examples", name))
        Image.new("L", (4, 4)).save(target, pnginfo=info)


def card(root, title):
    """The card that begins so; None where there is none."""
    found = [one for one in beyond.cards(read(root)) if one.title.startswith(title)]
    assert all(len(one.sentence.split()) <= 30 for one in found)
    return found[0] if found else None


def test_absent_rows_leave_no_card(tmp_path):
    """Would catch a card that nothing stands behind, and one without its picture."""
    cell(tmp_path, [row("CBiGAN", 0.7)])
    assert beyond.cards(read(tmp_path)) == []
    points = {"metric": "difference_points", "form": "", "measure": "auROC"}
    cell(tmp_path, [row("CBiGAN", 9.0, 5.0, 12.0, **points)], "audit", paper="beyond")
    assert card(tmp_path, "What evaluation") is None


def test_the_audit_speaks_of_what_exceeds_chance(tmp_path):
    """Would catch a difference within its interval, or of another seed, listed as a case."""
    points = {"metric": "difference_points", "form": ""}
    raises = points | {"reading": "raises the number", "measure": "auROC"}
    rows = [
        row("CBiGAN", 12.5, 4.0, 20.0, variant="best epoch", **raises),
        row("CBiGAN", 80.0, 70.0, 90.0, variant="threshold", **raises | {"measure": "F1"}),
        row("CBiGAN", 30.0, 20.0, 40.0, variant=beyond.CONTROL, **raises),
        row("GANomaly", 1.0, -1.0, 3.0, variant="scaling", **raises),
    ]
    drawn(tmp_path, rows, "audit", "worth")
    one = card(tmp_path, "What evaluation")
    assert one.sentence.startswith("In 1 of 2 cases a choice raises the auROC beyond chance")
    assert "“best epoch” is worth +12.5 points (screw) for CBiGAN" in one.sentence
    assert one.caption == "What audit shows" and one.picture.name.endswith("__worth.png")
    assert (one.link, one.profile) == ("beyond/audit.html#study", "study")


def test_the_largest_choice_is_told_by_category_with_its_picture(tmp_path):
    """Would catch a gain of one category told as that of all, beside another one's picture."""
    same = {"metric": "difference_points", "form": "", "measure": "auROC", "variant": "sorted"}
    for category, ends, reads in (
        ("bottle", (-0.8, -3.0, 1.0), "no difference shown"),
        ("screw", (19.9, 12.0, 28.0), "raises the number"),
        ("pill", (5.0, 1.0, 9.0), "raises the number"),
    ):
        rows = [row("GANomaly", *ends, reading=reads, **same)]
        drawn(tmp_path, rows, "audit", "worth", category=category)
    one = card(tmp_path, "What evaluation")
    assert one.sentence.startswith("In 2 of 3 cases")
    assert "worth −0.8 (bottle) to +19.9 points (screw) for GANomaly" in one.sentence
    assert "-screw-" in one.picture.name


def test_the_comparison_says_how_small_it_is(tmp_path):
    """Would catch categories called data sets, and trainings whose size nobody learns."""
    rows = [
        row(name, 0.5, metric="auroc", form="", dataset="a", category=category, run=run)
        for category in "xyz"
        for name, run in (("GANomaly", "r1"), ("CBiGAN", "r2"), ("PaDiM", "r3"))
    ]
    several = {"form": "", "dataset": summary.ALL_SETS, "category": "", "run": ""}
    ranks = {"PaDiM": 1.0, "CBiGAN": 2.5, "GANomaly": 2.5}
    rows += [row(name, rank, metric="mean_rank", **several) for name, rank in ranks.items()]
    rows.append(row("all methods", 0.2, metric="p", **several))
    drawn(tmp_path, rows, "comparison", "critical_difference")
    for name, steps in (("r1", 1500), ("r2", 200), ("r3", 1)):
        run(tmp_path, name, steps=steps)
    text = card(tmp_path, "The fair").sentence
    assert text.startswith("Over 3 categories of 1 data set, at 200–1,500 steps, PaDiM ranks")


@pytest.mark.parametrize(
    ("ranks", "p", "behind", "place"),
    [
        ({"PaDiM": 1.0, "CBiGAN": 2.5, "GANomaly": 2.5}, 0.01, "2 of their 2", "number 2"),
        ({"PaDiM": 1.0, "CBiGAN": 2.5, "GANomaly": 2.5}, 0.2, "0 of their 2", "number 2"),
        ({"GANomaly": 1.0, "PaDiM": 2.0, "CBiGAN": 3.0}, 0.01, "1 of their 2", "number 1"),
    ],
)
def test_ranks_say_no_more_than_their_tests(tmp_path, ranks, p, behind, place):
    """Would catch methods called worse within the critical difference or without Friedman."""
    rows = [
        row(name, 0.5, metric="auroc", form="", dataset=where, category="")
        for where in "abcdefgh"
        for name in ranks
    ]
    several = {"form": "", "dataset": summary.ALL_SETS, "category": ""}
    rows += [row(name, rank, metric="mean_rank", **several) for name, rank in ranks.items()]
    rows.append(row("all methods", p, metric="p", **several))
    drawn(tmp_path, rows, "comparison", "critical_difference")
    text = card(tmp_path, "The fair").sentence
    assert "Over 8 data sets" in text and behind in text and place in text


def test_a_promise_counts_cases_of_one_threshold(tmp_path):
    """Would catch misses of another kind of threshold, and a mean over all of them."""
    values = {"lowest": (0.1, 0.6), "conformal": (0.5, 0.1)}
    rows = [
        row("Cycle-GAN", value, metric=metric, form="deployable", variant=variant)
        for variant, pair in values.items()
        for metric, value in zip(("miss_rate", "false_alarm_rate"), pair, strict=True)
    ]
    rows += [
        row("GANomaly", value, metric=metric, form="deployable", variant="lowest")
        for metric, value in (("miss_rate", 0.0), ("false_alarm_rate", 0.8))
    ]
    drawn(tmp_path, rows, "table_zfn_promise", "promises", paper="cyclegan")
    text = card(tmp_path, "What a threshold").sentence
    assert "in 1 of 2 cases, 5.0 % on average, with 70 % false alarms" in text


def test_the_profile_nearest_to_the_papers_speaks(tmp_path):
    """Would catch a card of a small profile where a larger one has its rows."""
    raises = {"metric": "difference_points", "form": "", "measure": "auROC"}
    for profile, value in (("quick", 5.0), ("cpu", 9.0)):
        rows = [row("CBiGAN", value, 1.0, 12.0, reading="raises the number", **raises)]
        drawn(tmp_path, rows, "audit", "worth", profile=profile)
    assert card(tmp_path, "What evaluation").profile == "cpu"
