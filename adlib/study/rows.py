"""The schema of the rows that notebooks write, and how tables of rows are read and written.

One row is one number: a metric of one method (or a count, where the method is "-") on one category
and seed. Long texts that many rows share are written once, in `notes.csv` of the profile, and a row
holds their short hashes.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from adlib.host.files import atomic

# Column -> what stands in it. `results/README.md` repeats this, and a test compares the two.
MEANING = {
    "paper": "folder of the notebook, for instance `cbigan`",
    "table": "name of the notebook",
    "cell": "the execution that wrote the row: `<data set>-<category>-s<seed>`",
    "dataset": "name of the data set; `all data sets` where a row stands for several",
    "category": "category of the data set",
    "method": "name of the method in the tables; `-` where the row describes data",
    "variant": "what sets this row apart from others of the method: a score, a trap, a step",
    "measure": "in the audit: the metric that a trap changes, in words",
    "x": "the value that is swept: a training step, a weight, a share, a side",
    "metric": "name of the metric, a function of `adlib.metrics` where it is one",
    "form": "`oracle`: picked on test labels; `deployable`: picked on held-out images; or empty",
    "value": "the number",
    "low": "lower end of its 95 % interval over test images; empty where none is known",
    "high": "upper end of that interval",
    "promise": "the rate that a threshold was set for",
    "n_held": "held-out images that set the threshold",
    "n_normal": "normal test images",
    "n_abnormal": "abnormal test images",
    "seed": "seed of split and training",
    "protocol": "how the images were split",
    "run": "key of the run whose scores the number comes from; see `runs.csv`",
    "commit": "commit of the code that wrote the row",
    "reading": "in the audit: what the numbers of the row show, in words",
    "comparable": "why the number cannot be held against the paper's: ids in `notes.csv`; or empty",
    "note": "what a reader should know: ids in `notes.csv`; or empty",
}
COLUMNS = list(MEANING)
FLOATS = ["x", "value", "low", "high", "promise"]
INTEGERS = ["n_held", "n_normal", "n_abnormal", "seed"]
TEXTS = ["comparable", "note"]  # written once and referred to
# What one number stands for; rows that agree in these differ in the seed alone.
KEYS = [
    *(
        "paper",
        "table",
        "dataset",
        "category",
        "method",
        "variant",
        "measure",
        "x",
        "metric",
        "form",
    )
]
SEPARATOR = "; "  # between the reasons in `comparable`


def label(method: str, variant: str = "", measure: str = "") -> str:
    """How a method and what sets its row apart are written in one line."""
    if measure:
        return f"{variant}: {method}, {measure}"
    return f"{method}, {variant}" if variant else method


def labels(table: pd.DataFrame) -> pd.Series:
    """`label` of every row."""
    columns = (table[name].fillna("") for name in ("method", "variant", "measure"))
    return pd.Series([label(*row) for row in zip(*columns, strict=True)], table.index, dtype=object)


def typed(table: pd.DataFrame, where: object) -> pd.DataFrame:
    """Give a table of texts the types of the schema.

    Raises:
        ValueError: a column is missing or holds what is no number; `where` is named.
    """
    if missing := [name for name in COLUMNS if name not in table]:
        raise ValueError(f"{where}: lacks the columns {', '.join(missing)}.")
    table = table[COLUMNS].copy()
    for name in FLOATS + INTEGERS:
        try:
            numbers = pd.to_numeric(table[name].mask(table[name] == ""))
            table[name] = numbers.astype("Int64" if name in INTEGERS else "float64")
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where}: column {name}: {error}.") from error
    return table


def read(path: Path) -> pd.DataFrame:
    """A table of rows, typed, with the texts that its notes stand for.

    Raises:
        ValueError: as in `typed`, or a note that `notes.csv` does not hold.
    """
    # As text: "0.60" keeps its last place, and a method named "NA" stays one.
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    table = typed(table, path)
    notes = read_notes(path.parents[1])
    for column in TEXTS:
        used = set(table[column]) - {""}
        texts = {ids: [notes.get(i, "") for i in ids.split()] for ids in used}
        if unknown := [ids for ids, found in texts.items() if not all(found)]:
            raise ValueError(f"{path}: no text for note {unknown[0]!r} in notes.csv.")
        table[column] = table[column].map(lambda ids, t=texts: SEPARATOR.join(t.get(ids, [])))
    return table


def read_notes(profile: Path) -> dict[str, str]:
    """Id to text of a profile's notes."""
    file = profile / "notes.csv"
    if not file.is_file():
        return {}
    table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
    return dict(zip(table["id"], table["text"], strict=True))


def write(table: pd.DataFrame, path: Path, notes: dict[str, str]) -> None:
    """Write rows with texts as ids, sorted, so that equal rows give equal bytes.

    Args:
        table: rows with the columns of the schema.
        path: the CSV.
        notes: id to text; those of these rows are added.
    """
    table = table[COLUMNS].copy()
    for column in TEXTS:
        ids = {text: _ids(text, column, notes) for text in set(table[column])}
        table[column] = table[column].map(ids)
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def write_notes(profile: Path, notes: dict[str, str]) -> None:
    """Write `notes.csv` of a profile."""
    table = pd.DataFrame(sorted(notes.items()), columns=["id", "text"])
    with atomic(profile / "notes.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def _ids(text: str, column: str, notes: dict[str, str]) -> str:
    parts = text.split(SEPARATOR) if column == "comparable" else [text]
    found = []
    for part in filter(None, parts):
        key = hashlib.sha256(part.encode()).hexdigest()[:8]
        notes[key] = part
        found.append(key)
    return " ".join(found)


def refuse_repeats(rows: pd.DataFrame, keys: Iterable[str] = ("profile", *KEYS, "seed")) -> None:
    """Raise a ValueError where one number is given twice, with the cells that give it."""
    twice = rows[rows.duplicated(list(keys), keep=False)]
    if twice.empty:
        return
    first = twice.iloc[0]
    cells = ", ".join(sorted(set(twice["cell"]))[:4])
    raise ValueError(
        f"{first['paper']}/{first['table']}: {first['method']} {first['metric']} of "
        f"{first['category']}, seed {first['seed']}, is given more than once, by {cells}. Remove "
        "the stale files."
    )
