"""CBiGAN's two weights: every pair scored on validation and on test, and what a choice is worth.

`alpha` weighs the consistency loss in training, `lambda` the critic's features in the score.
"""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from adlib import data
from adlib.metrics import ranks
from adlib.study import papers, profiles, results
from adlib.study.profiles import Cell
from adlib.study.runs import Run
from adlib.study.tables import Table, interval, number, points

Pair = tuple[float, float]  # alpha, lambda
LAMBDA = 0.1  # of the paper, which has it from AnoGAN (section V-B)
METRICS = {"validation": "validation_auroc", "test": "auroc"}  # part -> metric of its rows
VALIDATED, ORACLE = "best on validation", "best on test (oracle)"
FORMS = {VALIDATED: "deployable", ORACLE: "oracle"}


@dataclass(frozen=True)
class Grid:
    """Runs of every pair of weights on one split.

    Attributes:
        runs: by pair, sorted; those of one alpha are one training.
        paper: the paper's own pair.
        name: of that choice, in words.
        comparable: why the rows cannot be held against a paper's numbers.
    """

    runs: dict[Pair, Run]
    paper: Pair
    name: str
    comparable: str

    @cached_property
    def rows(self) -> list[dict[str, object]]:
        """Two rows a pair, for `results.write_rows`: auROC on the test and on the validation."""
        shared, rows = {"comparable": self.comparable}, []
        for pair, run in self.runs.items():
            rows.append(results.metric_row(_named(pair), run, "auroc", **shared))
            held = results.metric_row(_named(pair), run, "auroc", "validation", **shared)
            rows.append(held | {"metric": METRICS["validation"]})
        return rows

    @cached_property
    def panels(self) -> dict[str, pd.DataFrame]:
        """Part -> auROC by alpha (rows) and lambda (columns)."""
        values = pd.DataFrame(self.rows).pivot(index="method", columns="metric", values="value")
        values = values.loc[[_named(pair) for pair in self.runs]]
        values.index = pd.MultiIndex.from_tuples(self.runs, names=["alpha", "lambda"])
        return {part: values[metric].unstack() for part, metric in METRICS.items()}

    @cached_property
    def choices(self) -> dict[str, Pair]:
        """How a pair is chosen -> the pair: the paper's, best on validation, best on test."""
        best = {part: panel.stack().idxmax() for part, panel in self.panels.items()}
        return {self.name: self.paper, VALIDATED: best["validation"], ORACLE: best["test"]}

    def gain(self, pair: Pair) -> tuple[float, float, float]:
        """AuROC on the test less that of the paper's pair, with its paired interval."""
        labels, reference = self.runs[self.paper].part("test")
        return ranks.auroc_difference(labels, self.runs[pair].part("test")[1], reference)

    def chosen(self) -> list[dict[str, object]]:
        """One row a choice: the auROC on the test of the pair that it leads to."""
        rows = []
        for name, pair in self.choices.items():
            row = results.metric_row(name, self.runs[pair], "auroc", comparable=self.comparable)
            note = _named(pair)
            if pair != self.paper:
                apart = "{:+.3f} ({:+.3f} to {:+.3f})".format(*self.gain(pair))
                note += f"; {apart} against the paper's values"
            rows.append(row | {"note": note, "form": FORMS.get(name, ""), "metric": "chosen_auroc"})
        return rows

    def shown(self) -> Table:
        """The choices side by side, with their difference to the paper's pair in points."""
        lines = []
        for row, pair in zip(self.chosen(), self.choices.values(), strict=True):
            more = points(*(100 * part for part in self.gain(pair)))
            lines.append({
                "choice": row["method"], "alpha": f"{pair[0]:g}", "lambda": f"{pair[1]:g}",
                "auROC on the test": number(row["value"]),
                "95 % interval": interval(row["low"], row["high"]),
                "against the paper's, in points": more if pair != self.paper else "–",
            })  # fmt: skip
        return Table.of(lines, ["No paper prints these numbers."])

    def said(self) -> list[str]:
        """What choosing is worth, and how far validation and test agree, in sentences."""
        test, validation = (self.panels[part].stack() for part in ("test", "validation"))
        validated, oracle = (self.choices[name] for name in (VALIDATED, ORACLE))
        worth = points(*(100 * part for part in self.gain(validated)))
        text = f"The validation picks the paper's own pair, {_named(self.paper)}"
        if validated != self.paper:
            text = f"The validation picks {_named(validated)}, the paper has {_named(self.paper)}: "
            text += f"the choice is worth {worth} points of auROC on the test"
        more = 100 * (test[oracle] - test[validated])
        sentences = [
            f"{text}. The test itself would pick {_named(oracle)}, with {more:.1f} points more.",
            f"The validation promised {number(validation[validated])} for its choice, which has "
            f"{number(test[validated])} on the test; as the best of {len(test)} it leans upwards.",
        ]
        if validation.nunique() > 1 < test.nunique():  # else there is no order
            agreed = number(validation.corr(test, method="spearman"))
            sentences.append(
                f"Order of the pairs on validation and on test: Spearman's correlation {agreed}."
            )
        return sentences


def grid(cell: Cell, split: data.Split) -> Grid:
    """Every pair of the profile's alphas and lambdas, the paper's own among them.

    An alpha is a training, a lambda only scores again.

    Args:
        cell: of the notebook.
        split: with abnormal validation images, by which a pair can be chosen.
    """
    images, section = split.images, profiles.load(cell.profile)[cell.paper]
    shown = images.name, images.category, images.mode
    paper = profiles.method(cell.profile, cell.paper, "CBiGAN", *shown)[1]["alpha"], LAMBDA
    printed = papers.load("cbigan").methods["CBiGAN"]["alpha"]
    rescaled = f", alpha {printed:g} rescaled" if paper[0] != printed else ""
    runs = {}
    for alpha in sorted({*section["alphas"], paper[0]}):
        run = results.run(cell, "CBiGAN", split, alpha=alpha)
        for weight in sorted({*section["lambdas"], LAMBDA}):
            runs[alpha, weight] = results.rescored(run, cell, split, weight_of_features=weight)
    return Grid(runs, paper, f"paper's values{rescaled}", results.comparable(cell, images))


def _named(pair: Pair) -> str:
    return f"alpha {pair[0]:g}, lambda {pair[1]:g}"
