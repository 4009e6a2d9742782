"""What an execution of a notebook leaves in `results/`: rows, pictures, run records."""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from adlib import data, metrics
from adlib.host import provenance
from adlib.host.files import atomic
from adlib.metrics import thresholds
from adlib.models import REGISTRY, Trainable
from adlib.models.training import Budget
from adlib.networks import backbones
from adlib.study import curve, papers, pictures, profiles, runs
from adlib.study import rows as schema
from adlib.study.profiles import Cell

PICKED = {"low": np.nan, "high": np.nan}  # on the test itself: no interval covers


def run(
    cell: Cell, method: str, split: data.Split, snapshots: bool = True, **changed: object
) -> runs.Run:
    """Get a method's run for a cell and keep its record and scores in `results/`.

    Args:
        cell: gives profile, paper and seed.
        method: name in the profile.
        split: images and their parts.
        snapshots: whether scores on the way are kept where the profile keeps them. Without them a
            run that no other notebook asks for is made in half the time.
        **changed: settings other than the profile's, for a sweep.

    Raises:
        ValueError: the test lacks normal or abnormal images, or the profile names no training steps
            for a detector that needs them.
    """
    split.check_test()
    images = split.images
    name, settings, budget = profiles.method(
        cell.profile, cell.paper, method, images.name, images.category, images.mode
    )
    if "steps" not in budget and issubclass(REGISTRY[name], Trainable):
        raise ValueError(f"profile {cell.profile}, {cell.paper}: no steps for {method} ({name})")
    budget |= {} if snapshots else {"snapshots": 0}
    return _kept(cell, runs.get(name, split, Budget(**budget), cell.seed, **settings | changed))


def rescored(run: runs.Run, cell: Cell, split: data.Split, **changed: object) -> runs.Run:
    """Get the scores of a run's weights under other scoring settings and keep them in `results/`.

    See `adlib.study.runs.rescored`.
    """
    return _kept(cell, runs.rescored(run, split, **changed))


def _kept(cell: Cell, run: runs.Run) -> runs.Run:
    """Copy record and scores of a run to where `adlib.study.collect` finds them."""
    run.export(cell.folder.parents[1] / "runs")
    return run


def label(method: str, run: runs.Run) -> str:
    """Name of a method in a table: with the backbone that its scores come from, if any."""
    settings = run.record["description"]["settings"]
    # Cycle-GAN names one for the score "features" alone.
    backbone = settings.get("backbone") if settings.get("score", "features") == "features" else ""
    return f"{method} ({backbones.TITLES[backbone]})" if backbone else method


def comparable(cell: Cell, images: data.ImageSet, method: str = "") -> str:
    """Why numbers (of a method) on `images` cannot be held against the paper's; "" if they can.

    That runs are smaller than the paper's is no part of it, see `adlib.study.departures.scale`.
    """
    paper = papers.load(cell.paper)
    wanted = paper.datasets_of(cell.notebook)
    if not wanted:
        reasons = ["no paper prints this number"]
    elif images.name not in wanted:
        titles = " or ".join(data.info(name).title for name in wanted)
        reasons = [f"{images.name} instead of {titles}"]
    else:
        reasons = []
    reasons += data.differences(images, _side(cell, images, method))
    differs = paper.methods.get(method, {}).get("differs", "")
    return "; ".join(filter(None, [*reasons, images.note, differs]))


def note_on(cell: Cell, images: data.ImageSet, method: str = "") -> str:
    """What a reader of a method's (any method's) numbers on `images` should know of them."""
    made_smaller = data.reduced(images, _side(cell, images, method))
    return " ".join(filter(None, [data.info(images.name).note, made_smaller]))


def _side(cell: Cell, images: data.ImageSet, method: str) -> int | None:
    """Side that a method resizes `images` to; the largest of all methods' where it names none."""
    names = profiles.methods(cell.paper, cell.profile)
    shown = images.name, images.category, images.mode
    plans = [
        profiles.method(cell.profile, cell.paper, name, *shown)
        for name in ([method] if method in names else names)
    ]
    sides = (settings.get("side", REGISTRY[name].Settings.side) for name, settings, _ in plans)
    return max(sides, default=None)


def write_rows(cell: Cell, rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """Write a cell's CSV in the schema of `adlib.study.rows` and give it back as a table.

    What is the same in all rows (paper, table, cell, commit) is filled in here. In the table that
    is given back `method` is the whole label, with the variant, and `name` the method alone.

    Args:
        cell: whose CSV.
        rows: each names at least `method`, `metric` and `value`; `dataset`, `category` and `seed`
            are the cell's where a row names no others. A method may be a pair, name and variant.

    Raises:
        ValueError: a column that does not exist, a row without method, metric or value, or two
            rows for one number.
    """
    table = pd.DataFrame([_split(row) for row in rows])
    unknown = sorted(set(table.columns) - set(schema.COLUMNS))
    if unknown:
        allowed = ", ".join(schema.COLUMNS)
        raise ValueError(f"no such column: {', '.join(unknown)}; there are {allowed}")
    lacking = [c for c in ("method", "metric", "value") if c not in table or table[c].isna().any()]
    if lacking:
        raise ValueError(f"rows without {', '.join(lacking)}")
    for name in ("dataset", "category", "seed"):
        own = table[name] if name in table else pd.Series(pd.NA, table.index)
        table[name] = own.where(own.notna(), getattr(cell, name))
    same = {
        "paper": cell.paper,
        "table": cell.notebook,
        "cell": cell.id,
        "commit": provenance.commit()["commit"],
    }
    table = table.assign(**same).reindex(columns=schema.COLUMNS)
    texts = [c for c in schema.COLUMNS if c not in schema.FLOATS + schema.INTEGERS]
    table[texts] = table[texts].astype(object).where(table[texts].notna(), "")
    table = schema.typed(table, cell.file(".csv"))
    if (twice := table.duplicated([*schema.KEYS, "seed"])).any():
        names = ["method", "variant", "metric", "form", "dataset", "category"]
        texts = filter(None, table.loc[twice, names].iloc[0])
        raise ValueError(f"two rows for {', '.join(texts)}")
    with atomic(cell.file(".csv")) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    return table.assign(name=table["method"], method=schema.labels(table))


def _split(row: dict[str, object]) -> dict[str, object]:
    """A row with name and variant of its method apart."""
    if not isinstance(row.get("method"), tuple):
        return row
    method, variant = row["method"]
    return row | {"method": method, "variant": variant}


def save_picture(cell: Cell, figure: Figure, name: str, caption: str) -> None:
    """Save a figure as `<cell>__<name>.png`; the caption travels in PNG and notebook."""
    with atomic(cell.file(f"__{name}.png")) as temporary:
        temporary.write_bytes(pictures.png(figure, caption))
    pictures.caption(figure, caption)


def metric_row(
    method: str, run: runs.Run, metric: str, part: str = "test", **more: object
) -> dict[str, object]:
    """Row of a metric without a threshold of ours: `auroc`, or an oracle metric.

    The images are those of `part`, "test" or "validation". The pair (maximum balanced accuracy,
    auROC) must keep the bounds that tie the two together.

    Raises:
        ArithmeticError: the bounds are broken, so one of the two is computed wrongly.
    """
    labels, scores = run.part(part)
    broken = metrics.check_bounds(
        metrics.max_balanced_accuracy(labels, scores), metrics.auroc(labels, scores), 1e-9
    )
    if broken:
        raise ArithmeticError(f"{method}: {broken}")
    function = getattr(metrics, metric)
    threshold_free = metric in ("auroc", "average_precision")
    form = "" if threshold_free else "oracle"
    return _row(method, run, metric, form, function, None, part, **more)


def deployable_row(
    method: str,
    run: runs.Run,
    fpr: float = 0.05,
    metric: str = "balanced_accuracy",
    **more: object,
) -> dict[str, object]:
    """Row of a metric at a threshold fixed on the held-out normal images alone.

    Args:
        method: name in the table.
        run: whose scores.
        fpr: false-positive rate that the threshold has on the validation normals.
        metric: `balanced_accuracy` or `f1`.
        **more: further columns.
    """
    threshold = deployable_threshold(run, fpr)
    n = int((run.part("validation")[0] == 0).sum())
    expected = (int(fpr * n + 1e-9) + 1) / (n + 1)  # of new normal images, over held-out ones
    note = (
        f"Threshold at no more than {fpr:.0%} false positives on {n} held-out normal images; "
        f"{100 * expected:.1f} % are to be expected on new ones."
    )
    facts = {"promise": fpr, "n_held": n, "note": note} | more
    return _at(method, run, metric, threshold, **facts)


def threshold_rows(
    method: str, run: runs.Run, threshold: float, **more: object
) -> list[dict[str, object]]:
    """Rows of accuracy, miss rate and false-alarm rate on the test at a threshold set elsewhere."""
    rates = ("accuracy", "miss_rate", "false_alarm_rate")
    return [_at(method, run, name, threshold, **more) for name in rates]


def zfn_rows(method: str, run: runs.Run, **more: object) -> list[dict[str, object]]:
    """Rows at the lowest abnormal score of the validation: the ZFN rule without test labels."""
    labels, scores = run.part("validation")
    note = f"Threshold: the lowest score of {labels.sum()} held-out abnormal images."
    threshold = thresholds.lowest_abnormal(scores[labels == 1])
    facts = {"note": note, "n_held": int(labels.sum())}
    return threshold_rows(method, run, threshold, **facts, **more)


def threshold_rules(
    beta: float = 0.1, delta: float = 0.1
) -> dict[str, tuple[Callable[..., float], int]]:
    """Rules that set a threshold on abnormal scores, and how many scores each needs.

    Args:
        beta: allowed miss rate, see `adlib.metrics.thresholds`.
        delta: allowed share of calibration sets that miss more, for the last rule.
    """
    conformal = partial(thresholds.conformal_threshold, beta=beta)
    confident = partial(thresholds.high_probability_threshold, beta=beta, delta=delta)
    return {
        "lowest": (thresholds.lowest_abnormal, 1),
        "conformal": (conformal, thresholds.images_needed(beta)),
        "with confidence": (confident, thresholds.images_needed(beta, delta)),
    }


def redivided(
    run: runs.Run, rule: Callable[..., float], seed: int, divisions: int = 500
) -> pd.DataFrame:
    """`thresholds.redivided` of all images of a run; half the abnormal ones set the threshold."""
    scores = run.scores
    half = int((scores.label == 1).sum()) // 2
    return thresholds.redivided(scores.label, scores.score, rule, half, divisions, seed)


def oracle_rates(run: runs.Run) -> dict[str, float]:
    """Rates on the test images at the two thresholds that the test labels choose."""
    labels, scores = run.part("test")
    zfn, best = thresholds.lowest_abnormal(scores[labels == 1]), oracle_threshold(run)
    return {
        "false_alarm_rate_at_zfn": metrics.false_alarm_rate_at(labels, scores, zfn),
        "miss_rate_at_best_accuracy": metrics.miss_rate_at(labels, scores, best),
    }


def authors_row(
    method: str | tuple[str, str], run: runs.Run, metric: str, note: str = "", **more: object
) -> dict[str, object] | None:
    """Row of form "authors": a metric of the snapshot with the best auROC on the test images.

    Where the authors' code makes other scores than the detector, these are taken, see
    `adlib.study.curve.as_authors`. None where the run kept no scores of snapshots.
    """
    if not run.curve():
        return None
    ways = _ways_to_stop(run)
    step, scores, _ = ways.get(curve.BEST_AS_AUTHORS, ways[curve.BEST])
    picked = f"The best of the snapshots on the test itself, after {step:,} steps"
    picked += ", by batch statistics of the test." if curve.BEST_AS_AUTHORS in ways else "."
    more |= PICKED | {"note": f"{note} {picked}".strip(), "scores": scores}
    return _row(method, run, metric, "authors", getattr(metrics, metric), **more)


def stopping_rows(method: str, run: runs.Run, **more: object) -> list[dict[str, object]]:
    """Rows of the auROC at every snapshot of a run, and at those that `curve.picks` picks.

    Raises:
        ValueError: the run kept no scores of snapshots.
    """
    if not run.curve():
        raise ValueError(f"run {run.key} of {method} has no snapshots; set `snapshots` for it")
    rows = []
    for variant, (step, scores, form) in _ways_to_stop(run).items():
        # Without counts: such a row is not about the run's own scores.
        own = {"x": step, "scores": scores, "n_normal": np.nan, "n_abnormal": np.nan}
        own |= PICKED if form in ("oracle", "authors") else {}
        rows.append(_row((method, variant), run, "auroc", form, metrics.auroc, **own, **more))
    return rows


def _ways_to_stop(run: runs.Run) -> dict[str, tuple[int, np.ndarray, str]]:
    """Snapshots by name, then those that `curve.picks` picks: step, test scores, form."""
    kept, test = run.curve(), (run.scores["split"] == "test").to_numpy()
    ours = kept["scores"][:, test]
    ways = {f"step {step}": (int(step), ours[k], "") for k, step in enumerate(kept["steps"])}
    for name, (k, form) in curve.picks(kept, run.scores).items():
        scores = kept["authors"] if name == curve.BEST_AS_AUTHORS else ours
        ways[name] = int(kept["steps"][k]), scores[k], form
    return ways


def table_rows(
    cell: Cell,
    images: data.ImageSet,
    trained: dict[str | tuple[str, str], runs.Run],
    names: Iterable[str],
    deployable: str = "balanced_accuracy",
) -> list[dict[str, object]]:
    """Rows of the metrics `names` for every method's run, and one at a threshold fixed beforehand.

    Args:
        cell: where the rows will stand.
        images: what the runs were tested on.
        trained: name in the table to run, or name and variant.
        names: metrics without a threshold of ours, see `metric_row`; where the paper's authors
            evaluate otherwise, see `authors_row` too.
        deployable: metric at the threshold, see `deployable_row`; a transductive method has none.
    """
    rows = []
    for method, run in trained.items():
        name = method[0] if isinstance(method, tuple) else method
        shared = {"comparable": comparable(cell, images, name)}
        note = data.reduced(images, _side(cell, images, name))
        noted = shared | {"note": note}
        rows += [metric_row(method, run, metric, **noted) for metric in names]
        if cell.notebook in papers.load(cell.paper).evaluation:
            made = (authors_row(method, run, metric, **noted) for metric in names)
            rows += filter(None, made)
        if not REGISTRY[run.record["description"]["detector"]].transductive:
            rows.append(deployable_row(method, run, metric=deployable, **shared))
    return rows


def oracle_threshold(run: runs.Run) -> float:
    """Threshold of the largest balanced accuracy on the test labels."""
    labels, scores = run.part("test")
    fpr, tpr, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    return float(thresholds[1:][(tpr - fpr)[1:].argmax()])  # the first one is infinite: all normal


def deployable_threshold(run: runs.Run, fpr: float = 0.05) -> float:
    """Threshold with false-positive rate `fpr` on the validation normals of a run."""
    labels, scores = run.part("validation")
    return metrics.threshold_at_fpr(scores[labels == 0], fpr)


def _at(
    method: str | tuple[str, str], run: runs.Run, metric: str, threshold: float, **more: object
) -> dict[str, object]:
    """Row of a metric at a threshold that the test images did not set."""
    function = partial(getattr(metrics, f"{metric}_at"), threshold=threshold)
    return _row(method, run, metric, "deployable", function, threshold, **more)


def _row(
    method: str | tuple[str, str],
    run: runs.Run,
    metric: str,
    form: str,
    function: Callable[..., float],
    threshold: float | None = None,
    part: str = "test",
    /,
    scores: np.ndarray | None = None,
    **more: object,
) -> dict[str, object]:
    """Row of a metric of a run's scores, or of `scores` of the same images."""
    labels, own = run.part(part)
    scores = own if scores is None else scores
    if run.other_code:
        made = f"Made by other code, at {run.record['commit'][:10]}."
        more["note"] = f"{more.get('note', '')} {made}".strip()
    low, high = metrics.interval(metric, labels, scores, threshold)
    return {
        "method": method,
        "metric": metric,
        "form": form,
        "value": function(labels, scores),
        "low": low,
        "high": high,
        "n_normal": int((labels == 0).sum()),
        "n_abnormal": int((labels == 1).sum()),
        "protocol": run.record["description"]["protocol"],
        "run": run.key,
        **more,
    }
