"""Whether new images score as those that set the threshold; else nothing is promised."""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.stats import ks_2samp

LEVEL = 0.01  # of the test: folders like the calibration of which one in a hundred is warned of


def p_value(calibration: Sequence[float], scores: Sequence[float], threshold: float) -> float:
    """Test whether scores of images called normal come from the calibration's distribution.

    Two-sided test of Kolmogorov and Smirnov on the scores below the highest calibration score that
    is called normal. Below it, both are draws from one distribution if the normal images are
    exchangeable, whatever that score is; abnormal images, which mostly score higher, hardly count.
    It is exact for images that are independent: near-copies among them make it warn too often.

    Args:
        calibration: scores of the held-out normal images.
        scores: of new images.
        threshold: of the detector.

    Returns:
        The p-value; 1 where too few scores are left to test.
    """
    known, new = (np.asarray(part, np.float64) for part in (calibration, scores))
    known = known[known < threshold]
    if known.size == 0:
        return 1.0
    known, new = known[known < known.max()], new[new < known.max()]
    if known.size == 0 or new.size == 0:
        return 1.0
    return float(ks_2samp(known, new).pvalue)


def warn(calibration: Sequence[float], scores: Sequence[float], threshold: float) -> None:
    """Give a UserWarning where most images are called normal and score unlike the calibration's."""
    new = np.asarray(scores, np.float64)
    normal, p = new[new < threshold], p_value(calibration, new, threshold)
    if 2 * normal.size <= new.size or p > LEVEL:
        return
    warnings.warn(
        f"the {normal.size} images that are called normal score unlike the {len(calibration)} that "
        f"the detector was calibrated with (medians {np.median(normal):.4g} and "
        f"{np.median(calibration):.4g}, p = {p:.1g} at level {LEVEL:g}): another light, camera or "
        "part? The promise may not hold for them; train on images like these.",
        stacklevel=3,
    )
