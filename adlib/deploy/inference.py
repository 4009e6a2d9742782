"""Pictures to scores and maps: the one place where the deploy room asks a detector."""

from collections.abc import Sequence

import numpy as np
import torch

from adlib.deploy.framing import Picture
from adlib.models import Detector


def judge(
    detector: Detector, pictures: Sequence[Picture], batch: int, maps: bool = True
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Score pictures, and map them.

    Args:
        detector: fitted; it takes the pictures' tiles.
        pictures: at least one.
        batch: tiles (more precisely network inputs) worked on at once.
        maps: False saves the time for them.

    Returns:
        Scores, float64 `(n,)`, each the highest of the picture's tiles; and the maps of each
        picture's tiles, float32 `(t, side, side)`, or an empty list.
    """
    images = torch.from_numpy(np.concatenate([picture.tiles for picture in pictures]))
    ends = np.cumsum([len(picture.tiles) for picture in pictures])
    scores, of_tiles = (
        detector.judge(images, batch) if maps else (detector.score(images, batch), [])
    )
    scores = np.maximum.reduceat(scores, np.concatenate([[0], ends[:-1]]))
    return scores, np.split(of_tiles, ends[:-1]) if maps else []
