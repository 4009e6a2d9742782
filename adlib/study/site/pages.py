"""The site: front page, verdicts, a page a notebook, executed notebooks, and lists of all of it."""

import re
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from markupsafe import Markup

from adlib.host import files
from adlib.host.paths import without_folders
from adlib.study import cards as beyond
from adlib.study import notes
from adlib.study.pictures import look
from adlib.study.profiles import Cell
from adlib.study.site import lists, notebooks, sections
from adlib.study.site.pictures import Pictures
from adlib.study.site.rendering import NAME, Site
from adlib.study.site.sanitise import sanitise
from adlib.study.summary import read
from adlib.study.verdict import agreement, ledger, verdict_notebooks, verdicts
from adlib.study.verdict.conclusions import Conclusion, conclude

BODY = re.compile(r"<!--notebook-->\n(.*)\n<!--/notebook-->", re.DOTALL)


def build(results: Path, sources: Path) -> Path:
    """Write ``results/report/`` anew from what lies in `results`.

    The same results give the same bytes. Pages of executed notebooks that are no more in `results`
    are taken over from the earlier report, where they show the execution that `cells.csv` lists.

    Args:
        results: Folder that holds one folder a profile.
        sources: Folder that holds one folder a paper: notebooks, for titles and lead texts, and
            what the paper says.

    Returns:
        The index page.

    Raises:
        FileNotFoundError: No results.
        ValueError: Nothing has run, or a file of the tree is not valid but for tables and pictures:
            a broken one makes its cells failed ones.
    """
    study = read(results, sources, go_on=True)
    if not study.profiles:
        raise ValueError(f"{results} holds no results yet. Run the study first.")

    target = results / "report"
    with tempfile.TemporaryDirectory(dir=results, prefix=".report-") as folder:
        made, site = Path(folder) / "made", Path(folder) / "report"
        _write(Site(study, sources, site, Pictures(site, target)), made)
        if (made / verdict_notebooks.HERO).is_file():
            with files.atomic(results / "report.png") as temporary:
                shutil.copyfile(made / verdict_notebooks.HERO, temporary)
        if target.exists():
            shutil.rmtree(target)
        shutil.move(site, target)
    return target / "index.html"


def _write(site: Site, made: Path) -> None:
    """Write all pages; verdict notebooks and their pictures go to the folder `made`."""
    study, pictures = site.study, site.pictures
    executed = _executed(site)
    heard = set(study.profiles) - set(ledger.SILENT)
    judged = verdict_notebooks.run(study.results, site.sources, made) if heard else {}
    for paper, path in judged.items():
        body = Markup(notebooks.page(path, pictures, "../"))
        title = f"{study.papers[paper].title}: the verdict"
        site.render(f"{paper}/verdict.html", "executed.html.j2", title, body=body, one=None)
    beside = {
        name: (rows, verdicts.beside_others(study, name)) for name, rows in site.compared.items()
    }
    for (paper, notebook), executions in site.by_page.items():
        title, lead = site.leads[paper, notebook]
        parts = []
        for name in site.in_order(paper, notebook):
            some = [one for one in executions if one.cell.profile == name]
            parts.append(sections.of_notebook(study, some, beside[name], pictures, executed))
        site.render_sections(f"{paper}/{notebook}", title, Markup(lead), parts)
    concluded = [conclude(study, paper, study.profiles) for paper in judged]
    lists.write(site, executed, concluded)
    _front(site, concluded, made / verdict_notebooks.HERO)


def _front(site: Site, concluded: list[Conclusion], hero: Path) -> None:
    shown = [site.pictures.add(hero.read_bytes(), look(hero)[0])] if hero.is_file() else []
    cards = beyond.cards(site.study, site.study.profiles)
    site.render(
        "index.html",
        "index.html.j2",
        NAME,
        heroes=shown,
        asked=sum(paper.prints for paper in site.study.papers.values()),
        papers=[(one, *_counted(one)) for one in concluded],
        cards=[(site.pictures.add(one.picture.read_bytes(), one.caption), one) for one in cards],
        limits=notes.limits(site.study, site.compared),
        failed=sum(one.failed for one in site.study.executions),
    )


def _counted(one: Conclusion) -> tuple[list[tuple[str, int]], str]:
    """Numbers of a paper by verdict, those that decide always, and its claims by outcome."""
    counts, claims = one.counts, Counter(entry.outcome for entry in one.entries)
    shown = [name for name in verdicts.VERDICTS if counts[name] or name in agreement.OUTCOMES]
    outcomes = ", ".join(f"{claims[name]} {name}" for name in ledger.OUTCOMES if claims[name])
    return [(name, counts[name]) for name in shown], outcomes


def _executed(site: Site) -> dict[Cell, str]:
    """Write a page for every executed notebook, and give their paths."""
    found = {}
    for one in site.study.executions:
        cell = one.cell
        path = f"notebooks/{cell.profile}/{cell.paper}/{cell.notebook}/{cell.id}.html"
        if one.executed:
            body = notebooks.page(one.executed, site.pictures, "../" * path.count("/"))
        else:
            body = _earlier(site.pictures, path, one.started)
        if body:
            found[cell] = path
            title = f"{site.leads[cell.paper, cell.notebook][0]}, {cell.id}"
            context = {"body": Markup(body), "one": one, "error": without_folders(one.error)}
            site.render(path, "executed.html.j2", title, **context)
    return found


def _earlier(pictures: Pictures, path: str, started: str) -> str:
    """Body of an executed notebook's page in the earlier report; "" where it shows another run."""
    file = pictures.earlier / path
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    found = BODY.search(text)
    if not found or f'<meta name="started" content="{started}">' not in text:
        return ""
    for picture in re.findall(r"files/[0-9a-f]{16}\.webp", found[1]):
        pictures.keep(picture)
    return sanitise(found[1])  # by the rules of today
