"""What a detector costs to run."""

import statistics
import time

from torch import Tensor

from adlib.models import Detector


def milliseconds_per_image(
    detector: Detector, images: Tensor, batch: int, repeats: int = 3
) -> float:
    """Time to score one image: the median of `repeats` passes after one that warms up.

    Transfer to the device and back is part of it, reading and resizing files is not.

    Args:
        detector: on the device to be measured.
        images: uint8 `(N, C, side, side)`.
        batch: images scored at once.
        repeats: passes that count.
    """
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        detector.score(images, batch)  # its result is on the host, so the device has finished
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[1:]) / len(images)
