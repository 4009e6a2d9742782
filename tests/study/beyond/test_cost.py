"""What a detector costs: what a record tells, what is measured, and which methods are worth it."""

import numpy as np
import pandas as pd

from adlib import data
from adlib.study import results
from adlib.study.beyond import cost
from adlib.study.profiles import Cell

CELL = Cell("smoke", "beyond", "cost", "synthetic", "object", 0)
BEST = "inference_time_ms_best_batch"


def written(**methods):
    """Rows of time at the best batch and auROC: method -> both."""
    return pd.DataFrame(
        [
            {"method": name, "metric": metric, "value": value, "low": np.nan, "high": np.nan}
            for name, values in methods.items()
            for metric, value in zip((BEST, "auroc"), values, strict=True)
        ]
    )


def test_energy_is_read_where_it_may_be(tmp_path):
    """Would catch counters in other units, and a processor that is left out."""
    for i, value in enumerate((2_000_000, 500_000)):
        (folder := tmp_path / f"intel-rapl:{i}").mkdir()
        (folder / "energy_uj").write_text(f"{value}\n")
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of the first, counted there already
    found = cost.meters(tmp_path)
    assert len(found) == 2 and cost.joules(found) == 2.5
    assert cost.meters(tmp_path / "absent") == []


def test_a_place_is_the_gpu_where_there_is_one():
    """Would catch a time of a GPU under the processor's name."""
    machine = {"processor": "P", "threads": 2}
    assert cost.place(machine) == "P, 2 threads"
    assert cost.place(machine | {"gpu": "G"}) == "G"


def test_rows_tell_of_the_run_and_of_this_machine():
    """Would catch images counted once for each step, and a backbone's parameters left out."""
    split = data.one_class(data.load("synthetic", "object"), 0)
    found = {method: results.run(CELL, method, split) for method in ("AE-L2", "PaDiM")}
    table = pd.DataFrame(cost.rows(found, split, "ours"))
    values = table.pivot(index="method", columns="metric", values="value")
    budget = found["AE-L2"].record["description"]["budget"]
    shown = values.loc["AE-L2", "train_images_per_s"] * values.loc["AE-L2", "train_s"]
    assert round(shown) == budget["steps"] * budget["batch"]
    shown = values.loc["PaDiM", "train_images_per_s"] * values.loc["PaDiM", "train_s"]
    assert round(shown) == len(split.train)  # one pass
    assert values.loc["PaDiM", "parameters"] > 3e6
    assert (values[BEST] <= values["inference_time_ms"]).all()
    assert table["comparable"].str.startswith("ours; scored on ").all()


def test_the_front_leaves_out_what_is_slower_and_worse():
    """Would catch a front by quality alone, and times that are compared upside down."""
    text = " ".join(cost.said(written(A=(1.0, 0.6), B=(4.0, 0.9), C=(5.0, 0.7))))
    assert "that time: A, B." in text
    assert "A is the fastest with 1 ms" in text and "C, takes 5.0 times as long" in text
    assert "no energy counter" in text
    watt = {"metric": "cpu_energy_j_per_image", "low": np.nan, "high": np.nan}
    more = [watt | {"method": "A", "value": 2.0}, watt | {"method": "B", "value": 0.5}]
    told = cost.said(pd.concat([written(A=(1.0, 0.6), B=(4.0, 0.9)), pd.DataFrame(more)]))
    assert "from 0.5 J (B) to 2 J (A)" in told[-1]
