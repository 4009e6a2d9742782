"""Every notebook under notebooks/ is stripped, short and parameterised the same way."""

import json
import re
from pathlib import Path

import pytest

from adlib.study import papers
from adlib.study.lab import code_links
from adlib.study.profiles import VERDICT

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
FOUND = [p for p in sorted(NOTEBOOKS.rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]


@pytest.fixture(params=FOUND, ids=lambda p: p.relative_to(NOTEBOOKS).as_posix())
def notebook(request):
    """Path of one notebook."""
    return request.param


@pytest.fixture
def cells(notebook):
    """Its cells."""
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


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


def words(cells, kind):
    """All text of the cells of a kind, with single spaces."""
    return " ".join(" ".join("".join(c["source"]) for c in cells if c["cell_type"] == kind).split())


def test_asks_and_concludes(notebook, cells):
    """Catches a notebook that computes and neither asks anything nor says what was seen."""
    first = "".join(cells[0]["source"])
    assert "**Question.**" in first and "**Method.**" in first
    seen = "verdict.seen(" if notebook.stem == VERDICT else "study.seen("
    assert cells[-1]["cell_type"] == "code" and seen in "".join(cells[-1]["source"])


def test_opens_under_its_own_name(notebook, cells):
    """Catches a copied notebook that writes its rows over those of another."""
    paper = notebook.parent.name
    opened = f'study.open("{paper}/{notebook.stem}", globals())'
    if notebook.stem == VERDICT:  # of all cells, not of one
        opened = f'study.judge("{paper}", globals())'
    assert opened in words(cells, "code")


def test_verdict_notebooks_differ_in_their_paper_alone():
    """Catches code of a verdict that one paper has and another lacks."""
    found = [path for path in FOUND if path.stem == VERDICT]
    assert {path.parent.name for path in found} == {
        p.name for p in papers.read().values() if p.prints
    }
    codes = {
        words(json.loads(path.read_text(encoding="utf-8"))["cells"], "code").replace(
            f'"{path.parent.name}"', "paper"
        )
        for path in found
    }
    assert len(codes) == 1


def test_quotes_the_claims_that_it_checks(notebook, cells):
    """Catches a claim in paper.toml whose notebook asks about something else."""
    claims = [c for c in papers.load(notebook.parent.name).claims if c.table == notebook.stem]
    for claim in claims:
        assert not claim.quoted or " ".join(claim.text.split()) in words(cells[:1], "markdown")


def test_links_to_code_that_is_there(notebook, cells):
    """Catches a dead link, a name that the file does not define, and a line that has moved."""
    text = words(cells, "markdown")
    for path in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (notebook.parent / path).exists(), path
    links = [link[0] for link in code_links.LINK.finditer(text)]
    assert len(links) == len(re.findall(r"\]\((?!http)[^)]+\.py\b", text)), "a link without a name"
    right = [code_links.with_lines(link, notebook.parent) for link in links]
    assert links == right, "`adlib report --readme` writes the lines"


def test_a_link_leads_to_the_line_of_a_definition(tmp_path):
    """Would catch a link to another definition, or to a place where the name is only used."""
    (tmp_path / "code.py").write_text(
        "LIMIT: int = 3\n\n\nclass Model:\n    score = 1\n\n    @property\n"
        "    def loss(self):\n        return score(LIMIT)\n\n\ndef score(x):\n    return x\n"
    )
    found = {"LIMIT": 1, "Model": 4, "loss": 8, "score": 12}
    for name, line in found.items():
        for old in ("", "#L99"):
            text = code_links.with_lines(f"see `{name}` in [code.py](code.py{old}).", tmp_path)
            assert text == f"see `{name}` in [code.py](code.py#L{line})."
    with pytest.raises(ValueError, match="code.py defines no gone"):
        code_links.with_lines("`gone` in [code.py](code.py#L1)", tmp_path)
