"""The front page's findings by block: what was asked, what holds, what does not, what is open.

No sentence is typed: `findings` makes those on published values here and takes those on methods
from `adlib.study.site.claims` and `beyond`. Where rows are absent, so is their sentence.
"""

from collections import Counter
from collections.abc import Iterable
from functools import partial

import pandas as pd

from adlib.study import verdicts
from adlib.study.agreement import AGREES, CANNOT_TELL, DIFFERS
from adlib.study.site import beyond, claims
from adlib.study.site.claims import ASKED, BLOCKS, FAILS, HOLDS, OPEN, SEEDS, TOY, Finding
from adlib.study.site.scoreboard import nearest
from adlib.study.summary import ALL_SETS, COUNT, Study

SAID = {  # of published numbers
    AGREES: "agree with our runs",
    DIFFERS: "differ from our runs",
    CANNOT_TELL: "stand beside runs of ours that are too few or too spread to tell",
    verdicts.TOY_SCALE: "stand beside runs of ours at toy scale",
}
SILENT = ("smoke",)  # generated images and a handful of steps: shows nothing about methods
IN_SHORT = {  # reasons of "not run" that are counted as one
    r"^\S+ (failed|was not finished)$": r"cell \1",
    "^not run for this table$": "method not in our table",
}


def findings(study: Study, compared: dict[str, pd.DataFrame]) -> dict[str, list[Finding]]:
    """All findings by block.

    Args:
        study: the results.
        compared: what `verdicts.compare` gives, by profile, in the order of preference.
    """
    nearest_ours = nearest(compared)
    ours = study.summary
    ours = ours[(ours["method"] != COUNT) & ours["value"].notna() & (ours["form"] != "authors")]
    ours = ours[~ours["profile"].isin(SILENT) & ours["paper"].isin(study.papers)]
    printing = ours["paper"].isin([p.name for p in study.papers.values() if p.prints])
    rows = ours[ours["table"].str.startswith("table") & printing]
    finders = [
        *(
            (partial(claims.check, paper, claim), ours)
            for paper in study.papers.values()
            for claim in paper.claims
            if claim.check in claims.CHECKS
        ),
        *((partial(finder, papers=study.papers), rows) for finder in beyond.IN_PAPERS),
        *((partial(finder, papers=study.papers), ours[~printing]) for finder in beyond.BEYOND),
    ]
    made = [*_asked(nearest_ours, rows), *_reproduced(nearest_ours)]
    for finder, some in finders:
        profiles = (some[some["profile"] == name] for name in compared)
        # The first profile that has the rows: one sentence never mixes two budgets.
        made += next((several for one in profiles if (several := finder(rows=one))), [])
    made += [*_bounds(study), *_absent(study, nearest_ours), *_weight(rows)]
    return {block: [one for one in made if one.block == block] for block in BLOCKS}


def _by(groups: Iterable[str]) -> str:
    """Write `CBiGAN 47, GANomaly 12`, the largest first."""
    return ", ".join(f"{name} {n}" for name, n in Counter(groups).most_common())


def _n(count: int, noun: str) -> str:
    """Write `1 seed`, `3 seeds`, `no seed`."""
    return f"{count or 'no'} {noun}{'' if count < 2 else 's'}"


def _papers(rows: pd.DataFrame) -> str:
    return _by(rows["paper_title"])


def _asked(rated: pd.DataFrame, rows: pd.DataFrame) -> list[Finding]:
    """How many published values there are, how many have one of ours, and what ours come from."""
    made = []
    if len(rated):
        text = f"set beside the study: {_papers(rated)}."
        made.append(Finding(ASKED, _n(len(rated), "published number"), text, "#scoreboard"))
    ours = rated[rated["ours"].notna()]
    if len(ours):
        text = f"with a number of ours beside them: {_papers(ours)}."
        used = ", ".join(ours["profile"].unique())
        made.append(Finding(ASKED, f"{len(ours)} of them", text, "#scoreboard", used))
    for name, group in rows.groupby("profile", sort=False):
        runs = len({run for some in group["runs"] for run in some})
        sets = group.loc[group["dataset"] != ALL_SETS, "dataset"].nunique()
        seeds = _n(int(group["seeds"].max()), "seed")
        text = f"on methods, from {_n(runs, 'run')} on {_n(sets, 'data set')}, with {seeds}."
        head = f"{_n(len(group), 'number')} of ours"
        made.append(Finding(ASKED, head, text, f"#run-{name}", name))
    return made


def _reproduced(rated: pd.DataFrame) -> list[Finding]:
    """Values that were reproduced and that were not; facts about the data are counted apart."""
    made = []
    blocks = {AGREES: HOLDS, DIFFERS: FAILS, CANNOT_TELL: OPEN, verdicts.TOY_SCALE: TOY}
    for verdict, block in blocks.items():
        rows = rated[rated["verdict"] == verdict]
        if rows.empty:
            continue
        results = rows[rows["method"] != COUNT]
        facts = len(rows) - len(results)
        head = _n(len(rows), "published number")
        text = f"{SAID[verdict]}: {_papers(rows)}"
        if facts:
            which = "all" if facts == len(rows) else str(facts)
            text += f"; {which} of them on the data, such as numbers of images"
        seeds = int(results["seeds"].min()) if len(results) else 0
        used = ", ".join(rows["profile"].unique())
        made.append(Finding(block, head, f"{text}.", "#scoreboard", used, seeds))
    return made


def _bounds(study: Study) -> list[Finding]:
    """Published rows that no scores can give."""
    broken, checked = verdicts.bounds_of_published(study)
    if checked.empty:
        return []
    if broken.empty:
        text = "published rows of balanced accuracy could come from scores."
        return [Finding(HOLDS, f"All {len(checked)}", text, "#bounds")]
    quoted = int((broken["origin"] == "quoted").sum())
    head = f"{len(broken)} of {len(checked)}"
    text = "published rows of balanced accuracy cannot come from any scores; "
    text += (
        f"{quoted} of them are quoted from elsewhere, {len(broken) - quoted} are the paper's own."
    )
    return [Finding(FAILS, head, text, "#bounds")]


def _absent(study: Study, rated: pd.DataFrame) -> list[Finding]:
    """Published values that were not checked, by what stood in the way."""
    made = []
    absent = rated[rated["verdict"] == verdicts.NO_DATA]
    if len(absent):
        sets = _by(
            study.papers[row.paper].names.get(row.dataset, row.dataset)
            for row in absent.itertuples()
        )
        text = f"on data that are not at hand: {sets}."
        made.append(Finding(OPEN, _n(len(absent), "published number"), text, "#without"))
    absent = rated[rated["verdict"] == verdicts.NOT_RUN]
    if len(absent):
        reasons = _by(absent["reason"].replace(IN_SHORT, regex=True))
        text = f"not run although the data could be had: {reasons}."
        made.append(Finding(OPEN, _n(len(absent), "published number"), text, "#without"))
    other = rated[rated["verdict"] == verdicts.NOT_COMPARABLE]
    if len(other):
        doubted = int((other["doubt"] != "").sum())
        text = "beside one of ours that was made in another setting, or no target"
        text += f" ({doubted} quoted from elsewhere or impossible)" if doubted else ""
        used = ", ".join(other["profile"].unique())
        head = _n(len(other), "published number")
        made.append(Finding(OPEN, head, f"{text}: that decides nothing.", "#scoreboard", used))
    return made


def _weight(rows: pd.DataFrame) -> list[Finding]:
    """How many of our numbers could carry a conclusion: enough seeds, and the paper's setting."""
    if rows.empty:
        return []
    enough = (rows["seeds"] >= SEEDS) & (rows["comparable"] == "") & (rows["scale"] == "")
    used = ", ".join(rows["profile"].unique())
    if enough.all():
        return []
    head = f"{enough.sum() or 'None'} of our {_n(len(rows), 'number')}"
    text = (
        f"on methods {'comes' if enough.sum() < 2 else 'come'} from at least {SEEDS} seeds in the "
        "paper's own setting. What the others say of a method is an indication, not a conclusion."
    )
    return [Finding(OPEN, head, text, "#run", used)]
