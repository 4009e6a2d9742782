"""What goes beyond the papers, for the three cards of the front page: sentence, picture, link.

Each card speaks of the first profile that has its rows; where none has, there is no card.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from adlib.metrics.ranks import critical_difference
from adlib.study.papers import ALL_SETS
from adlib.study.rows import CONTROL, RAISES
from adlib.study.summary import Study
from adlib.study.tables import points
from adlib.study.verdict.ledger import SILENT

LOWEST = "lowest"  # the threshold that is to miss nothing: the lowest held-out abnormal score


@dataclass(frozen=True)
class Card:
    """One card.

    Attributes:
        title: what it is about.
        sentence: what the rows say, at most 30 words.
        picture: a committed picture, in the folder of results.
        caption: of the picture, for those who do not see it.
        link: page and section of the site with the rows.
        profile: whose rows these are.
    """

    title: str
    sentence: str
    picture: Path
    caption: str
    link: str
    profile: str


def cards(study: Study, order: list[str] | None = None) -> list[Card]:
    """The cards for which there are rows and a picture.

    Args:
        study: the results.
        order: profiles, preferred first; by default those nearest to the papers.
    """
    order = [name for name in (order or study.profiles) if name not in SILENT]
    made = []
    for title, place, name, speak in CARDS:
        for profile in order:
            if card := _card(study, profile, title, place, name, speak):
                made.append(card)
                break
    return made


Said = tuple[str, tuple[str, str] | None]  # the sentence, and data set and category it names
Speak = Callable[[pd.DataFrame, Study], Said]


def _card(
    study: Study, profile: str, title: str, place: tuple[str, str], name: str, speak: Speak
) -> Card | None:
    """A card of one profile; None where it lacks rows or the picture `name`."""
    paper, notebook = place
    rows = study.summary
    rows = rows[(rows["profile"] == profile) & rows["value"].notna()]
    sentence, shown = speak(rows[(rows["paper"] == paper) & (rows["table"] == notebook)], study)
    pictures = [
        (path, caption)
        for one in study.executions
        if (one.cell.profile, one.cell.paper, one.cell.notebook) == (profile, *place)
        for path, caption, _ in one.pictures
        if shown in (None, (one.cell.dataset, one.cell.category))
        if path.stem.endswith(f"__{name}")
    ]
    if not sentence or not pictures:
        return None
    link = f"{paper}/{notebook}.html#{profile}"
    return Card(title, sentence, *pictures[0], link, profile)


def _worth(rows: pd.DataFrame, study: Study) -> Said:
    """In which cases a choice, of other code too, raises an auROC, and the largest one's range.

    A case is a choice, a method and a category. Numbers at a threshold are the audit's own to
    discuss.
    """
    rows = rows[(rows["metric"] == "difference_points") & (rows["measure"] == "auROC")]
    rows = rows[(rows["categories"] == 1) & (rows["variant"] != CONTROL)]
    if rows.empty:
        return "", None
    raised = rows[(rows["low"] > 0) & (rows["reading"] == RAISES)]
    text = f"In {len(raised)} of {len(rows)} cases a choice raises the auROC beyond chance"
    if raised.empty:
        return f"{text}.", None
    most = next(raised.sort_values("value", ascending=False).itertuples())
    same = rows[(rows["variant"] == most.variant) & (rows["name"] == most.name)]
    least = next(same.sort_values("value").itertuples())
    begins = f"{points(least.value)} ({least.category}) to " * (len(same) > 1)
    return (
        f"{text}; “{most.variant}” is worth {begins}{points(most.value)} points ({most.category}) "
        f"for {most.name}.".replace("_", " "),
        (most.dataset, most.category),
    )


def _ranks(rows: pd.DataFrame, study: Study) -> Said:
    """Where the papers' methods stand among all that were trained on normal images alone."""
    ranks = rows[rows["metric"] == "mean_rank"].sort_values("value", kind="stable")
    p = rows[(rows["metric"] == "p") & (rows["dataset"] == ALL_SETS)]
    areas = rows[(rows["metric"] == "auroc") & (rows["categories"] == 1)]
    order = ranks.set_index("method")["value"]
    proposed = {claim.method for paper in study.papers.values() for claim in paper.claims}
    ours = order[order.index.isin(proposed)]
    if p.empty or ours.empty or areas.empty:
        return "", None
    cases, sets = len(areas[["dataset", "category"]].drop_duplicates()), areas["dataset"].nunique()
    of = f"{cases} categories of " * (cases > sets)
    apart = p["value"].iloc[0] < 0.05
    behind = int((ours - order.iloc[0] >= critical_difference(len(order), cases)).sum()) * apart
    return (
        f"Over {of}{sets} data set{'s' * (sets > 1)}{_trained(areas, study)} {order.index[0]} "
        f"ranks first of {len(order)}; the papers' best, {ours.index[0]}, is number "
        f"{(order < ours.iloc[0]).sum() + 1}; {behind} of their {len(ours)} "
        f"lag{'s' * int(behind == 1)} beyond chance.",
        None,
    )


def _trained(rows: pd.DataFrame, study: Study) -> str:
    """Over how many steps those methods were trained that are trained by steps."""
    records = study.records(rows["profile"].iloc[0])
    keys = [key for some in rows["runs"] for key in some if key in records]
    budgets = [records[key]["description"]["budget"]["steps"] for key in keys]
    steps = sorted({one for one in budgets if one > 1})  # one step is a fit without any
    if not steps:
        return ""
    first = f"{steps[0]:,}–" * (len(steps) > 1)
    return f", at {first}{steps[-1]:,} steps,"


def _promise(rows: pd.DataFrame, study: Study) -> Said:
    """What becomes of "zero false negatives" when held-out images set the threshold."""
    rows = rows[(rows["variant"] == LOWEST) & (rows["categories"] == 1)]
    missed = rows[rows["metric"] == "miss_rate"]["value"]
    alarms = rows[rows["metric"] == "false_alarm_rate"]["value"]
    if missed.empty or alarms.empty:
        return "", None
    return (
        f"A held-out threshold that should miss nothing misses abnormal images in "
        f"{(missed > 0).sum()} of {len(missed)} cases, {100 * missed.mean():.1f} % on average, "
        f"with {100 * alarms.mean():.0f} % false alarms.",
        None,
    )


# Title, notebook, name of its picture, and the function that makes the sentence.
CARDS: list[tuple[str, tuple[str, str], str, Speak]] = [
    ("What evaluation choices are worth", ("beyond", "audit"), "worth", _worth),
    ("The fair comparison", ("beyond", "comparison"), "critical_difference", _ranks),
    ("What a threshold can promise", ("cyclegan", "table_zfn_promise"), "promises", _promise),
]
