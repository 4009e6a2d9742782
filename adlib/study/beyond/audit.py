"""What an evaluation's choices are worth: a number with and without each, on the same images.

For the audit alone, as is `adlib.study.beyond.traps`, whose statistics are compared here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from adlib.metrics.curves import checked
from adlib.study import rows as schema
from adlib.study import runs
from adlib.study.beyond.traps import Statistic
from adlib.study.profiles import Cell
from adlib.study.rows import CONTROL
from adlib.study.tables import Table, number, points, sentence

# What a choice inflates. Only the last kind compares two trainings.
SCORES = "auROC, same weights"
THRESHOLDS = "numbers at a threshold, same weights"
TRAININGS = "auROC, one training of each"


def changed(run: runs.Run, other: runs.Run) -> list[str]:
    """Names of what two runs do otherwise: settings, budget, seed, images, code.

    A run of other scores of the same weights (`scores_of`) differs in its settings alone.
    """
    sides = []
    for one in (run, other):
        description = dict(one.record["description"])
        nested = [description.pop(name) for name in ("settings", "budget")]
        sides.append(description | nested[0] | nested[1])
    if sides[1].get("scores_of") == run.key:
        del sides[1]["scores_of"]
    names = dict.fromkeys(name for side in sides for name in side)
    return [name for name in names if sides[0].get(name) != sides[1].get(name)]


def _check_pair(trap: str, run: runs.Run, other: runs.Run) -> None:
    """Raise ValueError unless two runs share their test images and differ in one setting."""
    images = ["path", "label", "split"]
    if not other.scores[images].equals(run.scores[images]):
        raise ValueError(f"runs {run.key} and {other.key} were scored on different images")
    if other is not run and len(changes := changed(run, other)) != 1:
        what = ", ".join(changes) or "nothing"
        raise ValueError(f"{trap}: runs {run.key} and {other.key} differ in {what}, not in one")


def worth(
    labels: ArrayLike,
    with_trap: Statistic,
    without: Statistic,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float, float]]:
    """Both values and their difference in points, with percentile intervals of a paired bootstrap.

    Test images are drawn anew within each class, the same ones for both sides, so what makes a test
    set easy or hard for both cancels out. Weights, held-out images and thresholds fixed on these
    stay as they are.

    Args:
        labels: (N,) of 0 and 1.
        with_trap: the flattering number.
        without: the honest one.
        confidence: level of the intervals, in (0, 1).
        resamples: number of resamples, at least 1.
        seed: of the resampling.

    Returns:
        (value, low, high) of `with_trap`, `without_trap` and `difference_points`, the latter 100
        times with - without.

    Raises:
        ValueError: one class only, or other labels than 0 and 1.
    """
    labels, _ = checked(labels, np.zeros(len(labels)))
    classes = [np.flatnonzero(labels == label) for label in (0, 1)]
    rng, drawn, left = np.random.default_rng(seed), [], resamples
    while left:
        rows = min(left, max(1, 2_000_000 // len(labels)))  # bounds the memory
        numbers = [rng.choice(own, (rows, len(own))) for own in classes]
        drawn.append([with_trap(*numbers), without(*numbers)])
        left -= rows
    values = [np.float64(side(*classes)) for side in (with_trap, without)]
    sides = [*zip(values, np.concatenate(drawn, axis=-1), strict=True)]
    sides.append(tuple(100 * (a - b) for a, b in zip(*sides, strict=True)))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return {
        name: (float(value), *map(float, np.quantile(resampled, tails)))
        for name, (value, resampled) in zip(
            ("with_trap", "without_trap", "difference_points"), sides, strict=True
        )
    }


def by_chance(
    labels: ArrayLike, with_trap: Statistic, without: Statistic, shuffles: int = 200, seed: int = 0
) -> float:
    """Points that a choice brings on average where the labels are shuffled and tell nothing.

    What takes the best of several on the test can only raise a number, so an interval above zero is
    no evidence; this is the size to hold it against. Arguments as in `worth`.
    """
    labels = np.asarray(labels)
    rng, normal = np.random.default_rng(seed), int((labels == 0).sum())
    drawn = rng.permuted(np.tile(np.arange(len(labels)), (shuffles, 1)), axis=1)
    classes = drawn[:, :normal], drawn[:, normal:]
    return float(100 * np.mean(with_trap(*classes) - without(*classes)))


def caption(cell: Cell) -> str:
    """What the picture `adlib.plots.worth_in_points` of a ledger shows."""
    return (
        f"What evaluation choices are worth on {cell.dataset}/{cell.category}, seed {cell.seed}: "
        "difference with minus without in points, with the 95 % interval of a paired bootstrap "
        "over test images. Filled: told from chance; grey band: what another seed alone may make."
    )


@dataclass
class Ledger:
    """Entries of the audit, one a choice and number.

    Attributes:
        entries: what `add` was given and what it found.
    """

    entries: list[dict[str, object]] = field(default_factory=list)

    def add(
        self,
        kind: str,
        trap: str,
        method: str,
        measure: str,
        run: runs.Run,
        number: Callable[[Any], Statistic],
        flattering: object,
        honest: object,
        note: str = "",
        resampled: bool = True,
        best_of: bool = False,
    ) -> None:
        """Measure what a choice is worth and enter it.

        Both sides are one and the same function of one argument, so a trap changes one thing.

        Args:
            kind: `SCORES`, `THRESHOLDS` or `TRAININGS`.
            trap: the choice in words.
            method: the detector in words.
            measure: the metric in words.
            run: whose test images both sides are about, and whose weights the honest side is of.
            number: makes the statistic.
            flattering: what it is given with the trap.
            honest: what it is given without. Where this is `run`, the other is a run too.
            note: what a reader should know.
            resampled: whether the flattering number may be resampled. A threshold at the lowest
                score of the test may not: that of a resample is never lower than the sample's, so
                intervals would lie beside the value.
            best_of: whether the choice takes the best of several on the test, so that `by_chance`
                says what it brings anyway.

        Raises:
            ValueError: two runs have other test images, or differ in more or less than one setting.
        """
        other = flattering if honest is run else run
        _check_pair(trap, run, other)
        labels, _ = run.part("test")
        entry = {"kind": kind, "trap": trap, "method": method, "measure": measure, "note": note}
        entry["label"] = schema.label(method, trap, measure)
        entry |= {"runs": (other, run), "labels": labels}
        sides = number(flattering), number(honest)
        found = worth(labels, *sides)
        if not resampled:
            for name in ("with_trap", "difference_points"):
                found[name] = (found[name][0], np.nan, np.nan)
        entry["by_chance"] = by_chance(labels, *sides) if best_of else None
        self.entries.append(entry | found)

    def table(self) -> pd.DataFrame:
        """One row an entry, by kind and falling points.

        `told` says whether a change is told from chance and `reads` what the number does; another
        seed alone may make `seed_low` to `seed_high` points (trainings only).
        """
        rows = []
        for entry in self.entries:
            row = {name: entry[name] for name in ("kind", "label")}
            row |= {name: entry[name][0] for name in ("with_trap", "without_trap")}
            row |= dict(zip(("points", "low", "high"), entry["difference_points"], strict=True))
            row |= dict(zip(("told", "reads"), self._reads(entry), strict=True))
            seeds = self.between_seeds() if entry["kind"] == TRAININGS else (np.nan, np.nan)
            rows.append(row | dict(zip(("seed_low", "seed_high"), seeds, strict=True)))
        kinds = (SCORES, THRESHOLDS, TRAININGS)
        rows.sort(key=lambda row: (kinds.index(row["kind"]), -row["points"]))
        return pd.DataFrame(rows)

    def shown(self) -> Table:
        """The entries for a reader: both numbers, their difference in points, what it says."""
        columns = [("", name) for name in ("choice", "method", "number")]
        columns += [("value", "without"), ("value", "with")]
        columns += [("points", "with - without"), ("points", "95 % interval"), ("", "reads")]
        lines = []
        for entry in self.entries:
            difference, low, high = entry["difference_points"]
            ends = "none" if np.isnan(low) else f"{points(low)} to {points(high)}"
            both = (number(entry[name][0]) for name in ("without_trap", "with_trap"))
            names = entry["trap"], entry["method"], entry["measure"]
            lines.append([*names, *both, points(difference), ends, self._reads(entry)[1]])
        frame = pd.DataFrame(lines, columns=pd.MultiIndex.from_tuples(columns))
        noted = (f"{entry['trap']}: {entry['note']}" for entry in self.entries if entry["note"])
        return Table(frame, [sentence(note) for note in dict.fromkeys(noted)])

    def between_seeds(self, confidence: float = 0.95) -> tuple[float, float]:
        """Points that one more training with another seed may make, nothing else changed.

        Prediction interval of Student's t from the training that all are compared with and the
        entries named `CONTROL`; infinite without any of these.
        """
        points = [0.0, *(e["difference_points"][0] for e in self.entries if e["trap"] == CONTROL)]
        n = len(points)
        if n == 1:
            return -np.inf, np.inf
        spread = np.std(points, ddof=1) * np.sqrt(1 + 1 / n)
        half = spread * stats.t.ppf((1 + confidence) / 2, n - 1)
        return float(np.mean(points) - half), float(np.mean(points) + half)

    def rows(self, **shared: object) -> list[dict[str, object]]:
        """Rows for `results.write_rows`, three an entry: both values and the points.

        Args:
            **shared: further columns.
        """
        rows = []
        for entry in self.entries:
            other, run = entry["runs"]
            normal, abnormal = np.bincount(entry["labels"], minlength=2).tolist()
            same = {
                "method": entry["method"],
                "variant": entry["trap"],
                "measure": entry["measure"],
                "n_normal": normal,
                "n_abnormal": abnormal,
                "protocol": run.record["description"]["protocol"],
                "note": entry["note"],
                "reading": self._reads(entry)[1],
            }
            for name in ("with_trap", "without_trap", "difference_points"):
                value = dict(zip(("value", "low", "high"), entry[name], strict=True))
                if name != "difference_points":  # the paired bootstrap is about differences
                    value |= {"low": np.nan, "high": np.nan}
                key = (run if name == "without_trap" else other).key
                rows.append({"metric": name, **value, **same, "run": key} | shared)
        return rows

    def _reads(self, entry: dict[str, object]) -> tuple[bool, str]:
        """Whether a change of the number is told from chance, and that in words."""
        value, low, high = entry["difference_points"]
        if entry["by_chance"] is not None and value >= 0:
            chance = f"{entry['by_chance']:.1f}".replace("-", "−")
            return False, f"can only raise the number; shuffled labels bring {chance} points"
        if np.isnan(low):
            return False, "no interval: the lowest score of the test is no average"
        if low <= 0 <= high:
            return False, "no difference shown on these images"
        if entry["trap"] == CONTROL:
            return False, "chance: a seed is no choice"
        if entry["kind"] == TRAININGS:
            least, most = self.between_seeds()
            if least <= value <= most:
                ends = f"{least:.0f} to {most:.0f}".replace("-", "−")
                return False, f"within what another seed may make, {ends} points"
        return True, schema.RAISES if value > 0 else "lowers the number"
