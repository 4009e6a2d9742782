"""Scores over a training: by the weights of every snapshot, and as a paper's authors make them.

They serve what looks at a training as a whole, when its end is what is judged: rows of the form
"authors", which pick the best of the epochs on the test, and the question when to stop.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from adlib import data, metrics, models
from adlib.host.files import atomic
from adlib.models import training

# Ways to pick a snapshot: names of rows.
LAST = "last"
HELD_OUT = "lowest scores of held-out normal images"
BEST = "best on the test"
BEST_AS_AUTHORS = "best on the test, batch statistics"
BATCH = 64  # of the GANomaly authors' test


def write(path: Path, detector: models.Detector, split: data.Split, steps: list[int]) -> None:
    """Score the images of a split by the snapshots beside `path`.

    Written are `steps` `(k,)`, `scores` `(k, rows)`, in the order of `training.score_parts`, and,
    where `as_authors` has any, `authors` `(k, test images)`.
    """
    scores, theirs = [], []
    for step in steps:
        kept = models.load(path.parent / f"snapshots/step{step:07d}.safetensors", detector.device)
        scores.append(training.score_parts(kept, split)["score"].to_numpy("float32"))
        theirs.append(as_authors(kept, split))
    curve = {"steps": np.array(steps), "scores": np.stack(scores)}
    if theirs[0] is not None:
        curve["authors"] = np.stack(theirs).astype("float32")
    with atomic(path) as temporary:
        save_file(curve, temporary)


def picks(curve: dict[str, np.ndarray], parts: pd.DataFrame) -> dict[str, tuple[int, str]]:
    """Snapshots to stop at: how each is picked -> (its row in `curve`, form of a number from it).

    Args:
        curve: what `write` has written.
        parts: columns `label` and `split` of the run's scores.
    """
    labels, test = parts["label"].to_numpy(), (parts["split"] == "test").to_numpy()
    areas = [metrics.auroc(labels[test], scores) for scores in curve["scores"][:, test]]
    normals = curve["scores"][:, ~test & (labels == 0)]
    held = np.median(normals, axis=1) if normals.size else np.array([np.nan])
    found = {LAST: (len(areas) - 1, "")}
    if np.isfinite(held).all():
        found[HELD_OUT] = (int(held.argmin()), "deployable")
    found[BEST] = (int(np.argmax(areas)), "oracle")
    if "authors" in curve:
        theirs = [metrics.auroc(labels[test], scores) for scores in curve["authors"]]
        found[BEST_AS_AUTHORS] = (int(np.argmax(theirs)), "authors")
    return found


def as_authors(detector: models.Detector, split: data.Split) -> np.ndarray | None:
    """Test scores `(N,)` where the authors' code makes other scores than the detector, else None.

    GANomaly's authors never switch to evaluation mode: an image's score depends on the 64 images of
    its batch. Their loaders shuffle the test, but that of CIFAR-10 gives the normal images first.
    No detector scores like this.

    Args:
        detector: a trained one.
        split: with the test images.
    """
    if not isinstance(detector, models.GANomaly) or detector.settings.patch:
        return None
    labels = split.labels_of("test")
    order = np.random.default_rng(0).permutation(len(labels))
    if split.images.name == "cifar10":
        order = np.argsort(labels, kind="stable")
    pixels = split.pixels("test", detector.settings.side, detector.settings.channels)
    scores = np.empty(len(order))
    scores[order] = detector.score_in_training_mode(pixels[order], BATCH)
    return scores
