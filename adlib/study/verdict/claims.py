"""The papers' claims: the test that decides each, in words, and the rows that it looks at.

A claim stands in a paper's `paper.toml`. Its `check` names a test here and the function of
`claim_checks` that makes it. Whether the rows may decide anything, `ledger` says.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from adlib.study.papers import ALL_SETS, MEANS, Claim, Paper
from adlib.study.summary import Study
from adlib.study.tables import in_words, interval, listed, number
from adlib.study.verdict.agreement import MARGINS

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot tell"
SUPERVISED = "Classifier"  # trained on the same labels as a method that a paper proposes
MISSES = 0.05  # share of abnormal images whose 95 % limit passes for none
TESTS = {
    "leads": "{metric}, {method} against {others}: holds where its 95 % interval lies above that "
    "of the best other one",
    "paired": "{metric}, {method} minus {others}, paired over categories: holds where the 95 % t "
    "interval of the mean difference lies above 0",
    "not_behind": "{metric}, {method} minus {others}, paired over categories: holds where the 95 % "
    "t interval of the mean difference lies above −{margin}, does not hold where it lies below it",
    "everywhere": "{metric}, {method} minus the best of {others}, paired over seeds: holds where "
    "the 95 % t interval lies above 0 for each of {categories}",
    "falls_less": "change of {metric} from {first} to {last}, {method} minus {others}, paired over "
    "seeds: holds where the 95 % t interval lies above 0",
    "groups": "{metric} of {method}, {category} minus {others}: holds where Welch's 95 % interval "
    "over categories lies above 0",
    "below_chance": "{metric} of {method} on {category}: holds where its whole 95 % interval lies "
    "below 0.5",
    "faster": "{metric}, {others} over {method}: holds where the 95 % t interval of the ratio's "
    "logarithm over seeds lies above 0",
    "misses": "{metric} of {method} at a threshold from held-out images: does not hold where an "
    "abnormal image is missed; holds where none is and the 95 % limit is at most "
    f"{100 * MISSES:g} %",
    "contaminated": "{metric} of {method} with abnormal pixels in the most training images minus "
    "without: does not hold where a paired 95 % interval over images lies below 0",
}


@dataclass(frozen=True)
class Evidence:
    """What the rows of one profile say of a claim.

    Attributes:
        outcome: `HOLDS`, `FAILS` or `OPEN`, by the test alone.
        text: a sentence with the numbers.
        rows: of the summary, one a category and method; the runs behind the numbers.
        doubts: what forbids a decision whatever the test says.
    """

    outcome: str
    text: str
    rows: pd.DataFrame
    doubts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rows:
    """Rows of one profile that a claim names: `means` over seeds, and `runs`, one a seed."""

    paper: Paper
    claim: Claim
    means: pd.DataFrame
    runs: pd.DataFrame
    groups: Callable[[str], dict[str, list[str]]]  # data set -> name of a mean -> categories

    @property
    def single(self) -> pd.DataFrame:
        """Means over seeds on one category."""
        return self.means[self.means["categories"] == 1]

    def of(self, *methods: str) -> pd.DataFrame:
        """Those of some methods alone."""
        return self.single[self.single["name"].isin(methods)]

    def others(self) -> list[str]:
        """Methods that the claim's own is compared with."""
        names = dict.fromkeys(self.means["name"])
        own = {self.claim.method, SUPERVISED}
        return list(self.claim.over) or [name for name in names if name not in own]

    def seeds(self, category: str) -> pd.DataFrame:
        """Seeds by methods, on one category."""
        rows = self.runs[self.runs["category"] == category]
        return rows.pivot_table("value", "seed", "name", sort=False)


def select(study: Study, paper: Paper, claim: Claim, profile: str) -> Rows:
    """Rows of a profile that a claim names, on the paper's own data where there are any."""
    folder, _, table = claim.table.rpartition("/")
    wanted = {"table": table, "paper": folder or paper.name, "profile": profile}
    wanted |= {"metric": claim.metric} if claim.check != "contaminated" else {}
    own = paper.datasets_of(claim.table)

    def chosen(rows: pd.DataFrame) -> pd.DataFrame:
        for column, value in wanted.items():
            rows = rows[rows[column] == value]
        rows = rows[rows["value"].notna() & (rows["form"] != "authors")]
        if claim.check != "contaminated":
            rows = rows[(rows["variant"].fillna("") == claim.variant) & rows["x"].isna()]
        named = rows[rows["name"] == claim.method]
        ours = named["dataset"].isin(own).any()
        return rows[rows["dataset"].isin([ALL_SETS, *own])] if ours else rows

    def groups(dataset: str) -> dict[str, list[str]]:
        return study.groups(paper.name, dataset)

    return Rows(paper, claim, chosen(study.summary), chosen(study.rows), groups)


def test(paper: Paper, claim: Claim) -> str:
    """The test that decides a claim, in words."""
    others = [MEANS.get(name, name) for name in claim.over]
    several = [category_in_words(name) for name in claim.categories] or [""]
    return TESTS[claim.check].format(
        metric=in_words(claim.metric),
        method=claim.method,
        others=listed(others, "the others"),
        category=category_in_words(claim.category),
        categories=listed(several),
        first=several[0],
        last=several[-1],
        margin=MARGINS.get(claim.metric),
    )


def in_place(paper: Paper, row) -> str:
    """Write where a number was made: `3 data sets`, `MVTec AD`, `MVTec AD screw`."""
    if row.dataset == ALL_SETS:
        return f"{row.categories} data sets"
    title = paper.names.get(row.dataset, row.dataset)
    return title if row.categories > 1 else f"{title} {category_in_words(row.category)}"


def stands(row) -> str:
    """Write a value with its interval, where it has one."""
    ends = interval(row.low, row.high)
    return number(row.value) + (f" ({ends})" if ends else "")


def difference(value: float, low: float, high: float) -> str:
    """Write a difference with its interval, where it has one: `+0.103 (−0.917 to +0.711)`."""
    ends = "" if pd.isna(low) else f" ({low:+.3f} to {high:+.3f})"
    return f"{value:+.3f}{ends}".replace("-", "−")


def counted(count: int, one: str, several: str) -> str:
    """Write `1 category` or `3 categories`."""
    return f"{count} {one if count == 1 else several}"


def category_in_words(name: str) -> str:
    """A category or mean as it is read: `3 inlier categories`, `mean of textures`."""
    return MEANS.get(
        name, name.replace("_", " ").replace("1 inlier categories", "1 inlier category")
    )
