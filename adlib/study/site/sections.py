"""Sections of the site's pages: what one profile, or one paper, has to say there."""

from collections import Counter
from dataclasses import dataclass, field

import pandas as pd

from adlib.study import departures, profiles, verdicts
from adlib.study.site import ran, scoreboard, tables
from adlib.study.site.notebooks import without_folders
from adlib.study.site.pictures import Picture, Pictures
from adlib.study.site.tables import Cell, Table
from adlib.study.summary import COUNT, Execution, Study
from adlib.study.words import in_words


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
    compared: pd.DataFrame,
    pictures: Pictures,
    executed: dict,
) -> Section:
    """What one profile has to say on the page of one notebook.

    Args:
        study: all results.
        executions: of the notebook under the profile, at least one.
        compared: what `verdicts.compare` gives for the profile.
        pictures: takes those of the executions.
        executed: pages of executed notebooks by their cells.
    """
    cell = executions[0].cell
    name, place = cell.profile, {"paper": cell.paper, "table": cell.notebook}
    summary = _where(study.summary, place | {"profile": name})
    here = _where(compared, place)
    others = _where(verdicts.beside_others(study, name), place)
    known = study.papers.get(cell.paper)
    shown = tables.of_section(summary, study.papers)
    beside, alone = here[here["ours"].notna()], here[here["ours"].isna()]
    if len(beside):
        shown.insert(0, scoreboard.published(beside, f"Published and ours, profile {name}"))
    folded = []
    if len(others):
        folded.append(scoreboard.others(others, "Values of other people's implementations"))
    if len(alone):
        folded.append(scoreboard.published(alone, "Published values without one of ours"))
    counts = Counter(here["verdict"])
    said = ", ".join(f"{counts[name]} {name}" for name in verdicts.VERDICTS if counts[name])
    about = profiles.load(name)["about"] if name in profiles.names() else ""
    csv = f"{name}/{cell.paper}/{cell.notebook}.csv"
    return Section(
        f"Profile {name}",
        name,
        [text for text in (about, f"Published numbers: {said}." if said else "") if text],
        [without_folders(f"{one.cell.id} failed: {one.error}") for one in executions if one.failed],
        tables=shown,
        notes=_about_values(study, summary) + tables.notes(summary, bool(known and known.prints)),
        pictures=[
            pictures.add(path.read_bytes(), f"{caption or one.cell.notebook} [{one.cell.id}]")
            for one in executions
            for path, caption, _ in one.pictures
        ],
        folded=[*folded, _cells(executions, executed)],
        files=[(csv, "rows"), *_runs(study, name)] if len(summary) else [],
    )


def _cells(executions: list[Execution], executed: dict) -> Table:
    rows = [
        {
            "cell": Cell(one.cell.id, one.cell.id),
            "notebook": Cell("as it ran" if one.cell in executed else "not kept",
                             link=executed.get(one.cell, "")),
            "status": one.status,
            "seconds": f"{one.seconds:.1f}" if one.seconds is not None else "",
            "started (UTC)": ran.moment(one.started),
            "commit": one.commit[:10] + " + changes" * one.dirty,
        }
        for one in executions
    ]  # fmt: skip
    return tables.plain("Executions", rows, ["seconds"])


def _runs(study: Study, name: str) -> list[tuple[str, str]]:
    named = (("runs.csv", "facts of every run"), ("runs.tar.xz", "records and scores of every run"))
    here = [(f"{name}/{file}", words) for file, words in named]
    return [(file, words) for file, words in here if (study.results / file).is_file()]


def _about_values(study: Study, summary: pd.DataFrame) -> list[str]:
    """Over how many seeds values are means, what intervals are about, and which have none."""
    methods = summary[summary["method"] != COUNT].dropna(subset=["value"])
    if methods.empty:
        return []
    said = [f"Means over up to {n} seeds." if (n := methods["seeds"].max()) > 1 else "One seed."]
    for about, some in methods[methods["about"] != ""].groupby("about"):
        names = ", ".join(map(in_words, some["metric"].unique()))
        said.append(f"Below a value its 95 % interval: over {about} for {names}.")
    without = methods[(methods["form"] == "oracle") & (methods["about"] == "")]["metric"].unique()
    if len(without):
        names = ", ".join(map(in_words, without))
        said.append(f"No interval covers where test labels pick the threshold: {names}.")
    return said


def of_departures(study: Study, name: str) -> Section:
    """What the runs of a profile do otherwise than papers and authors' code."""
    rows = study.rows[study.rows["profile"] == name]
    made, unknown = [], []
    for part in departures.departures(rows, study.records(name), study.papers):
        title = study.papers[part["paper"]].title
        heads = ("setting", "here", "published", "source")
        lines = [{head: row[head] for head in heads} for row in part["rows"]]
        lines = [line | {"setting": line["setting"].replace("_", " ")} for line in lines]
        made.append(tables.plain(title, lines))
        if part["unknown"]:
            names = ", ".join(part["unknown"])
            unknown.append(f"{title} gives no settings of {names}: it quotes the numbers of others.")
    nothing = ["No run record of this profile can be held against a paper's settings."]
    kept = [one for one in made if one.lines]
    return Section(f"Profile {name}", name, [] if made else nothing, tables=kept, notes=unknown)


def of_profile(study: Study, name: str) -> Section:
    """What was run under a profile."""
    about = profiles.load(name)["about"] if name in profiles.names() else ""
    return Section(
        f"Profile {name}", name, [about] if about else [], ran.failures(study, name),
        ran.facts(study, name), files=_runs(study, name),
    )  # fmt: skip


def _where(rows: pd.DataFrame, chosen: dict[str, str]) -> pd.DataFrame:
    return rows[(rows[list(chosen)] == pd.Series(chosen)).all(axis=1)]
