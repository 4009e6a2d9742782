"""Sections of the site's pages: what one profile, or one paper, has to say there."""

from collections import Counter
from dataclasses import dataclass, field

import pandas as pd

from adlib.host.paths import without_folders
from adlib.study import departures, grids, notes, profiles, ran
from adlib.study.grids import Cell, Table
from adlib.study.site.pictures import Picture, Pictures
from adlib.study.summary import Execution, Study
from adlib.study.verdict import hours, verdicts
from adlib.study.verdict.conclusions import Conclusion


@dataclass(frozen=True)
class Section:
    """A part of a page, from its heading on, in the order in which it is read."""

    title: str
    id: str
    texts: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    folded: list[Table] = field(default_factory=list)
    files: list[tuple[str, str]] = field(default_factory=list)  # in `results/`, and their names


def of_notebook(
    study: Study,
    executions: list[Execution],
    beside: tuple[pd.DataFrame, pd.DataFrame],
    pictures: Pictures,
    executed: dict,
) -> Section:
    """What one profile has to say on the page of one notebook.

    Args:
        study: all results.
        executions: of the notebook under the profile, at least one.
        beside: what `verdicts.compare` and `beside_others` give for the profile.
        pictures: takes those of the executions.
        executed: pages of executed notebooks by their cells.
    """
    cell = executions[0].cell
    name, place = cell.profile, {"paper": cell.paper, "table": cell.notebook}
    summary = _where(study.summary, place | {"profile": name})
    here, others = (_where(rows, place) for rows in beside)
    both, alone = here[here["ours"].notna()], here[here["ours"].isna()]
    known, counts = study.papers.get(cell.paper), Counter(here["verdict"])
    said = ", ".join(f"{counts[name]} {name}" for name in verdicts.VERDICTS if counts[name])
    return Section(
        f"Profile {name}",
        name,
        [*_about(name), *([f"Published numbers: {said}."] if said else [])],
        [without_folders(f"{one.cell.id} failed: {one.error}") for one in executions if one.failed],
        tables=[
            *_published(both, f"Published and ours, profile {name}"),
            *grids.of_section(summary, study.papers),
        ],
        notes=notes.about_values(summary) + notes.notes(summary, bool(known and known.prints)),
        pictures=[
            pictures.add(path.read_bytes(), f"{caption or one.cell.notebook} [{one.cell.id}]")
            for one in executions
            for path, caption, _ in one.pictures
        ],
        folded=[
            *_published(others, f"Other implementations and ours, profile {name}"),
            *_published(alone, "Published values without one of ours"),
            _cells(executions, executed),
        ],
        files=[(f"{name}/{cell.paper}/{cell.notebook}.csv", "rows"), *_runs(study, name)]
        if len(summary)
        else [],
    )


def _published(rows: pd.DataFrame, caption: str) -> list[Table]:
    return [grids.published(rows, caption)] if len(rows) else []


def _cells(executions: list[Execution], executed: dict) -> Table:
    rows = [
        {
            "cell": one.cell.id,
            "notebook": Cell("as it ran" if one.cell in executed else "not kept",
                             link=executed.get(one.cell, "")),
            "status": one.status,
            "seconds": f"{one.seconds:.1f}" if one.seconds is not None else "",
            "started (UTC)": ran.moment(one.started),
            "commit": one.commit[:10] + " + changes" * one.dirty,
        }
        for one in executions
    ]  # fmt: skip
    return grids.plain("Executions", rows, ["seconds"])


def _runs(study: Study, name: str) -> list[tuple[str, str]]:
    named = (("runs.csv", "facts of every run"), ("runs.tar.xz", "records and scores of every run"))
    here = [(f"{name}/{file}", words) for file, words in named]
    return [(file, words) for file, words in here if (study.results / file).is_file()]


def _about(name: str) -> list[str]:
    about = profiles.load(name).get("about", "") if name in profiles.names() else ""
    return [about] if about else []


def of_departures(study: Study, name: str) -> Section:
    """What the runs of a profile do otherwise than papers and authors' code."""
    rows = study.rows[study.rows["profile"] == name]
    made, unknown = [], []
    for part in departures.departures(rows, study.records(name), study.papers):
        title = study.papers[part["paper"]].title
        heads = ("setting", "here", "published", "source")
        lines = [{head: row[head] for head in heads} for row in part["rows"]]
        lines = [line | {"setting": line["setting"].replace("_", " ")} for line in lines]
        made += [grids.plain(title, lines)] if lines else []
        if part["unknown"]:
            names = ", ".join(part["unknown"])
            unknown.append(
                f"{title} gives no settings of {names}: it quotes the numbers of others."
            )
    nothing = ["No run record of this profile can be held against a paper's settings."]
    return Section(
        f"Profile {name}", name, [] if made or unknown else nothing, tables=made, notes=unknown
    )


def of_profile(study: Study, name: str) -> Section:
    """What was run under a profile."""
    failed, facts = ran.failures(study, name), ran.facts(study, name)
    return Section(f"Profile {name}", name, _about(name), failed, facts, files=_runs(study, name))


def of_cost(concluded: list[Conclusion]) -> Section:
    """What the papers' tables have cost, and would cost at full scale."""
    made = []
    for one in concluded:
        floats = one.cost.select_dtypes("float").columns
        rows = one.cost.astype({name: object for name in floats})
        for name in floats:
            rows[name] = [f"{value:,.2f}" if value == value else "–" for value in one.cost[name]]
        rows = rows.rename(columns=lambda name: name.replace("_", " "))
        made += [grids.plain(one.paper.title, rows.to_dict("records"), rows.columns[1:])]
    text = " ".join(hours.METHOD.split())
    return Section("Cost", "cost", [text], tables=[one for one in made if one.lines])


def _where(rows: pd.DataFrame, chosen: dict[str, str]) -> pd.DataFrame:
    return rows[(rows[list(chosen)] == pd.Series(chosen)).all(axis=1)]
