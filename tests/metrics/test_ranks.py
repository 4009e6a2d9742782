"""Ranks, tests and what they allow to say."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from adlib import metrics
from adlib.metrics import ranks


def table(rows, methods="abcdefgh"):
    """Data sets by methods."""
    rows = np.atleast_2d(rows)
    names = [f"set {i}" for i in range(len(rows))]
    return pd.DataFrame(rows, names, list(methods[: rows.shape[1]]))


def test_ties_share_a_rank_and_the_highest_value_is_first():
    """Would catch ranks from the wrong end, and ties broken by the order of the columns."""
    found = ranks.mean_ranks(table([[0.5, 0.9, 0.5, 0.1], [0.2, 0.2, 0.2, 0.2]]))
    assert found.to_dict() == {"b": 1.75, "a": 2.5, "c": 2.5, "d": 3.25}
    assert found.index[0] == "b"


@pytest.mark.parametrize(
    ("rows", "text"),
    [(np.empty((0, 3)), "0 data sets"), ([[0.1, np.nan]], "b has no finite value on set 0")],
)
def test_what_cannot_be_ranked_is_named(rows, text):
    """Would catch a missing run that takes the last rank in silence."""
    with pytest.raises(ValueError, match=text):
        ranks.mean_ranks(table(rows))


def test_a_method_named_twice_is_refused():
    """Would catch two columns that pass for one method in all that looks up names."""
    with pytest.raises(ValueError, match="named twice"):
        ranks.mean_ranks(table([[1, 2, 3]], "aab"))


@pytest.mark.parametrize("shape", [(2, 5), (5, 2)])
def test_no_p_value_from_too_little(shape):
    """Would catch a test of two data sets or two methods."""
    few = table(np.arange(10.0).reshape(shape))
    for function in (ranks.friedman, ranks.pairs):
        with pytest.raises(ValueError, match="too few"):
            function(few)
    with pytest.raises(ValueError, match="too few"):
        ranks.critical_difference(shape[1], shape[0])
    said = " ".join(ranks.conclusions(few))
    assert "too few" in said and "p =" not in said


def test_friedman_is_that_of_scipy():
    """Would catch methods and data sets swapped, ties not corrected for, and no p for all ties."""
    found = table(np.random.default_rng(1).integers(0, 5, (12, 4)) / 4)
    wanted = stats.friedmanchisquare(*found.to_numpy().T)
    assert ranks.friedman(found) == pytest.approx((wanted.statistic, wanted.pvalue))
    agreeing = table(np.tile([0.1, 0.3, 0.2], (5, 1)))
    assert ranks.friedman(agreeing)[0] == pytest.approx(5 * (3 - 1))  # n (k - 1)
    assert ranks.friedman(table(np.ones((4, 3)))) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("methods", "sets", "alpha", "q"),
    [(5, 10, 0.05, 2.728), (3, 10, 0.05, 2.343), (10, 7, 0.05, 3.164), (4, 14, 0.1, 2.291)],
)
def test_critical_difference_is_the_tabulated_one(methods, sets, alpha, q):
    """Would catch another tail, the root of two forgotten, and methods taken for data sets."""
    wanted = q * np.sqrt(methods * (methods + 1) / (6 * sets))
    assert ranks.critical_difference(methods, sets, alpha) == pytest.approx(wanted, abs=1e-3)


def test_groups_are_the_largest_and_none_holds_a_pair_that_is_apart():
    """Would catch bars inside other bars, a bar over one method, and chains of small steps."""
    ranks_ = pd.Series({"d": 4.5, "a": 1.0, "b": 2.0, "c": 2.9, "e": 4.9})
    assert ranks.groups(ranks_, 2.0) == [["a", "b", "c"], ["c", "d"], ["d", "e"]]
    assert ranks.groups(ranks_, 0.3) == []
    assert ranks.groups(ranks_, 9.0) == [["a", "b", "c", "d", "e"]]


def test_holm_by_hand():
    """Would catch Bonferroni, values that fall again, values above 1 and the order lost."""
    assert ranks.holm([0.03, 0.005, 0.04, 0.02]) == pytest.approx([0.06, 0.02, 0.06, 0.06])
    assert ranks.holm([0.9, 0.6]).tolist() == [1, 1]
    with pytest.raises(ValueError, match="lie in"):
        ranks.holm([0.5, 1.5])


@pytest.mark.filterwarnings("error")
def test_pairs_are_wilcoxon_of_the_differences():
    """Would catch a one-sided test, a sign swapped, and equal methods that give no number."""
    rng = np.random.default_rng(0)
    values = table(rng.uniform(size=(9, 3)) + [0.4, 0.1, 0])
    values["d"] = values["c"]
    found = ranks.pairs(values).set_index(["better", "worse"])
    assert len(found) == 6
    for (better, worse), row in found.iterrows():
        apart = values[better] - values[worse]
        assert row.difference == np.median(apart)
        assert row.p == pytest.approx(stats.wilcoxon(apart).pvalue if apart.any() else 1)
    assert found.loc[("c", "d"), "p"] == 1
    assert found.p_holm.to_numpy() == pytest.approx(ranks.holm(found.p))
    assert found.p.is_monotonic_increasing


def test_words_say_what_few_sets_cannot_show_and_what_many_do():
    """Would catch a verdict that is typed and not computed, and a limit left unsaid."""
    steps = np.arange(4) / 10
    few = " ".join(ranks.conclusions(table(np.tile(steps, (3, 1)))))
    assert "nothing can be concluded about differences smaller" in few
    assert "cannot give less than p = 0.25" in few
    many = " ".join(ranks.conclusions(table(np.tile(steps, (9, 1)))))
    assert "differ by more than chance" in many and "nothing can be concluded" not in many
    assert "Apart by as much: d before b, d before a, c before a." in many
    assert "Holm's correction: d before" in many
    noise = np.random.default_rng(3).uniform(size=(12, 4))
    assert "are not shown to differ" in " ".join(ranks.conclusions(table(noise)))


def test_a_difference_of_areas_has_its_interval():
    """Would catch areas swapped, images taken for unpaired, and an interval of the wrong width."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [80, 120])
    first = labels + rng.normal(size=200)
    second = first + rng.normal(size=200)
    value, low, high = ranks.auroc_difference(labels, first, second)
    assert value == pytest.approx(metrics.auroc(labels, first) - metrics.auroc(labels, second))
    assert low < value < high
    drawn = []
    for _ in range(200):
        rows = np.r_[rng.integers(0, 80, 80), rng.integers(80, 200, 120)]
        areas = [metrics.auroc(labels[rows], scores[rows]) for scores in (first, second)]
        drawn.append(areas[0] - areas[1])
    assert high - low == pytest.approx(2 * 1.96 * np.std(drawn), rel=0.2)
    assert ranks.auroc_difference(labels, first, 2 * first) == (0, 0, 0)
    with pytest.raises(ValueError, match="two each"):
        ranks.auroc_difference([0, 1, 1], [0, 1, 2], [0, 1, 2])


def test_the_front_holds_what_no_other_beats():
    """Would catch cheap and good swapped, and a dominated method on the front."""
    cost, quality = [1, 2, 3, 3, 4, 1], [0.5, 0.8, 0.8, 0.9, 0.7, 0.5]
    wanted = [True, True, False, True, False, True]  # equal ones do not beat each other
    assert ranks.pareto_front(cost, quality).tolist() == wanted
    with pytest.raises(ValueError, match="2 costs"):
        ranks.pareto_front([1, 2], [1])


@pytest.mark.parametrize(("sets", "methods", "seed"), [(6, 4, 0), (12, 5, 1), (20, 8, 2)])
def test_p_values_and_differences_are_scipys_on_random_tables(sets, methods, seed):
    """Would catch a test on other ranks, Holm's factors off by one, and another distribution."""
    rng = np.random.default_rng(seed)
    values = table(rng.uniform(size=(sets, methods)) + np.linspace(0, 0.5, methods))
    statistic, p = stats.friedmanchisquare(*values.to_numpy().T)
    assert ranks.friedman(values) == pytest.approx((statistic, p))
    # Two methods the critical difference apart have Nemenyi's p-value alpha.
    for alpha in (0.01, 0.05, 0.1):
        standard_error = np.sqrt(methods * (methods + 1) / (12 * sets))
        q = ranks.critical_difference(methods, sets, alpha) / standard_error
        assert stats.studentized_range.sf(q, methods, np.inf) == pytest.approx(alpha, rel=1e-4)
    tests = ranks.pairs(values)
    wanted = sorted(
        stats.wilcoxon(values[a], values[b]).pvalue for a, b in combinations(values.columns, 2)
    )
    assert tests.p.to_numpy() == pytest.approx(wanted)
    m = len(wanted)
    raised = [max((m - j) * wanted[j] for j in range(i + 1)) for i in range(m)]
    assert tests.p_holm.to_numpy() == pytest.approx(np.minimum(raised, 1))


def test_data_sets_needed_are_the_fewest_that_can_show_a_pair():
    """Catches a test without power that is said to have shown no difference."""
    for methods in (2, 3, 9):
        pairs, needed = methods * (methods - 1) // 2, ranks.sets_needed(methods)
        apart = np.arange(1.0, needed + 1)  # one method better on all data sets
        assert stats.wilcoxon(apart).pvalue * pairs < 0.05
        assert stats.wilcoxon(apart[:-1]).pvalue * pairs >= 0.05
