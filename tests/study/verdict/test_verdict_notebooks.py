"""The verdict notebooks, executed on a tree of results, and what they show."""

import re
import shutil

import nbformat
import pandas as pd
import pytest
from report_tree import cell, publish, read, row, run, sources

from adlib.study import pictures, profiles
from adlib.study.verdict import concluding, conclusions, ledger, verdict_notebooks

pytestmark = pytest.mark.usefixtures("no_data")
TABLE = "table2_balanced_accuracy"
OPEN = {"profile": "", "results": "", "notebooks": ""}


def tree(root):
    """Screw with three seeds, smaller than the paper's, in one profile; a stand-in in another."""
    for seed, value in enumerate([0.71, 0.72, 0.73]):
        cell(root, [row("CBiGAN", value), row("EGBAD", 0.6)], TABLE, seed=seed)
        cell(root, [row("CBiGAN", value)], seed=seed)
    run(root, steps=500)
    cell(root, [row("-", 320, metric="n_train_normal", form="", run="")], "table1_z")
    cell(root, [row("CBiGAN", 0.9)], TABLE, "elpv", "mono", profile="quick")
    publish(
        root,
        *(("screw", "CBiGAN", "0.73"), ("screw", "EGBAD", "0.99"), ("pill", "CBiGAN", "0.84")),
        ("screw", "-", "320", "Table I", "n_train_normal"),
    )
    return root


def opened(root, capsys, **given):
    """A verdict as a notebook opens it; what that shows is thrown away."""
    folders = {"results": str(root), "notebooks": str(sources(root))}
    found = concluding.judge("cbigan", OPEN | folders | given)
    capsys.readouterr()
    return found


def test_all_are_executed_and_leave_what_the_site_takes(tmp_path):
    """Would catch a verdict that runs for one paper alone, and a picture without its words."""
    made = tmp_path / "made"
    root = tree(tmp_path / "results")
    for name in ("ganomaly", "noisy_anogan"):  # two are enough, and two at once
        (sources(root) / name / f"{profiles.VERDICT}.ipynb").unlink()
    found = verdict_notebooks.run(root, sources(root), made)
    assert list(found) == ["cbigan", "cyclegan"]
    for paper, executed in found.items():
        cells = nbformat.read(executed, 4).cells
        assert executed == made / paper / "verdict.ipynb"
        shown = cells[-1].outputs[0].data["text/markdown"]
        assert shown.startswith("## What we see") and "**What would decide it.**" in shown
        assert pictures.look(executed.with_name(verdict_notebooks.PICTURE))[0]
    alt = [
        output.metadata["image/png"]["alt"]
        for cell in nbformat.read(found["cbigan"], 4).cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert alt == ["CBiGAN, published against ours, 1 of 3 numbers: toy scale 1."]
    caption, _ = pictures.look(made / verdict_notebooks.HERO)
    assert alt[0] in caption and "Cycle-GAN AD" in caption
    table = pd.read_csv(made / verdict_notebooks.CLAIMS)
    study = read(root)
    wanted = [(name, one.id) for name in found for one in study.papers[name].claims]
    assert list(zip(table["paper"], table["id"], strict=True)) == wanted


def test_a_notebook_that_fails_is_named(tmp_path):
    """Would catch a verdict page that is missing, or empty, without a word."""
    root = tree(tmp_path / "results")
    for name in ("ganomaly", "noisy_anogan", "cyclegan"):
        (sources(root) / name / "verdict.ipynb").unlink()
    file = sources(root) / "cbigan" / "verdict.ipynb"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("verdict.cost()", "verdict.costs()"), encoding="utf-8")
    with pytest.raises(RuntimeError, match=rf"{re.escape(str(file))}.*"):
        verdict_notebooks.run(root, sources(root), tmp_path / "made")


def test_a_verdict_is_no_cell_of_the_grid():
    """Would catch a study that runs a verdict for every category, before its rows are there."""
    for paper in ("cbigan", "cyclegan", "ganomaly", "noisy_anogan"):
        assert profiles.VERDICT not in profiles.notebooks(paper)
    assert profiles.VERDICT not in {one.notebook for one in profiles.cells("quick")}


def test_tables_say_every_reason_once(tmp_path, capsys):
    """Would catch a reason in every row, a number that is lost, and facts among the methods."""
    of = opened(tree(tmp_path), capsys)
    table = of.numbers()
    told = [" ".join(map(str, line)) for line in table.frame.itertuples(index=False)]
    assert len(told) == 2 and "toy scale [1]" in told[0] and "fact about the data" in told[1]
    assert table.notes[0].startswith("[1] 500 of 200,000 training steps")
    reasons = "data not at hand", "not run for this table"
    absent = {f"1 more has no number of ours: {reason}." for reason in reasons}
    assert set(table.notes[1:]) == absent


def test_the_ledger_shows_quote_test_outcome_scale_and_cost(tmp_path, capsys):
    """Would catch a claim without its place, its test, or what its runs were."""
    of = opened(tree(tmp_path), capsys)
    frame = of.claims().frame.set_index("id")
    assert len(frame) == len(of.of.entries)
    line = frame.loc["over_egbad"]
    assert "by a large margin” (abstract)" in line["claim"]
    assert "paired over categories" in line["test"] and line["outcome"] == ledger.TOY
    assert line["scale"] == "only 500 of 200,000 training steps" and line["seeds"] == 3
    assert float(line["hours"]) >= 0 and line["profile"] == "study"
    assert frame.loc["single_pass", "outcome"] == ledger.NOT_RUN


def test_what_is_seen_follows_the_rows(tmp_path, capsys):
    """Would catch a conclusion that is typed, or that names a claim without rows."""
    of = opened(tree(tmp_path), capsys)
    seen, limits = of.seen().data, of.limitations().data
    assert of.of.sentence in seen and of.of.unknown in seen and of.of.scale in seen
    assert "`over_egbad`, toy scale, which decides nothing" in seen and "single_pass" not in seen
    assert "CAVGA-Ru is not run" in limits
    shown = of.cost().frame
    assert shown[("", "method")].tolist() == ["CBiGAN", "EGBAD"]
    assert "500 (study)" in of.departures().frame["here"].tolist()


def test_one_profile_can_be_judged_alone(tmp_path, capsys):
    """Would catch a parameter that is passed over, and a mistyped profile."""
    root = tree(tmp_path)
    of = opened(root, capsys, profile="quick")
    assert of.order == ["quick"] and of.of.rows["ours"].isna().all()
    with pytest.raises(ValueError, match="no 'quik'; did you mean quick"):
        opened(root, capsys, profile="quik")
    assert "Rows: profile `quick`" in of.heading
    assert "Rows: profiles `quick` and `study`" in opened(root, capsys).heading


def test_a_paper_without_runs_concludes_too(tmp_path, capsys):
    """Would catch tables and a picture that fail where there is nothing to show."""
    cell(tmp_path, [row("GANomaly", 0.9)], "table1_mnist", "mnist", "0", paper="ganomaly")
    shutil.rmtree(tmp_path / "study" / "ganomaly")
    of = opened(tmp_path, capsys)
    for shown in (of.claims(), of.numbers(), of.departures(), of.cost()):
        assert shown._repr_html_() is not None
    assert of.picture().data and of.seen().data and of.limitations().data
    assert isinstance(of.of, conclusions.Conclusion)
