"""Pixel-level metrics: what `adlib.metrics` says of images holds for the pixels here.

`masks` are (N, H, W) of bool or 0 and 1, empty for normal images; `maps` are (N, H, W) finite
anomaly maps. A ValueError says what is wrong: unequal shapes, NaN or infinite maps, no abnormal or
no normal pixel.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

FPR_BOUNDS = (1e-5, 1e-4)  # between which AUPIMO's authors integrate
# 8-connected within an image, never across images of the stack
_NEIGHBOURS = np.zeros((3, 3, 3), dtype=bool)
_NEIGHBOURS[1] = True


def pixel_auroc(masks: ArrayLike, maps: ArrayLike) -> float:
    """Area under the ROC curve over the pixels of all images together, ties counted half.

    The value lies in [0, 1]; 0.5 is chance.
    """
    masks, maps = _checked(masks, maps)
    scores, which = np.unique(maps[masks], return_inverse=True)
    above, tied = _normals_above(maps[~masks], scores)
    return float(1 - (above + tied / 2) @ np.bincount(which) / which.size)


def aupro(masks: ArrayLike, maps: ArrayLike, fpr_limit: float = 0.3) -> float:
    """Area under the per-region-overlap curve up to `fpr_limit`, divided by it; exact.

    PRO(t) is the mean over all 8-connected abnormal regions of the share of the region with map
    >= t; FPR(t) is the share of all normal pixels with map >= t (Bergmann et al. 2020/2021).
    Between two thresholds the curve is a straight line, also where the limit cuts it.

    A pixel of a region with n pixels adds 1 / n to its region once FPR passes the share of normal
    pixels above it, so the area is a sum over abnormal pixels and only the normal scores need
    sorting; a pixel tied with normal ones adds its share along the slope.

    Args:
        masks: The pixels of normal images count in FPR.
        maps: Higher is more anomalous.
        fpr_limit: Upper end of the integral in (0, 1]; name it with every value (0.30, 0.05).

    Returns:
        A value in [0, 1]; a map without information gives ``fpr_limit / 2``.

    Raises:
        ValueError: `fpr_limit` outside (0, 1].
    """
    masks, maps = _checked(masks, maps)
    if not 0 < fpr_limit <= 1:
        raise ValueError(f"fpr_limit is {fpr_limit}; it must lie in (0, 1].")
    regions, n_regions = ndimage.label(masks, structure=_NEIGHBOURS)
    weights = 1.0 / np.bincount(regions[masks], minlength=1)[1:] / n_regions
    scores, which = np.unique(maps[masks], return_inverse=True)
    weights = np.bincount(which, weights=weights[regions[masks] - 1])

    above, tied = _normals_above(maps[~masks], scores)
    reach = np.clip(fpr_limit - above, 0, None)  # of the FPR axis, counted from the first tie
    slope = np.minimum(reach, tied)
    area = reach - slope + np.divide(slope**2, 2 * tied, out=np.zeros_like(tied), where=tied > 0)
    return float(min(1.0, weights @ area / fpr_limit))  # the sum may round to 1 + 1e-16


def pixel_average_precision(masks: ArrayLike, maps: ArrayLike) -> float:
    """Average precision over the pixels of all images together: precision summed over recall steps.

    As `average_precision` of images: every distinct value of an abnormal pixel is a threshold, so
    tied pixels are called together, and no pixel is left out. The value lies in (0, 1]; a map
    without information gives the share of abnormal pixels.
    """
    masks, maps = _checked(masks, maps)
    scores, counts = np.unique(maps[masks], return_counts=True)
    normal = maps[~masks]
    hits = counts[::-1].cumsum()[::-1]
    false = sum(_normals_above(normal, scores)) * normal.size
    return float(counts @ (hits / (hits + false)) / counts.sum())


def aupimo(
    masks: ArrayLike, maps: ArrayLike, fpr_bounds: tuple[float, float] = FPR_BOUNDS
) -> float:
    """Mean of `aupimo_of_images` over the abnormal images, in [0, 1]."""
    return float(aupimo_of_images(masks, maps, fpr_bounds).mean())


def aupimo_of_images(
    masks: ArrayLike, maps: ArrayLike, fpr_bounds: tuple[float, float] = FPR_BOUNDS
) -> np.ndarray:
    """Area under each abnormal image's overlap against the logarithm of the false-positive rate.

    After Bertoldo et al., AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed
    and Low Tolerance, arXiv 2401.01984, 2024. The overlap of an image at a threshold is the share
    of its abnormal pixels with map >= threshold. The rate is that of the pixels of the normal
    images alone, so neither axis knows the normal pixels of abnormal images. The overlap is
    averaged over the logarithm of the rate between the bounds.

    At each rate the threshold is the lowest that keeps to it, so a normal pixel that ties with an
    abnormal one counts against it. Then an abnormal pixel adds ln(upper / rate) / ln(upper / lower)
    to its image, where the rate is that of a threshold at the pixel itself, at least the lower
    bound: the area needs no grid of thresholds. The authors' code samples evenly spaced thresholds
    and joins them by straight lines, which nears this value as the thresholds grow in number.

    Args:
        masks: Images without an abnormal pixel are the normal ones.
        maps: Higher is more anomalous.
        fpr_bounds: Lower and upper bound of the rate, 0 < lower < upper <= 1.

    Returns:
        (n,) of the abnormal images in their order, in [0, 1]; a map without information gives
        (upper - lower) / ln(upper / lower) on average, 3.9e-5 at the bounds of the paper.

    Raises:
        ValueError: bounds out of order; no normal image; or so few normal pixels that the lowest
            rate above 0 lies above the lower bound. The message names that rate.
    """
    lower, upper = fpr_bounds
    if not 0 < lower < upper <= 1:
        raise ValueError(
            f"fpr_bounds are {lower:g} and {upper:g}; 0 < lower < upper <= 1 must hold."
        )
    masks, maps = _checked(masks, maps)
    abnormal = masks.any(axis=(1, 2))
    normal = maps[~abnormal].ravel()
    if lowest_fpr(masks) > lower:
        raise ValueError(
            f"the normal images have {normal.size} pixels, so the lowest false-positive rate above "
            f"0 is {lowest_fpr(masks):.2g}, above the lower bound {lower:g}."
        )
    rate = sum(_normals_above(normal, maps[masks]))
    added = np.log(upper / np.clip(rate, lower, upper)) / np.log(upper / lower)
    sums = np.bincount(np.nonzero(masks)[0], weights=added, minlength=len(masks))
    return sums[abnormal] / masks.sum(axis=(1, 2))[abnormal]


def lowest_fpr(masks: ArrayLike) -> float:
    """Lowest rate above 0 that a threshold on normal images can have: one pixel of all of theirs.

    Infinite without a normal image.
    """
    masks = np.asarray(masks)
    pixels = int((~masks.any(axis=(1, 2))).sum()) * masks[0].size
    return 1 / pixels if pixels else np.inf


def _normals_above(normal: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of `normal` that lie above, and that equal, each of the rising `scores`."""
    normal = np.sort(normal)
    not_above = np.searchsorted(normal, scores, side="right")
    below = np.searchsorted(normal, scores, side="left")
    return (normal.size - not_above) / normal.size, (not_above - below) / normal.size


def _checked(masks: ArrayLike, maps: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    masks, maps = np.asarray(masks), np.asarray(maps)
    if masks.ndim != 3 or masks.shape != maps.shape:
        raise ValueError(f"masks {masks.shape} and maps {maps.shape} must both be (N, H, W).")
    if maps.dtype != np.float32:  # float32 orders its values exactly and sorts twice as fast
        maps = maps.astype(np.float64, copy=False)
    if not np.isfinite(maps).all():
        bad = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))
        raise ValueError(f"maps hold NaN or infinite values, first in map {bad[0]}.")
    if masks.dtype != bool:
        if not ((masks == 0) | (masks == 1)).all():
            raise ValueError("masks must hold only 0 (normal) and 1 (abnormal).")
        masks = masks.astype(bool)
    if masks.all() or not masks.any():
        raise ValueError("One class only: the masks need abnormal and normal pixels.")
    return masks, maps
