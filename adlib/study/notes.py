"""What a reader should know of numbers, in sentences, each said once under all tables."""

import pandas as pd

from adlib.study.papers import MEANS
from adlib.study.summary import COUNT, Study
from adlib.study.tables import halves, in_words, sentence
from adlib.study.verdict import verdicts
from adlib.study.verdict.agreement import MARGINS, SEEDS


def limits(study: Study, compared: dict[str, pd.DataFrame]) -> list[str]:
    """Why the numbers at hand conclude no more; nothing is said that they do not show."""
    rows = study.summary
    rows = rows[(rows["method"] != COUNT) & rows["value"].notna()]
    # Times, p values and counts say nothing of how well a method finds anomalies.
    rows = rows[[name in MARGINS or halves(name) for name in rows["metric"]]]
    named = (rows["runs"].map(len) > 0) | (rows["categories"] > 1)  # else no record says the scale
    full = rows[named & (rows["comparable"] == "") & (rows["scale"] == "")]
    enough = int((full["seeds"] >= SEEDS).sum())
    once = verdicts.nearest(compared)
    once = once[once["method"] != COUNT]
    absent = int((once["verdict"] == verdicts.NO_DATA).sum())
    doubted = int((once["doubt"] != "").sum())
    said = [
        f"{enough or 'None'} of our {len(rows):,} measures of quality "
        f"{'come' if enough > 1 else 'comes'} from {SEEDS} seeds or more at full scale.",
        f"{absent} published numbers of methods are on data not at hand." if absent else "",
        f"{doubted} are no targets: quoted from elsewhere, or impossible." if doubted else "",
        *_copies(study),
    ]
    return [text for text in said if text]


def _copies(study: Study) -> list[str]:
    """Categories whose runs of one profile have read different copies of the images."""
    said = []
    for profile in study.profiles:
        read: dict[tuple, set] = {}
        for record in study.records(profile).values():
            one = record["description"]
            read.setdefault((one["dataset"], one["category"]), set()).add(one["images"])
        for (dataset, category), copies in read.items():
            if len(copies) > 1:
                title = _title(study, dataset)
                said.append(
                    f"Profile {profile}'s rows on {title} {category.replace('_', ' ')} come from "
                    f"{len(copies)} different copies of the images."
                )
    return said


def _title(study: Study, dataset: str) -> str:
    names = (paper.names.get(dataset) for paper in study.papers.values())
    return next(filter(None, names), dataset)


def about_values(summary: pd.DataFrame) -> list[str]:
    """Over how many seeds values are means, what intervals are about, and which have none."""
    methods = summary[summary["method"] != COUNT].dropna(subset=["value"])
    if methods.empty:
        return []
    said = [f"Means over up to {n} seeds." if (n := methods["seeds"].max()) > 1 else "One seed."]
    for about, some in methods[methods["about"] != ""].groupby("about"):
        names = ", ".join(map(in_words, some["metric"].unique()))
        said.append(f"Below a value its 95 % interval: over {about} for {names}.")
    without = methods[(methods["form"] == "oracle") & (methods["about"] == "")]["metric"].unique()
    if len(without):
        names = ", ".join(map(in_words, without))
        said.append(f"No interval covers where test labels pick the threshold: {names}.")
    return said


def notes(rows: pd.DataFrame, prints: bool) -> list[str]:
    """Sentences on the numbers of a section, each once: comparability, protocol, images, notes.

    Args:
        rows: of the summary.
        prints: whether there is a paper to be compared with.
    """
    rows = rows[~rows["category"].isin(MEANS)]  # a mean repeats what is said of all it averages
    paper = "not comparable with the paper: " if prints else ""
    reasons = dict.fromkeys(filter(None, rows["comparable"]))
    said = [f"{paper}{reason}" for reason in reasons] + _protocols(rows) + _tested(rows)
    # A note of the audit is about a trap, whatever the method and the metric.
    rows = rows.assign(subject=rows["variant"].where(rows["measure"] != "", rows["method"]))
    subjects, single = set(rows["subject"]), []
    noted = rows[rows["note"] != ""].groupby("note", sort=False)
    for note, group in noted:
        names = list(dict.fromkeys(group["subject"]))
        if len(group) == 1 < len(noted):  # then it tells this value from the others
            single.append(f"{names[0]} on {group['category'].iloc[0]}: {note}")
        elif len(names) < len(subjects) and len(names) <= 3 and names != [COUNT]:
            said.append(f"{', '.join(names)}: {note}")
        else:
            said.append(note)
    return [sentence(text) for text in [*said, "; ".join(single)] if text]


def _protocols(rows: pd.DataFrame) -> list[str]:
    """A sentence for each protocol; several are distinguished by method, or else by category."""
    rows = rows[rows["protocol"] != ""]
    by_method = rows.groupby("method")["protocol"].agg(frozenset).nunique() > 1
    column = "method" if by_method else "category"
    found = rows.groupby("protocol", sort=False)[column].unique()
    return [
        ("Protocol" if len(found) == 1 else f"Protocol of {', '.join(names)}")
        + f": {protocol.replace('_', ' ')}"
        for protocol, names in found.items()
    ]


def _tested(rows: pd.DataFrame) -> list[str]:
    """Number of test images: given once where all agree, and by protocol where one has others."""
    numbers = ["n_normal", "n_abnormal"]
    tested = rows[["category", "protocol", *numbers]].dropna().drop_duplicates()
    if tested.empty:
        return []
    if len(tested[numbers].drop_duplicates()) == 1 and tested["category"].nunique() > 1:
        tested = tested.head(1).assign(category="every category")
    named = tested.drop_duplicates(["category", *numbers])
    several = named["category"].duplicated(keep=False)
    images = [
        f"{row.category}{f' ({row.protocol})' if by_protocol else ''}: "
        f"{row.n_normal:.0f} + {row.n_abnormal:.0f}"
        for row, by_protocol in zip(named.itertuples(), several, strict=True)
    ]
    return [f"Test images, normal + abnormal: {', '.join(images)}".replace("_", " ")]
