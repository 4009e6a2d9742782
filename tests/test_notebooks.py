"""The whole study at profile `smoke`: engine, every notebook over every cell, and its report."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
import torch
from PIL import Image

from adlib.host import paths
from adlib.study import collect, packs, papers, profiles, trainings
from adlib.study.site import pages

CELLS = profiles.cells("smoke")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Run Snakemake over the profile in folders of its own; its output and the results folder."""
    root = tmp_path_factory.mktemp("study")
    places = {"ADLIB_RUNS": str(root / "runs"), "ADLIB_RESULTS": str(root / "results")}
    command = "-m snakemake --cores 2 --keep-going --nolock --config profile=smoke"
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=paths.home(),
        env=os.environ | places,
        capture_output=True,
        text=True,
        check=False,
    )
    return done, root / "results"


@pytest.fixture
def cell(request, study, monkeypatch):
    """One cell of the profile, its files in the study's results folder."""
    monkeypatch.setenv("ADLIB_RESULTS", str(study[1]))
    return request.param


def test_the_study_runs_to_its_end(study):
    """Would catch a notebook that fails, and a failure that the exit code does not tell."""
    done, _ = study
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("cell", CELLS, indirect=True, ids=lambda c: f"{c.notebook}-{c.category}")
def test_every_cell_leaves_rows_a_record_and_pictures(cell):
    """Would catch a notebook without rows, values that are no numbers, or an empty picture."""
    rows = pd.read_csv(cell.file(".csv"), keep_default_na=False, dtype={"category": str})
    value, signed = pd.to_numeric(rows["value"]), rows["metric"] == "difference_points"
    assert len(rows) and value.notna().all() and (value[~signed] >= 0).all()
    if cell.notebook == "comparison":  # has rows of all data sets
        assert set(rows["category"]) > {cell.category}
    else:
        assert set(rows["category"]) == {cell.category}
    assert (rows["comparable"] != "").all()  # generated images are never the paper's
    assert json.loads(cell.file(".json").read_text(encoding="utf-8"))["status"] == "done"
    pictures = list(cell.folder.glob(f"{cell.id}__*.png"))
    assert pictures
    for picture in pictures:
        with Image.open(picture) as image:
            assert image.text["Description"]
            assert len(image.convert("L").getcolors(256)) > 2


def test_tables_two_and_three_hold_their_methods_and_share_runs(study):
    """Would catch one method trained twice for two tables, and one that is left out in silence."""
    _, results = study
    written = results / "smoke" / "cells" / "cbigan"
    tables = [
        pd.concat(map(pd.read_csv, sorted((written / name).glob("*.csv"))))
        for name in ("table2_balanced_accuracy", "table3_auroc")
    ]
    trains = papers.load("cbigan").trains
    for name, table in zip(("table2_balanced_accuracy", "table3_auroc"), tables, strict=True):
        assert set(table["method"]) == set(trains[name][0].methods)
        assert table["value"].between(0, 1).all()
        picked = table["form"].isin(["oracle", "authors"])  # on the test itself: no interval covers
        assert table.loc[picked, ["low", "high"]].isna().all(axis=None)
        inside = table["value"].between(table["low"] - 1e-9, table["high"] + 1e-9)
        assert inside[~picked].all() and (~picked).any()
    keys = ["method", "dataset", "category", "run"]
    runs = pd.concat(table[keys].drop_duplicates() for table in tables)
    both = runs.groupby(keys[:3])["run"].agg(["nunique", "size"])
    assert (both["nunique"] == 1).all() and set(both["size"]) == {1, 2}
    for run in set(runs["run"]):
        for name in ("record.json", "scores.csv"):
            assert (results / "smoke" / "cells" / "runs" / run / name).is_file()


def test_what_is_planned_is_what_the_tables_ask_for(study, monkeypatch):
    """Would catch a plan of runs that no notebook reads, and a notebook that trains others."""
    runs = study[1].parent / "runs"
    monkeypatch.setenv("ADLIB_RUNS", str(runs))
    wanted = trainings.wanted("smoke", torch.device("cpu"))
    assert {one.state for one in wanted} == {trainings.DONE}
    asked = set()
    for cell in CELLS:
        if cell.notebook in papers.load(cell.paper).trains:
            rows = pd.read_csv(cell.file(".csv", study[1]), keep_default_na=False)
            asked |= set(rows["run"]) - {""}
    trained = {key for key in asked if "scores_of" not in packs.record(runs / key)["description"]}
    assert {one.key for one in wanted} == trained


def test_the_report_shows_every_notebook(study):
    """Would catch a report that cannot read what the notebooks really write."""
    _, results = study
    collect.collect("smoke", results)
    index = pages.build(results, paths.home() / "notebooks")
    text = (index.parent / "notebooks.html").read_text(encoding="utf-8")
    for name in {f"{cell.paper}/{cell.notebook}.html" for cell in CELLS}:
        assert name in text
        assert (index.parent / name).is_file()
