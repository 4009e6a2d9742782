"""Every notebook under notebooks/ is stripped, short and parameterised the same way."""

import json
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
FOUND = [p for p in sorted(NOTEBOOKS.rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]


@pytest.fixture(params=FOUND, ids=lambda p: p.relative_to(NOTEBOOKS).as_posix())
def cells(request):
    """Cells of one notebook."""
    return json.loads(request.param.read_text(encoding="utf-8"))["cells"]


def code(cells):
    """Its code cells."""
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_there_are_notebooks():
    """Catches a folder that has moved, where every check below would pass on nothing."""
    assert FOUND


def test_nothing_stored(cells):
    """Catches outputs or counts that were saved from a session and would show old numbers."""
    for cell in code(cells):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


def test_one_parameters_cell(cells):
    """Catches a notebook that cannot be run for another category."""
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert tagged[0]["cell_type"] == "code"


def test_short(cells):
    """Catches logic that has grown in a notebook and belongs in the package."""
    assert len(code(cells)) <= 14
    assert max(len("".join(cell["source"]).splitlines()) for cell in code(cells)) <= 28


def test_title_first(cells):
    """Catches a notebook that does not say what it is; the report takes its title from there."""
    assert cells[0]["cell_type"] == "markdown"
    assert "".join(cells[0]["source"]).startswith("# ")
