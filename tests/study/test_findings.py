"""The front page's findings: sentences that follow the rows, and none where rows are absent."""

import pytest
from report_tree import METRIC, cell, publish, read, row

from adlib.study import summary, verdicts
from adlib.study.site import claims, findings, scoreboard

pytestmark = pytest.mark.usefixtures("no_data")
OVER = "improves the performance of BiGAN formulations"
TABLE = "table2_balanced_accuracy"
ZFN = {"paper": "cyclegan", "table": "table_accuracy_zfn"}


def compared(study, *order):
    """Verdicts by profile."""
    return {name: verdicts.compare(study, name) for name in order or study.profiles}


def said(root, head=None, order=(), over=False):
    """All findings of a tree in one list, or those that begin with `head`.

    Those of the claims that compare CBiGAN with EGBAD alone are left out, or stand alone (`over`).
    """
    study = read(root)
    found = findings.findings(study, compared(study, *order))
    assert list(found) == claims.BLOCKS
    found = [one for block, several in found.items() for one in several if one.block == block]
    against = [one for one in found if OVER in one.claim]
    found = against if over else [one for one in found if one not in against]
    return [one for one in found if head in (None, one.head)]


def two_methods(root, ours, other, **more):
    """CBiGAN and EGBAD on the screw, each given as (value, low, high)."""
    cell(root, [row("CBiGAN", *ours), row("EGBAD", *other)], TABLE, **more)


def test_absent_rows_leave_no_sentence(tmp_path):
    """Would catch a sentence about methods, verdicts or bounds that nothing stands behind."""
    cell(tmp_path, [row("-", 320, metric="n_train_normal", form="", run="")], "table1_z")
    assert said(tmp_path) == []
    cell(tmp_path, [row("CBiGAN", 0.7, 0.6, 0.8)], TABLE)  # nothing to compare it with
    assert [one.head for one in said(tmp_path)] == ["1 number of ours", "None of our 1 number"]


@pytest.mark.parametrize(
    ("ours", "other", "block", "words"),
    [
        ((0.9, 0.85, 0.95), (0.6, 0.55, 0.65), claims.HOLDS, "first of 2 on MVTec AD screw"),
        ((0.6, 0.55, 0.65), (0.9, 0.85, 0.95), claims.FAILS, "place 2 of 2 on MVTec AD screw"),
        ((0.8, 0.6, 0.9), (0.7, 0.65, 0.75), claims.OPEN, "cannot be distinguished from EGBAD"),
        ((0.8, "", ""), (0.7, "", ""), claims.HOLDS, "0.800, before EGBAD with 0.700"),
    ],
)
def test_a_claim_goes_where_its_intervals_say(tmp_path, ours, other, block, words):
    """Would catch a lead claimed from intervals that meet, and numbers that are not the rows'."""
    two_methods(tmp_path, ours, other)
    (found,) = said(tmp_path, "CBiGAN")
    assert found.block == block and words in found.text
    assert f"{ours[0]:.3f}" in found.text and f"{other[0]:.3f}" in found.text
    assert found.link == f"cbigan/{TABLE}.html#study"


def test_a_claim_on_one_method_is_checked_against_that_method(tmp_path):
    """Would catch a better third method that decides whether CBiGAN improves on BiGAN."""
    rows = [row("CBiGAN", 0.8, 0.75, 0.85), row("EGBAD", 0.6, 0.55, 0.65)]
    cell(tmp_path, [*rows, row("AE-L2", 0.95, 0.93, 0.97)], TABLE)
    (found,) = said(tmp_path, "CBiGAN", over=True)
    assert found.block == claims.HOLDS and "first of 2" in found.text
    assert found.claim == f"“{OVER} by a large margin” (abstract)"
    (found,) = said(tmp_path, "CBiGAN")
    assert found.block == claims.FAILS and "place 2 of 3" in found.text


def test_a_claim_on_a_mean_waits_for_it(tmp_path):
    """Would catch a claim on textures that is checked on screws."""
    two_methods(tmp_path, (0.9, 0.85, 0.95), (0.6, 0.55, 0.65), category="carpet")
    on_textures = [one for one in said(tmp_path) if "on textures" in one.claim]
    assert on_textures == []
    two_methods(tmp_path, (0.8, 0.75, 0.85), (0.6, 0.55, 0.65), category="grid")
    (found,) = [one for one in said(tmp_path) if "on textures" in one.claim]
    assert "mean of 2 categories" in found.text and "0.850" in found.text


def test_variants_and_methods_with_other_categories_do_not_lead(tmp_path):
    """Would catch a variant that beats its own method, and means over different categories."""
    for category in ("screw", "bottle"):
        two_methods(tmp_path, (0.9, 0.88, 0.92), (0.6, 0.55, 0.65), category=category)
    rows = [row("CBiGAN, step 9", 0.99), row("EGBAD, one class", 0.98), row("AE-L2", 0.97)]
    cell(tmp_path, rows, TABLE, category="pill")
    (found,) = said(tmp_path, "CBiGAN")
    assert found.block == claims.HOLDS and "mean of 2 categories" in found.text


def test_the_papers_data_come_before_others(tmp_path):
    """Would catch a claim on a stand-in although the paper's own data were run."""
    two_methods(tmp_path, (0.6, 0.5, 0.7), (0.9, 0.8, 1.0), dataset="elpv", category="mono")
    two_methods(tmp_path, (0.9, 0.8, 1.0), (0.6, 0.5, 0.7), category="screw")
    (found,) = said(tmp_path, "CBiGAN")
    assert "MVTec AD screw" in found.text


def test_a_finding_names_what_forbids_a_conclusion(tmp_path):
    """Would catch one seed, or a reduced profile, behind a sentence that sounds like a result."""
    numbers = (0.9, 0.85, 0.95), (0.6, 0.55, 0.65)
    two_methods(tmp_path, *numbers)
    assert said(tmp_path, "CBiGAN")[0].caution == "1 of 3 seeds"
    for seed in (1, 2):
        two_methods(tmp_path, *numbers, seed=seed)
    (found,) = said(tmp_path, "CBiGAN")
    assert (found.caution, found.seeds, found.profile) == ("", 3, "study")
    assert not [one for one in said(tmp_path) if "indication" in one.text]
    cell(tmp_path, [row("EGBAD", 0.6, comparable="64 px")], TABLE, category="pill", seed=7)
    (weight,) = [one for one in said(tmp_path) if "indication" in one.text]
    assert weight.head == "2 of our 3 numbers"  # without a mean over seeds that differ
    assert weight.block == claims.OPEN


def test_a_sentence_is_of_one_profile_and_never_of_smoke(tmp_path):
    """Would catch profiles that are mixed, the wrong one first, and generated images that speak."""
    lead, behind = (0.9, 0.85, 0.95), (0.6, 0.55, 0.65)
    two_methods(tmp_path, lead, behind, profile="smoke")
    assert said(tmp_path) == []
    two_methods(tmp_path, lead, behind, profile="quick")
    two_methods(tmp_path, behind, lead, profile="cpu")
    for order, block in ((("cpu", "quick"), claims.FAILS), (("quick", "cpu"), claims.HOLDS)):
        (found,) = said(tmp_path, "CBiGAN", order)
        assert (found.block, found.profile) == (block, order[0])


def test_the_worth_of_a_threshold_from_test_labels(tmp_path):
    """Would catch a mean over other pairs than those that have both forms."""
    for category, oracle, held in (("screw", 0.8, 0.5), ("pill", 0.7, 0.6)):
        rows = [row("CBiGAN", oracle), row("EGBAD", 0.9)]
        rows.append(row("CBiGAN", held, metric="balanced_accuracy", form="deployable"))
        cell(tmp_path, rows, TABLE, category=category)
    (found,) = said(tmp_path, "Thresholds")
    assert found.block == claims.FAILS
    for words in ("0.750 on average", "give 0.550", "of 0.200 over 2 pairs", "at most 0.300"):
        assert words in found.text


@pytest.mark.parametrize(("missed", "block"), [(0.04, claims.FAILS), (0.0, claims.HOLDS)])
def test_zero_false_negatives_on_held_out_images(tmp_path, missed, block):
    """Would catch a promise called kept although images are missed, and the other way round."""
    rows = [row("Cycle-GAN", 0.6, metric="zfn_accuracy")]
    rows.append(row("Cycle-GAN", 0.7, metric="accuracy", form="deployable"))
    rows.append(row("Cycle-GAN", missed, metric="miss_rate", form="deployable"))
    cell(tmp_path, rows, **ZFN)
    (found,) = said(tmp_path, "Zero false negatives")
    assert found.block == block
    assert (
        f"in {int(missed > 0)} of 1 pairs" in found.text and f"{100 * missed:.1f} %" in found.text
    )
    assert "then 0.700" in found.text and "itself 0.600" in found.text


@pytest.mark.parametrize(
    ("plain", "block"), [(0.9, claims.FAILS), (0.7, claims.HOLDS), (0.81, claims.OPEN)]
)
def test_a_classifier_on_the_same_labels(tmp_path, plain, block):
    """Would catch the plain classifier left out, or counted as one of the paper's methods."""
    numbers = {"Cycle-GAN": 0.8, "Classifier": plain}
    rows = [row(m, v, v - 0.02, v + 0.02, "best_accuracy") for m, v in numbers.items()]
    cell(tmp_path, rows, **ZFN)
    (found,) = said(tmp_path, "The same labels")
    assert found.block == block and f"{plain:.3f}" in found.text
    assert said(tmp_path, "Cycle-GAN") == []  # no other method stands beside it


def test_below_chance_counts_whole_intervals(tmp_path):
    """Would catch a value below 0.5 whose interval reaches above it, called below chance."""
    values = [("CBiGAN", 0.4, 0.3, 0.55), ("EGBAD", 0.3, 0.2, 0.4), ("AE-L2", 0.8, 0.7, 0.9)]
    cell(tmp_path, [row(*value, "auroc", "") for value in values], "table3_auroc")
    (found,) = said(tmp_path, "Below chance")
    assert "1 of 3 auROC" in found.text and "EGBAD on MVTec AD screw, 0.300" in found.text


def test_the_audit_speaks_of_what_exceeds_chance(tmp_path):
    """Would catch a difference within its interval, or of another seed, listed as a choice."""
    points = {"metric": "difference_points", "form": ""}
    raises = points | {"reading": "raises the number", "measure": "auROC"}
    other = points | {"reading": "no difference shown", "measure": "auROC"}
    rows = [
        row("CBiGAN", 12.5, 4.0, 20.0, variant="best epoch", **raises),
        row("CBiGAN", 80.0, 70.0, 90.0, variant="threshold", **raises | {"measure": "F1"}),
        row("CBiGAN", 30.0, 20.0, 40.0, variant="another seed and nothing else", **raises),
        row("GANomaly", 1.0, -1.0, 3.0, variant="scaling", **other),
    ]
    cell(tmp_path, rows, "audit", paper="beyond")
    (found,) = said(tmp_path, "Choices of evaluation")
    assert found.block == claims.FAILS and "in 1 of 2 cases" in found.text
    assert "best epoch: CBiGAN, 12.5 points (4.0 to 20.0)" in found.text
    assert "another seed" not in found.text


def compared_on(root, ranks, p):
    """A comparison of methods on eight sets with these mean ranks: 1.17 apart is not chance."""
    rows = [
        row(name, 0.5, metric="auroc", form="", dataset=where, category="")
        for where in "abcdefgh"
        for name in ranks
    ]
    several = {"form": "", "dataset": summary.ALL_SETS, "category": ""}
    rows += [row(name, rank, metric="mean_rank", **several) for name, rank in ranks.items()]
    rows.append(row("all methods", p, metric="p", **several))
    cell(root, rows, "comparison", paper="beyond")


@pytest.mark.parametrize(
    ("ranks", "p", "block", "words"),
    [
        (
            {"PaDiM": 1.0, "CBiGAN": 2.5, "GANomaly": 2.5},
            0.01,
            claims.FAILS,
            "chance: CBiGAN, GANomaly.",
        ),
        (
            {"PaDiM": 1.0, "CBiGAN": 2.5, "GANomaly": 2.5},
            0.2,
            claims.OPEN,
            "cannot be distinguished",
        ),
        (
            {"PaDiM": 1.5, "CBiGAN": 2.0, "GANomaly": 2.5},
            0.01,
            claims.OPEN,
            "cannot be distinguished",
        ),
        ({"GANomaly": 1.0, "PaDiM": 2.0, "CBiGAN": 3.0}, 0.2, claims.HOLDS, "no other method"),
    ],
)
def test_ranks_say_no_more_than_their_tests(tmp_path, ranks, p, block, words):
    """Would catch methods called worse within the critical difference or without Friedman."""
    compared_on(tmp_path, ranks, p)
    (found,) = said(tmp_path, "On equal terms")
    assert found.block == block and words in found.text
    assert (
        f"{next(iter(ranks))} comes first of 3" in found.text and "over 8 data sets" in found.text
    )
    tied = ranks["CBiGAN"] == ranks["GANomaly"]
    assert found.text.count("place 2 (mean rank 2.50)") == (2 if tied else 0)


def test_images_found_and_places_found_are_told_apart(tmp_path):
    """Would catch the best image scores taken for the best maps."""
    for category, areas in {"screw": (0.9, 0.7), "bottle": (0.6, 0.8)}.items():
        rows = [
            row(name, value, metric=metric, form="")
            for metric, values in {"auroc": areas, "aupro_0.30": (0.5, 0.2)}.items()
            for name, value in zip("AB", values, strict=True)
        ]
        cell(tmp_path, rows, "localisation", category=category, paper="beyond")
    (found,) = said(tmp_path, "The best methods")
    assert found.block == claims.FAILS and "the same on 1 of 2 data sets" in found.text


@pytest.mark.parametrize(
    ("high", "block", "words"),
    [(-1.0, claims.FAILS, "a loss on 1 of 2."), (2.0, claims.OPEN, "no loss is shown.")],
)
def test_abnormal_pixels_are_read_by_the_paired_intervals(tmp_path, high, block, words):
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
    (found,) = said(tmp_path, "Abnormal pixels")
    assert found.block == block and found.text.endswith(words) and found.claim
    assert "10 % of" in found.text and "+0.5 (-1.0 to +2.0) on mvtec_ad screw" in found.text
    clean = {"variant": "0% with a patch", "x": 0.0, "metric": "auroc", "form": ""}
    at_chance = row("Noisy-AnoGAN", 0.55, 0.45, 0.65, **clean)
    cell(tmp_path, [*rows, at_chance], "contamination", category="bottle", paper="beyond")
    (found,) = said(tmp_path, "Abnormal pixels")
    assert ("at chance already" in found.text) == (block == claims.OPEN)


@pytest.mark.parametrize(("high", "block"), [(-8.0, claims.FAILS), (1.0, claims.OPEN)])
def test_unlabelled_abnormal_images_are_no_claim_of_a_paper(tmp_path, high, block):
    """Would catch pixels taken for images, a smaller share, and a loss within its interval."""
    same = {"metric": "difference_points", "form": ""}
    rows = [
        row("PaDiM", -9.0, -10.0, high, variant="10%", x=0.1, **same),
        row("AE-L2", 2.0, -1.0, 5.0, variant="10%", x=0.1, **same),
        row("AE-L2", -30.0, -31.0, -29.0, variant="5%", x=0.05, **same),
        row("PaDiM", -40.0, -41.0, -39.0, variant="10% with a patch", x=0.1, **same),
    ]
    cell(tmp_path, rows, "contamination", paper="beyond")
    (found,) = said(tmp_path, "Unlabelled abnormal images")
    assert found.block == block and not found.claim
    assert (
        f"in {int(high < 0)} of 2 pairs" in found.text and "PaDiM on mvtec_ad screw" in found.text
    )


@pytest.mark.parametrize(("rate", "block"), [(0.2, claims.HOLDS), (0.6, claims.FAILS)])
def test_a_promise_is_broken_by_more_than_chance(tmp_path, rate, block):
    """Would catch chance of the held-out images, which two of ten can be, called a breach."""
    promise = {"variant": "fpr", "promise": 0.05, "n_held": 19, "form": "deployable"}
    values = {"false_alarm_rate": rate, "miss_rate": 0.25, "threshold": 3.0}
    rows = [row("PatchCore", v, metric=m, **promise) for m, v in values.items()]
    cell(tmp_path, rows, "your_own_images", paper="beyond")
    (found,) = said(tmp_path, "A user's threshold")
    assert found.block == block
    assert f"{100 * rate:.1f} % of the normal" in found.text and "25.0 % of the abn" in found.text


def test_counts_of_published_values_follow_the_verdicts(made):
    """Would catch counts that are typed, or that disagree with the scoreboard."""
    study = read(made)
    judged = scoreboard.nearest(compared(study))
    assert len(judged) == len(study.published) == 11
    found = {(one.block, one.head): one.text for one in said(made)}
    assert found[claims.ASKED, "11 published numbers"] == "set beside the study: CBiGAN 11."
    for verdict, block in (("agrees", claims.HOLDS), ("differs", claims.FAILS)):
        n = int((judged["verdict"] == verdict).sum())
        text = found[block, f"{n} published numbers"]
        assert text == f"{findings.SAID[verdict]}: CBiGAN {n}; 1 of them on the data, such as " + (
            "numbers of images."
        )
    texts = [one.text for one in said(made) if one.block == claims.OPEN]
    n = int((judged["verdict"] == verdicts.NO_DATA).sum())
    assert n and f"on data that are not at hand: MVTec AD {n}." in texts
    broken, checked = verdicts.bounds_of_published(study)
    assert (claims.FAILS, f"{len(broken)} of {len(checked)}") in found


def test_every_published_value_stands_once(tmp_path):
    """Would catch a value that is lost or doubled, and one judged where it has no number."""
    cell(tmp_path, [row("CBiGAN", 0.7)], "table3_y", profile="cpu")
    for profile in ("quick", "other"):
        cell(tmp_path, [row("CBiGAN", 0.7, 0.6, 0.8)], profile=profile)
    publish(tmp_path, ("screw", "CBiGAN", "0.75"), ("screw", "AnoGAN", "0.35"))
    sides = compared(read(tmp_path))
    judged = scoreboard.nearest(sides)
    assert judged["profile"].tolist() == ["quick", "cpu"]
    board = scoreboard.board(sides)
    assert [one["profile"] for one in board["with"]] == ["quick", "other"]
    assert [one["method"] for one in board["without"]] == ["AnoGAN"]
    assert scoreboard.tally(judged)["results"].total() == 2
    counted = scoreboard.counts(sides, "paper_title")
    assert [one["profile"] for one in counted] == ["quick", "other"]
    assert {one["counts"].total() for one in counted} == {2}


def test_the_scoreboard_says_protocol_and_images(tmp_path):
    """Would catch a number without the protocol and the test images that it comes from."""
    cell(tmp_path, [row("CBiGAN", 0.7, comparable="images of 256 px")], profile="cpu")
    publish(tmp_path, ("screw", "CBiGAN", "0.75"))
    (one,) = scoreboard.board(compared(read(tmp_path)))["with"]
    assert one["reason"] == "images of 256 px"
    assert one["setting"] == ["one class", "10 + 20 test images"]
    assert METRIC.replace("_", " ") == one["metric"]


def test_stand_ins_hold_nothing(tmp_path):
    """Would catch digits of scikit-learn that speak for or against a table of CIFAR-10."""
    for comparable, block in (("", claims.HOLDS), ("elpv instead of MVTec AD", claims.TOY)):
        rows = [row("CBiGAN", 0.9, 0.85, 0.95), row("EGBAD", 0.6, 0.55, 0.65)]
        cell(tmp_path, [one | {"comparable": comparable} for one in rows], TABLE)
        (found,) = said(tmp_path, "CBiGAN")
        assert found.block == block and "first of 2" in found.text
