"""When a training stops: what picking a snapshot on the test is worth."""

import pandas as pd

from adlib.study import curve
from adlib.study.tables import Table, interval, number, points

STEP = "step"  # how the variant of a point of the curve begins


def picked(written: pd.DataFrame) -> pd.DataFrame:
    """The rows that say where to stop, without the points of the curve."""
    return written[~written["variant"].str.startswith(STEP)]


def shown(written: pd.DataFrame) -> Table:
    """One line a method and way to stop."""
    lines = [
        {"method": name, "snapshot": variant, "form": form or "–", "after steps": f"{x:,.0f}",
         "auROC on the test": number(value), "95 % interval": interval(low, high) or "–"}
        for name, variant, form, x, value, low, high in picked(written)[
            ["name", "variant", "form", "x", "value", "low", "high"]
        ].itertuples(index=False)
    ]  # fmt: skip
    return Table.of(lines, ["What is picked on the test itself has no interval over its images."])


def said(written: pd.DataFrame) -> list[str]:
    """What each way to stop is worth against the end of the budget, one sentence a method."""
    sentences = []
    for name, rows in picked(written).groupby("name", sort=False):
        at = rows.set_index("variant")["value"]
        last = at[curve.LAST]
        text = f"Against the last weights of {name}, with {number(last)}, the best snapshot on "
        text += f"the test is worth {points(100 * (at[curve.BEST] - last))} points"
        if curve.HELD_OUT in at:
            held = points(100 * (at[curve.HELD_OUT] - last))
            text += f", the pick on held-out normal images {held}"
        if curve.BEST_AS_AUTHORS in at:
            theirs = number(at[curve.BEST_AS_AUTHORS])
            text += f"; evaluated as its authors do, the same training gives {theirs}"
        sentences.append(f"{text}.")
    return sentences
