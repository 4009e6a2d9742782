"""What is trained first: published numbers that can be settled, by the seconds that it takes."""

import dataclasses

import pandas as pd
import pytest
import torch

from adlib.models.training import Budget
from adlib.study import measured, papers, plan, trainings
from adlib.study.papers import PUBLISHED
from adlib.study.plan import Number, Plan
from adlib.study.profiles import Cell
from adlib.study.trainings import PENDING, Training

CPU = torch.device("cpu")


def pending(name, method="GANomaly", category="3", seeds=(0, 1), **more):
    """Trainings of one kind on the digits, with keys `<name><seed>`."""
    table = more.pop("table", "table1_mnist")
    common = {"toy": "", "budget": Budget(10, snapshots=1)} | more
    return [
        Training(
            Cell("toy", "ganomaly", table, "digits", category, seed),
            *(method, "", "GANomaly", {"side": 32, "channels": 1}),
            key=f"{name}{seed}",
            spent_s=0.0,
            state=PENDING,
            asked=(("ganomaly", table, method),),
            **common,
        )
        for seed in seeds
    ]


@pytest.fixture
def publish(tmp_path):
    """Gives the paper with published rows of (category, method, metric, origin) on the digits."""

    def made(*rows):
        common = dict.fromkeys(PUBLISHED, "") | {"dataset": "digits", "value": "0.5"}
        named = [
            dict(zip(("category", "method", "metric", "origin"), row, strict=True)) for row in rows
        ]
        table = pd.DataFrame([common | {"table": "table1_mnist"} | row for row in named])
        table.to_csv(tmp_path / "published.csv", index=False)
        groups = {"digits": {"mean_overall": ["3", "4"]}}
        paper = papers.load("ganomaly")
        methods = paper.methods | {"EGBAD": paper.methods["EGBAD"] | {"differs": "other networks"}}
        paper = dataclasses.replace(paper, folder=tmp_path, groups=groups, methods=methods)
        return {"ganomaly": paper}

    return made


ROWS = [
    ("3", "GANomaly", "auroc", "own"),
    ("mean_overall", "GANomaly", "auroc", "own"),
    ("3", "EGBAD", "auroc", "own"),  # here another method than the paper's
    ("4", "AnoGAN", "auroc", "quoted"),
    ("3", "f-AnoGAN", "inference_time_ms", "own"),
]


def test_the_most_telling_come_first(publish):
    """Would catch an order by the clock or the profile alone, and seeds that are torn apart."""
    none, beside = pending("none", "f-AnoGAN"), pending("beside", "EGBAD")
    quoted = pending("quoted", "AnoGAN", "4")
    share, whole = pending("share", category="4"), pending("whole")
    all_of_them = [*none, *beside, *quoted, *share, *whole]
    numbers = plan.published_behind(all_of_them, [0, 1], publish(*ROWS))
    assert [(n.name[3:5], bool(n.why_not)) for n in numbers] == [
        (("3", "GANomaly"), False),
        (("mean_overall", "GANomaly"), False),
        (("3", "EGBAD"), True),
    ]
    seconds = {one.key: 10.0 for one in all_of_them}
    order = plan.in_order(all_of_them, numbers, seconds)
    assert order == [*whole, *share, *beside, *none, *quoted]
    # One and a half numbers in 400 seconds are less than half a number in 20.
    slow = seconds | {one.key: 200.0 for one in whole}
    assert plan.in_order(all_of_them, numbers, slow)[:4] == [*share, *whole]
    # The second seed is all that is missing, so the number costs half the seconds.
    assert plan.in_order([*share, whole[1]], numbers, slow)[0] == share[0]
    assert plan.in_order([share[0], whole[1]], numbers, seconds)[0] == whole[1]


def test_a_number_needs_all_its_runs_in_the_papers_own_setting(publish):
    """Would catch a mean over some categories, or a toy, that counts as a number settled."""
    whole, share = pending("whole"), pending("share", category="4")
    read = publish(*ROWS)
    mean, single = ("mean_overall", "GANomaly"), ("3", "GANomaly")

    def names(given):
        return {n.name[3:5]: n.why_not for n in plan.published_behind(given, [0, 1], read)}

    assert set(names(whole)) == {single}
    assert set(names([*whole, share[0]])) == {single}
    assert set(names([*whole, *share])) == {single, mean}
    toys = pending("share", category="4", toy="5 of 10 training steps")
    assert "5 of 10 training steps" in names([*whole, *toys])[mean]
    assert names([*whole, *toys])[single] == ""
    no_epochs = pending("whole", budget=Budget(10))
    assert "not scored as the authors evaluate" in names(no_epochs)[single]


class Fixed(measured.Measurements):
    """Seconds that are the steps, on a device whose processes do not slow each other down."""

    def seconds(self, detector, facts, steps, device):
        return None if steps == 1 else float(steps)

    def speedup(self, processes, device):
        return processes


def test_what_is_known_after_some_minutes():
    """Would catch a number that counts before its last seed, and time that is left unused."""
    long, short = pending("long", budget=Budget(50)), pending("short", "EGBAD", budget=Budget(20))
    unknown = pending("unknown", "AnoGAN", budget=Budget(1))
    numbers = [
        Number(("p", "t", "d", "c", "m", "auroc"), frozenset({"long0", "long1"}), 1, ""),
        Number(("p", "t", "d", "c", "n", "auroc"), frozenset({"short0"}), 1, "toy scale"),
    ]
    made = Plan([*unknown, *long, *short], [], numbers, Fixed(), CPU)
    assert [one.key for one in made.finished_after(1, 1)] == ["long0"]
    # The second long one does not fit any more, but two short ones do.
    assert [one.key for one in made.finished_after(95 / 60, 1)] == ["long0", "short0", "short1"]
    both = made.finished_after(70 / 60, 2)
    assert {one.key for one in both} == {"long0", "long1", "short0", "short1"}
    assert made.known(one.key for one in both) == (1, 1)
    assert made.known(["long0", "short1"]) == (0, 0)
    text = plan.text(made, 2)
    assert "no measurement" in text and "2 side by side: 1 minutes, and 2 without" in text
    assert "After 10 minutes: 4 more runs, 1 published numbers settled and 1 stood beside" in text


def test_two_tables_that_ask_for_one_run_ask_once():
    """Would catch a run that is trained, or counted, twice because two tables read it."""
    wanted = trainings.wanted("smoke", CPU)
    assert len({one.key for one in wanted}) == len(wanted)
    on_digits = [one for one in wanted if one.method == "GANomaly" and one.cell.dataset == "digits"]
    tables = {table for one in on_digits for _, table, _ in one.asked}
    assert {"table1_mnist", "table2_cifar10"} <= tables
    (shared,) = [one for one in on_digits if ("ganomaly", "table1_mnist", "GANomaly") in one.asked]
    assert ("ganomaly", "table2_cifar10", "GANomaly") in shared.asked
    trains = papers.load("cbigan").trains
    for one in (one for one in wanted if one.cell.paper == "cbigan"):
        tables = {table for _, table, _ in one.asked} & set(trains)
        assert tables == {table for table in trains if one.method in trains[table][0].methods}
        assert len(one.asked) == len(set(one.asked))


def test_methods_are_tested_on_the_images_that_the_paper_file_says():
    """Would catch a search over the whole test, or other methods tested on a part of it."""
    by_method = {
        one.method: one.split().protocol
        for one in trainings.wanted("smoke", CPU)
        if one.cell.notebook == "table1_mnist" and not one.variant
    }
    drawn = {method for method, protocol in by_method.items() if "at most 4 images" in protocol}
    assert drawn == {"AnoGAN"} and len(by_method) == 4
