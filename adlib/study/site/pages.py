"""The site: front page, verdicts, a page a notebook, executed notebooks, and lists of all of it."""

import base64
import hashlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from adlib.host import files
from adlib.host.paths import without_folders
from adlib.study import agreement, beyond, deciding, ran, verdict_notebooks, verdicts
from adlib.study.conclusions import Conclusion, conclude
from adlib.study.execute import TOUR
from adlib.study.papers import MEANS
from adlib.study.pictures import look
from adlib.study.profiles import Cell
from adlib.study.site import front, notebooks, scoreboard, sections, tables
from adlib.study.site.pictures import Pictures
from adlib.study.summary import Execution, Study, read
from adlib.study.tables import in_words, sentence

TEMPLATES = Path(__file__).with_name("templates")
NAME = "GAN anomaly detection, reproduced"
LISTS = ("scoreboard", "notebooks", "departures", "runs", "rule")
BODY = re.compile(r"<!--notebook-->\n(.*)\n<!--/notebook-->", re.DOTALL)
Place = tuple[str, str]  # paper and notebook


@dataclass(frozen=True)
class Site:
    """A site that is being written: what it is made of, and what is known of its pages."""

    study: Study
    order: list[str]  # profiles, the one that stands first on every page in front
    sources: Path  # the papers' folders
    folder: Path
    pictures: Pictures

    @cached_property
    def compared(self) -> dict[str, pd.DataFrame]:
        """What `verdicts.compare` gives, by profile, the one nearest to the papers first."""
        return {name: verdicts.compare(self.study, name) for name in self.study.profiles}

    @cached_property
    def by_page(self) -> dict[Place, list[Execution]]:
        """Executions by paper and notebook, in reading order."""
        papers = [*self.study.papers, *(one.cell.paper for one in self.study.executions)]
        places = {(one.cell.paper, one.cell.notebook) for one in self.study.executions}
        found = {p: [] for p in sorted(places, key=lambda p: (papers.index(p[0]), p[1]))}
        for one in self.study.executions:
            found[one.cell.paper, one.cell.notebook].append(one)
        return found

    @cached_property
    def leads(self) -> dict[Place, tuple[str, str]]:
        """Title and lead text of every page; of an executed notebook where the source has gone."""
        found = {}
        for (paper, notebook), executions in self.by_page.items():
            source = self.sources / paper / f"{notebook}.ipynb"
            executed = next((one.executed for one in executions if one.executed), None)
            title, lead = notebooks.lead(source if source.is_file() else executed)
            found[paper, notebook] = title or notebook, lead
        return found

    def render(self, path: str, template: str, title: str, **context) -> None:
        """Write a page of the site."""
        context |= {"root": "../" * path.count("/"), "newest": ran.newest(self.study)}
        page = _environment().get_template(template).render(title=title, **context)
        files.write_text(self.folder / path, page)


def build(results: Path, sources: Path, profile: str | None = None) -> Path:
    """Write ``results/report/`` anew from what lies in `results`.

    The same results give the same bytes. Pages of executed notebooks that are no more in `results`
    are taken over from the earlier report, where they show the execution that `cells.csv` lists.

    Args:
        results: Folder that holds one folder a profile.
        sources: Folder that holds one folder a paper: notebooks, for titles and lead texts, and
            what the paper says.
        profile: Profile that stands first on every page; by default the one nearest to the papers.

    Returns:
        The index page.

    Raises:
        FileNotFoundError: No results.
        ValueError: Nothing has run, `profile` has no results, or a file of the tree is not valid
            but for tables and pictures: a broken one makes its cells failed ones.
    """
    study = read(results, sources, go_on=True)
    order = study.profiles
    if not order:
        raise ValueError(f"{results} holds no results yet. Run the study first.")
    if profile and profile not in order:
        raise ValueError(f"No results of profile {profile!r} in {results}; there are {order}.")
    order.sort(key=lambda name: name != profile)  # stable: the others keep their order

    target = results / "report"
    with tempfile.TemporaryDirectory(dir=results, prefix=".report-") as folder:
        made, site = Path(folder) / "made", Path(folder) / "report"
        _write(Site(study, order, sources, site, Pictures(site, target)), made)
        if (made / verdict_notebooks.HERO).is_file():
            with files.atomic(results / "report.png") as temporary:
                shutil.copyfile(made / verdict_notebooks.HERO, temporary)
        if target.exists():
            shutil.rmtree(target)
        shutil.move(site, target)
    return target / "index.html"


def _write(site: Site, made: Path) -> None:
    """Write all pages; verdict notebooks and their pictures go to the folder `made`."""
    study, compared = site.study, site.compared
    executed = _executed(site)
    judged = verdict_notebooks.run(study.results, site.sources, made)
    for paper, path in judged.items():
        body = Markup(notebooks.page(path, site.pictures, "../"))
        title = f"{study.papers[paper].title}: the verdict"
        site.render(f"{paper}/verdict.html", "executed.html.j2", title, body=body, one=None)
    others = {name: verdicts.beside_others(study, name) for name in site.order}
    for (paper, notebook), executions in site.by_page.items():
        title, lead = site.leads[paper, notebook]
        parts = []
        for name in site.order:
            some = [one for one in executions if one.cell.profile == name]
            beside = compared[name], others[name]
            if some:
                given = (study, some, beside, site.pictures, executed)
                parts.append(sections.of_notebook(*given))
        _sections(site, f"{paper}/{notebook}", title, Markup(lead), parts)
    concluded = [conclude(study, paper, study.profiles) for paper in judged]
    _lists(site, executed, concluded)
    _front(site, concluded, made / verdict_notebooks.HERO)


def _front(site: Site, concluded: list[Conclusion], hero: Path) -> None:
    drawn = [site.pictures.add(hero.read_bytes(), look(hero)[0])] if hero.is_file() else []
    cards = beyond.cards(site.study, site.study.profiles)
    pictured = [(site.pictures.add(one.picture.read_bytes(), one.caption), one) for one in cards]
    site.render(
        "index.html", "index.html.j2", NAME,
        hero=drawn[0] if drawn else None,
        papers=[front.card(one) for one in concluded],
        cards=pictured,
        limits=front.limits(site.study, site.compared),
        failed=sum(one.failed for one in site.study.executions),
    )  # fmt: skip


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
    return found[1]


def _sections(site: Site, name: str, title: str, lead: str, parts: list[sections.Section]) -> None:
    site.render(f"{name}.html", "sections.html.j2", title, lead=lead, sections=parts)


def _lists(site: Site, executed: dict[Cell, str], concluded: list[Conclusion]) -> None:
    """Scoreboard, rule, notebooks, departures and runs."""
    study, order = site.study, site.order
    board = pd.concat(rows.assign(profile=name) for name, rows in site.compared.items())
    csv = board.drop(columns=["runs", "values", "others"]).to_csv(index=False, lineterminator="\n")
    files.write_text(site.folder / "files/scoreboard.csv", csv)
    site.render("scoreboard.html", "scoreboard.html.j2", "Scoreboard", **_board(site))
    site.render("rule.html", "rule.html.j2", "The rule of the verdict", **_rule(site))
    papers = dict.fromkeys(paper for paper, _ in site.by_page)
    listed = [_of_paper(site, paper, executed) for paper in papers]
    lead = Markup("One page a notebook: tables, pictures and runs of all profiles.")
    for paper, notebook in site.by_page:
        if notebook == TOUR:
            start = Markup(' Start with <a href="{}/{}.html">{}</a>.')
            lead += start.format(paper, notebook, site.leads[paper, notebook][0])
    _sections(site, "notebooks", "Notebooks", lead, listed)
    lead = "What runs do otherwise than the paper says or its authors' public code does, read off "
    lead += "the run records. What is alike is not listed."
    departed = [sections.of_departures(study, name) for name in order]
    _sections(site, "departures", "Departures from the papers and their code", lead, departed)
    ran_by = [sections.of_profile(study, name) for name in order]
    lead = "A profile is a budget and a choice of data."
    _sections(site, "runs", "What was run", lead, [*ran_by, sections.of_cost(concluded)])


def _of_paper(site: Site, paper: str, executed: dict[Cell, str]) -> sections.Section:
    """A paper's notebooks in reading order, its verdict last."""
    known, rows = site.study.papers.get(paper), []
    for (folder, notebook), executions in site.by_page.items():
        if folder == paper:
            title = site.leads[paper, notebook][0]
            pages = [executed[one.cell] for one in executions if one.cell in executed]
            rows.append({
                "notebook": tables.Cell(title, title, link=f"{paper}/{notebook}.html"),
                "profiles": ", ".join(dict.fromkeys(one.cell.profile for one in executions)),
                "executions": len(executions),
                "as it ran": tables.Cell("open", link=pages[0]) if pages else "–",
            })  # fmt: skip
    if (site.folder / paper / "verdict.html").is_file():
        link = tables.Cell("Verdict", "Verdict", link=f"{paper}/verdict.html")
        rows.append(dict.fromkeys(rows[0], "") | {"notebook": link})
    texts = [sentence(known.citation)] if known and known.citation else []
    listed = tables.plain("Notebooks", rows, ["executions"])
    return sections.Section(known.title if known else paper, paper, texts, tables=[listed])


def _board(site: Site) -> dict:
    """What the scoreboard says, and which published or own numbers no scores can give."""
    broken, checked = verdicts.bounds_of_published(site.study)
    once = verdicts.nearest(site.compared)
    heads = {"method": "method", "paper_title": "paper", "category": "category",
             "printed": "balanced accuracy", "printed_auroc": "auROC", "broken": "what is broken",
             "note": "origin"}  # fmt: skip
    rows = broken.replace({"category": MEANS})[list(heads)].rename(columns=heads)
    papers = list(dict.fromkeys(once["paper_title"]))
    names = (papers, verdicts.VERDICTS, site.study.profiles)
    return {
        "tally": scoreboard.tally(once),
        "counts": scoreboard.counts(site.compared, "By published table and profile"),
        "board": scoreboard.board(site.compared),
        "filters": dict(zip(("paper", "verdict", "profile"), names, strict=True)),
        "silent": [name for name, rows in site.compared.items() if rows["ours"].isna().all()],
        "broken": tables.plain("Published rows that break a bound", rows.to_dict("records")),
        "checked": {"rows": len(checked), **checked[["both", "pair"]].sum().to_dict()},
        "ours": verdicts.bounds_of_ours(site.study),
    }


def _rule(site: Site) -> dict:
    """What the page on the rule says; its picture is drawn where there is anything to count."""
    spread, numbers = deciding.spread_of_trainings(site.study)
    moved = deciding.by_margin(site.compared)
    counted = int(moved.loc[moved["margin"] == moved["margin"].min(), "numbers"].sum())
    alt = "Published numbers that agree, differ and stay open, for margins from 0 to 0.10"
    rows = [
        {name: value if name == "seeds" else f"{value:.2f}" for name, value in row.items()}
        for row in (deciding.chances(spread) if numbers else [])
    ]
    margins: dict[float, list[str]] = {}
    for metric, margin in agreement.MARGINS.items():
        margins.setdefault(margin, []).append(in_words(metric))
    return {
        "rule": verdicts.RULE,
        "margins": margins,
        "spread": spread,
        "numbers": numbers,
        "chances": tables.plain("Probability of each outcome", rows, rows[0] if rows else ()),
        "counted": counted,
        "curve": site.pictures.add(deciding.drawn(moved), alt) if counted else None,
    }


def _sha256_source(script: str) -> str:
    """How a Content-Security-Policy names the one script that may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals |= {"lists": LISTS, "verdicts": verdicts.VERDICTS, "site": NAME}
    environment.filters["sentence"] = sentence
    environment.filters["sha256_source"] = _sha256_source
    return environment
