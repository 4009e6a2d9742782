"""A cell's rows beside what the paper prints: which value, of which images, with which verdict."""

import re

import numpy as np
import pandas as pd
import pytest

from adlib import data
from adlib.study import papers, results
from adlib.study.lab import published
from adlib.study.profiles import Cell
from adlib.study.tables import Table
from adlib.study.verdict import verdicts

TABLE2 = "table2_balanced_accuracy"


def written(dataset="mvtec_ad", category="bottle", paper="cbigan", notebook=TABLE2, **values):
    """A cell with a row a method, at the given oracle values."""
    cell = Cell("smoke", paper, notebook, dataset, category, 0)
    rows = [
        {"method": method, "metric": "max_balanced_accuracy", "form": "oracle", "value": value}
        for method, value in values.items()
    ]
    results.write_rows(cell, rows)
    return cell


def test_the_value_for_these_images_stands_beside_ours():
    """Would catch another category's value, a lost verdict, and a difference of the wrong sign."""
    cell = written(CBiGAN=0.5, EGBAD=0.6)
    found = published.compared(cell).set_index("method")
    printed = papers.load("cbigan").published.query("table == @TABLE2 and category == 'bottle'")
    printed = printed.set_index("method")["value"]
    assert found.loc["CBiGAN", "printed"] == printed["CBiGAN"]
    assert found.loc["CBiGAN", "difference"] == pytest.approx(0.5 - float(printed["CBiGAN"]))
    assert set(found["on"]) == {""}
    assert set(found["verdict"]) <= set(verdicts.VERDICTS)


def test_for_other_images_the_paper_s_own_are_named():
    """Would catch a value of other images that looks as if it were about these."""
    found = published.compared(written("elpv", "mono", CBiGAN=0.5)).iloc[0]
    assert found["on"] == "MVTec AD, mean of all" and found["verdict"] == ""
    assert np.isnan(found["difference"]) and found["published"] > 0.5
    digits = {"dataset": "digits", "category": "1", "paper": "ganomaly"}
    cell = Cell("smoke", notebook="table1_mnist", seed=0, **digits)
    results.write_rows(cell, [{"method": "GANomaly", "metric": "auroc", "value": 0.5}])
    found = published.compared(cell).iloc[0]
    assert found["on"] == "MNIST, class 1"  # of the same class, not the mean of all
    printed = papers.load("ganomaly").published.query("table == 'table1_mnist' and category == '1'")
    assert found["printed"] == printed.set_index("method")["value"]["GANomaly"]


def test_of_several_data_sets_the_first_that_the_paper_s_folder_names_is_shown():
    """Would catch a number of CIFAR-100 beside one of digits, where one of MNIST is printed."""
    cell = Cell("smoke", "ganomaly", "table_one_class", "digits", "0", 0)
    results.write_rows(cell, [{"method": "GANomaly", "metric": "auroc", "value": 0.5}])
    assert published.compared(cell).iloc[0]["on"] == "MNIST, mean of all"


def test_a_cell_may_be_held_against_another_notebook():
    """Would catch a tour without a published value, and one that reads another cell's rows."""
    cell = written("elpv", "mono", "beyond", "00_start_here", **{"AE-L2": 0.5})
    assert published.compared(cell).iloc[0]["printed"] == ""
    found = published.compared(published.like(cell, f"cbigan/{TABLE2}")).iloc[0]
    assert found["on"] == "MVTec AD, mean of all" and found["printed"]
    assert (found["method"], found["value"], found["verdict"]) == ("AE-L2", 0.5, "")
    notes = published.beside(published.like(cell, f"cbigan/{TABLE2}")).notes
    assert notes[0].endswith("stands in for MVTec AD.")
    with pytest.raises(ValueError, match="table2_balanced_accuracy"):
        published.like(cell, "cbigan/table2_balanced_acuracy")


def test_a_fixed_threshold_stands_beside_the_oracle():
    """Would catch the two forms of one number as two lines, or under each other's name."""
    cell = Cell("smoke", "cbigan", TABLE2, "elpv", "mono", 0)
    row = {"method": "CBiGAN", "metric": "max_balanced_accuracy", "form": "oracle", "value": 0.7}
    other = row | {"metric": "balanced_accuracy", "form": "deployable", "value": 0.6}
    results.write_rows(cell, [other, row])
    (line,) = published.compared(cell).itertuples()
    assert (line.value, line.fixed) == (0.7, 0.6)
    text = repr(published.beside(cell))
    assert "0.700" in text and "0.600" in text and text.count("CBiGAN") == 1


def test_the_last_weights_stand_beside_the_authors_best():
    """Would catch an epoch that was picked on the test as our number, or as what a dot shows."""
    cell = Cell("smoke", "ganomaly", "table1_mnist", "mnist", "1", 0)
    row = {"method": "GANomaly", "metric": "auroc", "value": 0.4, "low": 0.3, "high": 0.5}
    authors = row | {"form": "authors", "value": 0.6, "low": np.nan, "high": np.nan}
    results.write_rows(cell, [row, authors])
    (line,) = published.compared(cell).itertuples()
    assert (line.value, line.low, line.authors) == (0.4, 0.3, 0.6)
    assert line.difference == pytest.approx(0.6 - line.published)
    text = repr(published.beside(cell))
    assert "as the authors evaluate" in text and "0.600" in text


def test_a_run_s_scale_is_in_the_verdict():
    """Would catch a number of a small run that is judged as if it were the paper's own setting."""
    split = data.one_class(data.load("synthetic", "object"), seed=0)
    cell = Cell("smoke", "cbigan", TABLE2, "synthetic", "object", 0)
    run = results.run(cell, "CBiGAN", split)
    results.write_rows(cell, [results.metric_row("CBiGAN", run, "max_balanced_accuracy")])
    assert "training steps" in published.compared(cell).iloc[0]["scale"]


def test_facts_about_the_data_stand_beside_the_printed_ones():
    """Would catch an empty table of a data set, and one held against the mean of other images."""
    for category, dataset, printed in (("bottle", "mvtec_ad", "209"), ("mono", "elpv", None)):
        cell = Cell("smoke", "cbigan", "table1_dataset", dataset, category, 0)
        row = {"method": "-", "metric": "n_train_normal", "value": 208}
        results.write_rows(cell, [row])
        (line,) = published.beside(cell).frame.to_dict("records")
        assert line["", "metric"] == "train normal" and line["ours", "value"] == "208"
        assert line.get(("published", "value")) == printed


def test_diamonds_are_filled_where_the_images_are_the_same():
    """Would catch a plot that shows a value of other images as if it were a target."""
    for dataset, category, label in (("mvtec_ad", "bottle", "published"),
                                     ("elpv", "mono", "published, on other images")):  # fmt: skip
        figure = published.dots(written(dataset, category, CBiGAN=0.5))
        assert label in {text.get_text() for text in figure.legends[0].get_texts()}


def test_a_cell_without_rows_is_refused():
    """Would catch an empty table in place of an error."""
    with pytest.raises(FileNotFoundError):
        published.compared(Cell("smoke", "cbigan", TABLE2, "elpv", "poly", 7))


def test_a_wide_table_keeps_its_order():
    """Would catch methods in the order of the alphabet, and a value under another's name."""
    rows = pd.DataFrame(
        [("B", "auroc", 0.5), ("B", "train_s", 2.0), ("A", "auroc", 0.7), ("A", "other", 1.0)],
        columns=["method", "metric", "value"],
    )
    frame = Table.wide(rows, ["train_s", "auroc", "absent"]).frame
    assert frame.to_dict("list") == {
        "method": ["B", "A"], "train (s)": ["2", "–"], "auROC": ["0.500", "0.700"],
    }  # fmt: skip


def test_tables_escape_what_they_show():
    """Would catch a folder's name that becomes markup in a report."""
    table = Table.of([{"a<b>": "<i>x</i>", "n": "0.5"}], ["<u>note</u>", "", "<u>note</u>"])
    html = table._repr_html_()
    assert not {"<b>", "<i>", "<u>"} & set(re.findall("<.>", html))
    assert html.count("note") == 1
    assert html == Table(table.frame, table.notes)._repr_html_()  # no id by chance
