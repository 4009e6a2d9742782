"""Compute the rows of `results/` anew from the scores in the packs, and compare.

Needed are the tables and the packs, no data set, no GPU and no training. What stems from the scores
of one run is computed by the functions that the notebooks use. Rows that stem from anything else
(maps, losses, times, several runs, counts of images) are counted by table and metric.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from adlib.metrics import thresholds
from adlib.study import packs, results, rows, summary
from adlib.study.verdict import verdicts

TOLERANCE = 1e-9  # of a number in the unit that it stands in: rounding of float64
NUMBERS = ["value", "low", "high", "n_held", "n_normal", "n_abnormal"]
METRICS = (
    "auroc", "average_precision", "max_balanced_accuracy", "best_accuracy", "best_f1",
    "zfn_accuracy",
)  # fmt: skip
RATES = ("accuracy", "miss_rate", "false_alarm_rate")
# The same number under the name of what it is used for.
RENAMED = {"pooled_auroc": "auroc", "chosen_auroc": "auroc"}
DIFFERENCES = ["file", "row", "column", "stored", "computed"]


@dataclass(frozen=True)
class Verification:
    """What `verify` has compared.

    Attributes:
        differences: one row a number or verdict that differs (`DIFFERENCES`).
        checked: rows that were computed anew.
        verdicts: verdicts that were computed anew.
        unchecked: rows that stem from something else than the scores of one run: by table and
            metric.
    """

    differences: pd.DataFrame
    checked: int
    verdicts: int
    unchecked: Counter

    def __str__(self) -> str:
        """A summary, the kinds that were not checked, and all differences."""
        lines = [f"not checked: {n:4} {kind}" for kind, n in sorted(self.unchecked.items())]
        lines.append(
            f"{self.checked} rows and {self.verdicts} verdicts computed anew from scores, "
            f"{len(self.differences)} differences; {self.unchecked.total()} rows stem from "
            "something else and were not checked"
        )
        lines += [
            f"{one.file}: {one.row}: {one.column} is {one.stored}, computed {one.computed}"
            for one in self.differences.itertuples()
        ]
        return "\n".join(lines)


def verify(folder: Path, notebooks: Path | None = None) -> Verification:
    """Compare every number of `results/` that stems from the scores of one run with these.

    Args:
        folder: holds one folder a profile.
        notebooks: holds one folder a paper; that of the checkout by default.

    Raises:
        FileNotFoundError, ValueError: as in `adlib.study.summary.read` and `packs.read`.
    """
    study = summary.read(folder, notebooks)
    again, differences, unchecked = _again(study)
    differences += [one for profile in study.packs for one in _runs(study, profile)]
    judged = [_verdicts(study, replace(study, rows=again), name) for name in study.profiles]
    differences += [one for differing, _ in judged for one in differing]
    return Verification(
        pd.DataFrame(differences, columns=DIFFERENCES),
        checked=len(study.rows) - unchecked.total(),
        verdicts=sum(n for _, n in judged),
        unchecked=unchecked,
    )


def update(folder: Path, notebooks: Path | None = None) -> int:
    """Write the numbers that scores give into the tables of `results/`; return how many changed.

    For a metric or an interval that has changed: no run is trained again.

    Args:
        folder: as in `verify`.
        notebooks: as in `verify`.

    Raises:
        FileNotFoundError, ValueError: as in `verify`, or a row names a run that is in no pack.
    """
    study = summary.read(folder, notebooks)
    again, differences, _ = _again(study)
    if absent := [one for one in differences if one[2] == "run"]:
        raise ValueError(f"{absent[0][0]}: {absent[0][1]}: run {absent[0][3]} {absent[0][4]}")
    for key, group in again.groupby(["profile", "paper", "table"], sort=False):
        path = Path(folder, *key).with_suffix(".csv")
        table = rows.read(path)  # its rows lie in the order of `group`
        table[NUMBERS] = group[NUMBERS].to_numpy()
        rows.write(rows.typed(table, path), path)
    return len(differences)


def _again(study: summary.Study) -> tuple[pd.DataFrame, list[tuple], Counter]:
    """The rows with what their scores give, what differs, and the kinds that scores do not give."""
    again, differences, unchecked = study.rows.copy(), [], Counter()
    computed: dict[tuple, dict] = {}
    for index, row in study.rows.iterrows():
        file = f"{row.profile}/{row.paper}/{row.table}.csv"
        what = f"{row.cell}: {' '.join(filter(None, (row.method, row.metric, row.form)))}"
        run = study.packs.get(row.profile, {}).get(row.run)
        if row.run and run is None:
            differences.append((file, what, "run", row.run, "not in runs.tar.xz"))
            continue
        if (row.form == "authors" or row.table == "when_to_stop") and run and not run.curve():
            differences.append((file, what, "run", row.run, "without scores of snapshots"))
            continue
        function = run and _function(row)
        if not function:
            unchecked[f"{row.table}: {row.metric}"] += 1
            continue
        key = (row.run, *_key(row))
        if key not in computed:
            computed[key] = function(run)
        for name in NUMBERS:
            number = float(computed[key].get(name, np.nan))
            again.loc[index, name] = number
            if not np.isclose(number, row[name], rtol=0, atol=TOLERANCE, equal_nan=True):
                differences.append((file, what, name, row[name], number))
    return again, differences, unchecked


def _key(row: pd.Series) -> tuple:
    """What of a row its number depends on, beside the run."""
    rule = row.variant if row.variant in results.threshold_rules() else ""
    promise = None if np.isnan(row.promise) else row.promise
    stop = row.variant if row.table == "when_to_stop" else ""
    return row.metric, row.form, promise, rule, stop, row.seed


def _function(row: pd.Series) -> Callable[[packs.Packed], dict] | None:
    """How a row is computed from a run; None where its scores alone do not give it."""
    metric = RENAMED.get(row.metric, row.metric)
    if row.table == "when_to_stop":
        return partial(_stopped, row)
    if row.form == "authors":
        return lambda run: results.authors_row("", run, metric)
    if metric.startswith("divided_"):
        return partial(_divided, row)
    if metric in ("false_alarm_rate_at_zfn", "miss_rate_at_best_accuracy"):
        return lambda run: {"value": results.oracle_rates(run)[metric]}
    # A row without counts stems from other scores: of a snapshot, of some of the images.
    if np.isnan(row.n_normal):
        return None
    if metric == "validation_auroc":
        return lambda run: results.metric_row("", run, "auroc", "validation")
    if metric in METRICS:
        return lambda run: results.metric_row("", run, metric)
    if row.form == "deployable" and metric in ("balanced_accuracy", "f1"):
        return lambda run: results.deployable_row("", run, row.promise, metric)
    if row.form == "deployable" and metric in RATES:
        return partial(_at_threshold, row)
    return None


def _at_threshold(row: pd.Series, run: packs.Packed) -> dict:
    """A rate at the threshold that the abnormal images of the validation set."""
    rule = {} if np.isnan(row.promise) else {"beta": row.promise}
    name = "conformal" if rule else row.variant
    labels, scores = run.part("validation")
    if name in results.threshold_rules():
        threshold = results.threshold_rules(**rule)[name][0](scores[labels == 1])
        written = results.threshold_rows("", run, threshold)
    else:
        written = results.zfn_rows("", run)
    return next(one for one in written if one["metric"] == row.metric)


def _stopped(row: pd.Series, run: packs.Packed) -> dict:
    """A number of `beyond/when_to_stop`, over the snapshots of a run."""
    written = results.stopping_rows("", run)
    named = {one["method"][1]: one for one in written}
    return named.get(row.variant, {"value": np.nan})


def _divided(row: pd.Series, run: packs.Packed) -> dict:
    """A number of `cyclegan/table_zfn_promise`, over many divisions of the images."""
    rule = results.threshold_rules()[row.variant][0]
    kept = thresholds.promise_held(results.redivided(run, rule, int(row.seed)), beta=0.1)
    return {"value": kept[row.metric.removeprefix("divided_")]}


def _runs(study: summary.Study, profile: str) -> list[tuple]:
    """Rows of `runs.csv` that are not what the records in the pack give."""
    runs = study.packs[profile]
    table = packs.table((key, runs[key].record) for key in sorted(runs))
    computed = set(table.to_csv(index=False, lineterminator="\n").splitlines())
    stored = set((study.results / profile / "runs.csv").read_text(encoding="utf-8").splitlines())
    other = {line.partition(",")[0] for line in stored ^ computed}
    return [
        (f"{profile}/runs.csv", key, "facts", "not those", "of its record") for key in sorted(other)
    ]


def _verdicts(study: summary.Study, again: summary.Study, profile: str) -> tuple[list[tuple], int]:
    """Verdicts that change with the computed rows, and how many were compared."""
    columns = ["verdict", "reason"]
    stored, computed = (verdicts.compare(one, profile).sort_index() for one in (study, again))
    differences = [
        (
            f"verdicts of {profile}",
            " ".join(stored.loc[index, rows.KEYS[:5]].astype(str)),
            name,
            stored.loc[index, name],
            computed.loc[index, name],
        )
        for index in stored.index
        for name in columns
        if stored.loc[index, name] != computed.loc[index, name]
    ]
    return differences, len(stored)
