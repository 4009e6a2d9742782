"""The site: an index, a page per paper table or figure, a page per executed notebook, files."""

import base64
import hashlib
import shutil
import tempfile
from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from adlib.host import files
from adlib.study import agreement, departures, profiles, verdicts
from adlib.study.papers import MEANS
from adlib.study.site import facts, findings, notebooks, rule, scoreboard, tables
from adlib.study.site.scoreboard import beside
from adlib.study.summary import COUNT, Execution, Study, read

BOARD = "files/scoreboard.csv"


def build(results: Path, sources: Path, profile: str | None = None) -> Path:
    """Write ``results/report/`` anew from what lies in `results`.

    Args:
        results: Folder that holds one folder a profile.
        sources: Folder that holds one folder a paper: notebooks, for titles and lead texts, and
            what the paper says.
        profile: Profile that stands first; by default the one nearest to the papers.

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
        _write(study, order, sources, site)
        if target.exists():
            shutil.rmtree(target)
        shutil.move(site, target)
    return target / "index.html"


def _write(study: Study, order: list[str], sources: Path, site: Path) -> None:
    compared = {name: verdicts.compare(study, name) for name in order}
    others = {name: verdicts.beside_others(study, name) for name in order}
    by_page: dict[tuple[str, str], list[Execution]] = {}
    for one in study.executions:
        by_page.setdefault((one.cell.paper, one.cell.notebook), []).append(one)
    pages = []
    for (paper, notebook), executions in by_page.items():
        title, lead = _lead(sources / paper / f"{notebook}.ipynb", executions)
        page = {"paper": paper, "notebook": notebook, "title": title or notebook, "lead": lead}
        pages.append(page | {"path": f"{paper}/{notebook}.html", "executions": executions})
    for one in study.executions:
        _copy(one, site)
    for name in order:
        for file in ("runs.csv", "runs.tar.xz"):
            if (study.results / name / file).is_file():
                _copy_file(study.results / name / file, site / "files" / name / file)
    for page in pages:
        sections = [
            _section(study, name, page, compared[name], others[name], site) for name in order
        ]
        sections = [section for section in sections if section["cells"]]
        context = {"page": page, "sections": sections, "known": study.papers}
        _render(site / page["path"], "table.html.j2", **context)
    board = pd.concat(rows.assign(profile=name) for name, rows in compared.items())
    files.write_text(site / BOARD, board.drop(columns="runs").to_csv(index=False))
    _render(site / "rule.html", "rule.html.j2", **_rule(study, compared, site))
    _render(site / "index.html", "index.html.j2", **_index(study, order, compared, pages))


def _lead(source: Path, executions: list[Execution]) -> tuple[str, Markup]:
    """Title and lead of a page; from an executed notebook where the source has gone."""
    executed = next((one.executed for one in executions if one.executed), None)
    title, lead = notebooks.lead(source if source.is_file() else executed)
    return title, Markup(lead)


def _section(
    study: Study, name: str, page: dict, compared: pd.DataFrame, others: pd.DataFrame, site: Path
) -> dict:
    """What one profile has to say on one page."""
    chosen = {"profile": name, "paper": page["paper"], "table": page["notebook"]}
    summary = study.summary[_where(study.summary, chosen)]
    rows = study.rows[_where(study.rows, chosen)]
    executions = [one for one in page["executions"] if one.cell.profile == name]
    csv = f"files/{name}/{page['paper']}/{page['notebook']}.csv"
    if len(rows):
        files.write_text(site / csv, rows.to_csv(index=False))
    place = {"paper": page["paper"], "table": page["notebook"]}
    here, theirs = compared[_where(compared, place)], others[_where(others, place)]
    return {
        "profile": _profile(name),
        "cells": [_links(one) for one in executions],
        "matrices": tables.said_once(tables.matrices(summary, study.papers)),
        "seeds": sorted(set(rows.loc[rows["method"] != COUNT, "seed"].dropna().astype(int))),
        "csv": csv if len(rows) else "",
        **_intervals(summary),
        "beside": beside(here[here["ours"].notna()]),
        "alone": beside(here[here["ours"].isna()]),
        "others": scoreboard.others(theirs),
        "counts": Counter(here["verdict"]),
        "pictures": [
            {
                "path": f"files/{name}/{page['paper']}/{path.name}",
                "caption": caption,
                "cell": one.cell.id,
                "wide": wide,
            }
            for one in executions
            for path, caption, wide in one.pictures
        ],
        "runs": sorted(set(rows["run"]) & set(study.packs.get(name, {}))),
    }


def _intervals(summary: pd.DataFrame) -> dict:
    """Metrics in words by what their intervals are about, and oracle metrics without one."""
    methods = summary[summary["method"] != COUNT].dropna(subset=["value"])
    some = methods[methods["about"] != ""].groupby("about")["metric"].unique()
    without = methods[(methods["form"] == "oracle") & (methods["about"] == "")]["metric"].unique()
    return {
        "intervals": {about: list(map(tables.in_words, names)) for about, names in some.items()},
        "without": list(map(tables.in_words, without)),
    }


def _index(
    study: Study, order: list[str], compared: dict[str, pd.DataFrame], pages: list[dict]
) -> dict:
    """What the front page says."""
    broken, checked = verdicts.bounds_of_published(study)
    ours_broken, ours_checked = verdicts.bounds_of_ours(study)
    once = scoreboard.nearest(compared)
    papers = [*study.papers, *(page["paper"] for page in pages)]  # the papers in their order
    return {
        "pages": pages,
        "page_titles": {page["path"]: page["title"] for page in pages},
        "papers": [p for p in dict.fromkeys(papers) if p in {page["paper"] for page in pages}],
        "profiles": [_profile(name) | facts.of(study, name) for name in order],
        "failed": [_links(one) for one in study.executions if one.failed],
        "findings": findings.findings(study, compared),
        "tally": scoreboard.tally(once),
        "board": scoreboard.board(compared),
        "papers_of_board": list(dict.fromkeys(once["paper_title"])),
        "known": study.papers,
        "silent": [name for name, rows in compared.items() if rows["ours"].isna().all()],
        "by_paper": scoreboard.counts(compared, "paper_title"),
        "by_table": scoreboard.counts(compared, "paper_title", "table_title"),
        "departures": {name: _departures(study, name) for name in order},
        "broken": broken.replace({"category": MEANS}).to_dict("records"),
        "checked": {"rows": len(checked), **checked[["both", "pair"]].sum().to_dict()},
        "ours_broken": ours_broken,
        "ours_checked": ours_checked,
    }


def _rule(study: Study, compared: dict[str, pd.DataFrame], site: Path) -> dict:
    """What the page on the rule says; its picture is drawn where there is anything to count."""
    spread, numbers = rule.spread_of_trainings(study)
    table = rule.by_margin(compared)
    counted = int(table.loc[table["margin"] == table["margin"].min(), "numbers"].sum())
    if counted:
        rule.draw(table, site / "files" / "rule.png")
    margins: dict[float, list[str]] = {}
    for metric, margin in agreement.MARGINS.items():
        margins.setdefault(margin, []).append(tables.in_words(metric))
    return {
        "rule": verdicts.RULE,
        "outcomes": agreement.OUTCOMES,
        "margins": margins,
        "chances": rule.chances(spread) if numbers else [],
        "spread": spread,
        "numbers": numbers,
        "curve": counted,
    }


def _departures(study: Study, name: str) -> list[dict]:
    rows = study.rows[study.rows["profile"] == name]
    return departures.departures(rows, study.records(name), study.papers)


def _profile(name: str) -> dict:
    known = profiles.load(name) if name in profiles.names() else {}
    return {"name": name, "title": name, "about": ""} | known


def _links(one: Execution) -> dict:
    """State of an execution and the files of it that the site holds."""
    cell = one.cell
    place = f"{cell.profile}/{cell.paper}/{cell.notebook}/{cell.id}"
    return {
        "notebook": one.executed and f"notebooks/{place}.html",
        "ipynb": one.executed and f"files/{place}.ipynb",
        "name": cell.id,
        "profile": cell.profile,
        "title": f"{cell.paper}/{cell.notebook}",
        "status": one.status,
        "error": one.error,
        "seconds": one.seconds,
        "started": one.started[:16].replace("T", " "),
        "commit": one.commit[:10],
        "dirty": one.dirty,
    }


def _copy(one: Execution, site: Path) -> None:
    """Pictures of an execution, and its notebook as a page."""
    for path, *_ in one.pictures:
        _copy_file(path, site / "files" / one.cell.profile / one.cell.paper / path.name)
    if one.executed:
        links = _links(one)
        _copy_file(one.executed, site / links["ipynb"])
        body = Markup(notebooks.page(one.executed))
        page = f"{one.cell.paper}/{one.cell.notebook}.html"
        _render(site / links["notebook"], "notebook.html.j2", cell=links, body=body, page=page)


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _where(rows: pd.DataFrame, chosen: dict[str, str]) -> pd.Series:
    return (rows[list(chosen)] == pd.Series(chosen)).all(axis=1)


def _render(path: Path, template: str, **context) -> None:
    site = next(parent for parent in path.parents if parent.name == "report")
    root = "../" * (len(path.relative_to(site).parts) - 1)
    files.write_text(path, _environment().get_template(template).render(root=root, **context))


@lru_cache(maxsize=1)
def _sha256_source(script: str) -> str:
    """How a Content-Security-Policy names the one script that may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(notebooks.TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals |= {
        "built": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "verdicts": verdicts.VERDICTS,
        "verdict_class": {name: name.replace(" ", "-") for name in verdicts.VERDICTS},
        "csv_of_board": BOARD,
    }
    environment.filters["sentence"] = tables.sentence
    environment.filters["sha256_source"] = _sha256_source
    return environment
