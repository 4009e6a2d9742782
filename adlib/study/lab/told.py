"""What the rows of the audit tell, in sentences that are true for the rows of any profile.

Read are the rows `with_trap`, `without_trap` and `difference_points` of every choice, method and
measure, and the reading of the latter. Nothing here makes a trap, so any page may tell of them.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from adlib.study.tables import points as in_points

# How the reading of a number begins -> what is said of such numbers.
READINGS = {
    "raises": "raised by the choice",
    "lowers": "lowered by the choice",
    "can only raise": "the best of several on the test, which can only raise",
    "no difference": "not shown to move",
    "no interval": "without an interval",
    "within": "within what another seed may make",
}
CONTROL = "chance: a seed"  # how the reading of a training with another seed begins
LEVEL = 1.96  # standard errors on either side of an interval of 95 %
LISTED = 8  # numbers that are all told; of more only the most telling ones are
MOST = 3  # of these, of a kind


def numbers(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a choice, method and measure, in the order of the rows.

    Returns:
        `variant` (the choice), `method`, `measure`, `with_trap`, `without_trap`, `points`, `low`,
        `high`, `reading`, `begins` (a key of `READINGS`, or `CONTROL`), `n` (test images).
    """
    name = "name" if "name" in rows else "method"
    keys = ["variant", name, "measure"]
    found = rows.pivot_table("value", keys, "metric", sort=False).reset_index()
    points = rows[rows["metric"] == "difference_points"]
    points = points.assign(n=points["n_normal"] + points["n_abnormal"])
    found = found.merge(points[[*keys, "low", "high", "reading", "n"]], on=keys)
    found = found.rename(columns={name: "method", "difference_points": "points"})
    kinds = (*READINGS, CONTROL)
    begins = [next(kind for kind in kinds if text.startswith(kind)) for text in found["reading"]]
    return found.assign(begins=begins)


def of(rows: pd.DataFrame) -> tuple[list[str], str]:
    """Say of every number what the choice does to it, or of many the most telling ones.

    Returns:
        The sentences, and the verdict: how many numbers the choices move, and what would decide
        those of which nothing can be told.
    """
    found = numbers(rows)
    counts = found["begins"].value_counts()
    kinds = [kind for kind in READINGS if kind in counts]
    total = int(counts[kinds].sum())
    decided = f"One number: {READINGS[kinds[0]]}."
    if total != 1:
        parts = "; ".join(f"{counts[kind]} {READINGS[kind]}" for kind in kinds)
        decided = f"Of {total} numbers: {parts}."
    open_ones = (*_more_images(found), *_more_seeds(found), *_more_tests(found))
    return [_line(row) for row in _telling(found).itertuples()], " ".join([decided, *open_ones])


def _telling(found: pd.DataFrame) -> pd.DataFrame:
    """All numbers of a few, else the auROC values that are raised most, by either kind."""
    if len(found) <= LISTED:
        return found
    areas = found[found["measure"] == "auROC"].sort_values("points", ascending=False, kind="stable")
    kinds = ("raises", "can only raise")
    return pd.concat([areas[areas["begins"] == kind].head(MOST) for kind in kinds])


def _line(row: tuple) -> str:
    ends = "" if np.isnan(row.low) else f" ({in_points(row.low)} to {in_points(row.high)})"
    return (
        f"With *{row.variant}* the {row.measure} of {row.method} is {row.with_trap:.3f}, without "
        f"it {row.without_trap:.3f}: {in_points(row.points)} points{ends}; {row.reading}."
    )


def _more_images(found: pd.DataFrame) -> Iterable[str]:
    """Test images with which an interval as wide for its size would leave zero out."""
    rows = found[(found["begins"] == "no difference") & (found["points"] != 0)]
    if rows.empty:
        return
    needed = rows["n"] * ((rows["high"] - rows["low"]) / 2 / rows["points"]) ** 2
    names = rows["variant"] + " (" + rows["method"] + ", " + rows["measure"] + ")"
    said = [f"{_two_digits(n)} for {name}" for n, name in zip(needed, names, strict=True)]
    if len(said) > MOST:
        said = [f"{_two_digits(needed.min())} to {_two_digits(needed.max())}"]
    yield f"Test images that would show a difference of the same size: about {'; '.join(said)}."


def _more_seeds(found: pd.DataFrame) -> Iterable[str]:
    """Trainings of either side that would tell an effect of the same size from the seed's."""
    within = found[found["begins"] == "within"]
    if within.empty:
        return
    controls = found.loc[found["begins"] == CONTROL, "points"]
    if controls.empty:
        yield "Trainings with other seeds would have to say what chance makes."
        return
    spread = np.std([0.0, *controls], ddof=1)
    said = [
        f"{max(2, int(np.ceil(2 * (LEVEL * spread / row.points) ** 2)))} for {row.variant}"
        for row in within.itertuples()
    ]
    yield (
        f"Over seeds the auROC spreads by {spread:.1f} points (standard deviation of "
        f"{len(controls) + 1}); trainings of either side that would tell an effect of the same "
        f"size: about {'; '.join(said)}."
    )


def _more_tests(found: pd.DataFrame) -> Iterable[str]:
    if (found["begins"] == "can only raise").any():
        yield "Whether the best of several is better at all, other test images would tell."
    if (found["begins"] == "no interval").any():
        yield "A number without an interval needs further test sets."


def _two_digits(value: float) -> str:
    """An estimated count, rounded up to two digits."""
    unit = 10 ** max(0, int(np.log10(value)) - 1)
    return f"{int(np.ceil(value / unit)) * unit:,}"
