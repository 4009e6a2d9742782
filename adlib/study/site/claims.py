"""What our rows say of the papers' claims: sentences whose numbers, and whose block, are computed.

A claim stands in a paper's `paper.toml` and names the table, metric and method that it is about.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from adlib.study.papers import Claim, Paper
from adlib.study.site.tables import in_words, interval, number
from adlib.study.summary import ALL_SETS

ASKED, HOLDS, FAILS, OPEN = "Asked", "Holds", "Does not hold", "Could not be checked"
TOY = "At toy scale"  # for rows of other data, sizes or budgets than the paper's
BLOCKS = [ASKED, HOLDS, FAILS, TOY, OPEN]
SEEDS = 3  # what a statement on a method needs
PATCHED = "with a patch"  # ends the variant of rows whose training images hold abnormal pixels
SUPERVISED = "Classifier"  # trained on the same labels as the method that a paper proposes


@dataclass(frozen=True)
class Finding:
    """One sentence of the front page.

    Attributes:
        block: one of `BLOCKS`.
        head: its subject, with which it begins.
        text: the rest of the sentence.
        link: page or anchor with the numbers behind it.
        profile: profile of our numbers; "" where the sentence is about published values alone.
        seeds: fewest seeds behind one of its numbers of a method; 0 where it has none.
        claim: the statement of a paper that it checks; "" where it checks none.
    """

    block: str
    head: str
    text: str
    link: str
    profile: str = ""
    seeds: int = 0
    claim: str = ""

    @property
    def caution(self) -> str:
        """Why the sentence is no conclusion about a method; "" where nothing forbids one."""
        return f"{self.seeds} of {SEEDS} seeds" if 0 < self.seeds < SEEDS else ""


def from_rows(block: str, head: str, text: str, rows: pd.DataFrame, claim: str = "") -> Finding:
    """A finding that links the table its rows stand in.

    Where a row was made in another setting than the paper's, it decides nothing: it goes to `TOY`.
    """
    reduced = ((rows["comparable"] != "") | (rows["scale"] != "")).any()
    return Finding(
        TOY if reduced and block in (HOLDS, FAILS) else block,
        head,
        text,
        "{paper}/{table}.html#{profile}".format(**rows.iloc[0]),
        profile=rows["profile"].iloc[0],
        seeds=int(rows["seeds"].min()),
        claim=claim,
    )


def check(paper: Paper, claim: Claim, rows: pd.DataFrame) -> list[Finding]:
    """What the rows of one profile say of a paper's claim; nothing where they do not reach it."""
    here = (rows["paper"] == paper.name) & (rows["table"] == claim.table)
    rows = rows[here & rows["value"].notna()]
    if claim.check != "contaminated":
        rows = _one_place(rows, paper, claim)
    if rows.empty:
        return []
    words = f"“{claim.text}”" if claim.quoted else claim.text
    found = CHECKS[claim.check](paper, claim, rows)
    return [from_rows(*parts, claim=f"{words} ({claim.place})") for parts in found]


def in_place(paper: Paper, row) -> str:
    """Write where a number was made: `3 data sets`, `MVTec AD`, `MVTec AD screw`."""
    if row.dataset == ALL_SETS:
        return f"{row.categories} data sets"
    title = paper.names.get(row.dataset, row.dataset)
    return title if row.categories > 1 else f"{title} {row.category}"


def stands(row) -> str:
    """Write a value with its interval, where it has one."""
    ends = interval(row.low, row.high)
    return number(row.value) + (f" ({ends})" if ends else "")


def _by_intervals(ours, other) -> str:
    """Block by 95 % intervals that do not meet; a value without one stands for itself."""
    (low, high), (other_low, other_high) = (
        (row.value, row.value) if pd.isna(row.low) else (row.low, row.high) for row in (ours, other)
    )
    return HOLDS if low > other_high else FAILS if other_low > high else OPEN


def _one_place(rows: pd.DataFrame, paper: Paper, claim: Claim) -> pd.DataFrame:
    """A claim's rows on the paper's data, else on those with most categories, best method first.

    Where there is a mean over categories it speaks for them. Variants, and methods that lack a
    category, are left out.
    """
    rows = rows[(rows["metric"] == claim.metric) & (rows["variant"] == "")]
    if claim.category:
        rows = rows[rows["category"] == claim.category]
    if claim.method not in set(rows["method"]):
        return rows.head(0)
    own = rows["dataset"].isin({ALL_SETS, *paper.datasets_of(claim.table)})
    order = rows.assign(own=own).sort_values(["own", "categories"], ascending=False, kind="stable")
    place = order.loc[order["method"] == claim.method].iloc[0]
    same = [(rows[key] == place[key]) for key in ("dataset", "category", "categories")]
    return rows[same[0] & same[1] & same[2]].sort_values("value", ascending=False, kind="stable")


def _reached(row, metric: str) -> str:
    several = row.categories > 1 and row.dataset != ALL_SETS
    mean = f", mean of {row.categories} categories" if several else ""
    return f"{in_words(metric)} {stands(row)}{mean}"


def _leads(paper: Paper, claim: Claim, rows: pd.DataFrame) -> list[tuple]:
    """Whether the method is before all others, or those named, by intervals that do not meet."""
    others = claim.over or set(rows["method"]) - {SUPERVISED}
    rows = rows[rows["method"].isin([*others, claim.method])]
    if rows["method"].nunique() < 2:
        return []
    ranked = list(rows.itertuples())
    place, ours = next((i, r) for i, r in enumerate(ranked, 1) if r.method == claim.method)
    best = next(row for row in ranked if row.method != claim.method)
    where, reached = in_place(paper, ours), _reached(ours, claim.metric)
    other = f"{best.method} with {stands(best)}"
    block = _by_intervals(ours, best)
    text = {
        HOLDS: f"comes first of {len(ranked)} on {where}: {reached}, before {other}.",
        FAILS: f"takes place {place} of {len(ranked)} on {where}: {reached}, behind {other}.",
        OPEN: f"cannot be distinguished from {other} on {where}: {reached}; the intervals meet.",
    }
    return [(block, claim.method, text[block], rows)]


def _labels(paper: Paper, claim: Claim, rows: pd.DataFrame) -> list[tuple]:
    """A plain classifier against the method, both with the same labelled images."""
    rows = rows[rows["method"].isin([claim.method, SUPERVISED])]
    if len(rows) < 2:
        return []
    by_name = {row.method: row for row in rows.itertuples()}
    ours, plain = by_name[claim.method], by_name[SUPERVISED]
    text = f"bring {claim.method} on {in_place(paper, ours)} to {_reached(ours, claim.metric)}, "
    text += f"and a plain classifier to {stands(plain)}"
    block = _by_intervals(ours, plain)
    reading = {
        HOLDS: "the GAN makes more of them",
        FAILS: "they serve better without the GAN",
        OPEN: "the intervals meet",
    }
    return [(block, "The same labels", f"{text}: {reading[block]}.", rows)]


def _contaminated(paper: Paper, claim: Claim, rows: pd.DataFrame) -> list[tuple]:
    """Whether the method withstands abnormal pixels in the largest share of training images."""
    rows = rows[(rows["categories"] == 1) & (rows["name"] == claim.method)]
    rows = rows[rows["variant"].str.endswith(PATCHED)]
    rows = rows.assign(share=rows["x"].astype(float))
    clean = rows[(rows["share"] == 0) & (rows["metric"] == claim.metric)]
    rows = rows[rows["metric"] == "difference_points"]
    if rows.empty:
        return []
    share = rows["share"].max()
    rows = rows[rows["share"] == share]
    changes = [
        f"{row.value:+.1f} ({row.low:+.1f} to {row.high:+.1f}) on {in_place(paper, row)}"
        for row in rows.itertuples()
    ]
    text = f"in {100 * share:.0f} % of the normal training images change {claim.method}'s "
    text += f"{in_words(claim.metric)}, in points, by {', '.join(changes)}: "
    lost = int((rows["high"] < 0).sum())
    if lost:
        block, reading = FAILS, f"a loss on {lost} of {len(rows)}."
    else:
        at_chance = ", but without them it is at chance already"
        block = OPEN
        reading = f"no loss is shown{at_chance if (clean['low'] <= 0.5).any() else ''}."
    return [(block, "Abnormal pixels", text + reading, rows)]


CHECKS: dict[str, Callable[[Paper, Claim, pd.DataFrame], list[tuple]]] = {
    "leads": _leads,
    "labels": _labels,
    "contaminated": _contaminated,
}
