"""The schema of the rows that notebooks write, and how tables of rows are read and written.

One row is one number: a metric of one method (or a count, where the method is "-") on one category
and seed. Long texts that many rows share are written once, in `notes.csv` of the profile, and a row
holds their short hashes.
"""

import hashlib
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
    "form": "`oracle`: picked on test labels; `deployable`: picked on held-out images; `authors`: "
    "as the paper's authors evaluate, faults and all; or empty",
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
    "paper", "table", "dataset", "category", "method", "variant", "measure", "x", "metric", "form",
]  # fmt: skip
SEPARATOR = "; "  # between the reasons in `comparable`
# Variants and readings that others than the notebook which writes them look for.
CONTROL = "another seed and nothing else"  # of the audit: how far two trainings differ anyway
RAISES = "raises the number"  # reading of a difference in the audit that is told from chance
PATCHED = " with a patch"  # ends those whose training images hold abnormal pixels


class BrokenTableError(ValueError):
    """A file that is no table of rows: empty, cut off or changed by hand."""


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
        BrokenTableError: a column is missing or holds what is no number; `where` is named.
    """
    if missing := [name for name in COLUMNS if name not in table]:
        raise BrokenTableError(f"{where}: lacks the columns {', '.join(missing)}.")
    table = table[COLUMNS].copy()
    for name in FLOATS + INTEGERS:
        try:
            numbers = pd.to_numeric(table[name].mask(table[name] == ""))
            table[name] = numbers.astype("Int64" if name in INTEGERS else "float64")
        except (ValueError, TypeError) as error:
            raise BrokenTableError(f"{where}: column {name}: {error}.") from error
    return table


def texts(path: Path) -> pd.DataFrame:
    """A CSV with every value as its text: "0.60" keeps its last place, a method "NA" stays one.

    Raises:
        BrokenTableError: no table, or one that does not end with a line's end; the file is named.
    """
    if (content := path.read_bytes()) and not content.endswith(b"\n"):
        raise BrokenTableError(f"{path}: no table (its last line is cut off).")
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except ValueError as error:  # of pandas, and bytes that are no text
        raise BrokenTableError(f"{path}: no table ({str(error).strip()}).") from error


def read(path: Path) -> pd.DataFrame:
    """A table of rows, typed, with the texts that its notes stand for.

    Raises:
        BrokenTableError: as in `texts` and `typed`, or a note that `notes.csv` does not hold.
    """
    table = typed(texts(path), path)
    notes = _notes(path.parents[1])
    for column in TEXTS:
        for ids in set(table[column]):
            if lacking := [name for name in ids.split() if name not in notes]:
                raise BrokenTableError(f"{path}: no text for note {lacking[0]!r} in notes.csv.")
        table[column] = [SEPARATOR.join(map(notes.get, ids.split())) for ids in table[column]]
    return table


def write(table: pd.DataFrame, path: Path) -> None:
    """Write rows sorted by cell, with ids for texts, so that equal rows give equal bytes.

    The profile's notes are written first: no table refers to a text that is not there.

    Args:
        table: rows with the columns of the schema.
        path: the CSV, `<profile>/<paper>/<notebook>.csv`.

    Raises:
        ValueError: two texts have one id.
    """
    table = table[COLUMNS].sort_values("cell", kind="stable")
    notes = _notes(path.parents[1])
    for column in TEXTS:
        ids = {text: _ids(text, column, notes) for text in set(table[column])}
        table[column] = table[column].map(ids)
    _write_notes(path.parents[1], notes)
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def drop_unused_notes(profile: Path) -> None:
    """Leave in `notes.csv` only the texts that a table of the profile refers to.

    Raises:
        BrokenTableError: one of the tables is broken; nothing is changed.
    """
    tables = [texts(path)[TEXTS] for path in profile.glob("*/*.csv")]
    used = {name for table in tables for ids in table.to_numpy().flat for name in ids.split()}
    notes = _notes(profile).items()
    _write_notes(profile, {name: text for name, text in notes if name in used})


def _notes(profile: Path) -> dict[str, str]:
    """Id to text of a profile's notes."""
    file = profile / "notes.csv"
    if not file.is_file():
        return {}
    table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
    return dict(zip(table["id"], table["text"], strict=True))


def _write_notes(profile: Path, notes: dict[str, str]) -> None:
    table = pd.DataFrame(sorted(notes.items()), columns=["id", "text"])
    with atomic(profile / "notes.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def _ids(text: str, column: str, notes: dict[str, str]) -> str:
    """Ids of the texts in a column's entry; those that `notes` lacks are added to it."""
    ids = []
    for part in filter(None, text.split(SEPARATOR) if column == "comparable" else [text]):
        name = hashlib.sha256(part.encode()).hexdigest()[:8]
        if notes.setdefault(name, part) != part:
            raise ValueError(f"two notes have the id {name}: {notes[name]!r} and {part!r}")
        ids.append(name)
    return " ".join(ids)


def refuse_repeats(table: pd.DataFrame) -> None:
    """Raise a ValueError where one number is given twice, with the cells that give it."""
    keys = [name for name in ("profile", *KEYS, "seed") if name in table]
    twice = table[table.duplicated(keys, keep=False)]
    if twice.empty:
        return
    first = twice.iloc[0]
    cells = ", ".join(sorted(set(twice["cell"]))[:4])
    raise ValueError(
        f"{first['paper']}/{first['table']}: {label(*first[['method', 'variant']])} "
        f"{first['metric']} of {first['category']}, seed {first['seed']:g}, is given more than "
        f"once, by {cells}. Remove the stale files."
    )
