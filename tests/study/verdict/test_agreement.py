"""The rule that compares a published number with our runs: its three outcomes and their chances."""

from types import SimpleNamespace

import numpy as np
import pytest

from adlib.study.verdict import agreement, verdicts
from adlib.study.verdict.agreement import AGREES, CANNOT_TELL, DIFFERS

MARGIN = agreement.MARGINS["auroc"]


@pytest.mark.parametrize(
    ("published", "values", "outcome"),
    [
        (0.85, [0.85, 0.86, 0.84], AGREES),
        (0.85, [0.80, 0.81, 0.79], DIFFERS),
        (0.85, [0.70, 0.90, 0.95], CANNOT_TELL),  # near, but anything could come next
        (0.85, [0.80, 0.90, 0.70], CANNOT_TELL),  # far, but the next run may reach it
        (0.85, [0.85], CANNOT_TELL),  # one run has no spread
        (0.85, [0.10], CANNOT_TELL),
    ],
)
def test_three_outcomes(published, values, outcome):
    """Catches "agrees" from a wide interval or from one run, and "differs" within reach."""
    assert agreement.compare(published, values, MARGIN).outcome == outcome


def test_half_width_by_hand():
    """Catches an interval for the mean in place of one for the next run."""
    assert agreement.half_width(0.01, 3) == pytest.approx(
        4.302653 * 0.01 * np.sqrt(4 / 3), rel=1e-6
    )
    assert np.isnan(agreement.half_width(0.01, 1))


def test_the_next_run_lies_in_the_interval():
    """Catches a wrong factor: 95 of 100 further runs must lie in the interval."""
    rng = np.random.default_rng(0)
    for runs in (2, 3, 10):
        values = rng.normal(size=(4000, runs + 1))
        mean, spread = values[:, :-1].mean(1), values[:, :-1].std(1, ddof=1)
        inside = np.abs(values[:, -1] - mean) <= agreement.half_width(1.0, runs) * spread
        assert inside.mean() == pytest.approx(0.95, abs=0.015)


def test_rounding_is_given_to_the_published_number():
    """Catches a difference that is nothing but the printed places."""
    values = [0.8039, 0.8041, 0.8040]
    assert agreement.compare(0.77, values, MARGIN).outcome == DIFFERS
    rounded = agreement.compare(0.77, values, MARGIN, rounding=0.005)
    assert rounded.outcome == AGREES and rounded.difference == pytest.approx(0.029)


def test_seeds_needed_decide():
    """Catches a number of seeds that would not decide, or one more than needed."""
    values = [0.84, 0.87]
    needed = agreement.compare(0.86, values, MARGIN).seeds_needed
    spread = np.std(values, ddof=1)
    assert agreement.half_width(spread, int(needed)) <= 2 * MARGIN
    assert agreement.half_width(spread, int(needed) - 1) > 2 * MARGIN
    assert np.isnan(agreement.compare(0.86, [0.6, 1.0, 0.9], MARGIN).seeds_needed)
    assert agreement.compare(0.86, [0.86, 0.861, 0.859], MARGIN).seeds_needed == 0


def test_a_method_that_is_worse_is_seldom_said_to_agree():
    """Catches a rule that lets almost anything pass, as an interval over images did."""
    for spread in (0.005, 0.01, 0.02, 0.04):
        for runs in (3, 5, 10):
            worse = agreement.probabilities(0.15, spread, runs, MARGIN)
            same = agreement.probabilities(0.0, spread, runs, MARGIN)
            assert worse[AGREES] < 0.005 and same[DIFFERS] < 0.07
            assert sum(worse.values()) == pytest.approx(1)
    assert agreement.probabilities(0.0, 0.01, 5, MARGIN)[AGREES] > 0.95
    assert agreement.probabilities(0.15, 0.01, 1, MARGIN)[CANNOT_TELL] == 1


def test_bad_input_is_named():
    """Catches a verdict on nothing."""
    with pytest.raises(ValueError, match="margin=0"):
        agreement.compare(0.5, [0.5, 0.6], 0)
    with pytest.raises(ValueError, match="values"):
        agreement.compare(0.5, [], MARGIN)


def test_what_would_decide_an_open_number():
    """Would catch a reason without a remedy, and seeds wanted where the evaluation is another."""
    for values, remedy in (
        ([0.5], "at least two seeds"),
        ([0.4, 0.6], "more than 100 seeds"),
        ([0.48, 0.5, 0.52], "seeds, at the spread of ours"),
    ):
        found = agreement.compare(0.5, values, 0.03)
        assert found.reason and found.remedy.endswith(remedy)
    decided = agreement.compare(0.5, [0.5, 0.5], 0.03)
    assert (decided.reason, decided.remedy) == ("", "")
    row = SimpleNamespace(verdict=agreement.CANNOT_TELL, evaluation="the best epoch")
    assert verdicts.remedy(row) == "runs evaluated as the authors do (the best epoch)"
    assert verdicts.remedy(SimpleNamespace(verdict=agreement.AGREES)) == ""
