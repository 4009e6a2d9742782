"""Images of a data set as a user's folders, and what a promised threshold does to them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from adlib.data import Split
from adlib.study.tables import Table, number

GOOD, BAD = "good", "bad"  # folders below that of the new images


def folders(split: Split) -> dict[str, np.ndarray]:
    """Folder to images: those to learn from, half the abnormal ones, and the new ones to judge."""
    labels = split.labels_of("test")
    abnormal = split.test[labels == 1]
    return {
        "normal": np.concatenate([split.train, split.validation]),
        "abnormal": abnormal[::2],
        f"new/{GOOD}": split.test[labels == 0],
        f"new/{BAD}": abnormal[1::2],
    }


def rows(
    flagged: pd.Series, folder: pd.Series, more: Mapping[str, float], **shared: object
) -> list[dict[str, object]]:
    """Rows for `results.write_rows`: rates of false alarms and misses, and what else is measured.

    Args:
        flagged: bool, whether an image is called abnormal.
        folder: `GOOD` or `BAD`, for the same images.
        more: further metrics to values.
        **shared: columns that all rows have.
    """
    good, bad = folder == GOOD, folder == BAD
    rates = {"false_alarm_rate": flagged[good].mean(), "miss_rate": 1 - flagged[bad].mean()}
    shared = {"form": "deployable", "n_normal": good.sum(), "n_abnormal": bad.sum(), **shared}
    return [shared | {"metric": metric, "value": value} for metric, value in (rates | more).items()]


def shown(written: pd.DataFrame) -> Table:
    """The promise beside what came of it."""
    at = written.set_index("metric")
    lines = [
        {"of the new images": f"{counted:.0f} {kind}", "rate": words, "measured": f"{value:.1%}"}
        for words, kind, value, counted in (
            ("called abnormal", "normal", at["value"]["false_alarm_rate"], at["n_normal"].iloc[0]),
            ("missed", "abnormal", at["value"]["miss_rate"], at["n_abnormal"].iloc[0]),
        )
    ]
    return Table.of(lines, [at["note"].iloc[0], "No paper prints these numbers."])


def said(written: pd.DataFrame) -> list[str]:
    """Whether the promise held on these images, and whether a saved detector scores the same."""
    at = written.set_index("metric")
    row, kind = at.iloc[0], at["variant"].iloc[0]
    aimed, n, what = {
        "fpr": ("false_alarm_rate", "n_normal", "normal images called abnormal"),
        "miss": ("miss_rate", "n_abnormal", "abnormal images missed"),
    }[kind]
    value, count = at.loc[aimed, "value"], at.loc[aimed, n]
    sentences = []
    if not np.isnan(row["promise"]):
        kept = "kept" if value <= row["promise"] else "not kept"
        sentences.append(
            f"Promised were at most {row['promise']:.1%} of {what}, on average over sets of "
            f"{row['n_held']:.0f} held-out images. Here it is {round(value * count):.0f} of "
            f"{count:.0f}, {value:.1%}: {kept} on these images, which are one sample."
        )
    largest = at.loc["difference_after_loading", "value"]
    sentences.append(
        f"Loaded from its file the detector scores the same images anew; the largest difference "
        f"of a score is {number(largest) if largest else '0'}."
    )
    return sentences
