"""The schema of rows: typed, written once, read back as they were."""

import re

import numpy as np
import pandas as pd
import pytest

from adlib.host import paths
from adlib.study import rows


def table(**more):
    """Two rows of a made-up table."""
    base = dict.fromkeys(rows.COLUMNS, "") | {
        "paper": "cbigan", "table": "table9", "cell": "elpv-mono-s0", "dataset": "elpv",
        "category": "mono", "metric": "auroc", "value": "0.1234567890123", "seed": "0",
    }  # fmt: skip
    lines = [base | {"method": name, **more} for name in ("A", "B")]
    return rows.typed(pd.DataFrame(lines), "made up")


def noted(root):
    """Texts in the profile's notes."""
    return set(pd.read_csv(root / "quick" / "notes.csv")["text"])


def test_rows_come_back_as_they_were(tmp_path):
    """Catches lost digits, an integer that becomes 0.0, and a note that goes astray."""
    path = tmp_path / "quick" / "cbigan" / "table9.csv"
    made = table(comparable="small images; few steps", note="A, B; C.", x="0.25", n_held="21")
    rows.write(made, path)
    again = rows.read(path)
    pd.testing.assert_frame_equal(again, made)
    assert noted(tmp_path) == {"small images", "few steps", "A, B; C."}
    text = path.read_text(encoding="utf-8")
    assert "small images" not in text and ",21," in text and "0.1234567890123" in text
    rows.write(again, path)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("method", "methods", 1), "lacks the columns method"),
        (lambda text: text.replace("0.1234567890123", "x", 1), "column value"),
        (lambda text: re.sub(r",[0-9a-f]{8},", ",ffffffff,", text, count=1), "no text for note"),
    ],
)
def test_broken_tables_are_named(tmp_path, change, message):
    """Catches a typing error by hand that becomes an empty table."""
    path = tmp_path / "quick" / "cbigan" / "table9.csv"
    rows.write(table(comparable="small images"), path)
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        rows.read(path)


def test_notes_are_those_in_use(tmp_path):
    """Catches notes that pile up, a note that another table still needs, and ids that collide."""
    folder = tmp_path / "quick" / "cbigan"
    rows.write(table(note="of both"), folder / "table8.csv")
    rows.write(table(note="of both", comparable="of one"), folder / "table9.csv")
    rows.write(table(note="of both"), folder / "table9.csv")
    assert noted(tmp_path) == {"of both", "of one"}
    rows.drop_unused_notes(tmp_path / "quick")
    assert noted(tmp_path) == {"of both"}
    notes = tmp_path / "quick" / "notes.csv"
    notes.write_text(notes.read_text().replace("of both", "another text"))
    with pytest.raises(ValueError, match="two notes have the id"):
        rows.write(table(note="of both"), folder / "table9.csv")


def test_one_number_is_given_once():
    """Catches two values for one number."""
    made = pd.concat([table(), table()])
    with pytest.raises(ValueError, match="cbigan/table9: A auroc of mono, seed 0, is given more"):
        rows.refuse_repeats(made)
    rows.refuse_repeats(table())


def test_labels():
    """Catches a variant that the report does not show."""
    assert rows.label("A") == "A"
    assert rows.label("A", "step 3") == "A, step 3"
    assert rows.label("A", "a trap", "auROC") == "a trap: A, auROC"


def test_the_dictionary_of_columns_is_true():
    """Catches a column that `results/README.md` does not explain, or explains otherwise."""
    text = (paths.home() / "results" / "README.md").read_text(encoding="utf-8")
    parts = re.split(r"^## Columns of (.*)$", text, flags=re.M)[1:]
    stated = {
        title: dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", part, re.M))
        for title, part in zip(parts[::2], parts[1::2], strict=True)
    }
    assert stated["a notebook's CSV"] == rows.MEANING
    for name in ("cells.csv", "runs.csv"):
        for file in (paths.home() / "results").glob(f"*/{name}"):
            assert list(stated[f"`{name}`"]) == list(pd.read_csv(file, nrows=0)), file


def test_committed_tables_fit_the_schema():
    """Catches a committed table that the report cannot read, and more than 400 files."""
    results = paths.home() / "results"
    versioned = [file for file in results.rglob("*") if file.is_file()]
    ignored = {results / "report", results / "smoke", *results.glob("*/cells")}
    versioned = [file for file in versioned if not ignored & set(file.parents)]
    assert len(versioned) <= 400
    files = [file for file in versioned if file.match("results/*/*/*.csv")]
    assert len(files) > 50
    for file in files:
        made = rows.read(file)
        assert set(made["paper"]) == {file.parent.name} and set(made["table"]) == {file.stem}
        assert np.isfinite(made["seed"].astype("float64")).all()
