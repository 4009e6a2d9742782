"""What was run under a profile, and where it departs from the paper and its authors' code."""

from adlib import data
from adlib.study import profiles
from adlib.study.collect import DONE, FAILED, UNFINISHED
from adlib.study.papers import Paper
from adlib.study.summary import Study

SIZES = ("side", "patch", "rotation")  # what a paper may choose by category


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


def departures(study: Study, name: str) -> list[dict]:
    """Where the runs of a profile differ from what a paper says or its authors' code does.

    Returns:
        For each paper with known settings: `paper`, `rows` (setting, here, published, source) in
        the order of `paper.toml`, and `unknown`, the detectors that it says nothing of.
    """
    made, records = [], study.records(name)
    rows = study.rows[(study.rows["profile"] == name) & study.rows["run"].isin(records)]
    for folder, runs in rows.groupby("paper", sort=False)["run"].unique().items():
        paper = study.papers.get(folder)
        if paper is None or not paper.authors:
            continue
        known, found, unknown = paper.authors, {}, set()
        for record in (records[run] for run in runs):
            detector = record["description"]["detector"]
            if detector in known:
                _compare(record, paper, found)
            else:
                unknown.add(detector)
        order = [*SIZES, *(setting for settings in known.values() for setting in settings)]
        listed = [
            dict(zip(("setting", "published", "source"), key, strict=True))
            | {"here": ", ".join(sorted(found[key]))}
            for key in sorted(found, key=lambda key: order.index(key[0]))
        ]
        made.append({"paper": folder, "rows": listed, "unknown": sorted(unknown)})
    return made


def _compare(record: dict, paper: Paper, found: dict[tuple, set[str]]) -> None:
    """Add what one run does otherwise: (setting, published, source) -> values here, as text."""
    here, detector = _settings(record), record["description"]["detector"]
    named = [method for method in paper.methods.values() if method["detector"] == detector]
    for setting, (value, source) in (_sizes(record, paper) | paper.authors[detector]).items():
        ours = here.get(setting, "not recorded")
        if any(method.get(setting) == ours for method in named):
            continue  # what makes another method of the paper is no departure
        if ours != value:
            found.setdefault((setting, _text(value), source), set()).add(_text(ours))


def _settings(record: dict) -> dict:
    """Settings and budget of a run, and what every run of this package does."""
    description, counts = record["description"], record["counts"]
    budget = description["budget"]
    # Records from before abnormal images could be held out have no such count: all were normal.
    normal = counts.get("validation_normal", counts["validation"])
    held_out = normal / (counts["train"] + normal)
    return {
        **description["settings"],
        **budget,
        "epochs": round(budget["steps"] * budget["batch"] / counts["train"], 1),
        "values": "-1 to 1",
        "input": "resized",
        "batch_norm_at_test": "running statistics",
        "rate_decay": "by step",
        "pairs": "drawn anew every step",
        "antialiasing": True,
        "held_out_normals": f"{100 * held_out:.0f} %",
        "ema_warm_up": description["settings"].get("ema", 0) > 0,
    }


def _sizes(record: dict, paper: Paper) -> dict[str, list]:
    """The paper's image and patch side and rotation for the category of a run, if it has rules."""
    if not paper.object:
        return {}
    detector, dataset, category = (
        record["description"][key] for key in ("detector", "dataset", "category")
    )
    mode = data.info(dataset).modes.get(category, "object")
    sizes = {"patch": 0} | paper.settings(detector, dataset, category, mode)
    return {
        setting: [list(value) if isinstance(value, tuple) else value, f"paper, {mode}s"]
        for setting, value in sizes.items()
        if setting in SIZES
    }  # lists, as JSON has them


def _text(value: object) -> str:
    """A setting as it is read: yes and no, a range of degrees, or the value itself."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " to ".join(f"{v:g}" for v in value).replace("-", "−")
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _devices(study: Study, name: str) -> list[str]:
    """Where the runs of a profile were trained, as their records say."""
    found = set()
    for run in study.records(name).values():
        machine = run["machine"]
        where = machine.get("gpu") or f"{machine['processor']}, {machine['cores']} cores"
        found.add(f"{where}, {run['precision']}")
    return sorted(found)
