"""What our numbers say of methods: sentences whose numbers, and whose block, come from the rows.

Each function of `FINDERS` looks at the rows of one profile and gives nothing where what it needs is
absent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd

from adlib.study import verdicts
from adlib.study.site.tables import in_words, interval, number
from adlib.study.summary import ALL_SETS

ASKED, HOLDS, FAILS, OPEN = "Asked", "Holds", "Does not hold", "Could not be checked"
BLOCKS = [ASKED, HOLDS, FAILS, OPEN]
SEEDS = 3  # what a statement on a method needs
SUPERVISED = "Classifier"  # trained on the same labels as the method that a paper proposes
SETS = {folder: title for title, folder in verdicts.DATASETS.items() if "(" not in title}


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
        reduced: whether one of its numbers was made in another setting than the paper's.
    """

    block: str
    head: str
    text: str
    link: str
    profile: str = ""
    seeds: int = 0
    reduced: bool = False

    @property
    def caution(self) -> str:
        """Why the sentence is no conclusion about a method; "" where nothing forbids one."""
        few = f"{self.seeds} of {SEEDS} seeds" if 0 < self.seeds < SEEDS else ""
        return ", ".join(filter(None, (few, "reduced setting" if self.reduced else "")))


@dataclass(frozen=True)
class Claim:
    """A table in which a paper's method should lead; `labels`: a classifier has the same labels."""

    paper: str
    table: str
    metric: str
    proposed: str
    labels: bool = False


CLAIMS = [
    Claim("cbigan", "table2_balanced_accuracy", "max_balanced_accuracy", "CBiGAN"),
    Claim("cbigan", "table3_auroc", "auroc", "CBiGAN"),
    Claim("ganomaly", "table1_mnist", "auroc", "GANomaly"),
    Claim("ganomaly", "table2_cifar10", "auroc", "GANomaly"),
    Claim("ganomaly", "table_mvtec", "auroc", "GANomaly"),
    Claim("noisy_anogan", "table_mnist", "auroc", "Noisy-AnoGAN", labels=True),
    Claim("noisy_anogan", "table2_caltech", "best_f1", "Noisy-AnoGAN"),
    Claim("cyclegan", "table_accuracy_zfn", "best_accuracy", "Cycle-GAN", labels=True),
    Claim("cyclegan", "table_accuracy_zfn", "zfn_accuracy", "Cycle-GAN"),
]


def about(rows: pd.DataFrame) -> dict:
    """What a finding says of the rows behind it."""
    return {
        "profile": rows["profile"].iloc[0],
        "seeds": int(rows["seeds"].min()),
        "reduced": bool((rows["comparable"] != "").any()),
    }


def page(rows: pd.DataFrame) -> str:
    """Link to the table that the rows belong to."""
    return "{paper}/{table}.html#{profile}".format(**rows.iloc[0])


def _stands(row) -> str:
    ends = interval(row.low, row.high)
    return number(row.value) + (f" ({ends})" if ends else "")


def _apart(higher, lower) -> bool:
    """Whether one 95 % interval lies above another; a value without one stands for itself."""
    low, high = (higher.low, lower.high)
    return (higher.value if pd.isna(low) else low) > (lower.value if pd.isna(high) else high)


def _one_place(rows: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """A claim's rows on the paper's data, else on those with most categories, best method first.

    Where there is a mean over categories it speaks for them. Variants, whose names hold a comma or
    begin with the proposed method's, and methods that lack a category are left out.
    """
    chosen = (rows["paper"] == claim.paper) & (rows["table"] == claim.table)
    rows = rows[chosen & (rows["metric"] == claim.metric) & rows["value"].notna()]
    variant = (rows["variant"] != "") | rows["name"].str.startswith(f"{claim.proposed} ")
    rows = rows[~variant]
    if claim.proposed not in set(rows["method"]):
        return rows.head(0)
    own = rows["dataset"].isin({ALL_SETS, *verdicts.DATASETS.values()})
    order = rows.assign(own=own).sort_values(["own", "categories"], ascending=False, kind="stable")
    place = order.loc[order["method"] == claim.proposed].iloc[0]
    same = [(rows[key] == place[key]) for key in ("dataset", "category", "categories")]
    return rows[same[0] & same[1] & same[2]].sort_values("value", ascending=False, kind="stable")


def _set(row) -> str:
    if row.dataset == ALL_SETS:
        return f"{row.categories} data sets"
    title = SETS.get(row.dataset, row.dataset)
    return title if row.categories > 1 else f"{title} {row.category}"


def _reached(row, metric: str) -> str:
    several = row.categories > 1 and row.dataset != ALL_SETS
    mean = f", mean of {row.categories} categories" if several else ""
    return f"{in_words(metric)} {_stands(row)}{mean}"


def _lead(rows: pd.DataFrame, claim: Claim) -> list[Finding]:
    """Whether the proposed method leads its paper's table, by intervals that do not meet."""
    rows = _one_place(rows, claim)
    rows = rows[rows["method"] != SUPERVISED]
    others = rows[rows["method"] != claim.proposed]
    if others.empty or len(others) == len(rows):
        return []
    ranked = list(rows.itertuples())
    place, ours = next((i, r) for i, r in enumerate(ranked, 1) if r.method == claim.proposed)
    best = next(others.itertuples())
    where, reached = _set(ours), _reached(ours, claim.metric)
    other = f"{best.method} with {_stands(best)}"
    if _apart(ours, best):
        block = HOLDS
        text = f"comes first of {len(ranked)} on {where}: {reached}, before {other}."
    elif _apart(best, ours):
        block = FAILS
        text = f"takes place {place} of {len(ranked)} on {where}: {reached}, behind {other}."
    else:
        block = OPEN
        text = f"cannot be told from {other} on {where}: {reached}, and the intervals meet."
    return [Finding(block, claim.proposed, text, page(rows), **about(rows))]


def _labels(rows: pd.DataFrame, claim: Claim) -> list[Finding]:
    """A plain classifier against the proposed method, both with the same labelled images."""
    rows = _one_place(rows, claim)
    rows = rows[rows["method"].isin([claim.proposed, SUPERVISED])]
    if len(rows) < 2:
        return []
    by_name = {row.method: row for row in rows.itertuples()}
    ours, plain = by_name[claim.proposed], by_name[SUPERVISED]
    head = "The same labels"
    text = f"bring {claim.proposed} on {_set(ours)} to {_reached(ours, claim.metric)}, and a plain "
    text += f"classifier to {_stands(plain)}"
    if _apart(plain, ours):
        block, text = FAILS, f"{text}: they are worth more without the GAN."
    elif _apart(ours, plain):
        block, text = HOLDS, f"{text}: the GAN makes more of them."
    else:
        block, text = OPEN, f"{text}: the intervals meet."
    return [Finding(block, head, text, page(rows), **about(rows))]


_PLACE = ["paper", "table", "dataset", "category", "method"]


def _pairs(rows: pd.DataFrame, **metrics: tuple[str, str]) -> pd.DataFrame:
    """One row a detector and category that has all `metrics` (column -> metric, form)."""
    rows = rows[rows["categories"] == 1].dropna(subset=["value"])
    made = None
    for column, (metric, form) in metrics.items():
        chosen = rows[(rows["metric"] == metric) & (rows["form"] == form)]
        if made is None:
            made = chosen.rename(columns={"value": column})
        else:
            values = chosen[[*_PLACE, "value"]].rename(columns={"value": column})
            made = made.merge(values, on=_PLACE)
    return made


def _oracle(rows: pd.DataFrame) -> list[Finding]:
    """What a threshold picked on the test labels is worth in balanced accuracy."""
    pairs = _pairs(
        rows,
        oracle=("max_balanced_accuracy", "oracle"),
        held=("balanced_accuracy", "deployable"),
    )
    if pairs.empty:
        return []
    gain = pairs["oracle"] - pairs["held"]
    text = (
        f"picked on the test labels, as papers print them, give a balanced accuracy of "
        f"{number(pairs['oracle'].mean())} on average; those from held-out normal images give "
        f"{number(pairs['held'].mean())}: a difference of {number(gain.mean())} over {len(pairs)} "
        f"pairs of detector and category, at most {number(gain.max())}."
    )
    block = FAILS if gain.mean() > 0.01 else HOLDS
    return [Finding(block, "Thresholds", text, page(pairs), **about(pairs))]


def _misses(rows: pd.DataFrame) -> list[Finding]:
    """What becomes of "zero false negatives" when held-out images set the threshold."""
    pairs = _pairs(
        rows,
        oracle=("zfn_accuracy", "oracle"),
        held=("accuracy", "deployable"),
        missed=("miss_rate", "deployable"),
    )
    if pairs.empty:
        return []
    missing = pairs[pairs["missed"] > 0]
    text = (
        f"promised by the lowest abnormal score: taken from held-out images it misses abnormal "
        f"test images in {len(missing)} of {len(pairs)} pairs of detector and data set, "
        f"{100 * pairs['missed'].mean():.1f} % of them on average, at most "
        f"{100 * pairs['missed'].max():.1f} %. Accuracy is then {number(pairs['held'].mean())}; "
        f"with the score taken from the test itself {number(pairs['oracle'].mean())}."
    )
    block = FAILS if len(missing) else HOLDS
    return [Finding(block, "Zero false negatives", text, page(pairs), **about(pairs))]


def _below_chance(rows: pd.DataFrame) -> list[Finding]:
    """Scores that rank abnormal images as the more normal ones, by their whole interval."""
    rows = rows[(rows["metric"] == "auroc") & (rows["categories"] == 1)].dropna(subset=["value"])
    found = rows[rows["high"].fillna(rows["value"]) < 0.5].sort_values("value")
    if found.empty:
        return []
    worst = next(found.itertuples())
    text = (
        f"lie {len(found)} of {len(rows)} auROC values with their whole interval: the detector "
        f"takes abnormal images for the more normal ones. Lowest: {worst.method} on "
        f"{_set(worst)}, {_stands(worst)}."
    )
    return [Finding(FAILS, "Below chance", text, page(found), **about(found))]


FINDERS: list[Callable[[pd.DataFrame], list[Finding]]] = [
    *(partial(_lead, claim=claim) for claim in CLAIMS),
    *(partial(_labels, claim=claim) for claim in CLAIMS if claim.labels),
    *(_oracle, _misses, _below_chance),
]
