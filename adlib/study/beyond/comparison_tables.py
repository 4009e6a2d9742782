"""The comparison as a reader sees it: what is compared, every value, ranks and costs."""

from collections.abc import Iterable
from itertools import chain

import pandas as pd

from adlib import data
from adlib.study import papers, profiles
from adlib.study.beyond import comparison
from adlib.study.lab.published import category
from adlib.study.tables import Table, in_words, listed, number, sentence


def plan(planned: comparison.Plan) -> Table:
    """What is compared, and for which data sets of the papers the sets of the profile stand in."""
    lines = [
        {"what": words, "which": listed(names)}
        for words, names in (
            ("methods that learn from normal images alone", planned.alone),
            ("data sets of these", map(_place, planned.sets)),
            ("methods that use labelled abnormal images", planned.labelled),
            ("data sets of these", map(_place, planned.pooled_sets)),
            ("seeds", map(str, planned.seeds)),
            ("test images of either label, at most", [f"{planned.test_images:,}"]),
        )
    ]
    return Table.of(lines, [stand_ins([*planned.sets, *planned.pooled_sets])])


def stand_ins(sets: Iterable[comparison.Pair]) -> str:
    """Name the data sets that no paper has, and those of the papers that they stand in for."""
    papers_own = dict.fromkeys(
        name
        for paper in papers.read().values()
        if paper.prints
        for name in chain.from_iterable(paper.datasets.values())
        if name in data.names()
    )
    used = dict.fromkeys(name for name, _ in sets)
    others = [data.info(name).title for name in used if name not in papers_own]
    missing = [data.info(name).title for name in papers_own if name not in used]
    if not others or not missing:
        return ""
    verb = "stands" if len(others) == 1 else "stand"
    return f"{listed(others)} {verb} in for data sets of the papers: {listed(missing)}."


def _place(pair: comparison.Pair) -> str:
    title, name = data.info(pair[0]).title, category(pair[1])
    return title if name == title else f"{title}, {name}"


def values(means: pd.DataFrame) -> Table:
    """Methods by data sets, of what `comparison.over_seeds` gives."""
    table = comparison.by_set(means).T
    return Table.of(
        {"method": method} | {str(name): number(value) for name, value in row.items()}
        for method, row in table.iterrows()
    )


def ranks(written: pd.DataFrame) -> Table:
    """Ranks and tests among the rows that were written, see `comparison.rows`."""
    found = written[written["dataset"] == profiles.ALL_SETS]
    lines = [
        {"methods": row.method, "what": in_words(row.metric), "value": f"{row.value:.3f}"}
        for row in found.itertuples()
    ]
    return Table.of(lines, found["note"].fillna("").map(sentence))


def costs(found: pd.DataFrame) -> Table:
    """What each method saw and how long it trained, on average over data sets and seeds."""
    costs = found.groupby("method", sort=False)[[*comparison.COSTS]].mean()
    return Table.of(
        {"method": row.Index, "images seen": f"{row.images_seen:,.0f}"}
        | {"training (s)": f"{row.train_s:,.1f}"}
        for row in costs.itertuples()
    )
