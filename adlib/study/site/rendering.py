"""A site that is being written: what it is made of, and how a page comes from a template."""

import base64
import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from adlib.host import files
from adlib.study import ran
from adlib.study.site import notebooks
from adlib.study.site.pictures import Pictures
from adlib.study.summary import Execution, Study
from adlib.study.tables import sentence
from adlib.study.verdict import verdicts

TEMPLATES = Path(__file__).with_name("templates")
NAME = "GAN anomaly detection, reproduced"
LISTS = ("scoreboard", "notebooks", "departures", "runs", "rule")
Place = tuple[str, str]  # paper and notebook


@dataclass(frozen=True)
class Site:
    """A site that is being written: what it is made of, and what is known of its pages."""

    study: Study
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

    def in_order(self, paper: str, notebook: str) -> list[str]:
        """Profiles of a page: those with numbers beside published ones first, else the nearest."""
        here = {one.cell.profile for one in self.by_page[paper, notebook]}
        ours = {
            name: rows.loc[(rows["paper"] == paper) & (rows["table"] == notebook), "ours"]
            for name, rows in self.compared.items()
        }
        return sorted((p for p in ours if p in here), key=lambda p: ours[p].isna().all())

    def render(self, path: str, template: str, title: str, **context) -> None:
        """Write a page of the site."""
        context |= {"root": "../" * path.count("/"), "newest": ran.newest(self.study)}
        page = _environment().get_template(template).render(title=title, **context)
        files.write_text(self.folder / path, page)

    def render_sections(self, name: str, title: str, lead: str, parts: list) -> None:
        """Write a page of sections, see `adlib.study.site.sections`."""
        self.render(f"{name}.html", "sections.html.j2", title, lead=lead, sections=parts)


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
