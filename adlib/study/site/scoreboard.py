"""Published values beside ours as tables, and counts of their verdicts."""

from collections import Counter

import pandas as pd

from adlib.study import verdicts
from adlib.study.papers import MEANS
from adlib.study.site.tables import Cell, Table, marked, plain, sorting
from adlib.study.summary import COUNT
from adlib.study.tables import below_chance, in_words, interval, number, signed

FACT = "fact about the data"  # what stands for a detector where a value describes images


def board(compared: dict[str, pd.DataFrame]) -> list[Table]:
    """The scoreboard: values with a number of ours, one a profile, and those without any."""
    ours = [rows[rows["ours"].notna()].assign(profile=name) for name, rows in compared.items()]
    once = verdicts.nearest(compared)
    without = once[once["ours"].isna()].assign(profile="")
    return [
        published(rows.iloc[(rows["method"] == COUNT).argsort(kind="stable")], caption, name)
        for rows, caption, name in (
            (pd.concat(ours), "With a number of ours", "with-ours"),
            (without, "Without a number of ours", "without-ours"),
        )
    ]


def published(rows: pd.DataFrame, caption: str, board: str = "") -> Table:
    """Rows "published | ours | difference | verdict"; reasons and sources as footnotes.

    Args:
        rows: of `verdicts.compare` or `verdicts.beside_others`, for the scoreboard with `profile`.
        caption: of the table.
        board: id of a table of the scoreboard, which says where each value stands.
    """
    theirs = "implementation" in rows  # of other people's code: no paper prints them
    others = "implementation" if theirs else "others" if rows["others"].any() and not board else ""
    ours = bool(rows["ours"].notna().any())
    heads = [("method", ""), ("theirs" if theirs else "published", "n")]
    heads += [(others, "text")] * bool(others) + [("ours", "n"), ("difference", "n")] * ours
    heads += [("verdict", "line"), *([("table", "line")] * bool(board))]
    footnotes, lines, data = [], [], []
    for row in rows.itertuples():
        source = marked(["; ".join(filter(None, (row.source, row.note)))], footnotes)
        line = [_what(row), Cell(row.printed, row.value, marks=source)]
        line += [Cell(getattr(row, others))] if others else []
        line += _ours(row, row.profile if board else "") if ours else []
        reason = marked([row.reason], footnotes)
        said = row.verdict or "no number of ours"
        line.append(Cell(said, row.verdict, verdict=row.verdict, marks=reason))
        if board:
            named = f"{row.paper_title}, {row.table_title}"
            line.append(Cell(named, named, link=f"{row.paper}/{row.table}.html"))
            names = {"paper": row.paper_title, "verdict": row.verdict, "profile": row.profile}
            data.append(names)
        lines.append(line)
    return Table(caption, heads, lines, footnotes=footnotes, data=data, id=board)


def _what(row) -> Cell:
    method, metric = row.method, in_words(row.metric.removeprefix("n_"))
    method = FACT if method == COUNT else method
    place = f"{row.dataset} {MEANS.get(row.category, row.category)}".strip()
    return Cell(method, f"{method} {place} {metric}", (place, metric))


def _ours(row, profile: str) -> list[Cell]:
    seeds = "" if pd.isna(row.seeds) else f"{row.seeds:.0f} seed{'s' * (row.seeds > 1)}"
    below = (interval(row.low, row.high), ", ".join(filter(None, (seeds, profile))))
    flag = "below chance" if below_chance(row.metric, row.ours) else ""
    beyond = "beyond the margin" if getattr(row, "flagged", False) else ""
    difference = signed(row.difference, row.printed)
    return [
        Cell(number(row.ours), sorting(row.ours), below, flag),
        Cell(difference, sorting(row.difference), flag=beyond),
    ]


def tally(rows: pd.DataFrame) -> dict[str, Counter]:
    """Counts by verdict: `results` of detectors, and `facts` about the data apart from them."""
    facts = rows["method"] == COUNT
    parts = {"results": rows[~facts], "facts": rows[facts]}
    return {name: Counter(part["verdict"]) for name, part in parts.items()}


def counts(compared: dict[str, pd.DataFrame], caption: str) -> Table:
    """Counts by published table, profile and verdict, of profiles that have a number of ours."""
    rows = []
    for name, some in compared.items():
        by_table = some.groupby(["paper_title", "table_title"], sort=False)["verdict"]
        for (paper, table), found in by_table if some["ours"].notna().any() else ():
            found = Counter(found)
            first = {"paper": Cell(paper, paper, (table,)), "profile": name}
            rows.append(first | {verdict: found[verdict] for verdict in verdicts.VERDICTS})
    return plain(caption, rows, verdicts.VERDICTS)
