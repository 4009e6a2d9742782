"""What the papers' folders say, and what a new folder needs."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import nbformat
import pandas as pd
import pytest

from adlib import data, models
from adlib.host.paths import home
from adlib.study import papers, profiles

PRINTED = {  # rows of each printed table, and a hash of their values as text
    "cbigan": {"Table I": 60, "Table II": 180, "Table III": 108},
    "noisy_anogan": {"Table 1": 6, "Table 2": 24},
    "cyclegan": {
        "abstract (first arXiv version)": 3,
        "abstract (journal version)": 2,
    },
    "ganomaly": {
        "Table 1 (arXiv v1)": 30,
        "Table 2 (arXiv v1)": 30,
        "Table 3 (arXiv v1)": 12,
        "Table 4 (arXiv v1)": 9,
        "MVTec AD leaderboard": 4,
        "leaderboard page": 2,
    },
}
HASHES = {
    "cbigan": "9ec5f62cea51dce7",
    "noisy_anogan": "990c845b96830a42",
    "cyclegan": "1c02a862e6816a80",
    "ganomaly": "74365f4bfc32ac62",
}
# Published rows of data or means that the study has not: X-ray images, averages over unnamed sets.
ALONE = {"cbigan": 0, "noisy_anogan": 0, "cyclegan": 5, "ganomaly": 15}
PAPER = """
title = "Toy"
citation = "Nobody, A toy, 2026"
[datasets]
"*" = ["digits"]
[methods.Toy]
detector = "AutoEncoder"
[[trains.table1_toy]]
protocol = "one_class"
drawn.Toy = "toys"
[options]
toys = "how many toys"
[profiles.quick]
toys = 3
sets.digits = ["0"]
detectors.AutoEncoder.steps = 3
[[claims]]
id = "plays"
text = "it plays"
place = "page 1"
table = "table1_toy"
metric = "auroc"
method = "Toy"
"""


CLAIM = PAPER[PAPER.index("[[claims]]") :]


@pytest.mark.parametrize("name", PRINTED)
def test_every_published_value_is_kept(name):
    """Would catch a row that is lost, and a printed digit that changes."""
    rows = papers.load(name).published
    tables = rows["printed_as"].str.partition("; ")[0]
    assert tables.value_counts().to_dict() == PRINTED[name]
    share = rows["printed_as"].str.extract(r"; ([\d.]+) %$")[0]
    printed = share.fillna(rows["value"])  # percentages are shares of 1 here
    difference = share.astype(float) / 100 - rows["value"].astype(float)
    assert (difference.dropna().abs() < 1e-9).all()
    text = " ".join(printed)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == HASHES[name]


@pytest.mark.parametrize("name", PRINTED)
def test_published_rows_meet_ours(name):
    """Would catch a published row that stands alone because the paper calls a thing otherwise."""
    paper = papers.load(name)
    rows = paper.published
    assert (rows["source"] != "").all()
    assert not rows.duplicated(papers.PUBLISHED[:5]).any()
    ours = rows["table"].isin(profiles.notebooks(name)) & rows["dataset"].isin(data.names())
    assert (~ours).sum() == ALONE[name]
    ours = rows[ours]
    for row in ours.itertuples():
        means = papers.groups(papers.read(), name, row.dataset)
        assert row.category in {*data.info(row.dataset).modes, *means}, row


OTHERS = {  # rows of each paper's `others.csv`, and a hash of their values as text
    "cbigan": (15, "c834aeb0410be06b"),
    "cyclegan": (64, "898a58340fb04878"),
    "ganomaly": (23, "f75c72975292f9d6"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_value_of_another_implementation_meets_a_table(name):
    """Would catch a lost or changed value, and one beside a table, set or category of none."""
    rows = papers.load(name).others
    once = rows.drop_duplicates(papers.OTHERS)["value"]
    assert len(once) == OTHERS[name][0]
    assert hashlib.sha256(" ".join(once).encode()).hexdigest()[:16] == OTHERS[name][1]
    assert not rows.duplicated(["paper", "table", *papers.OTHERS[1:5], "implementation"]).any()
    assert (rows[["protocol", "implementation", "source"]] != "").all(axis=None)
    assert set(rows["form"]) <= {"", "authors"}
    for row in rows.itertuples():
        assert row.table in profiles.notebooks(row.paper)
        assert row.method.split(" (")[0] in papers.load(row.paper).methods or row.paper == "cbigan"
        means = papers.groups(papers.read(), row.paper, row.dataset)
        assert row.category in {*data.info(row.dataset).modes, *means}, row


def test_a_value_stands_in_several_tables(tmp_path):
    """Would catch a table of another paper that is taken for one of the file's own."""
    folder = new_paper(tmp_path)
    none = papers.read(tmp_path)["toy"].others
    assert none.empty and (none.dtypes == none["value"].dtype).all()  # it joins others as text
    row = [
        "table1_toy far/table",
        "digits",
        "0",
        "Toy",
        "auroc",
        "0.5",
        "one_class",
        "",
        "X",
        "y",
        "",
    ]
    pd.DataFrame([row], columns=papers.OTHERS).to_csv(folder / "others.csv", index=False)
    found = papers.read(tmp_path)["toy"].others
    assert found[["paper", "table"]].to_numpy().tolist() == [
        ["toy", "table1_toy"],
        ["far", "table"],
    ]
    assert found["value"].tolist() == ["0.5", "0.5"]


def test_means_are_those_of_the_paper():
    """Would catch a lost place ("0.6" for "0.60"), and a group that the paper does not average."""
    paper = papers.load("cbigan")
    rows = paper.published
    ours = rows[(rows["table"] == "table2_balanced_accuracy") & (rows["method"] == "CBiGAN")]
    ours = ours.set_index("category")["value"]
    assert len(ours) == 18 and (ours.str.len() == 4).all()
    groups = paper.groups["mvtec_ad"]
    for mean, names in groups.items():
        assert float(ours[mean]) == pytest.approx(ours[list(names)].astype(float).mean(), abs=0.006)
    modes = data.info("mvtec_ad").modes
    assert set(groups["mean_textures"]) == {n for n, mode in modes.items() if mode == "texture"}
    assert list(groups["mean_overall"]) == list(modes)


@pytest.mark.parametrize("name", papers.read())
def test_methods_and_claims_name_what_there_is(name):
    """Would catch a detector, a setting, a method or a metric that nothing knows."""
    paper = papers.load(name)
    for method in paper.methods.values():
        settings = {k: v for k, v in method.items() if k not in ("detector", "differs")}
        models.REGISTRY[method["detector"]].Settings(**settings)
    for claim in paper.claims:
        folder = papers.load(claim.table.rpartition("/")[0] or name)  # whose table it is
        named = claim.over if claim.check != "groups" else ()
        assert {claim.method, *named} <= set(folder.methods)
        means = set(papers.MEANS) if claim.check == "groups" else set()
        assert means >= set(claim.over) - set(named)
        assert bool(claim.categories) == (claim.check in ("everywhere", "falls_less"))
    for dataset in {one for named in paper.datasets.values() for one in named}:
        assert dataset in data.names()
    known = {category for one in data.names() for category in data.info(one).modes}
    assert set(paper.by_category) <= known
    for dataset, groups in paper.groups.items():
        if dataset != papers.ALL_SETS:
            assert {name for names in groups.values() for name in names} <= known


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title =", "titel ="), r"paper.toml: no 'titel'; did you mean title"),
        (('detector = "AutoEncoder"', ""), "methods.Toy names no detector"),
        (('metric = "auroc"', 'metrc = "auroc"'), "a claim: no 'metrc'; did you mean metric"),
        (('metric = "auroc"', ""), "a claim lacks metric"),
        (('id = "plays"', ""), "a claim lacks id"),
        (("[[claims]]", CLAIM + "[[claims]]"), "two claims have the id 'plays'"),
        (('table = "table1_toy"', 'table = "toy/table1"'), "claim plays: table: .*table1_toy"),
        (('table = "table1_toy"', 'table = "table1_toi"'), "did you mean table1_toy"),
        (('"it plays"', f'"{"very " * 26}"'), "longer than 25 words"),
        (("citation", "across = 3\ncitation"), "across = 3 is no list"),
        (("title", "= title"), "paper.toml: Invalid"),
        (('method = "Toy"', 'method = "Toy"\ncheck = "led"'), "did you mean leads"),
        (("[[trains.table1_toy", "[[trains.table1_toi"), "trains: no .*did you mean table1_toy"),
        (("[[trains.table1_toy]]", "[trains.table1_toy]"), "trains: table1_toy = .* is no list"),
        (('protocol = "one_class"', ""), "trains.table1_toy names no protocol"),
        (('"one_class"', '"one_clas"'), "trains.table1_toy: protocol: no .*did you mean one_class"),
        (("drawn.Toy", "drawn.Toi"), "trains.table1_toy: no 'Toi'; did you mean Toy"),
        (('drawn.Toy = "toys"', 'methods_of = "tosy"'), "no 'tosy'; did you mean toys"),
        (("[options]", "[groups.digits]\nmean_all = []\n[options]"), "mean_overall"),
    ],
)
def test_a_mistake_in_a_paper_names_its_file(tmp_path, change, message):
    """Would catch a mistyped key that is passed over, and an error that does not say where."""
    folder = new_paper(tmp_path)
    (folder / "paper.toml").write_text(PAPER.replace(*change, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        papers.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("value", "valeu"), "the columns must be table, dataset"),
        (("0.91", "high"), "column value"),
        ((",own,", ",owned,"), "origin: no 'owned'; did you mean own"),
    ],
)
def test_a_mistake_in_published_numbers_names_the_file(tmp_path, change, message):
    """Would catch a broken table of published numbers that is half shown instead of named."""
    folder = new_paper(tmp_path)
    file = folder / "published.csv"
    file.write_text(file.read_text(encoding="utf-8").replace(*change, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=f"published.csv.*{message}"):
        papers.read(tmp_path)["toy"].published  # noqa: B018
    (folder / "others.csv").write_text("tables,value\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"others.csv: the columns must be tables, dataset"):
        papers.read(tmp_path)["toy"].others  # noqa: B018


def new_paper(notebooks):
    """A made-up paper's folder: paper.toml, published.csv and one notebook."""
    folder = notebooks / "toy"
    folder.mkdir(parents=True)
    (folder / "paper.toml").write_text(PAPER, encoding="utf-8")
    row = ["table1_toy", "digits", "0", "Toy", "auroc", "0.91", "Table 1", "own", "page 1", ""]
    pd.DataFrame([row], columns=papers.PUBLISHED).to_csv(folder / "published.csv", index=False)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Table 1: toys")])
    book.metadata["adlib"] = {"grid": "seeds"}
    nbformat.write(book, folder / "table1_toy.ipynb")
    return folder


def test_a_new_folder_is_all_that_a_paper_needs(tmp_path):
    """Would catch a list of papers, tables or data sets in the package that a new one is not in."""
    project = tmp_path / "checkout"
    for name in ("adlib", "notebooks"):
        shutil.copytree(home() / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(home() / "pyproject.toml", project)
    new_paper(project / "notebooks")
    code = """
import json
from adlib.study import profiles, results
cell, = (cell for cell in profiles.cells("quick") if cell.paper == "toy")
detector, _, budget = profiles.method("quick", "toy", "Toy", "digits", "0", "object")
row = {"method": "Toy", "metric": "auroc", "value": 0.8765, "low": 0.8, "high": 0.95}
results.write_rows(cell, [row | {"protocol": "one class", "comparable": "", "form": ""}])
cell.file(".json").write_text(json.dumps({"status": "done"}))
print(json.dumps([cell.id, detector, budget, "toy" in profiles.papers("quick")]))
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ADLIB_")}
    environment["PYTHONPATH"] = str(project)

    def run(*arguments):
        command = [sys.executable, *arguments]
        return subprocess.check_output(command, cwd=project, env=environment, text=True)

    planned = json.loads(run("-c", code).splitlines()[-1])
    budget = {"steps": 3, "batch": 16}  # its own steps, and the batch of the profile
    assert planned == ["digits-0-s0", "AutoEncoder", budget, True]
    run("-m", "adlib", "report", "--profile", "quick", "--collect")
    report = project / "results" / "report"
    page = (report / "toy" / "table1_toy.html").read_text(encoding="utf-8")
    assert "Table 1: toys" in page and "Published and ours, profile quick" in page
    assert all(text in page for text in ("0.91", "0.876", "reproduced"))
    listed = (report / "notebooks.html").read_text(encoding="utf-8")
    assert "Nobody, A toy, 2026." in listed
    board = (report / "scoreboard.html").read_text(encoding="utf-8")
    assert "toy/table1_toy.html" in board and "0.91" in board
