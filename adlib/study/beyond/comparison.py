"""One comparison of all detectors on equal terms: what is compared, its rows, its sentences.

The data sets are the sample: values are averaged over seeds before anything is said of methods.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from adlib import data, metrics, models
from adlib.data.sets import at_hand
from adlib.metrics import ranks
from adlib.study import profiles, results
from adlib.study.profiles import Cell
from adlib.study.rows import COLUMNS

Pair = tuple[str, str]  # data set and category
Protocol = Callable[[data.ImageSet, int], data.Split]
PAIR = ("dataset", "category")
POOLED = "pooled_auroc"  # the auROC under the pooled protocol, which is another number
COSTS = ("images_seen", "train_s")


@dataclass(frozen=True)
class Plan:
    """What a profile compares.

    Attributes:
        alone: methods that learn from normal images alone.
        labelled: methods that use labelled abnormal images.
        sets: data set and category of the former.
        pooled_sets: those of the latter, under the pooled protocol.
        seeds: of splits and trainings.
        test_images: the most test images of either label.
    """

    alone: list[str]
    labelled: list[str]
    sets: list[Pair]
    pooled_sets: list[Pair]
    seeds: list[int]
    test_images: int


def plan(cell: Cell, data_root: str | None = None) -> Plan:
    """What the profile of a cell compares; a data set that the profile lacks stands alone.

    Args:
        cell: of the comparison.
        data_root: folder of the data sets; that of the machine by default.

    Raises:
        ValueError: a set is too small for the pooled protocol; nothing has been trained then.
    """
    section = profiles.load(cell.profile)[cell.paper]
    sets = [
        pair for pair in profiles.sets(cell.profile, cell.paper, cell.notebook) if at_hand(*pair)
    ]
    pooled_sets = [pair for pair in profiles.sets(cell.profile, cell.paper) if at_hand(*pair)]
    if (own := (cell.dataset, cell.category)) not in [*sets, *pooled_sets]:
        sets = pooled_sets = [own]
    for pair in pooled_sets:
        data.pooled_balanced(data.load(*pair, data_root), cell.seed)
    alone, labelled = [], []
    for method in profiles.methods(cell.paper, cell.profile):
        name, settings, _ = profiles.method(
            cell.profile, cell.paper, method, cell.dataset, cell.category, "object"
        )
        uses = models.build(name, **settings).uses_abnormal
        (labelled if uses else alone).append(method)
    return Plan(alone, labelled, sets, pooled_sets, section["repeats"], section["test_images"])


def compared(
    cell: Cell,
    planned: Plan,
    methods: Iterable[str],
    sets: Iterable[Pair],
    protocol: Protocol,
    data_root: str | None = None,
) -> pd.DataFrame:
    """One row a method, data set and seed: the auROC, and what it took.

    Runs come from the store; those that it lacks are trained.

    Args:
        cell: of the comparison.
        planned: gives the seeds and the most test images.
        methods: names in the profile.
        sets: data set and category.
        protocol: one of `adlib.data`.
        data_root: as in `plan`.

    Returns:
        The columns of `adlib.study.rows` that `results.metric_row` fills, and `name` (the method
        without its backbone), `set`, `images_seen`, `train_s`.
    """
    rows = []
    for pair in sets:
        images, where = data.load(*pair, data_root), dict(zip(PAIR, pair, strict=True))
        for seed in planned.seeds:
            split = protocol(images, seed)
            if np.bincount(split.labels_of("test")).max() > planned.test_images:
                split = split.subsample(planned.test_images)
            own = replace(cell, seed=seed)
            rows += [_row(own, method, split) | where for method in methods]
    found = pd.DataFrame(rows)
    return found.assign(set=found["dataset"] + " " + found["category"])


def _row(cell: Cell, method: str, split: data.Split) -> dict[str, object]:
    images, run = split.images, results.run(cell, method, split)
    row = results.metric_row(results.label(method, run), run, "auroc")
    budget, counts = run.record["description"]["budget"], run.record["counts"]
    once = budget["steps"] == 1  # nothing is trained: one pass over the training images
    is_class = (images.table["kind"] == images.category).any()
    return row | {
        "name": method,
        "seed": cell.seed,
        "images_seen": counts["train"] if once else budget["steps"] * budget["batch"],
        "train_s": run.record["train_s"],
        "protocol": row["protocol"] + (f", class {images.category} normal" if is_class else ""),
        "comparable": results.comparable(cell, images),
    }


def over_seeds(found: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of every method and data set, with its interval over seeds and test images.

    Args:
        found: `method`, `set`, `value`, `low`, `high`, see `compared`.

    Returns:
        `label` (the method), `set`, `value`, `low`, `high`, in the order of `found`.
    """
    rows = []
    for (label, where), part in found.groupby(["method", "set"], sort=False):
        low, high = metrics.interval_over_seeds(part["value"], part["low"], part["high"])
        row = {"label": label, "set": where, "value": part["value"].mean()}
        rows.append(row | {"low": low, "high": high})
    return pd.DataFrame(rows)


def by_set(means: pd.DataFrame) -> pd.DataFrame:
    """Data sets by methods, of what `over_seeds` gives; methods stay in their order."""
    wide = means.pivot(index="set", columns="label", values="value")
    return wide[means["label"].unique()]


def best(found: pd.DataFrame, number: int = 2) -> list[str]:
    """Names of the methods with the best mean ranks, best first; `found` as of `compared`."""
    names = dict(zip(found["method"], found["name"], strict=True))
    order = ranks.mean_ranks(by_set(over_seeds(found))).index
    return [names[method] for method in order[:number]]


def said(means: pd.DataFrame, pooled: pd.DataFrame) -> tuple[list[str], str]:
    """What both comparisons allow to conclude, and the verdict with what would decide it.

    Args:
        means: of the methods that learn from normal images alone, see `over_seeds`.
        pooled: of those under the pooled protocol.
    """
    table = by_set(means)
    sentences = ranks.conclusions(table)
    chance = (means["low"] <= 0.5) & (means["high"] >= 0.5)
    chance = chance.groupby(means["set"], sort=False).all()
    if chance.any():
        where = ", ".join(chance.index[chance])
        sentences.append(f"On {where} every method's interval holds 0.5: its ranks are chance's.")
    labelled = " ".join(ranks.conclusions(by_set(pooled)))
    return [*sentences, f"**With labelled abnormal images.** {labelled}"], _verdict(table)


def _verdict(table: pd.DataFrame, alpha: float = 0.05) -> str:
    """Which methods are told from the first one, and how many data sets would tell more."""
    (n, k), order = table.shape, ranks.mean_ranks(table)
    first, needed = order.index[0], ranks.sets_needed(k, alpha)
    if min(n, k) < ranks.FEWEST:
        return (
            f"{first} has the best mean rank, which describes these data and no more. A test needs "
            f"{ranks.FEWEST} data sets and methods; one of pairs needs {needed} data sets."
        )
    behind = order.index[order - order.iloc[0] >= ranks.critical_difference(k, n, alpha)]
    differ = ranks.friedman(table)[1] < alpha
    apart = ", ".join(behind) if differ and len(behind) else "no method"
    return (
        f"{first} has the best mean rank of {k} over {n} data sets; behind it by more than chance: "
        f"{apart}. A test of pairs could tell them apart with {needed} data sets or more"
        f"{', as here' if n >= needed else ''}."
    )


def enough(means: pd.DataFrame) -> bool:
    """Whether data sets and methods are enough for a test."""
    return min(by_set(means).shape) >= ranks.FEWEST


def rows(
    one_class: pd.DataFrame, pooled: pd.DataFrame, planned: Plan, comparable: str
) -> list[dict[str, object]]:
    """Rows for `results.write_rows`: both comparisons, what they took, ranks and tests.

    Args:
        one_class: of the methods that learn from normal images alone, see `compared`.
        pooled: of those under the pooled protocol.
        planned: what was compared.
        comparable: why the ranks cannot be held against a paper's numbers.
    """
    everything = pd.concat([one_class, pooled.assign(metric=POOLED)])
    columns = [name for name in COLUMNS if name in everything]
    trained = pd.concat([one_class, pooled[pooled["name"].isin(planned.labelled)]])
    bare = dict.fromkeys(["low", "high", "n_normal", "n_abnormal"])
    costs = [
        {name: row[name] for name in columns} | bare | {"metric": metric, "value": row[metric]}
        for metric in COSTS
        for row in trained.to_dict("records")
    ]
    means = over_seeds(one_class)
    shared = {"dataset": profiles.ALL_SETS, "category": "", "comparable": comparable}
    seeds = f"mean over {len(planned.seeds)} seeds"
    shared["protocol"] = f"one class, {means['set'].nunique()} data sets, {seeds}"
    ranked = [shared | row for row in _of_ranks(means)]
    return [*everything[columns].to_dict("records"), *costs, *ranked]


def _of_ranks(means: pd.DataFrame) -> list[dict[str, object]]:
    """Mean ranks, and where there is enough for them Friedman's test and those of pairs."""
    table = by_set(means)
    found: list[dict[str, object]] = [
        {"method": label, "metric": "mean_rank", "value": rank}
        for label, rank in ranks.mean_ranks(table).items()
    ]
    if not enough(means):
        return found
    difference = ranks.critical_difference(table.shape[1], len(table))
    note = f"Friedman's test; critical difference {difference:.2f} ranks at 5 %"
    test = {"method": "all methods", "metric": "p", "value": ranks.friedman(table)[1]}
    pairs = [
        {"method": f"{pair.better} before {pair.worse}", "metric": "wilcoxon_holm_p"}
        | {"value": pair.p_holm}
        for pair in ranks.pairs(table).itertuples()
    ]
    return [*found, test | {"note": note}, *pairs]
