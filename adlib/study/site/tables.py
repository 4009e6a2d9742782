"""Tables of the site: what stands in which cell. The macro `parts.table` writes them all."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

from adlib.study.papers import ALL_SETS, MEANS, Paper, groups
from adlib.study.summary import COUNT
from adlib.study.words import below_chance, in_words, interval, number, sentence

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


def marked(texts: Iterable[str], footnotes: list[str]) -> tuple[int, ...]:
    """Numbers of `texts` among the footnotes, where new ones are added; "" has none."""
    said = [sentence(text) for text in texts if text]
    footnotes += [text for text in dict.fromkeys(said) if text not in footnotes]
    return tuple(footnotes.index(text) + 1 for text in said)


def of_section(summary: pd.DataFrame, papers: dict[str, Paper]) -> list[Table]:
    """Tables of one page and profile: methods by categories or by metrics, and counts."""
    if summary.empty:
        return []
    paper, table = summary["paper"].iloc[0], summary["table"].iloc[0]
    known = papers.get(paper)
    where = summary["dataset"] + " " + summary["category"].replace(MEANS)
    summary = summary.assign(where=where.str.strip())
    counts, methods = (summary[summary["method"] == COUNT], summary[summary["method"] != COUNT])
    made = []
    if len(counts):
        named = counts.assign(metric=counts["metric"].str.removeprefix("n_"))
        made.append(_by_metric("Images", named, "where", "category"))
    if known and table in known.by_metric:
        several = methods["where"].nunique() > 1
        below = "where" if several else ""
        caption = "Methods by metrics" if several else "".join(methods["where"].unique())
        corner = "choice" if (methods["reading"] != "").any() else "method"
        return [*made, _by_metric(caption, methods, "method", corner, below)]
    if ALL_SETS in set(methods["dataset"]):  # one table of several data sets
        single = methods["dataset"] != ALL_SETS
        named = methods.assign(category=methods["where"].where(single, methods["category"]))
        kept = ~(single & methods["category"].isin(MEANS))
        methods = named.assign(dataset=ALL_SETS)[kept]
    wanted = known.datasets_of(table) if known and known.prints else []
    for (dataset, metric, form), rows in methods.groupby(["dataset", "metric", "form"], sort=False):
        caption = f"{in_words(metric)}, {dataset}"
        if wanted and dataset not in [*wanted, ALL_SETS]:
            caption += f", standing in for {' or '.join(wanted)}"
        averaged = groups(papers, paper, dataset) if known and known.prints else {}
        made.append(_by_category(caption, FORMS.get(form, form), rows, averaged))
    return made


def _by_category(caption: str, form: str, rows: pd.DataFrame, averaged: dict) -> Table:
    """Methods by categories, in the printed order, then means."""
    categories = [name for name in dict.fromkeys(rows["category"]) if name not in MEANS]
    printed = list(averaged.get("mean_overall", categories))
    categories.sort(key=lambda name: printed.index(name) if name in printed else len(printed))
    columns = [(name, name or rows["dataset"].iloc[0], "n") for name in categories]
    for mean in MEANS:
        here = rows.loc[rows["category"] == mean, "categories"]
        if len(here):
            of = len(averaged.get(mean, ()))
            few = f"{here.max()} of {of}" if here.max() < of else f"{here.max()}"
            columns.append((mean, f"{MEANS[mean]} ({few})", "n mean"))
    lines = []
    for method, group in rows.groupby("method", sort=False):
        cells = {row.category: _value(row) for row in group.itertuples()}
        seeds = sorted({int(group["seeds"].min()), int(group["seeds"].max())})
        text = f"{'–'.join(map(str, seeds))} seed{'s' * (seeds[-1] > 1)}"
        head = Cell(method, method, (text,) if seeds[-1] else ())
        lines.append([head, *(cells.get(name, Cell()) for name, _, _ in columns)])
    return Table(caption, [("method", ""), *((head, kind) for _, head, kind in columns)], lines, form)


def _by_metric(
    caption: str, rows: pd.DataFrame, line: str, corner: str, below: str = ""
) -> Table:
    """Lines by metrics, with the reading of their notes if there is one."""
    metrics = list(dict.fromkeys(rows["metric"]))
    readings = (rows["reading"] != "").any()
    lines = []
    for key, group in rows.groupby([line, *([below] if below else [])], sort=False):
        cells = {row.metric: _value(row) for row in group.itertuples()}
        reading = group["reading"].max().rstrip(".")
        lines.append([
            Cell(key[0], " ".join(key), key[1:]),
            *(cells.get(metric, Cell()) for metric in metrics),
            *([Cell(reading, reading)] if readings else []),
        ])  # fmt: skip
    heads = [(in_words(metric), "n") for metric in metrics]
    return Table(caption, [(corner, ""), *heads, *([("reads", "text")] if readings else [])], lines)


def _value(row) -> Cell:
    if pd.isna(row.value):
        return Cell(flag=row.note or "no value")
    flag = "below chance" if below_chance(row.metric, row.value) else ""
    counted = row.method == COUNT and float(row.value).is_integer()
    text = f"{row.value:.0f}" if counted else number(row.value)  # no copies are 0, not 0.000
    ends = interval(row.low, row.high)
    return Cell(text, row.value, (ends,) if ends else (), flag)


def notes(rows: pd.DataFrame, prints: bool) -> list[str]:
    """Sentences on the numbers of a section, each once: comparability, protocol, images, notes.

    Args:
        rows: of the summary.
        prints: whether there is a paper to be compared with.
    """
    rows = rows[~rows["category"].isin(MEANS)]  # a mean repeats what is said of all it averages
    paper = "not comparable with the paper: " if prints else ""
    reasons = dict.fromkeys(filter(None, rows["comparable"]))
    said = [f"{paper}{reason}" for reason in reasons] + _protocols(rows) + _tested(rows)
    # A note of the audit is about a trap, whatever the method and the metric.
    rows = rows.assign(subject=rows["variant"].where(rows["measure"] != "", rows["method"]))
    subjects, single = set(rows["subject"]), []
    noted = rows[rows["note"] != ""].groupby("note", sort=False)
    for note, group in noted:
        names = list(dict.fromkeys(group["subject"]))
        if len(group) == 1 < len(noted):  # then it tells this value from the others
            single.append(f"{names[0]} on {group['category'].iloc[0]}: {note}")
        elif len(names) < len(subjects) and len(names) <= 3 and names != [COUNT]:
            said.append(f"{', '.join(names)}: {note}")
        else:
            said.append(note)
    return [sentence(text) for text in [*said, "; ".join(single)] if text]


def _protocols(rows: pd.DataFrame) -> list[str]:
    """A sentence for each protocol; several are distinguished by method, or else by category."""
    rows = rows[rows["protocol"] != ""]
    by_method = rows.groupby("method")["protocol"].agg(frozenset).nunique() > 1
    column = "method" if by_method else "category"
    found = rows.groupby("protocol", sort=False)[column].unique()
    return [
        ("Protocol" if len(found) == 1 else f"Protocol of {', '.join(names)}")
        + f": {protocol.replace('_', ' ')}"
        for protocol, names in found.items()
    ]


def _tested(rows: pd.DataFrame) -> list[str]:
    """Number of test images: given once where all agree, and by protocol where one has others."""
    numbers = ["n_normal", "n_abnormal"]
    tested = rows[["category", "protocol", *numbers]].dropna().drop_duplicates()
    if tested.empty:
        return []
    if len(tested[numbers].drop_duplicates()) == 1 and tested["category"].nunique() > 1:
        tested = tested.head(1).assign(category="every category")
    named = tested.drop_duplicates(["category", *numbers])
    several = named["category"].duplicated(keep=False)
    images = [
        f"{row.category}{f' ({row.protocol})' if by_protocol else ''}: "
        f"{row.n_normal:.0f} + {row.n_abnormal:.0f}"
        for row, by_protocol in zip(named.itertuples(), several, strict=True)
    ]
    return [f"Test images, normal + abnormal: {', '.join(images)}".replace("_", " ")]
