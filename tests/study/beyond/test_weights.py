"""CBiGAN's weights: which pair is chosen how, what that is worth, and what is said of it."""

from types import SimpleNamespace

import numpy as np
import pytest

from adlib import data
from adlib.study.beyond import weights
from adlib.study.profiles import Cell

LABELS = np.array([0] * 20 + [1] * 20)


def run(test, validation):
    """A run whose abnormal images lie so many places above the normal ones."""
    at = {"test": test, "validation": validation}
    ranks = np.arange(20.0)
    return SimpleNamespace(
        part=lambda name: (LABELS, np.concatenate([ranks, ranks + at[name]])),
        other_code=False,
        key=f"{test}-{validation}",
        record={"description": {"protocol": "pooled"}},
    )


@pytest.fixture
def tried():
    """Four pairs: the best on the validation is neither the best on the test nor the paper's."""
    runs = {(0.0, 0.1): run(5, 5), (0.0, 1.0): run(8, 15), (0.5, 0.1): run(15, 8)}
    return weights.Grid(runs | {(0.5, 1.0): run(2, 2)}, (0.0, 0.1), "paper's values", "ours")


def test_a_choice_by_validation_is_not_the_oracle_s(tried):
    """Would catch a pair that is picked on the test under the name of the validation."""
    assert tried.choices == {
        "paper's values": (0.0, 0.1), weights.VALIDATED: (0.0, 1.0), weights.ORACLE: (0.5, 0.1),
    }  # fmt: skip
    rows = {row["method"]: row for row in tried.chosen()}
    assert [row["form"] for row in rows.values()] == ["", "deployable", "oracle"]
    panel = tried.panels["test"]
    assert (panel.index.name, panel.columns.name) == ("alpha", "lambda")
    for name, pair in tried.choices.items():
        assert rows[name]["value"] == panel.loc[pair]
    assert "against" not in rows["paper's values"]["note"]


def test_what_choosing_is_worth_is_said_of_the_test(tried):
    """Would catch the gain on the validation, which is that of a best of many."""
    text = " ".join(tried.said())
    test, validation = (tried.panels[part] for part in ("test", "validation"))
    gain = 100 * (test.loc[0.0, 1.0] - test.loc[0.0, 0.1])
    assert "The validation picks alpha 0, lambda 1, the paper has alpha 0, lambda 0.1" in text
    assert f"worth +{gain:.1f} (" in text
    more = 100 * (test.loc[0.5, 0.1] - test.loc[0.0, 1.0])
    assert f"pick alpha 0.5, lambda 0.1, with {more:.1f} points more" in text
    assert f"promised {validation.loc[0.0, 1.0]:.3f}" in text
    own = weights.Grid(tried.runs, (0.0, 1.0), "paper's values", "ours")
    assert "the paper's own pair, alpha 0, lambda 1." in own.said()[0]


def test_the_table_has_a_line_a_choice(tried):
    """Would catch a difference of the paper's pair to itself, and a sign that is lost."""
    lines = tried.shown().frame.set_index("choice")
    last = lines.columns[-1]
    assert lines.loc["paper's values", last] == "–"
    assert lines.loc[weights.ORACLE, last].startswith("+")


def test_every_pair_is_scored_and_the_paper_s_is_among_them():
    """Would catch a lambda that trains again, and a grid without the pair that all is held to."""
    cell = Cell("smoke", "beyond", "alpha_lambda", "synthetic", "object", 0)
    tried = weights.grid(cell, data.pooled_balanced(data.load("synthetic", "object"), 0))
    assert tried.paper in tried.runs and tried.paper[1] == 0.1
    assert {alpha for alpha, _ in tried.runs} == {0.0, 1.2e-3, tried.paper[0]}
    assert {weight for _, weight in tried.runs} == {0.0, 0.1, 1.0}
    assert len(tried.rows) == 2 * len(tried.runs)
    assert tried.name == "paper's values"  # which smoke does not rescale
