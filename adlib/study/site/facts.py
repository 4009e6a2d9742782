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
    description = record["description"]
    detector, budget = description["detector"], description["budget"]
    here = {**description["settings"], **budget, **stated(record)}
    named = [method for method in paper.methods.values() if method["detector"] == detector]
    published = _sizes(record, paper) | paper.authors_of(detector, description["dataset"])
    for setting, (value, source) in published.items():
        ours = here.get(setting, "not recorded")
        if ours is None or any(method.get(setting) == ours for method in named):
            continue  # does not apply, or makes another method of the paper
        if ours != value:
            found.setdefault((setting, _text(value), source), set()).add(_text(ours))


def stated(record: dict) -> dict[str, object]:
    """What a run does that is no setting of it, under the names that `paper.toml` has for it.

    Most of it every run of this package does. None stands where something does not apply.
    """
    description, counts = record["description"], record["counts"]
    settings, budget = description["settings"], description["budget"]
    patch, (low, high) = settings.get("patch"), settings.get("rotation", (0, 0))
    return {
        "epochs": round(budget["steps"] * budget["batch"] / counts["train"], 1),
        "sampling": "drawn with replacement",
        "values": "-1 to 1",
        "input": "resized",
        "resize": "bilinear",
        "antialiasing": True,
        "crop": "none",
        "texture_rotation": f"{low:g} to {high:g} degrees" if patch else None,
        "texture_patches": "drawn anew every step" if patch else None,
        "pairs": "drawn anew every step",
        "rate_decay": "by step",
        "rmsprop_start": 0,
        "batch_norm_at_test": "running statistics",
        "batch_norm_updates": "4 a step" if settings.get("losses") == "release" else "2 a step",
        "ema_warm_up": settings.get("ema", 0) > 0,
        "ema_counted_in": "updates of encoder and generator",
        "weighting_of_the_score": "none" if settings.get("neighbours") == 1 else "equation 7",
        "squeezed_features": "none",
        "smoothing_border": "mirrored, its outermost pixel once",
        "held_out_normals": _held_out(description, counts),
    }


def _held_out(description: dict, counts: dict) -> str:
    """Share of the normal images held out, those included that a test on fewer does not score."""
    normal = counts.get("held_out_normal")
    if normal is None:  # a record from before it was counted: a part of a part says nothing
        if "; test on at most " in description["protocol"]:
            return "not recorded"
        normal = counts.get("validation_normal", counts["validation"])
    return f"{100 * normal / (counts['train'] + normal):.0f} %"


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
