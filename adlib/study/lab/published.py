"""A notebook's rows beside what the paper prints: as a table, as a picture, as verdicts."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from adlib import data, plots
from adlib.study import packs, papers, profiles, rows
from adlib.study.engine.execute import DONE
from adlib.study.papers import MEANS
from adlib.study.profiles import Cell
from adlib.study.summary import COUNT, Execution, Study
from adlib.study.tables import Table, halves, in_words, interval, number, sentence, signed
from adlib.study.verdict import verdicts
from adlib.study.verdict.claims import category_in_words

# Metric that is picked on test labels -> the same at a threshold that was fixed beforehand.
FIXED = {
    "max_balanced_accuracy": "balanced_accuracy",
    "best_accuracy": "accuracy",
    "zfn_accuracy": "accuracy",
    "best_f1": "f1",
}
_PLACE = ["dataset", "category", "method", "metric"]


class OfCell(Study):
    """The rows of one cell and the runs that they name, judged as those of a whole study are."""

    @cached_property
    def packs(self) -> dict[str, dict[str, packs.Packed]]:
        """The runs whose records and scores the cell has kept."""
        cell = self.executions[0].cell
        folder = cell.folder.parents[1] / "runs"
        keys = sorted(set(self.rows["run"]) - {""})
        return {cell.profile: {key: packs.Packed(packs.contents(folder / key)) for key in keys}}


@dataclass(frozen=True)
class Lent(Cell):
    """A cell whose rows are read as if another notebook had written them."""

    of: Cell | None = field(default=None, compare=False)

    def file(self, suffix: str, results: Path | None = None) -> Path:
        """Path of the file of the cell that has written the rows."""
        assert self.of is not None
        return self.of.file(suffix, results)


def like(cell: Cell, name: str) -> Lent:
    """A cell whose rows are held against the numbers of another notebook.

    Args:
        cell: that has written rows.
        name: `<paper>/<notebook>`, whose numbers `beside`, `dots` and `seen` then show.

    Raises:
        ValueError: no such paper or notebook.
    """
    paper, _, notebook = name.partition("/")
    papers.known(notebook, profiles.notebooks(papers.load(paper).name), f"notebooks/{paper}")
    place = cell.profile, paper, notebook, cell.dataset, cell.category, cell.seed
    return Lent(*place, of=cell)


def stands_in_for(cell: Cell) -> str:
    """The data sets of the paper that another one stands in for in a cell; "" where none does."""
    paper = papers.load(cell.paper)
    wanted = paper.datasets_of(cell.notebook)
    if not wanted or cell.dataset in wanted:
        return ""
    several = f"the {len(wanted)} data sets of the paper"
    return " and ".join(map(paper.title_of, wanted)) if len(wanted) < 3 else several


def of_cell(cell: Cell) -> OfCell:
    """What a cell has written; it is read and judged once, until it is written anew.

    Raises:
        FileNotFoundError: nothing yet.
    """
    path = cell.file(".csv")
    return _of_cell(cell, path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _of_cell(cell: Cell, path: Path, _changed: int) -> OfCell:
    table = rows.typed(rows.texts(path), path)
    table = table.astype(dict.fromkeys(rows.INTEGERS, "float64"))
    table = table.assign(name=table["method"], method=rows.labels(table), profile=cell.profile)
    table = table.assign(paper=cell.paper, table=cell.notebook)  # others than its own for `Lent`
    made = Execution(cell.folder.parents[3], cell, DONE, "", "", None, "", False)
    return OfCell(made.results, [made], table, papers.read())


def compared(cell: Cell, facts: bool = False) -> pd.DataFrame:
    """Numbers of a cell that stand for themselves, each with the paper's.

    Args:
        cell: whose rows.
        facts: those about the data instead of those of methods.

    Returns:
        One row a data set, category, method and metric, metric by metric: `form`,
        `value`, `low` and `high`, `fixed` (the same at a threshold that was fixed beforehand),
        `authors` (the same evaluated as the authors do, where that is another number),
        `published` and `printed`, `on` (what the published value is about; "" where it is about
        the same images), `difference` (to `authors` where that is known), `verdict`, `reason` and
        `remedy`: what would decide a number that our runs cannot tell.
    """
    study = of_cell(cell)
    ours = study.summary
    ours = ours[ours["x"].isna() & (ours["categories"] == 1)]
    ours = ours[(ours["method"] == COUNT) == facts]
    fixed, authors = (
        ours[ours["form"] == form].set_index(_PLACE)["value"] for form in ("deployable", "authors")
    )
    ours = ours[ours["form"].isin(["", "oracle"])].drop_duplicates(_PLACE)
    judged = verdicts.compare(study, cell.profile)
    judged = judged[(judged["paper"] == cell.paper) & (judged["table"] == cell.notebook)]
    paper = study.papers[cell.paper]
    nearest = {name: place for place, name in enumerate(paper.datasets_of(cell.notebook))}
    order = judged["dataset"].map(lambda name: nearest.get(name, len(nearest)))
    judged = judged.loc[order.sort_values(kind="stable").index]
    judged = judged.assign(title=lambda rows: rows["dataset"].map(paper.title_of))
    first = list(dict.fromkeys(ours["metric"]))
    ours = ours.sort_values("metric", key=lambda names: names.map(first.index), kind="stable")
    lines = [_line(row, fixed, authors, judged) for row in ours.itertuples()]
    columns = [*_PLACE, "form", "value", "low", "high", "seeds", "name", "scale", "comparable"]
    columns += ["fixed", "authors", "published", "printed", "on"]
    return pd.DataFrame(lines, columns=[*columns, "difference", "verdict", "reason", "remedy"])


def _line(row, fixed: pd.Series, authors: pd.Series, judged: pd.DataFrame) -> dict:
    names = ("form", "value", "low", "high", "seeds", "name", "scale", "comparable")
    line = {name: getattr(row, name) for name in (*_PLACE, *names)}
    place = row.dataset, row.category, row.method, FIXED.get(row.metric)
    line["fixed"] = fixed.get(place, np.nan)
    line["authors"] = authors.get((*place[:3], row.metric), np.nan)
    same = judged[(judged["method"] == row.method) & (judged["metric"] == row.metric)]
    here = same[(same["dataset"] == row.dataset) & (same["category"] == row.category)]
    if len(here):
        theirs = next(here.itertuples())
        for name in ("printed", "difference", "verdict", "reason"):
            line[name] = getattr(theirs, name)
        return line | {"remedy": verdicts.remedy(theirs), "published": theirs.value, "on": ""}
    nothing = {"printed": "", "difference": np.nan, "verdict": "", "reason": "", "remedy": ""}
    return line | nothing | _elsewhere(same, row.category)


def category(name: str) -> str:
    """A category as it is read: `class 0`, `3 inlier categories`, `mean of textures`."""
    return f"class {name}" if name.isdecimal() else category_in_words(name)


def _elsewhere(same: pd.DataFrame, here: str) -> dict:
    """The paper's value on its own images: of the same category, or else over all of them."""
    if same.empty or same["method"].iloc[0] == COUNT:  # other images' counts say nothing of these
        return {"published": np.nan, "on": ""}
    title = same["title"].iloc[0]
    for wanted in (here, "mean_overall"):
        if len(found := same[same["category"] == wanted]):
            value = found.iloc[0]
            return {"published": value["value"], "printed": value["printed"],
                    "on": f"{title}, {category(wanted)}"}  # fmt: skip
    single = same[~same["category"].isin(MEANS)]
    if same["dataset"].iloc[0] not in data.names():  # a mean that an abstract gives
        value = same.iloc[0]
        return {"published": value["value"], "printed": value["printed"],
                "on": f"{title}, {value['category']}"}  # fmt: skip
    mean = single["value"].mean()
    about = f"{title}, mean of {len(single)}" if len(single) > 1 else title
    return {"published": mean, "printed": number(mean), "on": about}


def beside(cell: Cell) -> Table:
    """The published values beside ours, with the verdict; reasons stand once, below.

    Facts about the data stand there where the cell has no numbers of methods.
    """
    found, lines = compared(cell), []
    if found.empty:
        found = compared(cell, facts=True)
    for row in found.itertuples():
        fact = row.method == COUNT
        metric = in_words(row.metric.removeprefix("n_") if fact else row.metric)
        line = {("", "method"): "" if fact else row.method, ("", "metric"): metric}
        if found["dataset"].nunique() > 1 or found["category"].nunique() > 1:
            line[("", "data")] = f"{row.dataset} {category(row.category)}"
        line[("published", "value")] = row.printed
        line[("published", "on")] = row.on or ("these images" if row.printed else "")
        line[("ours", "as the authors evaluate")] = number(row.authors)
        whole = fact and row.value.is_integer()
        line[("ours", "value")] = f"{row.value:.0f}" if whole else number(row.value)
        line[("ours", "95 % interval")] = interval(row.low, row.high)
        line[("ours", "threshold fixed before")] = number(row.fixed)
        line[("", "difference")] = signed(row.difference, row.printed)
        line[("", "verdict")] = row.verdict
        lines.append({key: value or "–" for key, value in line.items()})
    notes = _notes(found)
    if isinstance(cell, Lent) and (titles := stands_in_for(cell)):  # no heading has said it
        notes.insert(0, f"{data.info(cell.dataset).title} stands in for {titles}.")
    table = Table.of(lines, notes)
    if lines:
        frame = table.frame.set_axis(pd.MultiIndex.from_tuples(table.frame.columns), axis=1)
        empty = [name for name in frame if (frame[name] == "–").all()]
        table = Table(frame.drop(columns=empty), table.notes)
    return table


def _notes(found: pd.DataFrame) -> list[str]:
    """What the verdicts rest on, and why numbers are not comparable: each reason once."""
    methods: dict[str, list[str]] = {}
    for row in found.itertuples():
        said = row.reason or (f"not comparable: {row.comparable}" if row.comparable else "")
        for reason in filter(None, said.split(rows.SEPARATOR)):
            methods.setdefault(reason, []).append(row.method)
    everyone = set(found["method"])
    return [
        sentence(
            reason if set(names) == everyone else f"{', '.join(dict.fromkeys(names))}: {reason}"
        )
        for reason, names in methods.items()
    ]


def dots(cell: Cell, *metrics: str) -> Figure:
    """Every number of a cell with its interval; a diamond is what the paper prints.

    Args:
        cell: whose rows, see `compared`.
        *metrics: which to draw, of one scale; by default the first.
    """
    found = compared(cell)
    metrics = metrics or tuple(found["metric"].head(1))
    found = found[found["metric"].isin(metrics)]
    names = found["method"]
    if len(metrics) > 1:
        names = names + ", " + found["metric"].map(in_words)
    chance = 0.5 if all(map(halves, metrics)) else None
    label = " and ".join(map(in_words, metrics))
    label += ", 95 % interval over test images" * bool(found["low"].notna().any())
    table = found.assign(method=names, elsewhere=found["on"] != "")
    return plots.forest(table, label, chance)
