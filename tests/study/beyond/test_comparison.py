"""The comparison: every method on every set and seed, averages over seeds, and what they allow."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from adlib import data
from adlib.metrics import interval_over_seeds
from adlib.study import profiles, results
from adlib.study.beyond import comparison
from adlib.study.beyond import comparison_tables as tables
from adlib.study.profiles import Cell

CELL = Cell("smoke", "beyond", "comparison", "synthetic", "object", 0)
SETS = [f"set {i}" for i in range(8)]


def found(values, seeds=2):
    """Rows as `compared` gives them: method -> its value on each of `SETS`."""
    rows = []
    for method, by_set in values.items():
        for where, value in zip(SETS, by_set, strict=False):
            for seed in range(seeds):
                ends = {"value": value + 0.01 * seed, "low": value - 0.1, "high": value + 0.1}
                row = {"method": f"{method} (backbone)", "name": method, "set": where, "seed": seed}
                row |= ends | {"metric": "auroc", "dataset": where, "category": "c"}
                rows.append(row | {"n_normal": 5, "images_seen": 10, "train_s": 1.5})
    return pd.DataFrame(rows)


PLANNED = comparison.Plan(["A", "B", "C"], ["L"], [], [], [0, 1], 10)
RANKED = {"C": [0.2] * 8, "A": [0.9] * 8, "B": [0.6] * 8}


def test_the_plan_parts_methods_by_what_they_learn_from():
    """Would catch a method that uses labels among those that see normal images alone."""
    planned = comparison.plan(CELL)
    assert set(planned.labelled) == {"Cycle-GAN", "Classifier", "Noisy-AnoGAN"}
    assert sorted([*planned.alone, *planned.labelled]) == sorted(
        profiles.methods("beyond", "smoke")
    )
    assert ("digits", "3") in planned.sets and planned.pooled_sets == [("synthetic", "object")]
    assert planned.seeds == [0, 1] and planned.test_images == 8


def test_a_set_of_ones_own_stands_alone_and_is_checked_first(monkeypatch):
    """Would catch a comparison on the profile's sets in place of a user's, or a late refusal."""
    own = Cell("smoke", "beyond", "comparison", "digits", "5", 0)
    planned = comparison.plan(own)
    assert planned.sets == planned.pooled_sets == [("digits", "5")]

    def refuse(*_):
        raise ValueError("too small")

    monkeypatch.setattr(data, "pooled_balanced", refuse)
    with pytest.raises(ValueError, match="too small"):
        comparison.plan(own)


def test_every_method_set_and_seed_is_asked_for_once(monkeypatch):
    """Would catch a seed of the split that is not the training's, and a test that is not drawn."""
    asked = []

    def run(cell, method, split):
        labels = split.labels_of("test")
        asked.append((cell.seed, method, split.images.name, len(labels)))
        counts = {"train": 7}
        description = {"protocol": "one_class", "settings": {}}
        description["budget"] = {"steps": 1 if method == "PaDiM" else 30, "batch": 4}
        record = {"description": description, "counts": counts, "train_s": 2.0}
        scores = np.random.default_rng(cell.seed).normal(size=len(labels))
        return SimpleNamespace(
            key="k", record=record, part=lambda _: (labels, scores), other_code=False
        )

    monkeypatch.setattr(results, "run", run)
    planned = comparison.plan(CELL)
    sets = [("digits", "3"), ("synthetic", "object")]
    rows = comparison.compared(CELL, planned, ["PaDiM", "CBiGAN"], sets, data.one_class)
    assert [one[:3] for one in asked] == [
        (seed, method, name)
        for name, _ in sets for seed in (0, 1) for method in ("PaDiM", "CBiGAN")
    ]  # fmt: skip
    assert max(n for *_, n in asked) <= 2 * planned.test_images
    assert rows["seed"].tolist() == [seed for seed, *_ in asked]
    assert rows["set"].tolist() == [f"{a} {b}" for a, b in sets for _ in range(4)]
    assert rows["images_seen"].tolist() == [7, 120] * 4
    digits = rows["dataset"] == "digits"
    assert rows.loc[digits, "protocol"].str.endswith("class 3 normal").all()
    assert not rows.loc[~digits, "protocol"].str.contains("normal").any()


def test_means_are_over_seeds_and_stay_in_order():
    """Would catch a mean over data sets, an interval of one seed, and methods sorted by name."""
    means = comparison.over_seeds(found(RANKED))
    assert len(means) == 24
    first = means.iloc[0]
    assert first["label"] == "C (backbone)" and first["value"] == pytest.approx(0.205)
    ends = interval_over_seeds([0.2, 0.21], [0.1, 0.1], [0.3, 0.3])
    assert (first["low"], first["high"]) == pytest.approx(ends)
    table = comparison.by_set(means)
    assert table.columns.tolist() == ["C (backbone)", "A (backbone)", "B (backbone)"]
    assert table.index.tolist() == SETS
    assert comparison.best(found(RANKED)) == ["A", "B"]


def test_what_is_said_keeps_to_the_tests():
    """Would catch methods told apart by too few sets, and sets of chance that are not named."""
    means, pooled = (comparison.over_seeds(found(RANKED)) for _ in range(2))
    sentences, decided = comparison.said(means, pooled)
    assert "A (backbone) has the best mean rank of 3 over 8 data sets" in decided
    assert "by more than chance: C (backbone)." in decided and "as here" in decided
    assert sentences[-1].startswith("**With labelled abnormal images.** Over 8 data sets")
    few = {name: values[:2] for name, values in RANKED.items()}
    means = comparison.over_seeds(found(few)).assign(low=0.4, high=0.6)
    sentences, decided = comparison.said(means, pooled)
    assert "describes these data and no more" in decided and "set 0, set 1" in " ".join(sentences)
    alike = {name: [0.5, 0.6, 0.5, 0.6] for name in RANKED}
    _, decided = comparison.said(comparison.over_seeds(found(alike)), pooled)
    assert "by more than chance: no method." in decided


def test_rows_are_those_that_pages_read():
    """Would catch a pooled auROC under the same name, costs counted twice, and missing ranks."""
    pooled = found({"L": [0.9], "A": [0.8]})
    rows = comparison.rows(found(RANKED), pooled, PLANNED, "no paper prints it")
    table = results.write_rows(CELL, rows)
    counts = table["metric"].value_counts()
    assert counts["auroc"] == 48 and counts["pooled_auroc"] == 4
    assert counts["images_seen"] == counts["train_s"] == 48 + 2  # of L, not of A again
    assert table.loc[table["metric"] == "train_s", ["low", "n_normal"]].isna().all(axis=None)
    several = table[table["dataset"] == profiles.ALL_SETS].set_index("metric")
    assert several.loc["mean_rank", "method"].tolist()[0] == "A (backbone)"
    assert several.loc["p", "note"].startswith("Friedman's test; critical difference 1.17 ranks")
    assert len(several.loc["wilcoxon_holm_p"]) == 3
    few = found({name: values[:2] for name, values in RANKED.items()})
    metrics = {row["metric"] for row in comparison.rows(few, pooled, PLANNED, "")}
    assert "mean_rank" in metrics and not {"p", "wilcoxon_holm_p"} & metrics


def test_a_reader_sees_tables_whose_cells_are_whole():
    """Would catch the repr of a plan, a cut cell, a number without its method."""
    table = tables.values(comparison.over_seeds(found(RANKED)))
    assert table.frame.columns.tolist() == ["method", *SETS]
    assert table.frame.iloc[1].tolist() == ["A (backbone)", *["0.905"] * 8]
    shown = tables.costs(found(RANKED)).frame
    assert shown.iloc[0].tolist() == ["C (backbone)", "10", "1.5"]
    rows = comparison.rows(found(RANKED), found({"L": [0.9]}), PLANNED, "no paper prints it")
    ranked = tables.ranks(results.write_rows(CELL, rows))
    assert ranked.frame.iloc[0].tolist() == ["A (backbone)", "mean rank", "1.000"]
    assert any(note.startswith("Friedman's test; critical") for note in ranked.notes)


def test_the_plan_names_what_stands_in():
    """Would catch images that pass for those of the papers, and papers' own that are excused."""
    planned = comparison.Plan(["A", "B"], ["L"], [("elpv", "mono")], [("elpv", "mono")], [0], 9)
    shown = tables.plan(planned)
    assert shown.frame["which"].tolist()[0] == "A and B" and "Plan(" not in repr(shown)
    assert "solar cells stands in for data sets of the papers: MVTec AD" in shown.notes[0]
    assert tables.stand_ins([("mvtec_ad", "bottle")]) == ""
