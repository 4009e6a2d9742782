"""Any notebook takes a user's folder, or says before training what it lacks."""

import json
import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from data_trees import two_folder_tree

from adlib.host import paths
from adlib.study import runs
from adlib.study.profiles import VERDICT, Cell

NOTEBOOKS = [
    path
    for path in sorted((paths.home() / "notebooks").glob("*/*.ipynb"))
    if path.stem != VERDICT  # reads rows, not images
]
# What a folder without masks, kinds and classes lacks, as the notebook says it.
LACKS = {
    "contamination": "1 abnormal images are there to test on, and 2 of either are needed",
    "figure6_ir_mnist": "is not made of mosaics; only ir_mnist is",
    "localisation": "has no masks",
    "table2_caltech": "a set of classes is needed",
    "table_defect_types": "has one abnormal kind only (abnormal), and two are needed",
    "your_own_images": "needs 19 normal images",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve normal and four abnormal images, and beside them the runs of all notebooks."""
    return two_folder_tree(tmp_path_factory.mktemp("your parts") / "parts 1", 12, 4)


def execute(notebook, **given):
    """Run a notebook's code in this process, which is quick; its last lines show nothing."""
    names = {"display": lambda *_: None}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
        if "parameters" in cell["metadata"].get("tags", []):
            names |= given


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_folder_of_few_images(notebook, folder, monkeypatch):
    """Would catch a training that is lost to an error, because a folder is small or lacks masks."""
    given = {"profile": "smoke", "dataset": "folder", "category": str(folder)}
    if notebook.stem in LACKS:
        monkeypatch.setattr(runs, "_train", lambda *_: pytest.fail("trained"))
        with pytest.raises(ValueError, match=re.escape(LACKS[notebook.stem])):
            execute(notebook, **given)
        return
    monkeypatch.setenv("ADLIB_RUNS", str(folder.parent / "runs"))  # many notebooks share a run
    execute(notebook, **given)
    plt.close("all")
    cell = Cell("smoke", notebook.parent.name, notebook.stem, "folder", str(folder), 0)
    rows = pd.read_csv(cell.file(".csv"))
    assert rows["value"].notna().all() and str(folder) in set(rows["category"])
    assert list(cell.folder.glob(f"{cell.id}__*.png"))
