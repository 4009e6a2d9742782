"""The front page: what was asked, what is known of each paper, what is not, and why."""

from collections import Counter

import pandas as pd

from adlib.study import agreement, ledger, verdicts
from adlib.study.conclusions import Conclusion
from adlib.study.summary import COUNT, Study

SEEDS = 3  # what a statement on a method needs


def card(one: Conclusion) -> dict:
    """What the card of a paper says: numbers by verdict, those that decide always, and claims."""
    counts, claims = one.counts.copy(), Counter(entry.outcome for entry in one.entries)
    counts[verdicts.NOT_RUN] += counts.pop(verdicts.NO_DATA, 0)
    shown = [name for name in verdicts.VERDICTS if counts[name] or name in agreement.OUTCOMES]
    outcomes = ", ".join(f"{claims[name]} {name}" for name in ledger.OUTCOMES if claims[name])
    return {
        "paper": one.paper,
        "sentence": one.sentence,
        "scale": one.scale,
        "unknown": one.unknown,
        "tally": [(name, counts[name]) for name in shown],
        "claims": f"Its {claims.total()} claims: {outcomes}." if claims else "",
    }


def limits(study: Study, compared: dict[str, pd.DataFrame]) -> list[str]:
    """Why the numbers at hand conclude no more; nothing is said that they do not show."""
    rows = study.summary
    rows = rows[(rows["method"] != COUNT) & rows["value"].notna()]
    full = rows[(rows["comparable"] == "") & (rows["scale"] == "")]
    enough = int((full["seeds"] >= SEEDS).sum())
    once = verdicts.nearest(compared)
    absent = int((once["verdict"] == verdicts.NO_DATA).sum())
    doubted = int((once["doubt"] != "").sum())
    said = [
        f"{enough or 'None'} of our {len(rows):,} numbers on methods "
        f"{'come' if enough > 1 else 'comes'} from {SEEDS} seeds or more at full scale.",
        f"{absent} published numbers are on data that are not at hand." if absent else "",
        f"{doubted} are no targets: quoted from elsewhere, or impossible." if doubted else "",
    ]
    return [text for text in said if text]
