"""The front page: what was asked, what is known of each paper, and what is not."""

from pathlib import Path

import pandas as pd

from adlib.study import verdicts
from adlib.study.agreement import OUTCOMES
from adlib.study.beyond import Card
from adlib.study.conclusions import Conclusion
from adlib.study.site.pictures import Pictures
from adlib.study.summary import COUNT, Study

HERO = "hero.png"
SEEDS = 3  # what a statement on a method needs
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def page(
    study: Study,
    compared: dict[str, pd.DataFrame],
    concluded: list[Conclusion],
    cards: list[Card],
    made: Path,
    pictures: Pictures,
) -> dict:
    """What the front page says.

    Args:
        study: all results.
        compared: what `verdicts.compare` gives, by profile, the one nearest to the papers first.
        concluded: one a paper.
        cards: what goes beyond the papers.
        made: folder with the pictures that `adlib.study.verdict_notebooks.run` drew.
        pictures: takes those of the page.
    """
    hero = made / HERO
    alt = "Published numbers against ours, a panel a paper; the table behind it is the scoreboard."
    return {
        "hero": pictures.add(hero.read_bytes(), alt) if hero.is_file() else None,
        "conclusions": [
            {"paper": one.paper, "sentence": one.sentence, "scale": one.scale,
             "unknown": one.unknown, "tally": tally(one)}
            for one in concluded
        ],
        "number": WORDS[len(concluded)] if len(concluded) < len(WORDS) else len(concluded),
        "cards": [
            {"title": card.title, "sentence": card.sentence, "link": card.link,
             "picture": pictures.add(card.picture.read_bytes(), card.caption)}
            for card in cards
        ],
        "limits": limits(study, compared),
        "failed": sum(one.failed for one in study.executions),
    }  # fmt: skip


def tally(one: Conclusion) -> list[tuple[str, int]]:
    """Numbers of detectors by verdict: those that decide always, others where there are any."""
    counts = one.counts.copy()
    counts[verdicts.NOT_RUN] += counts.pop(verdicts.NO_DATA, 0)
    shown = [name for name in verdicts.VERDICTS if counts[name] or name in OUTCOMES]
    return [(name, counts[name]) for name in shown]


def limits(study: Study, compared: dict[str, pd.DataFrame]) -> list[str]:
    """Why the numbers at hand conclude so little; nothing is said that they do not show."""
    rows = study.summary
    rows = rows[(rows["method"] != COUNT) & rows["value"].notna()]
    full = rows[(rows["comparable"] == "") & (rows["scale"] == "")]
    once = verdicts.nearest(compared)
    absent = int((once["verdict"] == verdicts.NO_DATA).sum())
    enough = int((full["seeds"] >= SEEDS).sum())
    doubted = int((once["doubt"] != "").sum())
    said = [
        f"{enough or 'None'} of our {len(rows):,} numbers on methods {'comes' if enough < 2 else 'come'} "
        f"from {SEEDS} seeds or more at the paper's own setting and size.",
        f"{absent} published numbers are on data that are not at hand." if absent else "",
        f"{doubted} are no targets: quoted from elsewhere, or impossible." if doubted else "",
    ]
    return [text for text in said if text]

