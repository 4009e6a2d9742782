"""The scoreboard: every published value, ours beside it where there is one, and counts."""

from collections import Counter

import pandas as pd

from adlib.study.papers import MEANS
from adlib.study.site import tables
from adlib.study.summary import COUNT
from adlib.study.verdicts import nearest

FACT = "fact about the data"  # what stands for a detector where a value describes images


def board(compared: dict[str, pd.DataFrame]) -> dict[str, list[dict]]:
    """Rows of the scoreboard: `with` a number of ours, one a profile; `without`, in no profile."""
    ours = {name: rows[rows["ours"].notna()] for name, rows in compared.items()}
    shown = [rows.assign(profile=name) for name, rows in ours.items()]
    once = nearest(compared)
    return {
        "with": beside(_facts_last(pd.concat(shown))),
        "without": beside(_facts_last(once[once["ours"].isna()].assign(profile=""))),
    }


def tally(rows: pd.DataFrame) -> dict[str, Counter]:
    """Counts by verdict: `results` of detectors, and `facts` about the data apart from them."""
    facts = rows["method"] == COUNT
    return {
        "results": Counter(rows.loc[~facts, "verdict"]),
        "facts": Counter(rows.loc[facts, "verdict"]),
    }


def counts(compared: dict[str, pd.DataFrame], *by: str) -> list[dict]:
    """Counts by verdict and groups of rows, of the profiles that have a number of ours.

    Returns:
        For each profile and group: `profile`, the columns `by`, and `counts`.
    """
    made = []
    for name, rows in compared.items():
        if rows["ours"].isna().all():
            continue
        for key, group in rows.groupby(list(by), sort=False):
            named = {"profile": name} | dict(zip(by, key, strict=True))
            made.append(named | {"counts": Counter(group["verdict"])})
    return made


def beside(rows: pd.DataFrame) -> list[dict]:
    """Rows "published | ours | difference | verdict" as they are written."""
    return [
        {
            "page": f"{row.paper}/{row.table}.html",
            "paper": row.paper_title,
            "table": row.table_title,
            "dataset": row.dataset,
            "category": MEANS.get(row.category, row.category),
            "method": FACT if row.method == COUNT else row.method,
            "metric": tables.in_words(row.metric.removeprefix("n_")),
            "printed": row.printed,
            "published": row.value,
            "ours": tables.number(row.ours),
            "value": row.ours,
            "interval": tables.interval(row.low, row.high),
            "seeds": "" if pd.isna(row.seeds) else int(row.seeds),
            "difference": tables.signed(row.difference, row.printed),
            "delta": row.difference,
            "verdict": row.verdict,
            "reason": row.reason,
            "others": row.others,
            "source": "; ".join(filter(None, (row.source, row.note))),
            "below": tables.below_chance(row.metric, row.ours),
            "setting": _setting(row),
            "profile": getattr(row, "profile", ""),
        }
        for row in rows.itertuples()
    ]


def others(rows: pd.DataFrame) -> list[dict]:
    """Rows "others | ours | difference | verdict" as they are written, see `verdicts`."""
    return [
        {
            "dataset": row.dataset,
            "category": MEANS.get(row.category, row.category),
            "method": row.method,
            "metric": tables.in_words(row.metric),
            "printed": row.printed,
            "implementation": row.implementation,
            "ours": tables.number(row.ours),
            "difference": tables.signed(row.difference, row.printed),
            "flagged": row.flagged,
            "verdict": row.verdict,
            "reason": row.reason,
            "source": "; ".join(filter(None, (row.source, row.note))),
        }
        for row in rows.itertuples()
    ]


def _facts_last(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(last=rows["method"] == COUNT).sort_values("last", kind="stable")


def _setting(row) -> list[str]:
    """Protocol and test images behind a number of ours."""
    lines = [row.protocol.replace("_", " ")] if isinstance(row.protocol, str) else []
    if pd.notna(row.n_normal):
        lines.append(f"{row.n_normal:.0f} + {row.n_abnormal:.0f} test images")
    return [line for line in lines if line]
