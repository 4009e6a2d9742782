"""Published values beside ours as tables, and counts of their verdicts."""

from collections import Counter

import pandas as pd

from adlib.study import verdicts
from adlib.study.papers import MEANS
from adlib.study.site.tables import Cell, Table, marked, plain
from adlib.study.summary import COUNT
from adlib.study.words import below_chance, in_words, interval, number, signed

FACT = "fact about the data"  # what stands for a detector where a value describes images


def board(compared: dict[str, pd.DataFrame]) -> list[Table]:
    """The scoreboard: values with a number of ours, one a profile, and those without any."""
    ours = {name: rows[rows["ours"].notna()] for name, rows in compared.items()}
    shown = pd.concat(rows.assign(profile=name) for name, rows in ours.items())
    once = verdicts.nearest(compared)
    without = once[once["ours"].isna()].assign(profile="")
    return [
        published(_facts_last(shown), "With a number of ours", "with-ours"),
        published(_facts_last(without), "Without a number of ours", "without-ours"),
    ]


def published(rows: pd.DataFrame, caption: str, board: str = "") -> Table:
    """Rows "published | ours | difference | verdict"; reasons and sources as footnotes.

    Args:
        rows: of `verdicts.compare`, and `profile` for a table of the scoreboard.
        caption: of the table.
        board: id of a table of the scoreboard, which says where each value stands.
    """
    ours, others = rows["ours"].notna().any(), rows["others"].any() and not board
    footnotes: list[str] = []
    lines = [_line(row, footnotes, ours, others, bool(board)) for row in rows.itertuples()]
    columns = [("method", ""), ("published", "n")]
    columns += [("others", "text")] if others else []
    columns += [("ours", "n"), ("difference", "n")] if ours else []
    columns += [("verdict", "line"), *([("table", "line")] if board else [])]
    data = [
        {"paper": row.paper_title, "verdict": row.verdict, "profile": row.profile}
        for row in (rows.itertuples() if board else ())
    ]
    return Table(caption, columns, lines, footnotes=footnotes, data=data, id=board)


def _line(row, footnotes: list[str], ours: bool, others: bool, board: bool) -> list[Cell]:
    method = FACT if row.method == COUNT else row.method
    metric = in_words(row.metric.removeprefix("n_"))
    place = f"{row.dataset} {MEANS.get(row.category, row.category)}".strip()
    source = "; ".join(filter(None, (row.source, row.note)))
    cells = [
        Cell(method, f"{method} {place} {metric}", (place, metric)),
        Cell(row.printed, row.value, marks=marked([source], footnotes)),
    ]
    cells += [Cell(row.others)] if others else []
    if ours:
        seeds = "" if pd.isna(row.seeds) else f"{row.seeds:.0f} seed{'s' * (row.seeds > 1)}"
        seeds += f", {row.profile}" if board and seeds else ""
        below = tuple(filter(None, (interval(row.low, row.high), seeds)))
        flag = "below chance" if below_chance(row.metric, row.ours) else ""
        cells += [
            Cell(number(row.ours), "" if pd.isna(row.ours) else row.ours, below, flag),
            Cell(signed(row.difference, row.printed), row.difference),
        ]
    marks = marked([row.reason], footnotes)
    cells.append(Cell(row.verdict, row.verdict, verdict=row.verdict, marks=marks))
    if board:
        named = f"{row.paper_title}, {row.table_title}"
        cells.append(Cell(named, named, link=f"{row.paper}/{row.table}.html"))
    return cells


def others(rows: pd.DataFrame, caption: str) -> Table:
    """Rows "others | ours | difference | verdict", see `verdicts.beside_others`."""
    footnotes: list[str] = []
    lines = []
    for row in rows.itertuples():
        place = f"{row.dataset} {MEANS.get(row.category, row.category)}".strip()
        source = "; ".join(filter(None, (row.source, row.note)))
        flag = "beyond the margin" if row.flagged else ""
        lines.append([
            Cell(row.method, f"{row.method} {place}", (place, in_words(row.metric))),
            Cell(row.implementation, row.implementation, marks=marked([source], footnotes)),
            Cell(row.printed, row.value),
            Cell(number(row.ours), "" if pd.isna(row.ours) else row.ours),
            Cell(signed(row.difference, row.printed), row.difference, flag=flag),
            Cell(row.verdict or "no number of ours", row.verdict, verdict=row.verdict,
                 marks=marked([row.reason], footnotes)),
        ])  # fmt: skip
    heads = [("method", ""), ("implementation", "text"), ("theirs", "n"), ("ours", "n")]
    return Table(caption, [*heads, ("difference", "n"), ("verdict", "line")], lines,
                 footnotes=footnotes)  # fmt: skip


def tally(rows: pd.DataFrame) -> dict[str, Counter]:
    """Counts by verdict: `results` of detectors, and `facts` about the data apart from them."""
    facts = rows["method"] == COUNT
    return {
        "results": Counter(rows.loc[~facts, "verdict"]),
        "facts": Counter(rows.loc[facts, "verdict"]),
    }


def counts(compared: dict[str, pd.DataFrame], caption: str) -> Table:
    """Counts by published table, profile and verdict, of profiles that have a number of ours."""
    rows = []
    for name, some in compared.items():
        if some["ours"].isna().all():
            continue
        for (paper, table), group in some.groupby(["paper_title", "table_title"], sort=False):
            found = Counter(group["verdict"])
            first = {"paper": Cell(paper, paper, (table,)), "profile": name}
            rows.append(first | {verdict: found[verdict] for verdict in verdicts.VERDICTS})
    return plain(caption, rows, verdicts.VERDICTS)


def _facts_last(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(last=rows["method"] == COUNT).sort_values("last", kind="stable")
