"""Rows laid out as tables: what stands in which cell, and what it is sorted and marked by."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

import pandas as pd

from adlib.study.papers import ALL_SETS, MEANS, Paper, groups
from adlib.study.summary import COUNT
from adlib.study.tables import below_chance, in_words, interval, number, sentence, signed

FACT = "fact about the data"  # what stands for a detector where a value describes images
FORMS = {
    "oracle": "oracle: picked on the test labels",
    "deployable": "deployable: nothing picked on test data",
    "authors": "as the paper's authors evaluate: the best snapshot on the test",
}


@dataclass(frozen=True)
class Cell:
    """One cell: text, what it is sorted by, lines below it, a flag, a verdict, marks, a link."""

    text: str = "–"
    sort: float | str = ""
    below: tuple[str, ...] = ()
    flag: str = ""
    verdict: str = ""
    marks: tuple[int, ...] = ()  # numbers of footnotes
    link: str = ""


@dataclass(frozen=True)
class Table:
    """One table; the first cell of a line is its head.

    Attributes:
        caption: what it shows.
        columns: (head, kind), the kinds being those of the style sheet: n, mean, line, text.
        lines: as many cells each.
        form: how its numbers came about; "" where that needs no word.
        footnotes: texts that marks refer to, the first being number 1.
        data: what filters read of each line.
        id: of the element, for scripts.
    """

    caption: str
    columns: list[tuple[str, str]]
    lines: list[list[Cell]]
    form: str = ""
    footnotes: list[str] = field(default_factory=list)
    data: list[dict[str, str]] = field(default_factory=list)
    id: str = ""


def plain(caption: str, rows: Iterable[dict], numbers: Iterable[str] = ()) -> Table:
    """A table of texts, its heads being the keys of the first of `rows`."""
    rows, numbers = list(rows), set(numbers)
    kinds = {name: "n" if name in numbers else "" for name in (rows[0] if rows else ())}
    return Table(
        caption,
        list(kinds.items()),
        [[value if isinstance(value, Cell) else Cell(str(value)) for value in row.values()]
         for row in rows],
    )  # fmt: skip


def sorting(value: float) -> float | str:
    """What a number is sorted by; "" where there is none."""
    return "" if pd.isna(value) else value


def marked(texts: Iterable[str], footnotes: list[str]) -> tuple[int, ...]:
    """Numbers of `texts` among the footnotes, where new ones are added; "" has none."""
    said = [sentence(text) for text in texts if text]
    footnotes += [text for text in dict.fromkeys(said) if text not in footnotes]
    return tuple(footnotes.index(text) + 1 for text in said)


def of_section(summary: pd.DataFrame, papers: dict[str, Paper]) -> list[Table]:
    """Tables of one page and profile: methods by categories or by metrics, and counts."""
    if summary.empty:
        return []
    paper, table = summary[["paper", "table"]].iloc[0]
    known = papers.get(paper)
    where = (summary["dataset"] + " " + summary["category"].replace(MEANS)).str.strip()
    heading = summary["metric"].str.removeprefix("n_").map(in_words)
    rows = summary.assign(where=where, heading=heading, below="")
    counts, methods = rows[rows["method"] == COUNT], rows[rows["method"] != COUNT]
    made = []
    if len(counts):
        made.append(_pivot("Images", counts.assign(method=counts["where"]), "category"))
    if known and table in known.by_metric:
        corner = "choice" if (methods["reading"] != "").any() else "method"
        places = methods["where"].unique()
        if len(places) > 1:
            return [*made, _pivot("All data", methods.assign(below=methods["where"]), corner)]
        return [*made, *(_pivot(place, methods, corner) for place in places)]
    if ALL_SETS in set(methods["dataset"]):  # one table of several data sets
        single = methods["dataset"] != ALL_SETS
        named = methods.assign(category=methods["where"].where(single, methods["category"]))
        methods = named.assign(dataset=ALL_SETS)[~(single & methods["category"].isin(MEANS))]
    prints = bool(known and known.prints)
    wanted = known.datasets_of(table) if prints else []
    for (dataset, metric, form), some in methods.groupby(["dataset", "metric", "form"], sort=False):
        caption = f"{in_words(metric)}, {dataset}"
        if wanted and dataset not in [*wanted, ALL_SETS]:
            caption += f", standing in for {' or '.join(wanted)}"
        averaged = groups(papers, paper, dataset) if prints else {}
        made.append(_by_category(caption, FORMS.get(form, form), some, averaged))
    return made


def _by_category(caption: str, form: str, rows: pd.DataFrame, averaged: dict) -> Table:
    """Methods by categories, in the printed order, then means."""
    categories = [name for name in dict.fromkeys(rows["category"]) if name not in MEANS]
    printed = list(averaged.get("mean_overall", categories))
    categories.sort(key=lambda name: printed.index(name) if name in printed else len(printed))
    heads = {name: (name or rows["dataset"].iloc[0], "n") for name in categories}
    for mean, n in (
        rows[rows["category"].isin(MEANS)].groupby("category")["categories"].max().items()
    ):
        of = len(averaged.get(mean, ()))
        heads[mean] = f"{MEANS[mean]} ({f'{n} of {of}' if n < of else n})", "n mean"
    seeds = rows.groupby("method")["seeds"].agg(["min", "max"]).apply(_seeds, axis=1)
    same = seeds.nunique() == 1
    below = "" if same else rows["method"].map(seeds)
    form = "; ".join(filter(None, [form, seeds.iloc[0] if same else ""]))
    return _pivot(
        caption, rows.assign(heading=rows["category"], below=below), "method", heads, form
    )


def _seeds(numbers: pd.Series) -> str:
    """Write `1 seed`, `1–3 seeds`; "" for what has none."""
    fewest, most = int(numbers["min"]), int(numbers["max"])
    text = f"{most}" if fewest == most else f"{fewest}–{most}"
    return f"{text} seed{'s' * (most > 1)}" if most else ""


def _pivot(
    caption: str, rows: pd.DataFrame, corner: str, heads: dict | None = None, form: str = ""
) -> Table:
    """Methods by `heading`, with `below` a method's name what tells its line from others."""
    heads = heads or {name: (name, "n") for name in dict.fromkeys(rows["heading"])}
    reads = bool((rows["reading"] != "").any())
    lines = []
    for (method, below), group in rows.groupby(["method", "below"], sort=False):
        cells = {row.heading: _value(row) for row in group.itertuples()}
        line = [Cell(method, f"{method} {below}", (below,))]
        line += [cells.get(name, Cell()) for name in heads]
        reading = group["reading"].max().rstrip(".")
        lines.append([*line, *([Cell(reading, reading)] * reads)])
    columns = [(corner, ""), *heads.values(), *([("reads", "text")] * reads)]
    return Table(caption, columns, lines, form)


def _value(row) -> Cell:
    if pd.isna(row.value):
        return Cell(flag=row.note or "no value")
    flag = "below chance" if below_chance(row.metric, row.value) else ""
    counted = row.name == COUNT and float(row.value).is_integer()
    text = f"{row.value:.0f}" if counted else number(row.value)  # no copies are 0, not 0.000
    return Cell(text, row.value, (interval(row.low, row.high),), flag)


def published(
    rows: pd.DataFrame, caption: str, board: str = "", pages: Container[tuple[str, str]] = ()
) -> Table:
    """Rows "published | ours | difference | verdict"; reasons and sources as footnotes.

    Args:
        rows: of `verdicts.compare` or `verdicts.beside_others`, for the scoreboard with `profile`.
        caption: of the table.
        board: id of a table of the scoreboard, which says where each value stands.
        pages: paper and table of the site's pages; other tables are named without a link.
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
            page = f"{row.paper}/{row.table}.html" if (row.paper, row.table) in pages else ""
            line.append(Cell(named, named, link=page))
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
    unseeded = pd.isna(row.seeds) or row.method == COUNT
    seeds = "" if unseeded else f"{row.seeds:.0f} seed{'s' * (row.seeds > 1)}"
    below = (interval(row.low, row.high), ", ".join(filter(None, (seeds, profile))))
    flag = "below chance" if below_chance(row.metric, row.ours) else ""
    beyond = "beyond the margin" if getattr(row, "flagged", False) else ""
    difference = signed(row.difference, row.printed)
    return [
        Cell(number(row.ours), sorting(row.ours), below, flag),
        Cell(difference, sorting(row.difference), flag=beyond),
    ]
