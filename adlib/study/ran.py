"""What was run under each profile: how much, on what, when, by which code, on which machines."""

from adlib.host.paths import without_folders
from adlib.study import profiles
from adlib.study.engine.execute import DONE, FAILED, UNFINISHED
from adlib.study.summary import Execution, Study


def facts(study: Study, name: str) -> list[tuple[str, str]]:
    """What was run under one profile, as pairs of a word and a text; "" where nothing is known."""
    executions = [one for one in study.executions if one.cell.profile == name]
    started = sorted(one.started for one in executions if one.started)
    records = study.records(name).values()
    places = {(one.cell.dataset, one.cell.category) for one in executions}
    seeds = sorted({str(one.cell.seed) for one in executions})
    minutes = sum(one.seconds or 0 for one in executions) / 60
    datasets = ", ".join(sorted({dataset for dataset, _ in places}))
    when = " to ".join(dict.fromkeys(moment(text) for text in started[:1] + started[-1:]))
    commits = sorted({(one.commit[:10], one.dirty) for one in executions if one.commit})
    changes = " with changes that were not committed"
    code = ", ".join(commit + changes * dirty for commit, dirty in commits)
    versions = [f"{k} {v}" for record in records for k, v in record["versions"].items()]
    return [
        ("cells", _cells(name, executions)),
        ("data", f"{datasets}: {len(places)} categories or sets, seeds {', '.join(seeds)}"),
        ("not at hand", "; ".join(_missing(name, places))),
        ("when", f"{when} UTC; {minutes:.1f} minutes of notebooks in all" if when else ""),
        ("device", "; ".join(devices(study, name))),
        ("code", code or "commit not recorded"),
        ("versions", ", ".join(dict.fromkeys(versions))),
    ]


def moment(started: str) -> str:
    """A start without seconds and zone."""
    return started[:16].replace("T", " ")


def newest(study: Study) -> str:
    """When the newest execution began, and by which code: it tells one report from another."""
    one = max(study.executions, key=lambda one: one.started)
    return f"{moment(one.started)} UTC, commit {one.commit[:10] or 'not recorded'}"


def failures(study: Study, name: str = "") -> list[str]:
    """A sentence for each failed execution, of one profile or of all."""
    return [
        f"{one.cell.paper}/{one.cell.notebook}, {one.cell.id} failed: "
        f"{without_folders(one.error) or 'no message'}"
        for one in study.executions
        if one.failed and name in ("", one.cell.profile)
    ]


def devices(study: Study, name: str) -> list[str]:
    """Where the runs of a profile were trained, as their records say."""
    found = set()
    for run in study.records(name).values():
        machine = run["machine"]
        where = machine.get("gpu") or f"{machine['processor']}, {machine['cores']} cores"
        found.add(f"{where}, {run['precision']}")
    return sorted(found)


def _cells(name: str, executions: list[Execution]) -> str:
    counts = [(sum(one.status == s for one in executions), s) for s in (DONE, FAILED, UNFINISHED)]
    if name in profiles.names():
        executed = {(one.cell.paper, one.cell.notebook, one.cell.id) for one in executions}
        planned = {(cell.paper, cell.notebook, cell.id) for cell in profiles.cells(name)}
        counts.append((len(planned - executed), "more planned"))
    return ", ".join(f"{n} {what}" for n, what in counts if n)


def _missing(name: str, places: set[tuple[str, str]]) -> list[str]:
    """Write `mvtec_ad: pill, screw` for each data set of the profile that the machine lacks."""
    missing = set(profiles.missing(name)) if name in profiles.names() else set()
    found: dict[str, list[str]] = {}
    for dataset, category in sorted(
        pair.split("/", 1) for pair in missing - {"/".join(place) for place in places}
    ):
        found.setdefault(dataset, []).append(category)
    return [f"{dataset}: {', '.join(categories)}" for dataset, categories in found.items()]
