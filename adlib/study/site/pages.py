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
from adlib.study import beyond, conclusions, verdict_notebooks, verdicts
from adlib.study.execute import TOUR
from adlib.study.papers import MEANS
from adlib.study.profiles import Cell
from adlib.study.site import front, notebooks, ran, rule, scoreboard, sections, tables
from adlib.study.site.pictures import Pictures
from adlib.study.summary import Execution, Study, read
from adlib.study.words import sentence

TEMPLATES = Path(__file__).with_name("templates")
LINKS = {
    "scoreboard": "Scoreboard",
    "notebooks": "Notebooks",
    "departures": "Departures",
    "runs": "Runs",
    "rule": "Rule",
}
BODY = re.compile(r"<!--notebook-->\n(.*)\n<!--/notebook-->", re.DOTALL)


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
    def by_page(self) -> dict[tuple[str, str], list[Execution]]:
        """Executions by paper and notebook, in reading order: the tour first."""
        found: dict[tuple[str, str], list[Execution]] = {}
        papers = [*self.study.papers, *(one.cell.paper for one in self.study.executions)]
        for one in self.study.executions:
            found.setdefault((one.cell.paper, one.cell.notebook), []).append(one)
        return dict(
            sorted(
                found.items(),
                key=lambda item: (item[0][1] != TOUR, papers.index(item[0][0]), item[0][1]),
            )
        )

    @cached_property
    def leads(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Title and lead text of every page; of an executed notebook where the source has gone."""
        found = {}
        for (paper, notebook), executions in self.by_page.items():
            source = self.sources / paper / f"{notebook}.ipynb"
            executed = next((one.executed for one in executions if one.executed), None)
            title, lead = notebooks.lead(source if source.is_file() else executed)
            found[paper, notebook] = title or notebook, lead
        return found

    def render(self, path: str, template: str, **context) -> None:
        """Write a page of the site."""
        context |= {"root": "../" * path.count("/"), "newest": ran.newest(self.study)}
        page = _environment().get_template(template).render(links=LINKS.items(), **context)
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
        site = Path(folder) / "report"
        _write(Site(study, order, sources, site, Pictures(site, target)), Path(folder) / "verdicts")
        hero = Path(folder) / "verdicts" / front.HERO
        if hero.is_file():
            with files.atomic(results / "report.png") as temporary:
                shutil.copyfile(hero, temporary)
        if target.exists():
            shutil.rmtree(target)
        shutil.move(site, target)
    return target / "index.html"


def _write(site: Site, made: Path) -> None:
    study, compared = site.study, site.compared
    verdict_pages = verdict_notebooks.run(study.results, site.sources, made)
    for paper, path in verdict_pages.items():
        body = Markup(notebooks.page(path, site.pictures, "../"))
        title = f"{study.papers[paper].title}: the verdict"
        site.render(f"{paper}/verdict.html", "executed.html.j2", title=title, body=body, one=None)
    executed = _executed(site)
    for (paper, notebook), executions in site.by_page.items():
        title, lead = site.leads[paper, notebook]
        by_profile = {name: [o for o in executions if o.cell.profile == name] for name in site.order}
        parts = [
            sections.of_notebook(study, some, compared[name], site.pictures, executed)
            for name, some in by_profile.items()
            if some
        ]
        context = {"title": title, "lead": Markup(lead), "sections": parts}
        site.render(f"{paper}/{notebook}.html", "sections.html.j2", **context)
    _lists(site, executed, verdict_pages)
    concluded = [conclusions.conclude(study, paper, study.profiles) for paper in verdict_pages]
    cards = beyond.cards(study, study.profiles)
    context = front.page(site.study, compared, concluded, cards, made, site.pictures)
    site.render("index.html", "index.html.j2", title="GAN anomaly detection, reproduced", **context)


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
            error = notebooks.without_folders(one.error)
            context = {"title": title, "body": Markup(body), "one": one, "error": error}
            site.render(path, "executed.html.j2", **context)
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


def _lists(site: Site, executed: dict[Cell, str], verdict_pages: dict[str, Path]) -> None:
    """Scoreboard, notebooks, departures, runs and rule."""
    study, compared = site.study, site.compared
    board = pd.concat(rows.assign(profile=name) for name, rows in compared.items())
    csv = board.drop(columns=["runs", "values", "others"]).to_csv(index=False, lineterminator="\n")
    files.write_text(site.folder / "files/scoreboard.csv", csv)
    site.render("scoreboard.html", "scoreboard.html.j2", title=LINKS["scoreboard"], **_board(site))
    context = rule.page(study, compared, site.pictures)
    site.render("rule.html", "rule.html.j2", title="The rule of the verdict", **context)
    lead = "What runs do otherwise than the paper says or its authors' public code does, read off "
    for name, title, lead, parts in (
        ("notebooks", "Notebooks", "One page a notebook: tables, pictures, runs of all profiles.",
         _by_paper(site, executed, verdict_pages)),
        ("departures", "Departures from the papers and their code",
         f"{lead}the run records. What is alike is not listed.",
         [sections.of_departures(study, name) for name in site.order]),
        ("runs", "What was run", "A profile is a budget and a choice of data.",
         [sections.of_profile(study, name) for name in site.order]),
    ):  # fmt: skip
        context = {"title": title, "lead": lead, "sections": parts}
        site.render(f"{name}.html", "sections.html.j2", **context)


def _by_paper(
    site: Site, executed: dict[Cell, str], verdict_pages: dict[str, Path]
) -> list[sections.Section]:
    """A section a paper: its notebooks in reading order, its verdict last."""
    made = []
    for paper in dict.fromkeys(paper for paper, _ in site.by_page):
        known, rows = site.study.papers.get(paper), []
        for (folder, notebook), executions in site.by_page.items():
            if folder == paper:
                title = site.leads[paper, notebook][0]
                ran_as = [executed[one.cell] for one in executions if one.cell in executed]
                profiles = dict.fromkeys(one.cell.profile for one in executions)
                rows.append({
                    "notebook": tables.Cell(title, title, link=f"{paper}/{notebook}.html"),
                    "profiles": ", ".join(profiles),
                    "executions": len(executions),
                    "as it ran": tables.Cell(*(["open"] if ran_as else []), link="".join(ran_as[:1])),
                })  # fmt: skip
        if paper in verdict_pages:
            link = tables.Cell("Verdict", "Verdict", link=f"{paper}/verdict.html")
            rows.append({"notebook": link} | dict.fromkeys(list(rows[0])[1:], ""))
        title = known.title if known else paper
        texts = [sentence(known.citation)] if known and known.citation else []
        listed = tables.plain(f"Notebooks of {title}", rows, ["executions"])
        made.append(sections.Section(title, paper, texts, tables=[listed]))
    return made


def _board(site: Site) -> dict:
    """What the scoreboard says, and which published or own numbers no scores can give."""
    broken, checked = verdicts.bounds_of_published(site.study)
    ours_broken, ours_checked = verdicts.bounds_of_ours(site.study)
    once = verdicts.nearest(site.compared)
    heads = {"method": "method", "paper_title": "paper", "category": "category",
             "printed": "balanced accuracy", "printed_auroc": "auROC", "broken": "what is broken",
             "note": "origin"}  # fmt: skip
    rows = broken.replace({"category": MEANS})[list(heads)].rename(columns=heads)
    return {
        "verdicts": verdicts.VERDICTS,
        "tally": scoreboard.tally(once),
        "counts": scoreboard.counts(site.compared, "By published table and profile"),
        "board": scoreboard.board(site.compared),
        "filters": {
            "paper": list(dict.fromkeys(once["paper_title"])),
            "verdict": verdicts.VERDICTS,
            "profile": site.study.profiles,
        },
        "silent": [name for name, rows in site.compared.items() if rows["ours"].isna().all()],
        "broken": tables.plain("Published rows that break a bound", rows.to_dict("records")),
        "checked": {"rows": len(checked), **checked[["both", "pair"]].sum().to_dict()},
        "ours_broken": ours_broken,
        "ours_checked": ours_checked,
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
    environment.filters["sentence"] = sentence
    environment.filters["sha256_source"] = _sha256_source
    return environment
