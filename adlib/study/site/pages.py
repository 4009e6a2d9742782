"""The site: an index, a page per paper table or figure, a page per executed notebook, files."""

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
from adlib.study import profiles, verdicts
from adlib.study.papers import MEANS
from adlib.study.site import facts, findings, notebooks, scoreboard, tables
from adlib.study.site.scoreboard import beside
from adlib.study.summary import COUNT, Cell, Study, read

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
        ValueError: Nothing has run, `profile` has no results, or a file of the tree is not valid.
    """
    study = read(results, sources)
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
    pages = []
    for paper, notebook in dict.fromkeys((cell.paper, cell.notebook) for cell in study.cells):
        cells = [cell for cell in study.cells if (cell.paper, cell.notebook) == (paper, notebook)]
        title, lead = _lead(sources / paper / f"{notebook}.ipynb", cells)
        pages.append({"paper": paper, "notebook": notebook, "title": title or notebook})
        pages[-1] |= {"lead": lead, "path": f"{paper}/{notebook}.html", "cells": cells}
    for cell in study.cells:
        _copy(study, cell, site)
    for name in order:
        for path in (path for found in study.runs(name).values() for path in found):
            _copy_file(path, site / "files" / name / "runs" / path.name)
    for page in pages:
        sections = [_section(study, name, page, compared[name], site) for name in order]
        sections = [section for section in sections if section["cells"]]
        context = {"page": page, "sections": sections, "known": study.papers}
        _render(site / page["path"], "table.html.j2", **context)
    board = pd.concat(rows.assign(profile=name) for name, rows in compared.items())
    files.write_text(site / BOARD, board.drop(columns="runs").to_csv(index=False))
    _render(site / "index.html", "index.html.j2", **_index(study, order, compared, pages))


def _lead(source: Path, cells: list[Cell]) -> tuple[str, Markup]:
    """Title and lead of a page; from an executed notebook where the source has gone."""
    executed = next((cell.executed for cell in cells if cell.executed), None)
    title, lead = notebooks.lead(source if source.is_file() else executed)
    return title, Markup(lead)


def _section(study: Study, name: str, page: dict, compared: pd.DataFrame, site: Path) -> dict:
    """What one profile has to say on one page."""
    chosen = {"profile": name, "paper": page["paper"], "table": page["notebook"]}
    summary = study.summary[_where(study.summary, chosen)]
    rows = study.rows[_where(study.rows, chosen)]
    cells = [cell for cell in page["cells"] if cell.profile == name]
    csv = f"files/{name}/{page['paper']}/{page['notebook']}.csv"
    if len(rows):
        files.write_text(site / csv, rows.drop(columns="cell").to_csv(index=False))
    here = compared[(compared["paper"] == page["paper"]) & (compared["table"] == page["notebook"])]
    return {
        "profile": _profile(name),
        "cells": [_cell_links(cell) for cell in cells],
        "matrices": tables.said_once(tables.matrices(summary, study.papers)),
        "seeds": sorted(set(rows.loc[rows["method"] != COUNT, "seed"].dropna().astype(int))),
        "csv": csv if len(rows) else "",
        "beside": beside(here[here["ours"].notna()]),
        "alone": beside(here[here["ours"].isna()]),
        "counts": Counter(here["verdict"]),
        "pictures": [
            {
                "path": _place(cell, path.name),
                "caption": caption,
                "cell": cell.name,
                "wide": wide,
            }
            for cell in cells
            for path, caption, wide in cell.pictures
        ],
        "runs": [
            {"hash": run, "files": [f"files/{name}/runs/{path.name}" for path in paths]}
            for run, paths in study.runs(name).items()
            if run in set(rows["run"])
        ],
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
        "failed": [_cell_links(cell) for cell in study.cells if cell.failed],
        "findings": findings.findings(study, compared),
        "tally": scoreboard.tally(once),
        "board": scoreboard.board(compared),
        "papers_of_board": list(dict.fromkeys(once["paper_title"])),
        "known": study.papers,
        "silent": [name for name, rows in compared.items() if rows["ours"].isna().all()],
        "by_paper": scoreboard.counts(compared, "paper_title"),
        "by_table": scoreboard.counts(compared, "paper_title", "table_title"),
        "departures": {name: facts.departures(study, name) for name in order},
        "broken": broken.replace({"category": MEANS}).to_dict("records"),
        "checked": checked,
        "ours_broken": ours_broken,
        "ours_checked": ours_checked,
        "rule": verdicts.RULE,
    }


def _profile(name: str) -> dict:
    known = profiles.load(name) if name in profiles.names() else {}
    sections = {paper: value for paper, value in known.items() if isinstance(value, dict)}
    departs = [f"{paper}: {s['departs']}" for paper, s in sections.items() if s["departs"]]
    return {"name": name, "title": name, "about": ""} | known | {"departs": departs}


def _cell_links(cell: Cell) -> dict:
    """Status of a cell and the files of it that the site holds."""
    made = {"csv": cell.csv and _place(cell, cell.csv.name)}
    made["notebook"] = cell.executed and f"notebooks/{cell.folder_name}/{cell.name}.html"
    made["ipynb"] = cell.executed and _place(cell, cell.executed.name)
    made["record"] = bool(cell.record) and _place(cell, f"{cell.name}.json")
    return made | {
        "name": cell.name,
        "profile": cell.profile,
        "title": f"{cell.paper}/{cell.notebook}",
        "status": cell.status,
        "error": cell.error,
        "seconds": cell.record.get("duration_s"),
        "started": str(cell.record.get("started") or "")[:16].replace("T", " "),
        "commit": str(cell.record.get("commit") or "")[:10],
        "dirty": bool(cell.record.get("dirty")),
    }


def _place(cell: Cell, name: str) -> str:
    return f"files/{cell.folder_name}/{name}"


def _copy(study: Study, cell: Cell, site: Path) -> None:
    """Files of a cell, and its executed notebook as a page."""
    kept = [cell.executed, cell.record and cell.folder / f"{cell.name}.json", cell.csv]
    kept += [path for path, *_ in cell.pictures]
    for path in filter(None, kept):
        _copy_file(path, site / _place(cell, path.name))
    if cell.executed:
        links = _cell_links(cell)
        body = Markup(notebooks.page(cell.executed))
        page = f"{cell.paper}/{cell.notebook}.html"
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
    return environment
