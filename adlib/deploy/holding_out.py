"""Which of a user's images are learnt from, and which set or check the threshold."""

import numpy as np
import pandas as pd

from adlib.data import ImageSet, Split
from adlib.data.protocols import usable
from adlib.data.split import generator
from adlib.deploy.targets import Target

HELD_OUT = 0.2  # share of the normal images that set or check the threshold, if no more are needed


def hold_out(images: ImageSet, target: Target, learns_abnormal: bool, seed: int) -> Split:
    """Split images into those learnt from and those held out (validation); there is no test.

    A fifth of the normal images is held out, more where the target needs them, at most half. Too
    few images are a ValueError.
    """
    labels = images.table["label"].to_numpy(copy=True)
    rows, dropped = usable(images, labels)
    rows = rows[~pd.Series(images.digests())[rows].duplicated().to_numpy()]
    rng = generator(seed, "own images")
    needed = {label: target.images_needed() if label == target.label else 1 for label in (0, 1)}
    normal, abnormal = (rng.permutation(rows[labels[rows] == label]) for label in (0, 1))
    n_normal = min(len(normal) // 2, max(round(HELD_OUT * len(normal)), needed[0]))
    n_abnormal = len(abnormal)
    copies = len(images) - len(rows)
    copies = f" {copies} of {len(images)} files are left out as byte copies." if copies else ""
    if len(normal) < 2:
        raise ValueError(
            f"{images.category}: {len(normal)} normal image(s); at least 2 are needed.{copies}"
        )
    if learns_abnormal and n_abnormal < 2:
        raise ValueError(
            f"{n_abnormal} abnormal image(s) that are no copies of others: this method learns from "
            "some and holds others out, so at least 2 are needed"
        )
    if learns_abnormal:
        n_abnormal = min(n_abnormal - 1, max(n_abnormal // 2, needed[1]))
    target.check((n_normal, n_abnormal)[target.label], copies)
    held = np.sort(np.concatenate([normal[:n_normal], abnormal[:n_abnormal]]))
    train, learnt = np.sort(normal[n_normal:]), np.sort(abnormal[n_abnormal:])
    nothing = np.empty(0, np.int64)
    return Split(images, "own images", seed, labels, train, held, nothing, dropped, learnt)
