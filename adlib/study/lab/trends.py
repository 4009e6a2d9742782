"""How numbers move in a notebook's rows: along a sweep, and by differences in points."""

from collections import Counter
from collections.abc import Iterator

import pandas as pd

from adlib.study.lab.ranking import SHOWN, better
from adlib.study.tables import counted, in_words, number, points

NUMBER = r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?\s*%?|="  # what tells values of one sweep apart in a variant


def swept(rows: pd.DataFrame, what: str) -> Iterator[str]:
    """How numbers change along the values that were swept; a variant may name another sweep."""
    rows = rows[rows["x"].notna() & rows["value"].notna() & ~_is_difference(rows)]
    rows = rows.assign(sweep=rows["variant"].str.replace(NUMBER, "", regex=True).str.strip(" ,"))
    keys = ["metric", "form", "name", "measure"]
    kept = [
        (key, one)
        for key, one in rows.groupby([*keys, "sweep"], sort=False)
        if len(set(one["x"])) > 1
    ]
    sweeps = Counter(key[:-1] for key, _ in kept)
    for (*key, sweep), one in kept[: 2 * SHOWN]:
        metric, form, name, _ = key
        before = f"{in_words(sweep)} " if sweep and not what else ""
        after = "" if before else f" {what or 'of the swept value'}"
        name += f", {sweep}," if what and sweep and sweeps[tuple(key)] > 1 else ""
        one = one.assign(x=one["x"].astype(float)).sort_values("x", kind="stable")
        first, last = one.iloc[0], one.iloc[-1]
        best = one.loc[one["value"].idxmin() if better(metric) is False else one["value"].idxmax()]
        text = (
            f"From {before}{first['x']:g} to {last['x']:g}{after} the "
            f"{in_words(metric)}{f' ({form})' if form else ''} of {name} goes from "
            f"{number(first['value'])} to {number(last['value'])}"
        )
        if len(one) > 2:  # of two values it is said already which is better
            text += f"; it is best at {best['x']:g} with {number(best['value'])}"
        yield f"{text}."


def _is_difference(rows: pd.DataFrame) -> pd.Series:
    return rows["metric"].str.startswith("difference_points")


def differences(rows: pd.DataFrame) -> Iterator[str]:
    """Differences in points with their interval: how many are told from zero, the largest."""
    rows = rows[_is_difference(rows)].dropna(subset=["value"])
    if rows.empty:
        return
    raised, lowered = (rows["low"] > 0).sum(), (rows["high"] < 0).sum()
    order = rows["value"].abs().sort_values(ascending=False, kind="stable").index
    shown = [
        f"{row.method}, {points(row.value, row.low, row.high)}"
        for row in rows.loc[order].head(SHOWN).itertuples()
    ]
    yield (
        f"Of {counted(len(rows), 'difference')} {raised} {'lies' if raised == 1 else 'lie'} above "
        f"zero and {lowered} below it with the whole interval. The largest, in points: "
        f"{'; '.join(shown)}."
    )
