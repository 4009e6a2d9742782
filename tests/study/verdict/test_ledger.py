"""The ledger: what may decide a claim, and what may not whatever the test says."""

from dataclasses import replace

import pytest
from report_tree import cell, read, row, run

from adlib.study import departures, papers
from adlib.study.papers import Claim
from adlib.study.verdict import ledger
from adlib.study.verdict.claims import FAILS, HOLDS, OPEN

pytestmark = pytest.mark.usefixtures("no_data")
TABLE = "table2_balanced_accuracy"
OVER = Claim("over", "it leads", "abstract", TABLE, "max_balanced_accuracy", "CBiGAN", quoted=False)
AHEAD, BEHIND = (0.9, 0.88, 0.92), (0.6, 0.58, 0.62)


def entry(root, claim=OVER, order=None):
    """The ledger of CBiGAN with one claim."""
    study = read(root)
    (one,) = ledger.ledger(study, replace(study.papers["cbigan"], claims=[claim]), order)
    return one


def fill(root, ours=AHEAD, other=BEHIND, seeds=3, packed=True, **more):
    """CBiGAN and EGBAD on the screw, by a run at the paper's scale."""
    comparable = more.pop("comparable", "")
    for seed in range(seeds):
        rows = [row("CBiGAN", *ours), row("EGBAD", *other, comparable=comparable)]
        cell(root, rows, TABLE, category="screw", seed=seed, **more)
    if packed:
        run(root, profile=more.get("profile", "study"))


def one_claim(**changed):
    """A claim on the screw alone, so that no category is lacking."""
    return replace(OVER, category="screw", **changed)


@pytest.mark.parametrize(
    ("ours", "other", "outcome"), [(AHEAD, BEHIND, HOLDS), (BEHIND, AHEAD, FAILS)]
)
def test_three_seeds_at_full_scale_decide(tmp_path, ours, other, outcome):
    """Would catch a ledger in which nothing can ever hold, or fail."""
    fill(tmp_path, ours, other)
    one = entry(tmp_path, one_claim())
    assert (one.outcome, one.seeds, one.scale, one.profile) == (outcome, 3, "", "study")
    assert one.link == f"cbigan/{TABLE}.html#study" and one.test.startswith("max balanced accuracy")


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_seeds_never_decide(tmp_path, seeds):
    """Would catch a claim that holds, or does not, by one training or two."""
    for ours, other in ((AHEAD, BEHIND), (BEHIND, AHEAD)):
        root = tmp_path / f"{ours[0]}"
        fill(root, ours, other, seeds)
        one = entry(root, one_claim())
        assert one.outcome == OPEN and f"undecided with {seeds} of 3 seeds." in one.text


def test_smaller_runs_decide_nothing(tmp_path):
    """Would catch a claim that holds by runs at toy scale, and a scale without its ratio."""
    fill(tmp_path)
    run(tmp_path, steps=500, side=64)
    one = entry(tmp_path, one_claim())
    assert one.outcome == ledger.TOY
    assert one.scale == "500 of 200,000 training steps, 64 of 128 px"
    assert len(one.runs) == 1 and "first of 2" in one.text


def test_other_data_decide_nothing(tmp_path):
    """Would catch a stand-in that speaks for or against a paper."""
    for seed in range(3):
        rows = [row("CBiGAN", *AHEAD), row("EGBAD", *BEHIND)]
        cell(tmp_path, rows, TABLE, "elpv", "mono", seed)
    run(tmp_path)
    one = entry(tmp_path)
    assert (one.outcome, one.scale) == (ledger.TOY, "elpv in place of MVTec AD")


def test_a_method_that_is_not_the_papers_decides_nothing(tmp_path):
    """Would catch a rival with other networks that a paper is said to beat."""
    fill(tmp_path, comparable="EGBAD here has other networks")
    one = entry(tmp_path, one_claim())
    assert one.outcome == HOLDS  # the tree's papers print no table
    study = read(tmp_path)
    paper = replace(papers.load("cbigan"), claims=[one_claim()])
    (one,) = ledger.ledger(study, paper)
    assert one.outcome == OPEN and "with EGBAD here has other networks." in one.text


def test_rows_that_are_absent_are_not_run(tmp_path):
    """Would catch a claim that is left out, or decided, where nothing was run."""
    cell(tmp_path, [row("CBiGAN", *AHEAD)], TABLE)
    one = entry(tmp_path)
    assert (one.outcome, one.profile, one.seeds) == (ledger.NOT_RUN, "", 0)


def test_the_first_profile_with_rows_decides(tmp_path):
    """Would catch profiles that are mixed, the wrong one first, and generated images that speak."""
    fill(tmp_path, profile="smoke")
    assert entry(tmp_path, one_claim()).outcome == ledger.NOT_RUN
    fill(tmp_path, profile="quick")
    fill(tmp_path, BEHIND, AHEAD, profile="cpu")
    assert entry(tmp_path, one_claim()).outcome == FAILS
    for order, outcome in ((["quick", "cpu"], HOLDS), (["cpu", "quick"], FAILS)):
        one = entry(tmp_path, one_claim(), order)
        assert (one.outcome, one.profile) == (outcome, order[0])


def test_a_time_needs_no_budget(tmp_path):
    """Would catch times that are called toy scale because the training was short."""
    claim = Claim(
        "fast", "a", "b", "beyond/cost", "inference_time_ms", "CBiGAN", "faster", ("EGBAD",)
    )
    for seed in range(3):
        rows = [row(name, ms, metric="inference_time_ms", form="") for name, ms in
                (("CBiGAN", 8 + seed / 10), ("EGBAD", 80 + seed))]  # fmt: skip
        cell(tmp_path, rows, "cost", paper="beyond", category="screw", seed=seed)
    run(tmp_path, steps=500)
    assert entry(tmp_path, claim).outcome == HOLDS
    run(tmp_path, steps=500, side=64)
    one = entry(tmp_path, claim)
    assert (one.outcome, one.scale) == (ledger.TOY, "64 of 128 px")


def test_the_table_has_every_claim_of_every_paper(tmp_path):
    """Would catch a claim that the ledger loses, or a column without a name."""
    fill(tmp_path)
    study = read(tmp_path)
    entries = [one for paper in study.papers.values() for one in ledger.ledger(study, paper)]
    table = ledger.table(entries)
    assert len(table) == sum(len(paper.claims) for paper in study.papers.values()) > 20
    assert not table.duplicated(["paper", "id"]).any()
    assert set(table["outcome"]) <= set(ledger.OUTCOMES)
    assert (table["test"] != "").all()


def test_a_record_that_is_absent_is_said(tmp_path):
    """Would catch runs whose scale nobody knows, taken for full scale or for toy scale."""
    fill(tmp_path, packed=False)
    for _ in range(2):  # without a pack, and with one that lacks the run
        one = entry(tmp_path, one_claim())
        assert (one.outcome, one.scale) == (OPEN, departures.UNKNOWN)
        assert f"undecided with {departures.UNKNOWN}." in one.text
        run(tmp_path, "another")


@pytest.mark.parametrize("nameless", [("CBiGAN",), ("EGBAD",), ("CBiGAN", "EGBAD")])
def test_rows_that_name_no_run_decide_nothing(tmp_path, nameless):
    """Would catch a claim that holds by numbers whose run, and so whose scale, nobody knows."""
    claim = Claim("fast", "a", "b", "table9", "inference_time_ms", "CBiGAN", "faster", ("EGBAD",))
    for seed in range(3):
        times = {"CBiGAN": 8 + seed / 10, "EGBAD": 80 + seed}
        rows = [
            row(name, ms, metric=claim.metric, form="", run="" if name in nameless else "r1")
            for name, ms in times.items()
        ]
        cell(tmp_path, rows, "table9", category="screw", seed=seed)
    run(tmp_path)
    one = entry(tmp_path, claim)
    assert (one.outcome, one.scale) == (OPEN, ledger.NO_RUN)
    assert one.text.endswith(f"undecided with {ledger.NO_RUN}.")
