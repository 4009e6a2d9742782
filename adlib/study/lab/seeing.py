"""What a notebook's rows show, in sentences: the last cell of every notebook.

Each function looks at the rows of one kind and gives nothing where there are none, so the same call
is true for any notebook, profile and data set. Nothing is typed but the words between the numbers.
"""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
from IPython.display import Markdown

from adlib.study import papers
from adlib.study.lab import claimed, facts, outcomes, published, ranking, trends
from adlib.study.lab.ranking import SHOWN, better
from adlib.study.profiles import Cell
from adlib.study.tables import counted, in_words, listed, number, signed
from adlib.study.verdict.claims import stands

CONSTRAINED = "zfn_accuracy"  # no gain in it: what is fixed beforehand may miss abnormal images
Own = tuple[list[str], str]  # sentences, and the verdict with what would decide it


def seen(
    cell: Cell,
    *more: str,
    swept: str = "",
    shows: str = "",
    own: Own | None = None,
    **reads: str,
) -> Markdown:
    """What the rows of a cell show, with the verdict and what would decide it.

    Args:
        cell: whose rows, as they were written.
        *more: sentences that a function of `adlib.study` has computed of the same rows; they follow
            those on rows in general.
        swept: what `x` is in rows that have one, for instance `training steps`.
        shows: what the pictures can show, for notebooks that are about these and not about numbers.
        own: sentences and verdict that a function of `adlib.study` has computed of rows with a
            meaning of their own; they stand in place of all others.
        **reads: metric -> what it says in words, for metrics that are no usual ones.
    """
    sentences, decided = own or _general(cell, more, swept, shows, reads)
    listed = "\n".join(f"- {text}" for text in sentences)
    return Markdown(f"## What we see\n\n{listed}\n\n**Verdict.** {decided}")


def _general(
    cell: Cell, more: Iterable[str], swept: str, shows: str, reads: Mapping[str, str]
) -> Own:
    found, study = published.compared(cell), published.of_cell(cell)
    rows = study.summary[study.summary["categories"] == 1]
    sentences = [
        *ranking.first(cell, found, reads),
        *([] if isinstance(cell, published.Lent) else claimed.sentences(cell, rows)),
        *_published(cell, found),
        *_fixed(found),
        *ranking.below_chance(found),
        *trends.swept(rows, swept),
        *trends.differences(rows),
        *_rates(rows),
        *facts.sentences(cell, reads),
        *_values(pd.concat([found, published.compared(cell, facts=True)]), reads),
        *more,
    ]
    return sentences, outcomes.verdict(cell, found, shows)


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
    here = found[found["difference"].notna() & (found["on"] == "")]
    if len(here):
        order = here["difference"].abs().sort_values(ascending=False, kind="stable").index
        shown = [
            f"{row.method} {number(row.value if pd.isna(row.authors) else row.authors)} "
            f"against {row.printed}"
            for row in here.loc[order].head(SHOWN).itertuples()
        ]
        mean = signed(here["difference"].mean(), "0.0")
        yield (
            f"From the {counted(len(here), 'value')} that {who} prints for these images ours "
            f"{'differ by' if len(here) == 1 else 'differ on average by'} {mean}"
            f"{'' if len(here) == 1 else ', most'} for {listed(shown)}."
        )
    other = found[found["published"].notna() & found["value"].notna() & (found["on"] != "")]
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
        alone = found["method"].nunique() == 1 and better(row.metric)
        if alone and pd.isna(row.published) and pd.notna(row.value):
            yield f"{row.method} reaches {in_words(row.metric)} {stands(row)}."


def _fixed(found: pd.DataFrame) -> Iterator[str]:
    """What the test labels add where they pick the threshold."""
    found = found.dropna(subset=["value", "fixed"])
    found = found[found["metric"] != CONSTRAINED]
    for metric, rows in found.groupby("metric", sort=False):
        gain = 100 * (rows["value"] - rows["fixed"])
        most = rows.loc[gain.idxmax(), "method"]
        mean, largest = (f"{value:.1f}".replace("-", "−") for value in (gain.mean(), gain.max()))
        over = f" on average over {len(rows)} rows, at most {largest} ({most})"
        text = f"{mean} points of {in_words(metric)}{over if len(rows) > 1 else ''}"
        yield (
            f"A threshold that is picked on the test labels is worth {text}, against one that was "
            "fixed beforehand."
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
        f"At thresholds that held-out images set {len(some)} of {len(rows)} "
        f"{'misses' if len(some) == 1 else 'miss'} abnormal test "
        f"images, {100 * rows['value'].mean():.1f} % of them on average, at most "
        f"{100 * rows['value'].max():.1f} % ({rows.loc[rows['value'].idxmax(), 'method']})."
    )


def _values(found: pd.DataFrame, reads: Mapping[str, str]) -> Iterator[str]:
    """Lowest and highest of metrics that are no usual ones, in the words that the notebook has."""
    for metric, words in reads.items():
        rows = found[found["metric"] == metric].dropna(subset=["value"])
        if len(rows) == 1:
            yield f"{words}: {number(rows['value'].iloc[0])}."
        elif len(rows) and better(metric) is None:
            low, *between, high = [
                f"{number(row.value)} ({row.method})"
                for row in rows.sort_values("value", kind="stable").itertuples()
            ]
            over = f" over {between[0]}" if len(between) == 1 else ""
            yield f"{words}: from {low}{over} to {high}."
