"""From summary rows to the tables of a page: what stands in which cell, and how it is written."""

import re
from dataclasses import dataclass, field, replace

import pandas as pd

from adlib.study.papers import ALL_SETS, MEANS, Paper, groups
from adlib.study.summary import COUNT

FORMS = {
    "oracle": "oracle: picked on the test labels",
    "deployable": "deployable: nothing picked on test data",
    "authors": "as the paper's authors evaluate: the best snapshot on the test",
    "": "",
}
# notes that tables of one page share, by their first words
ALIKE = {"Not comp": "comparability", "Protocol": "protocol", "Test images": "test images"}


@dataclass(frozen=True)
class Value:
    """One table cell: text, number to sort by, interval, and a flag in words."""

    text: str = "–"
    sort: float | str = ""
    interval: str = ""
    flag: str = ""


@dataclass(frozen=True)
class Matrix:
    """One table: a line of values per head."""

    title: str
    form: str
    corner: str
    columns: list[str]
    lines: list[tuple[str, list[Value]]]
    notes: list[str] = field(default_factory=list)
    means_from: int = 99  # number of the first column that is a mean


def matrices(summary: pd.DataFrame, papers: dict[str, Paper]) -> list[Matrix]:
    """Tables of one page and profile: methods by categories, and categories by counts."""
    if summary.empty:
        return []
    paper, table = summary["paper"].iloc[0], summary["table"].iloc[0]
    prints = paper not in papers or papers[paper].prints
    counts = summary[summary["method"] == COUNT]
    made = [
        _counts(dataset, rows, prints) for dataset, rows in counts.groupby("dataset", sort=False)
    ]
    keys = ["dataset", "metric", "form"]
    methods = summary[summary["method"] != COUNT]
    if paper in papers and table in papers[paper].by_metric:
        places = methods.groupby(["dataset", "category"], sort=False)
        return made + [_by_metric(*place, rows, prints) for place, rows in places]
    if ALL_SETS in set(methods["dataset"]):
        methods = _side_by_side(methods)
    for key, rows in methods.groupby(keys, sort=False):
        averaged = groups(papers, paper, key[0]) if prints else {}
        wanted = papers[paper].datasets_of(table) if paper in papers and prints else [key[0]]
        stands_for = "" if key[0] in [*wanted, ALL_SETS] else " or ".join(wanted)
        made.append(_methods(*key, rows, averaged, prints, stands_for))
    return made


def said_once(made: list[Matrix]) -> list[Matrix]:
    """Replace notes that the table just above has too, of the kinds in `ALIKE`, by "as above"."""
    shorter = []
    for above, table in zip([None, *made], made, strict=False):
        again = [note for note in table.notes if above and note in above.notes]
        alike = [word for start, word in ALIKE.items() if any(n.startswith(start) for n in again)]
        notes = [note for note in table.notes if note not in again or not _alike(note)]
        if alike:
            notes.append(sentence(f"{', '.join(alike)}: as above"))
        shorter.append(replace(table, notes=notes))
    return shorter


def _alike(note: str) -> bool:
    return note.startswith(tuple(ALIKE))


def _side_by_side(rows: pd.DataFrame) -> pd.DataFrame:
    """Make one table of several data sets: each category becomes a column, named with its set."""
    single = rows["dataset"] != ALL_SETS
    named = (rows["dataset"] + " " + rows["category"]).where(single, rows["category"])
    kept = ~(single & rows["category"].isin(MEANS))
    return rows.assign(category=named, dataset=ALL_SETS)[kept]


def number(value: float) -> str:
    """Three decimals, or none for a whole number above 1; a true minus sign."""
    if pd.isna(value):
        return "–"
    text = f"{value:.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.3f}"
    return text.replace("-", "−")


def signed(value: float, printed: str) -> str:
    """A difference with its sign: whole where the published value is, else three decimals."""
    if pd.isna(value):
        return ""
    if value == 0:
        return "0"
    whole = "." not in printed and float(value).is_integer()
    return (f"{value:+.0f}" if whole else f"{value:+.3f}").replace("-", "−")


def interval(low: float, high: float) -> str:
    """Write `0.612 to 0.740`, or nothing where no interval is known."""
    return "" if pd.isna(low) else f"{low:.3f} to {high:.3f}".replace("-", "−")


def below_chance(metric: str, value: float) -> bool:
    """Whether a metric whose chance level is 0.5 lies below it."""
    halves = metric.endswith("auroc") or "balanced_accuracy" in metric
    return halves and bool(value < 0.5)


def in_words(metric: str) -> str:
    """Write `max_balanced_accuracy` without underscores, and short names as the field does."""
    short = {"auroc": "auROC", "aupro": "AUPRO", "aupimo": "AUPIMO", "zfn": "ZFN", "f1": "F1"}
    for plain, written in short.items():
        metric = metric.replace(plain, written)
    metric = re.sub(r"(?<!_per)_(s|ms|mb|j|points)(?=_|$)", _unit, metric)
    return metric.replace("_", " ")


def _unit(found: re.Match) -> str:
    """A unit at a name's end or before more words, in brackets."""
    return f" ({found[1].upper() if found[1] in ('mb', 'j') else found[1]})"


def sentence(text: str) -> str:
    """A note with a capital and a full stop; a first word that is no plain word stays as it is."""
    first = text.partition(" ")[0].rstrip(",;:.")
    if first.isalpha() and first.islower():
        text = text[0].upper() + text[1:]
    return text and text.rstrip(".") + "."


def _value(row) -> Value:
    if pd.isna(row.value):
        return Value(flag=row.note or "no value")
    flag = "below chance" if below_chance(row.metric, row.value) else ""
    counted = row.method == COUNT and float(row.value).is_integer()
    text = f"{row.value:.0f}" if counted else number(row.value)  # no copies are 0, not 0.000
    return Value(text, row.value, interval(row.low, row.high), flag)


def _methods(
    dataset: str,
    metric: str,
    form: str,
    rows: pd.DataFrame,
    known: dict,
    prints: bool,
    stands_for: str,
) -> Matrix:
    categories = [name for name in dict.fromkeys(rows["category"]) if name not in MEANS]
    printed = list(known.get("mean_overall", categories))
    categories.sort(key=lambda name: printed.index(name) if name in printed else len(printed))
    means = [name for name in MEANS if name in set(rows["category"])]
    cells = {(row.method, row.category): _value(row) for row in rows.itertuples()}
    lines = []
    for method in dict.fromkeys(rows["method"]):
        seeds = rows.loc[rows["method"] == method, "seeds"]
        text = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()}–{seeds.max()}"
        values = [cells.get((method, name), Value()) for name in categories + means]
        lines.append((method, [*values, Value(text, float(seeds.min()))]))
    averaged = rows.groupby("category")["categories"].max()
    headings = [_mean_heading(name, averaged[name], known.get(name, ())) for name in means]
    return Matrix(
        f"{in_words(metric)}, {dataset}" + f", standing in for {stands_for}" * bool(stands_for),
        FORMS.get(form, form),
        "method",
        [*(name or dataset for name in categories), *headings, "seeds"],
        lines,
        _notes(rows, prints),
        means_from=len(categories),
    )


def _by_metric(dataset: str, category: str, rows: pd.DataFrame, prints: bool) -> Matrix:
    """Methods (or choices) by metrics, with the reading of their notes if there is one."""
    metrics = list(dict.fromkeys(rows["metric"]))
    cells = {(row.method, row.metric): _value(row) for row in rows.itertuples()}
    readings = rows.groupby("method")["reading"].max()
    lines = []
    for method in dict.fromkeys(rows["method"]):
        values = [cells.get((method, metric), Value()) for metric in metrics]
        reading = readings[method].rstrip(".")
        lines.append((method, [*values, *([Value(reading, reading)] if readings.any() else [])]))
    # A note of the audit is about a trap, whatever the method and the metric.
    traps = rows["measure"] != ""
    by_subject = rows.assign(method=rows["variant"].where(traps, rows["method"]))
    columns = [in_words(metric) for metric in metrics] + ["reads"] * bool(readings.any())
    notes = _notes(by_subject.assign(note=""), prints)
    for note, names in by_subject[by_subject["note"] != ""].groupby("note", sort=False)["method"]:
        notes.append(sentence(f"{', '.join(names.unique())}: {note}"))
    where = f"{dataset} {MEANS.get(category, category)}"
    return Matrix(where, "", "choice" if readings.any() else "method", columns, lines, notes)


def _mean_heading(mean: str, averaged: int, printed: tuple[str, ...]) -> str:
    few = f" ({averaged} of {len(printed)})" if averaged < len(printed) else f" ({averaged})"
    return MEANS[mean] + few


def _counts(dataset: str, rows: pd.DataFrame, prints: bool) -> Matrix:
    metrics = list(dict.fromkeys(rows["metric"]))
    cells = {(row.category, row.metric): _value(row) for row in rows.itertuples()}
    lines = [
        (category or dataset, [cells.get((category, metric), Value()) for metric in metrics])
        for category in dict.fromkeys(rows["category"])
    ]
    columns = [in_words(metric.removeprefix("n_")) for metric in metrics]
    return Matrix(f"images, {dataset}", "", "category", columns, lines, _notes(rows, prints))


def _notes(rows: pd.DataFrame, prints: bool) -> list[str]:
    """Sentences under a table: why not comparable, test images, notes of the rows."""
    # A mean repeats the reasons of all that it averages.
    single = rows[~rows["category"].isin(MEANS)]
    reasons = dict.fromkeys(filter(None, single["comparable"]))
    paper = "not comparable with the paper: " if prints else ""
    notes = [sentence(f"{paper}{reason}") for reason in reasons]
    notes += _protocols(single[single["protocol"] != ""])
    notes += _tested(rows)
    noted = rows[rows["note"] != ""].groupby("note", sort=False)
    single_notes = []
    for note, group in noted:
        if len(group) == 1 < len(noted):  # then it tells this value from the others
            single_notes.append(f"{group['method'].iloc[0]} on {group['category'].iloc[0]}: {note}")
        else:
            notes.append(sentence(note))
    return notes + ([sentence("; ".join(single_notes))] if single_notes else [])


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
    return [f"Test images, normal + abnormal: {', '.join(images)}.".replace("_", " ")]


def _protocols(rows: pd.DataFrame) -> list[str]:
    """A sentence for each protocol; several are distinguished by method, or else by category."""
    by_method = rows.groupby("method")["protocol"].agg(frozenset).nunique() > 1
    column = "method" if by_method else "category"
    groups = rows.groupby("protocol", sort=False)[column].unique()
    return [
        sentence(
            ("Protocol" if len(groups) == 1 else f"Protocol of {', '.join(names)}")
            + f": {protocol.replace('_', ' ')}"
        )
        for protocol, names in groups.items()
    ]
