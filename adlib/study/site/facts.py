"""What was run under a profile: how much, on what, when, by which code."""

from adlib.study import profiles
from adlib.study.execute import DONE, FAILED, UNFINISHED
from adlib.study.summary import Study


def of(study: Study, name: str) -> dict:
    """What was run under one profile: how much, on what, when, from which code."""
    executions = [one for one in study.executions if one.cell.profile == name]
    started = sorted(one.started for one in executions if one.started)
    records = study.records(name).values()
    versions = [f"{k} {v}" for record in records for k, v in record["versions"].items()]
    planned, missing = set(), set()
    if name in profiles.names():
        planned = {(cell.paper, cell.notebook, cell.id) for cell in profiles.cells(name)}
        missing = set(profiles.missing(name))
    executed = {(one.cell.paper, one.cell.notebook, one.cell.id) for one in executions}
    places = {(one.cell.dataset, one.cell.category) for one in executions}
    return {
        "planned": len(planned - executed),
        "missing": _by_set(missing - {"/".join(place) for place in places}),
        **{s: sum(one.status == s for one in executions) for s in (DONE, FAILED, UNFINISHED)},
        "datasets": sorted({dataset for dataset, _ in places}),
        "categories": len(places),
        "seeds": sorted({str(one.cell.seed) for one in executions}),
        "devices": _devices(study, name),
        "from": started[0][:16].replace("T", " ") if started else "",
        "to": started[-1][:16].replace("T", " ") if started else "",
        "minutes": sum(one.seconds or 0 for one in executions) / 60,
        "commits": sorted({(one.commit[:10], one.dirty) for one in executions if one.commit}),
        "versions": list(dict.fromkeys(versions)),
    }


def _by_set(pairs: set[str]) -> list[str]:
    """Write `mvtec_ad: pill, screw` for each data set of "mvtec_ad/pill", "mvtec_ad/screw"."""
    found: dict[str, list[str]] = {}
    for dataset, category in sorted(pair.split("/", 1) for pair in pairs):
        found.setdefault(dataset, []).append(category)
    return [f"{dataset}: {', '.join(categories)}" for dataset, categories in found.items()]


def _devices(study: Study, name: str) -> list[str]:
    """Where the runs of a profile were trained, as their records say."""
    found = set()
    for run in study.records(name).values():
        machine = run["machine"]
        where = machine.get("gpu") or f"{machine['processor']}, {machine['cores']} cores"
        found.add(f"{where}, {run['precision']}")
    return sorted(found)
