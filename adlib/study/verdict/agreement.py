"""Whether a published number and our runs agree: the rule, its margins, and what it can decide.

A published number is one training run (or the best of some) on the official test images, which our
runs share. So the yardstick is how far one more run of ours may lie from the others, not how far
the metric may move with other images.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from adlib.metrics.curves import finite_vector

AGREES, DIFFERS, CANNOT_TELL = "agrees", "differs", "cannot tell"
OUTCOMES = (AGREES, DIFFERS, CANNOT_TELL)
# Fixed before any verdict was made. Three points are about what the papers' own tables call a clear
# difference between two methods, and less than the gap between most neighbours in a column. F1 and
# accuracies are shares of images as balanced accuracy is.
MARGINS = {
    "auroc": 0.03,
    "average_precision": 0.03,
    "max_balanced_accuracy": 0.03,
    "best_accuracy": 0.03,
    "best_f1": 0.03,
    "zfn_accuracy": 0.03,
}
ROUNDING = 1e-9  # 0.75 - 0.72 is a little more than 0.03
CONFIDENCE = 0.95
SEEDS = 3  # what a statement on a method needs
MOST_SEEDS = 100  # more trainings than this nobody makes to settle one number


@dataclass(frozen=True)
class Agreement:
    """Outcome for one published number.

    Attributes:
        outcome: one of `OUTCOMES`.
        difference: our mean minus the nearest value that rounds to the published one.
        half_width: of the prediction interval for one more run; NaN with one run.
        seeds: number of our runs.
        seeds_needed: runs that would decide at the mean and the spread seen; 0 where it is decided,
            NaN where the spread is not known or no number up to `MOST_SEEDS` would.
    """

    outcome: str
    difference: float
    half_width: float
    seeds: int
    seeds_needed: float

    @property
    def reason(self) -> str:
        """What stands between our runs and an answer; "" where they give one."""
        if self.outcome != CANNOT_TELL:
            return ""
        if self.seeds < 2:
            return "one seed has no spread"
        if np.isnan(self.seeds_needed):
            return f"from {self.seeds} seeds; more than {MOST_SEEDS} would be needed"
        return f"from {self.seeds} seeds; {self.seeds_needed:.0f} would decide at their spread"

    @property
    def remedy(self) -> str:
        """What would let our runs give an answer; "" where they give one."""
        if self.outcome != CANNOT_TELL:
            return ""
        if self.seeds < 2:
            return "at least two seeds"
        if np.isnan(self.seeds_needed):
            return f"more than {MOST_SEEDS} seeds"
        return f"{self.seeds_needed:.0f} seeds, at the spread of ours"


def half_width(spread: float, runs: int, confidence: float = CONFIDENCE) -> float:
    """Half of the prediction interval for one more run: t s sqrt(1 + 1/k); NaN with one run.

    Args:
        spread: standard deviation s of the metric over runs, with k - 1 in the denominator.
        runs: k, at least 1.
        confidence: level of the interval in (0, 1).
    """
    if runs < 2:
        return np.nan
    t = stats.t.ppf((1 + confidence) / 2, runs - 1)
    return float(t * spread * np.sqrt(1 + 1 / runs))


def compare(published: float, values: ArrayLike, margin: float, rounding: float = 0.0) -> Agreement:
    """Compare a published number with our runs in the paper's own setting.

    *agrees*: our mean is within the margin of it, and the prediction interval for one more run is
    at most four margins wide, so that a difference beyond two margins would have shown. *differs*:
    it lies outside that interval and further away than the margin. *cannot tell*: all else.

    Args:
        published: the printed value, in the unit of `values`.
        values: (k,) the metric of each of our runs.
        margin: largest difference that does not count.
        rounding: half a unit of the last printed place.

    Raises:
        ValueError: no value, one that is not finite, or a margin that is not positive.
    """
    values = finite_vector(values, "values")
    if not margin > 0:
        raise ValueError(f"margin={margin}: it must be larger than 0")
    mean = float(values.mean())
    nearest = min(max(mean, published - rounding), published + rounding)
    difference = mean - nearest
    spread = float(values.std(ddof=1)) if values.size > 1 else np.nan
    width = half_width(spread, values.size)
    outcome = _outcome(abs(difference), width, margin)
    needed = 0.0 if outcome != CANNOT_TELL else _seeds_needed(abs(difference), spread, margin)
    return Agreement(outcome, difference, width, values.size, needed)


def _outcome(distance: float, width: float, margin: float) -> str:
    near = distance <= margin + ROUNDING
    if near and width <= 2 * margin:
        return AGREES
    if not near and distance > width:
        return DIFFERS
    return CANNOT_TELL


def _seeds_needed(distance: float, spread: float, margin: float) -> float:
    """Fewest runs that decide if mean and spread stay as they are."""
    for runs in range(2, MOST_SEEDS + 1):
        if _outcome(distance, half_width(spread, runs), margin) != CANNOT_TELL:
            return float(runs)
    return np.nan


def probabilities(
    difference: float, spread: float, runs: int, margin: float, simulations: int = 4000
) -> dict[str, float]:
    """Probability of each outcome where our method's true mean is `difference` below the paper's.

    The published number is one run of the paper's method, ours are `runs` runs; all vary over
    trainings with the standard deviation `spread`.
    """
    rng = np.random.default_rng(0)
    published = rng.normal(0.0, spread, simulations)
    ours = rng.normal(-difference, spread, (simulations, runs))
    distance = np.abs(ours.mean(1) - published)
    if runs < 2:
        return dict.fromkeys(OUTCOMES, 0.0) | {CANNOT_TELL: 1.0}
    widths = half_width(1.0, runs) * ours.std(1, ddof=1)
    agrees = (distance <= margin) & (widths <= 2 * margin)
    differs = (distance > margin) & (distance > widths)
    return {
        AGREES: float(agrees.mean()),
        DIFFERS: float(differs.mean()),
        CANNOT_TELL: float((~agrees & ~differs).mean()),
    }
