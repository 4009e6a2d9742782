"""The report's pages: complete, small, without a dead link, honest about failures."""

import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
import report_tree
from bs4 import BeautifulSoup
from matplotlib.figure import Figure
from report_tree import cell, notebook, publish, publish_others, read, row, run, sources

from adlib.cli import main
from adlib.host.paths import home, without_folders
from adlib.study.pictures import caption
from adlib.study.site import notebooks, rendering
from adlib.study.site.pages import build
from adlib.study.site.pictures import Pictures
from adlib.study.site.sanitise import sanitise
from adlib.study.verdict import verdict_notebooks

pytestmark = pytest.mark.usefixtures("no_data")
WORDS = 600  # of the front page


@pytest.fixture(scope="module", autouse=True)
def quick_verdicts():
    """Verdict notebooks that are made up: the kernels of the real ones take many seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verdict_notebooks, "run", report_tree.verdict_notebooks)
        yield


@pytest.fixture(scope="module")
def site(made, quick_verdicts):
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


def dead_links(pages):
    """Links, anchors, pictures of a site's pages that lead nowhere, each after its page's path."""
    for path, page in pages.items():
        for target in page.fetched + page.links:
            if re.match(r"(data|https?|mailto):", target):
                continue
            name, _, anchor = target.partition("#")
            where = (path.parent / unquote(name)).resolve() if name else path
            if not where.is_file() or (anchor and unquote(anchor) not in pages[where].ids):
                yield f"{path}: {target}"


def pages_of(site):
    """Every page of a site, read."""
    return {path.resolve(): Page(path) for path in site.rglob("*.html")}


def test_a_published_table_without_a_page_has_no_link(tree):
    """Catches scoreboard links to tables that no notebook makes, and a check that sees no link."""
    publish(tree, ("screw", "CBiGAN", "0.75"), ("screw", "VAE-grad", "0.7"))
    table = sources(tree) / "cbigan" / "published.csv"
    text = table.read_text("utf-8")
    lines = text.splitlines(keepends=True)
    table.write_text(text + lines[1].replace("table2_x", "Table 9 (arXiv)"), "utf-8")
    site = build(tree, sources(tree)).parent
    assert "Table 9" in (site / "files/scoreboard.csv").read_text("utf-8")
    assert list(dead_links(pages_of(site))) == []
    index = site / "index.html"
    for dead in ("cbigan/gone.html", "runs.html#gone"):
        index.write_text(index.read_text("utf-8") + f'<a href="{dead}">x</a>', "utf-8")
    assert [link.split(": ")[1] for link in dead_links(pages_of(site))] == [
        "cbigan/gone.html",
        "runs.html#gone",
    ]


def test_the_committed_site_has_no_dead_link():
    """Catches a committed report whose links, anchors or pictures lead nowhere."""
    assert list(dead_links(pages_of(home() / "results" / "report"))) == []


def test_nothing_is_fetched_from_another_host_and_no_link_is_dead(site):
    """Catches MathJax and other scripts from elsewhere, links to files not copied, dead anchors."""
    pages = pages_of(site)
    assert len(pages) > 10 and list(dead_links(pages)) == []
    for path, page in pages.items():
        assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/)", page.text), path
        for target in page.fetched + page.links:
            if target.startswith("data:"):
                continue
            assert not re.match(r"[a-z]+:|//", target), f"{path}: {target}"
            where = (path.parent / unquote(target.partition("#")[0])).resolve()
            inside = where.is_relative_to(site.resolve())
            assert inside or where.suffix in (".csv", ".xz")  # rows and runs lie beside the site
            assert target not in page.fetched or inside


def soup(path):
    """A page, to look things up in."""
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def words_of(page):
    """Visible text of a page, split at white space."""
    body = soup(page).body
    for hidden in body.select("script, style"):
        hidden.decompose()
    return body.get_text(" ").split()


def test_every_cell_and_table_has_its_page(site, made):
    """Catches cells that vanish, failed ones above all."""
    names = {"table1_z.html", "table2_x.html", "table3_y.html", "verdict.html"}
    assert {p.name for p in (site / "cbigan").iterdir()} == names
    executed = list(made.glob("study/cells/cbigan/*/*.ipynb"))
    assert len(list((site / "notebooks" / "study").rglob("*.html"))) == len(executed)
    assert "1 cell failed" in (site / "index.html").read_text(encoding="utf-8")
    ran = (site / "runs.html").read_text(encoding="utf-8")
    assert "E in cell [2]: &lt;v&gt; is NaN" in ran
    assert "with changes that were not committed" in ran
    listed = {link["href"] for link in soup(site / "notebooks.html").select("td a, th a")}
    assert {f"cbigan/{name}" for name in names} <= listed


def test_the_front_page_is_short_and_says_what_is_known(site):
    """Catches a front page that grows, and a paper without verdict, counts or what is open."""
    front = site / "index.html"
    assert len(words_of(front)) <= WORDS
    page = soup(front)
    cards = page.select(".papers article")
    linked = [card.h2.a["href"] for card in cards]
    assert linked == [
        f"{n}/verdict.html" for n in ("cbigan", "cyclegan", "ganomaly", "noisy_anogan")
    ]
    told = " ".join(cards[0].get_text(" ").split())
    for text in ("2 agrees", "differs", "2 data not at hand", "1 not run"):
        assert text in told.replace("1 agrees", "2 agrees")
    assert [h.text for h in page.select(".last h2")][1:] == ["Limitations", "Run it"]
    assert page.select_one("a.hero img")["alt"] is not None
    assert not page.select("section[tabindex]")  # nothing there moves


def test_the_committed_front_page_is_short_and_the_site_small():
    """Catches a report that is committed too large, with folders of a machine, or none at all."""
    report = home() / "results" / "report"
    assert len(words_of(report / "index.html")) <= WORDS
    size = {path: path.stat().st_size for path in report.rglob("*") if path.is_file()}
    assert sum(size.values()) <= 15e6
    first = [report / "index.html", *report.glob("*/verdict.html")]
    assert len(first) == 5
    shown = {
        (path.parent / name).resolve()
        for path in first
        for name in re.findall(r'src="([^"]*files/[^"]*)"', path.read_text(encoding="utf-8"))
    }
    assert sum(size[path] for path in first) + sum(p.stat().st_size for p in shown) <= 5e6
    for page in report.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w./])/(work|home|root|tmp|Users)/", text), page


def test_the_package_of_the_site_stays_small():
    """Catches a report that grows back: 1,200 lines with templates, 300 a file."""
    folder = Path(rendering.__file__).parent
    files = [*folder.glob("*.py"), *rendering.TEMPLATES.rglob("*")]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert sum(lines.values()) <= 1200 and max(lines.values()) <= 300


def test_the_same_results_give_the_same_bytes(tree, tmp_path):
    """Catches a clock or an order that changes a committed site without a change of results."""
    build(tree, sources(tree))
    before = {path: path.read_bytes() for path in (tree / "report").rglob("*") if path.is_file()}
    build(tree, sources(tree))
    after = {path: path.read_bytes() for path in (tree / "report").rglob("*") if path.is_file()}
    assert before == after


def test_a_fresh_clone_keeps_the_pages_of_executed_notebooks(tree):
    """Catches pages lost where the notebooks are not at hand, and those of another execution."""
    picture = nbformat.v4.new_output("display_data", {"image/png": report_tree.PIXEL})
    one = tree / "study/cells/cbigan/table2_x/mvtec_ad-screw-s0.ipynb"
    shown = notebook("a picture")
    shown.cells[2].outputs.append(picture)
    nbformat.write(shown, one)
    for name in ("table1_z", "table2_x", "table3_y"):  # titles come from the sources
        nbformat.write(notebook("Title"), sources(tree) / "cbigan" / f"{name}.ipynb")
    site = build(tree, sources(tree)).parent
    pages = {path: path.read_bytes() for path in (site / "notebooks").rglob("*.html")}
    shutil.rmtree(tree / "study" / "cells")
    shutil.rmtree(tree / "other" / "cells")
    build(tree, sources(tree))
    assert {path: path.read_bytes() for path in (site / "notebooks").rglob("*.html")} == pages
    page = site / "notebooks/study/cbigan/table2_x/mvtec_ad-screw-s0.html"
    assert (page.parent / soup(page).img["src"]).resolve().is_file()
    table = tree / "study" / "cells.csv"
    table.write_text(table.read_text("utf-8").replace("03:04:05", "03:04:06", 1), "utf-8")
    build(tree, sources(tree))
    assert len(list((site / "notebooks").rglob("*.html"))) == len(pages) - 1


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
    page = soup(site / "cbigan/table2_x.html")
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
    ran = (build(root, sources(root)).parent / "runs.html").read_text("utf-8")
    assert f"{picture.name}: a broken picture" in ran
    assert "table3_y.csv: no table" in ran
    assert (root / "report" / "cbigan" / "table2_x.html").is_file()
    with pytest.raises(ValueError, match=r"table3_y\.csv: no table"):
        read(root)  # what writes numbers elsewhere has to stop


def test_an_unfinished_cell_shows_no_number(tree, tmp_path):
    """Catches rows and pictures of a study that was killed before it wrote the cell's record."""
    cell(tree, [row("CBiGAN", 0.9)], category="bottle", status="unfinished")
    site = build(tree, sources(tree)).parent
    page = (site / "cbigan/table2_x.html").read_text(encoding="utf-8")
    assert "unfinished" in page and "0.900" not in page
    assert "[mvtec_ad-bottle-s0]" not in page  # ends the caption of its picture
    assert "mvtec_ad-bottle-s0.html" in page  # the notebook as far as it came
    assert "1 unfinished" in (site / "runs.html").read_text(encoding="utf-8")
    assert "unfinished" not in (site / "cbigan/table3_y.html").read_text(encoding="utf-8")


def test_run_records_that_no_row_names_stay_out(tree, tmp_path):
    """Catches devices and files of earlier settings in the report of the present ones."""
    run(tree, "r0", processor="Another CPU")
    site = build(tree, sources(tree)).parent
    index = (site / "runs.html").read_text(encoding="utf-8")
    assert "Some CPU" in index and "Another CPU" not in index


def test_reasons_and_sources_are_footnotes(site):
    """Catches a reason that is printed in every row that has it, and a mark without its text."""
    page = soup(site / "cbigan/table2_x.html")
    table = page.find("caption", string="Published and ours, profile study").find_parent("div")
    texts = [note.text for note in table.find_next_sibling().select("li")]
    marks = {int(n) for mark in table.select("sup") for n in mark.text.split(", ")}
    assert marks == set(range(1, len(texts) + 1))
    assert len(texts) == len(set(texts)) and "One seed has no spread." in texts


def test_filters_name_what_the_rows_hold(site):
    """Catches a filter without rows, rows that no filter finds, and a script from elsewhere."""
    page = soup(site / "scoreboard.html")
    form = page.select_one("form#filters")
    assert form.has_attr("hidden")  # without the script it would do nothing
    rows = page.select("#with-ours tbody tr, #without-ours tbody tr")
    assert len(rows) == 11
    for name in ("paper", "verdict", "profile"):
        options = {o.text for o in form.select(f"select[name={name}] option")} - {"all"}
        assert {row[f"data-{name}"] for row in rows} - {""} <= options
    without = page.select("details#without tbody tr")
    assert {row["data-verdict"] for row in without} == {"not run", "data not at hand"}
    assert not page.select_one("details#without").has_attr("open")
    assert all(not script.has_attr("src") for script in page.select("script"))
    assert "each once, in the profile nearest" in page.select_one(".lead").text  # the tally
    assert 'getElementById("filters")' in page.select("script")[-1].text
    assert (site / "files/scoreboard.csv").read_text("utf-8").count("\n") > 2 * len(rows)


def test_departures_are_in_the_report(site):
    """Catches a departure from the authors' code that no page names."""
    lines = [line.get_text("|") for line in soup(site / "departures.html").select("tbody tr")]
    assert any(line.startswith("width|16|3|authors' code; 16 is") for line in lines)
    assert not any("beta2" in line for line in lines)  # alike


def test_executed_notebook_folds_code_and_keeps_equations(site):
    """Catches code in view or lost, lost equations, and scripts left in outputs."""
    (path,) = (site / "notebooks/study/cbigan/table2_x").glob("*pill*")
    page, text = soup(path), path.read_text("utf-8")
    folded = page.select("main details:not([open]) code")
    assert [code.text for code in folded] == ["secret_code = 1", "fail()"]
    assert text.count("secret_code") == 1
    assert "cdn.example" not in text
    assert "<math" in text and "<mfrac>" in text and "$" not in text
    assert "ansi-red-fg" in text


def test_pictures_are_files_with_what_they_show(tmp_path):
    """Catches a picture that nobody who does not see it knows, one twice, and a broken one."""
    told = nbformat.v4.new_output("display_data", {"image/png": report_tree.PIXEL})
    told.metadata = {"image/png": {"alt": "A <dot> & co"}}
    bare = nbformat.v4.new_output("display_data", {"image/png": report_tree.PIXEL})
    broken = nbformat.v4.new_output("display_data", {"image/png": "AAAA"})
    code = nbformat.v4.new_code_cell("show()", outputs=[told, bare, broken])
    cells = [nbformat.v4.new_markdown_cell("# Title\n\n## Scores"), code]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    pictures = Pictures(tmp_path / "new", tmp_path / "old")
    page = BeautifulSoup(notebooks.page(tmp_path / "a.ipynb", pictures, "../"), "html.parser")
    first, second = page.select("img")
    assert first["src"] == second["src"] and len(list((tmp_path / "new/files").iterdir())) == 1
    assert first["alt"] == "A <dot> & co" and "Scores" in second["alt"]
    assert "a broken picture" in page.text


def test_a_figure_tells_what_it_shows_where_a_notebook_shows_it():
    """Catches a caption that the saved file has and the notebook's output has not."""
    from IPython.core.formatters import DisplayFormatter

    figure = Figure()
    caption(figure, "Scores of two methods")
    _, told = DisplayFormatter().format(figure)
    assert told["image/png"] == {"alt": "Scores of two methods"}


def test_no_page_names_folders_of_the_machine():
    """Catches paths of whoever ran the study, and links or fractions taken for paths."""
    assert without_folders('File "/work/x/adlib/a.py", line 3') == 'File "…/a.py", line 3'
    for text in ("https://example.org/a/b", "a / b / c", "1/2", "notebooks/cbigan/x.ipynb", "</b>"):
        assert without_folders(text) == text


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
    assert "(oracle: picked on the test labels" in page
    assert "(deployable: nothing picked on test data" in page


def test_rebuilding_replaces_the_old_report(tree, tmp_path):
    """Catches pages of cells that no longer exist, and a half-written report left behind."""
    index = build(tree, sources(tree))
    (index.parent / "old.html").write_text("old", encoding="utf-8")
    assert build(tree, sources(tree)) == index
    assert not (index.parent / "old.html").exists()
    assert not list(tree.glob(".report-*"))


def sections_of(page):
    """Headings of a page's sections, in order."""
    return [heading.text for heading in soup(page).select("main h2[id]")]


def test_the_nearest_profile_stands_first_and_on_a_table_page_one_with_a_number(tree):
    """Catches a quick look in front of the paper's own scale, and a first section of no number."""
    for profile in ("quick", "gpu"):
        cell(tree, [row("CBiGAN", 0.7)], profile=profile)
    cell(tree, [row("Another", 0.7)], profile="paper")  # which the paper's table does not have
    site = build(tree, sources(tree)).parent
    near = ["Profile paper", "Profile gpu", "Profile quick", "Profile other", "Profile study"]
    assert sections_of(site / "departures.html") == near
    assert sections_of(site / "runs.html")[:5] == near
    assert sections_of(site / "cbigan/table2_x.html") == [
        *("Profile gpu", "Profile quick", "Profile study", "Profile paper", "Profile other"),
    ]


def test_report_wants_a_profile_to_collect_and_no_other(tree, capsys):
    """Catches a profile that the report takes and ignores, and a collection of nothing."""
    for wrong in (["--collect"], ["--profile", "quick"]):
        assert main(["report", "--results", str(tree), *wrong]) == 2
        assert "--profile and --collect go together" in capsys.readouterr().err


def test_every_region_has_a_name_of_its_own_kind():
    """Catches a row of regions that are all called `table`."""
    named = '<div class="scroll" role="region" tabindex="0" aria-label="table"><table>{}</table>'
    caption = "<caption>By <b>category</b></caption><tr><td>1</td></tr>"
    made = sanitise(f"<h2>Scores<a>¶</a></h2>{named.format('')}</div>{named.format(caption)}</div>")
    regions = BeautifulSoup(made, "html.parser").select("[role=region]")
    assert [region["aria-label"] for region in regions] == ["Scores", "By category"]
    assert sanitise(made) == made


def test_the_report_needs_no_torch():
    """Catches an import that makes the report wait seconds for torch."""
    code = "import sys, adlib.study.site.pages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=home(), check=False).returncode == 0


def test_templates_travel_with_the_package():
    """Catches a template that only the checkout has (see package data in pyproject.toml)."""
    pattern = tomllib.loads((home() / "pyproject.toml").read_text("utf-8"))
    pattern = pattern["tool"]["setuptools"]["package-data"]["adlib"]
    assert pattern == ["study/site/templates/**"] and (rendering.TEMPLATES / "style.css").is_file()
