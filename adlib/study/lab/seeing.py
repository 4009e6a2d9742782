"""What a notebook's rows show, in sentences: the last cell of every notebook.

Each function looks at the rows of one kind and gives nothing where there are none, so the same call
is true for any notebook, profile and data set. Nothing is typed but the words between the numbers.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
from IPython.display import Markdown

from adlib.study import papers
from adlib.study.lab import outcomes, published
from adlib.study.lab.tables import halves, in_words, interval, listed, number, points, signed
from adlib.study.profiles import Cell
from adlib.study.verdict import agreement, verdicts

FEWER_IS_BETTER = (
    *("miss_rate", "false_alarm_rate", "divided_false_alarm_rate", "loss_", "parameters"),
    *("_ms", "_s", "_mb", "ms_per_image", "training_seconds"),
)
SHOWN = 3  # of a kind, in one sentence
Own = tuple[list[str], str]  # sentences, and the verdict with what would decide it
NUMBER = r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?\s*%?|="  # what tells values of one sweep apart in a variant


def seen(cell: Cell, *more: str, swept: str = "", own: Own | None = None, **reads: str) -> Markdown:
    """What the rows of a cell show, with the verdict and what would decide it.

    Args:
        cell: whose rows, as they were written.
        *more: sentences that a function of `adlib.study` has computed of the same rows; they follow
            those on rows in general.
        swept: what `x` is in rows that have one, for instance `training steps`.
        own: sentences and verdict that a function of `adlib.study` has computed of rows with a
            meaning of their own; they stand in place of all others.
        **reads: metric -> what it says in words, for metrics that are no usual ones.
    """
    sentences, decided = own or _general(cell, more, swept, reads)
    listed = "\n".join(f"- {text}" for text in sentences)
    return Markdown(f"## What we see\n\n{listed}\n\n**Verdict.** {decided}")


def _general(cell: Cell, more: Iterable[str], swept: str, reads: Mapping[str, str]) -> Own:
    found, study = published.compared(cell), published.of_cell(cell)
    rows = study.summary[study.summary["categories"] == 1]
    sentences = [
        *_ranking(cell, found, reads),
        *_claims(cell, found),
        *_published(cell, found),
        *_fixed(found),
        *_below_chance(found),
        *_swept(rows, swept),
        *_points(rows),
        *_rates(rows),
        *_facts(cell, reads),
        *_values(pd.concat([found, published.compared(cell, facts=True)]), reads),
        *more,
    ]
    return sentences, outcomes.verdict(cell, found)


def _stands(row) -> str:
    ends = interval(row.low, row.high)
    return number(row.value) + (f" ({ends})" if ends else "")


def _better(metric: str) -> bool | None:
    """Whether more (True) or less (False) of a metric is better; None where nobody can say."""
    if metric in agreement.MARGINS or halves(metric) or metric.startswith(("aupro", "pixel_a")):
        return True
    fewer = metric.startswith(FEWER_IS_BETTER) or metric.endswith(FEWER_IS_BETTER)
    return False if fewer else None


def _places(found: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Metric, where, and the rows of two or more methods there, best first."""
    several = found[["dataset", "category"]].drop_duplicates().shape[0] > 1
    for (metric, dataset, category), rows in found.groupby(
        ["metric", "dataset", "category"], sort=False
    ):
        more, forms = _better(metric), set(rows["form"])
        picked = "oracle" in forms and len(forms) > 1  # among others, which is no rival of them
        if more is not None and len(rows) > 1 and not picked:
            ranked = rows.sort_values("value", ascending=not more, kind="stable")
            yield metric, f" on {dataset} {category}" if several else "", ranked


def _ranking(cell: Cell, found: pd.DataFrame, reads: Mapping[str, str]) -> Iterator[str]:
    """Who comes first, and whether the second, and the papers' own method, can be told from it."""
    own = {claim.method for claim in papers.load(cell.paper).claims}
    for metric, where, ranked in list(_places(found))[:SHOWN]:
        words, rows = reads.get(metric, in_words(metric)), list(ranked.itertuples())
        first, second, last = rows[0], rows[1], rows[-1]
        if not _better(metric):  # a cost: how far apart they lie says more than who is second
            yield (
                f"{first.method} has the least {words}{where}, {number(first.value)}, and "
                f"{last.method} the most, {number(last.value)}."
            )
            continue
        tied = [row.method for row in rows if row.value == first.value]
        if len(tied) > 1:
            yield f"By {words}{where} {listed(tied)} share the first place with {_stands(first)}."
            continue
        text = f"By {words}{where} {first.method} comes first of {len(rows)} with "
        text += f"{_stands(first)}, before {second.method} with {_stands(second)}"
        text += f"{_apart(first, second)}."
        for place, row in enumerate(rows, 1):
            if row.name in own and place > 2:
                text += f" {row.method} takes place {place} with {_stands(row)}"
                text += f"{_apart(first, row)}."
        yield text


def _claims(cell: Cell, found: pd.DataFrame) -> Iterator[str]:
    """How methods stand here that a claim compares by name; one cell does not decide it."""
    for claim in papers.load(cell.paper).claims:
        if claim.table != cell.notebook or claim.category or claim.categories or claim.variant:
            continue
        rows = found[found["metric"] == claim.metric].drop_duplicates("method")
        rows = rows.set_index("method")["value"]
        others = [name for name in claim.over if name in rows]
        if claim.method in rows and others:
            shown = [f"{name} {number(rows[name])}" for name in (claim.method, *others)]
            words = f"{claim.words} ({claim.place})"
            yield f"The claim {words}: here {listed(shown)}, {in_words(claim.metric)}."


def _apart(first, other) -> str:
    if pd.isna(first.low) or pd.isna(other.low):
        return ""
    low, high = sorted([(first.low, first.high), (other.low, other.high)])
    meet = high[0] <= low[1]
    return "; their intervals overlap" if meet else ""


def _published(cell: Cell, found: pd.DataFrame) -> Iterator[str]:
    """Ours beside the paper's: the largest differences here, or where the paper's images differ."""
    for metric, rows in list(found.dropna(subset=["authors"]).groupby("metric", sort=False))[:1]:
        shown = [
            f"{number(row.authors)} instead of {number(row.value)} ({row.method})"
            for row in rows.itertuples()
        ]
        how = papers.load(cell.paper).evaluation[cell.notebook]
        yield f"Evaluated as the authors do ({how}), the {in_words(metric)} is {listed(shown)}."
    who = outcomes.printer(cell)
    here = found[found["published"].notna() & (found["on"] == "")]
    if len(here):
        order = here["difference"].abs().sort_values(ascending=False, kind="stable").index
        shown = [
            f"{row.method} {number(row.value if pd.isna(row.authors) else row.authors)} "
            f"against {row.printed}"
            for row in here.loc[order].head(SHOWN).itertuples()
        ]
        mean = signed(here["difference"].mean(), "0.0")
        yield (
            f"Of {len(here)} values that {who} prints for these images ours differ by {mean} "
            f"on average, most for {listed(shown)}."
        )
    other = found[found["published"].notna() & (found["on"] != "")]
    for (metric, place), rows in list(other.groupby(["metric", "on"], sort=False))[:1]:
        shown = [
            f"{row.method} {row.printed} (ours here {number(row.value)})"
            for row in rows.head(SHOWN).itertuples()
        ]
        yield (
            f"For these images {who} prints no number; on {place} it prints as "
            f"{in_words(metric)}: {listed(shown)}."
        )
    for row in found.itertuples():
        alone = found["method"].nunique() == 1 and _better(row.metric)
        if alone and pd.isna(row.published):
            yield f"{row.method} reaches {in_words(row.metric)} {_stands(row)}."


def _fixed(found: pd.DataFrame) -> Iterator[str]:
    """What the test labels add where they pick the threshold."""
    for metric, rows in found.dropna(subset=["fixed"]).groupby("metric", sort=False):
        gain = 100 * (rows["value"] - rows["fixed"])
        most = rows.loc[gain.idxmax(), "method"]
        over = f" on average over {len(rows)} rows, at most {gain.max():.1f} ({most})"
        yield (
            f"A threshold that is picked on the test labels is worth {gain.mean():.1f} points of "
            f"{in_words(metric)}{over if len(rows) > 1 else ''}, against one that was fixed "
            "beforehand."
        )


def _below_chance(found: pd.DataFrame) -> Iterator[str]:
    found = found[found["metric"].map(halves).astype(bool) & found["high"].notna()]
    rows = found[found["high"] < 0.5]
    if len(rows):
        lowest = rows.loc[rows["value"].idxmin()]
        yield (
            f"{len(rows)} of {len(found)} values lie below chance with their whole interval, the "
            f"lowest {lowest['method']} with {_stands(lowest)} ({in_words(lowest['metric'])}): "
            "abnormal images are taken for the more normal ones."
        )


def _swept(rows: pd.DataFrame, what: str) -> Iterator[str]:
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
        best = one.loc[one["value"].idxmin() if _better(metric) is False else one["value"].idxmax()]
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


def _points(rows: pd.DataFrame) -> Iterator[str]:
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
        f"Of {len(rows)} differences {raised} lie above zero and {lowered} below it with their "
        f"whole interval. The largest, in points: {'; '.join(shown)}."
    )


def _rates(rows: pd.DataFrame) -> Iterator[str]:
    """Misses and false alarms at thresholds that held-out images set, beside what was promised."""
    rows = rows[(rows["form"] == "deployable") & rows["metric"].isin(["miss_rate"])]
    rows = rows.dropna(subset=["value"])
    if rows.empty:
        return
    if len(rows) == 1:
        share = f"{100 * rows['value'].iloc[0]:.1f} % of the abnormal test images"
        yield f"At a threshold that held-out images set {rows['name'].iloc[0]} misses {share}."
        return
    some = rows[rows["value"] > 0]
    yield (
        f"At thresholds that held-out images set {len(some)} of {len(rows)} miss abnormal test "
        f"images, {100 * rows['value'].mean():.1f} % of them on average, at most "
        f"{100 * rows['value'].max():.1f} % ({rows.loc[rows['value'].idxmax(), 'method']})."
    )


def _facts(cell: Cell, reads: Mapping[str, str]) -> Iterator[str]:
    """Facts about the data beside the printed ones."""
    facts = published.compared(cell, facts=True)
    facts = facts[~facts["metric"].isin(reads)]  # `_values` says those
    judged = facts[facts["verdict"] != ""]
    if len(judged):
        half = judged["printed"].map(verdicts.half_unit)
        met = judged["difference"].abs() <= half + agreement.ROUNDING
        text = f"{met.sum()} of {len(judged)} facts about the data are what the paper prints"
        off = [
            f"{_fact(row.metric)} {row.value:g} against {row.printed}"
            for row in judged[~met].itertuples()
        ]
        yield text + (f"; not so {listed(off[:SHOWN])}." if off else ".")
    elif len(facts):
        named = [f"{_fact(row.metric)} {row.value:g}" for row in facts.itertuples()]
        yield f"The data have {listed(named[: 2 * SHOWN])}. The paper prints none of these here."


def _fact(metric: str) -> str:
    return in_words(metric.removeprefix("n_"))


def _values(found: pd.DataFrame, reads: Mapping[str, str]) -> Iterator[str]:
    """Lowest and highest of metrics that are no usual ones, in the words that the notebook has."""
    for metric, words in reads.items():
        rows = found[found["metric"] == metric].dropna(subset=["value"])
        if len(rows) == 1:
            yield f"{words}: {number(rows['value'].iloc[0])}."
        elif len(rows) and _better(metric) is None:
            low, *between, high = [
                f"{number(row.value)} ({row.method})"
                for row in rows.sort_values("value", kind="stable").itertuples()
            ]
            over = f" over {between[0]}" if len(between) == 1 else ""
            yield f"{words}: from {low}{over} to {high}."
