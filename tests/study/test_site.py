"""The report's pages: complete, self-contained, without a dead link, honest about failures."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from bs4 import BeautifulSoup
from report_tree import cell, notebook, publish, publish_others, read, row, run, sources

from adlib.cli import main
from adlib.host.paths import home
from adlib.study import verdicts
from adlib.study.site import findings, notebooks
from adlib.study.site.pages import build

pytestmark = pytest.mark.usefixtures("no_data")


@pytest.fixture(scope="module")
def site(made):
    """The report, to look at."""
    return build(made, sources(made)).parent


class Page(HTMLParser):
    """Ids, links and everything that a browser would fetch."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.fetched = set(), [], []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if "id" in attrs:
            self.ids.add(attrs["id"])
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])
        if tag == "link":
            self.fetched.append(attrs.get("href", ""))
        fetching = ("src", "srcset", "data", "poster")
        self.fetched += [value for name, value in attrs.items() if name in fetching and value]


def test_empty_tree_is_named(tmp_path, capsys):
    """Catches an empty report, or a stack trace, where nothing has run."""
    assert main(["report", "--results", str(tmp_path / "nothing")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main(["report", "--results", str(tmp_path)]) == 2
    assert "holds no results yet" in capsys.readouterr().err


def test_nothing_is_fetched_from_another_host_and_no_link_is_dead(site):
    """Catches MathJax and other scripts from elsewhere, links to files not copied, dead anchors."""
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 10
    for path, page in pages.items():
        assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/)", page.text), path
        for target in page.fetched + page.links:
            if target.startswith("data:"):
                continue
            assert not re.match(r"[a-z]+:|//", target), f"{path}: {target}"
            name, _, anchor = target.partition("#")
            where = (path.parent / unquote(name)).resolve() if name else path
            assert where.is_file(), f"{path}: {target}"
            assert where.is_relative_to(site.resolve())
            assert not anchor or unquote(anchor) in pages[where].ids, f"{path}: {target}"


def test_every_cell_and_table_has_its_page(site, made):
    """Catches cells that vanish, failed ones above all."""
    assert {p.name for p in (site / "cbigan").iterdir()} == {
        "table1_z.html", "table2_x.html", "table3_y.html"
    }  # fmt: skip
    executed = list(made.glob("study/cells/cbigan/*/*.ipynb"))
    assert len(list((site / "notebooks" / "study").rglob("*.html"))) == len(executed)
    index = (site / "index.html").read_text(encoding="utf-8")
    assert "1 cell failed" in index
    assert "E in cell [2]: &lt;v&gt; is NaN" in index
    assert "with changes that were not committed" in index


def test_a_failed_cell_shows_no_stale_number(site):
    """Catches rows of an earlier run shown beside the record of a failed one."""
    page = (site / "cbigan/table2_x.html").read_text(encoding="utf-8")
    assert "0.123" not in page
    assert "mvtec_ad-pill-s0" in page


def test_other_implementations_stand_beside_the_published_values(tree):
    """Catches a table without the others' column, and a difference that is not marked."""
    publish_others(tree, ("screw", "CBiGAN", "0.60"), ("screw", "PaDiM", "0.90"))
    site = build(tree, sources(tree)).parent
    assert "others</th>" not in (site / "cbigan/table3_y.html").read_text("utf-8")
    page = BeautifulSoup((site / "cbigan/table2_x.html").read_text("utf-8"), "html.parser")
    captions = ("Published and ours", "Other implementations and ours")
    beside, own = (
        page.find("caption", string=f"{caption}, profile study").parent for caption in captions
    )
    assert "0.60 Somebody (ours differs)" in beside.text
    rows = [line.text for line in own.find("tbody").find_all("tr")]
    assert "beyond the margin" in rows[0] and "no number of ours" in rows[1]


def test_a_broken_picture_or_table_is_named_and_the_rest_is_built(tree, tmp_path):
    """Would catch a report that one cut PNG or empty CSV stops, or numbers lost in silence."""
    shutil.copytree(tree, root := tmp_path / "tree")
    (picture, *_) = sorted((root / "study" / "cbigan").glob("table2_x__*.png"))
    picture.write_bytes(picture.read_bytes()[:40])
    (root / "study" / "cbigan" / "table3_y.csv").write_text("")
    index = build(root, sources(root)).read_text("utf-8")
    assert f"{picture.name}: a broken picture" in index
    assert "table3_y.csv: no table" in index
    assert (root / "report" / "cbigan" / "table2_x.html").is_file()
    with pytest.raises(ValueError, match=r"table3_y\.csv: no table"):
        read(root)  # what writes numbers elsewhere has to stop


def test_an_unfinished_cell_shows_no_number(tree, tmp_path):
    """Catches rows and pictures of a study that was killed before it wrote the cell's record."""
    cell(tree, [row("CBiGAN", 0.9)], category="bottle", status="unfinished")
    site = build(tree, sources(tree)).parent
    page = (site / "cbigan/table2_x.html").read_text(encoding="utf-8")
    assert "unfinished" in page and "0.900" not in page
    assert "mvtec_ad-bottle-s0__examples.png" not in page
    assert "mvtec_ad-bottle-s0.html" in page  # the notebook as far as it came
    assert "1 unfinished" in (site / "index.html").read_text(encoding="utf-8")
    assert "unfinished" not in (site / "cbigan/table3_y.html").read_text(encoding="utf-8")


def test_run_records_that_no_row_names_stay_out(tree, tmp_path):
    """Catches devices and files of earlier settings in the report of the present ones."""
    run(tree, "r0", processor="Another CPU")
    site = build(tree, sources(tree)).parent
    index = (site / "index.html").read_text(encoding="utf-8")
    assert "Some CPU" in index and "Another CPU" not in index


def test_a_profile_without_counterpart_has_one_sentence(tree, tmp_path):
    """Catches a row of zeros, and a list of facts that ends in a colon and a full stop."""
    publish(tree, ("screw", "CBiGAN", "0.75"))
    text = build(tree, sources(tree)).read_text(encoding="utf-8")
    assert "No number of profile other stands beside a published one." in text
    assert "<td>other</td>" not in text and "<td>study</td>" in text
    assert "Facts about the data" not in text


def test_the_front_page_says_what_holds_and_what_does_not(site, made):
    """Catches a block or a finding that is computed and then lost in the template."""
    study = read(made)
    found = findings.findings(study, {n: verdicts.compare(study, n) for n in study.profiles})
    soup = BeautifulSoup((site / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert [h.text for h in soup.select(".findings h2")] == list(found)
    for section, told in zip(soup.select(".findings section"), found.values(), strict=True):
        assert told or section.h2.text == "At toy scale" and "Nothing that" in section.text
        lines = [" ".join(line.text.split()) for line in section.select("li")]
        for line, one in zip(lines, told, strict=True):
            assert line.startswith(f"{one.head} {one.text}") and one.caution in line


def test_filters_name_what_the_rows_hold(site):
    """Catches a filter without rows, rows that no filter finds, and a script from elsewhere."""
    soup = BeautifulSoup((site / "index.html").read_text(encoding="utf-8"), "html.parser")
    form = soup.select_one("form#filters")
    assert form.has_attr("hidden")  # without the script it would do nothing
    rows = soup.select("table.board tbody tr")
    assert len(rows) == 11
    for name in ("paper", "verdict", "profile"):
        options = {o.text for o in form.select(f"select[name={name}] option")} - {"all"}
        assert {row[f"data-{name}"] for row in rows} - {""} <= options
    without = soup.select("details#without tbody tr")
    assert {row["data-verdict"] for row in without} == {"not run", "data not at hand"}
    assert not soup.select_one("details#without").has_attr("open")
    assert all(not script.has_attr("src") for script in soup.select("script"))
    assert 'getElementById("filters")' in soup.select("script")[-1].text
    assert (site / "files/scoreboard.csv").read_text("utf-8").count("\n") > 2 * len(rows)


def test_departures_are_in_the_report(site):
    """Catches a departure from the authors' code that no page names."""
    text = (site / "index.html").read_text(encoding="utf-8")
    part = text[text.index('id="departures"') : text.index('id="bounds"')]
    assert 'width</th><td>16</td><td>3</td><td class="text">authors&#39; code; 16 is' in part
    assert "beta2" not in part  # alike


def test_executed_notebook_hides_code_and_keeps_equations(site):
    """Catches code in the rendered page, lost equations, and scripts left in outputs."""
    page = next((site / "notebooks/study/cbigan/table2_x").glob("*pill*")).read_text("utf-8")
    assert "secret_code" not in page
    assert "cdn.example" not in page
    assert "<math" in page and "<mfrac>" in page and "$" not in page
    assert "ansi-red-fg" in page


def test_unknown_tex_stays_in_view():
    """Catches a report that dies of one equation, or drops it."""
    assert notebooks.mathml(r"\left( x") == r"<code>\left( x</code>"


def test_large_brackets_are_not_raised_with_their_exponent():
    """Catches a closing bracket that shrinks because it carries the exponent."""
    assert notebooks.mathml(r"\big(x\big)^2") == notebooks.mathml("(x)^2")
    assert "bigcup" in notebooks.mathml(r"\left( \bigcup")  # a word, not a size


def test_captions_and_titles_come_through_escaped(site):
    """Catches lost captions, and names with < that break the page."""
    page = (site / "cbigan/table2_x.html").read_text(encoding="utf-8")
    assert "Examples of &lt;screw&gt;" in page
    assert "<screw>" not in page


def test_source_notebook_gives_title_and_lead(tree, tmp_path):
    """Catches a page titled by its file name although the notebook says what it is."""
    source = sources(tree) / "cbigan" / "table2_x.ipynb"
    nbformat.write(notebook("Table II: balanced accuracy"), source)
    page = build(tree, sources(tree)).parent / "cbigan/table2_x.html"
    assert "<h1>Table II: balanced accuracy</h1>" in page.read_text(encoding="utf-8")


def test_rows_below_chance_and_forms_are_marked(site):
    """Catches an auROC of 0.4 in a row of numbers, and oracle values without their name."""
    page = (site / "cbigan/table3_y.html").read_text(encoding="utf-8")
    assert "below chance" in page
    page = (site / "cbigan/table2_x.html").read_text(encoding="utf-8")
    assert "(oracle: picked on the test labels)" in page
    assert "(deployable: nothing picked on test data)" in page


def test_rebuilding_replaces_the_old_report(tree, tmp_path):
    """Catches pages of cells that no longer exist, and a half-written report left behind."""
    index = build(tree, sources(tree))
    (index.parent / "old.html").write_text("old", encoding="utf-8")
    assert build(tree, sources(tree), profile="other") == index
    assert not (index.parent / "old.html").exists()
    assert not list(tree.glob(".report-*"))
    text = index.read_text(encoding="utf-8")
    assert text.index("other profile") < text.index("study profile")
    with pytest.raises(ValueError, match="No results of profile 'nope'"):
        build(tree, sources(tree), profile="nope")


def test_the_report_needs_no_torch():
    """Catches an import that makes the report wait seconds for torch."""
    code = "import sys, adlib.study.site.pages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=home(), check=False).returncode == 0


def test_templates_travel_with_the_package():
    """Catches a template that only the checkout has (see package data in pyproject.toml)."""
    assert (Path(notebooks.TEMPLATES) / "notebook" / "index.html.j2").is_file()
