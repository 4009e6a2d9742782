"""Pixel-level metrics: a plain threshold loop as reference, analytic cases, ties, bad input."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from adlib.metrics import (
    aupimo,
    aupimo_of_images,
    aupro,
    lowest_fpr,
    pixel_auroc,
    pixel_average_precision,
)


def plain_aupro(masks, maps, limit):
    """One threshold after the other, one region after the other, trapezoids cut at the limit."""
    fprs, pros = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        called = maps >= threshold
        overlaps = []
        for mask, hit in zip(masks, called, strict=True):
            regions, count = ndimage.label(mask, structure=np.ones((3, 3)))
            overlaps += [hit[regions == k].mean() for k in range(1, count + 1)]
        fprs.append(called[~masks].mean())
        pros.append(np.mean(overlaps))
    area = 0.0
    for f0, f1, p0, p1 in zip(fprs, fprs[1:], pros, pros[1:], strict=False):
        if f0 < limit and f1 > f0:
            end = min(f1, limit)
            area += (end - f0) * (p0 + (p0 + (p1 - p0) * (end - f0) / (f1 - f0))) / 2
    return area / limit


def example(seed=0, step=None):
    """Four 16 x 16 maps, two regions that touch at a corner, one image without a defect."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((4, 16, 16), dtype=bool)
    masks[0, 2:5, 2:5] = masks[0, 5:7, 5:9] = True
    masks[1, 0, 0] = masks[1, 10:16, 3:5] = True
    masks[3] = rng.random((16, 16)) < 0.2
    maps = rng.normal(size=masks.shape) + masks
    return masks, maps if step is None else np.round(maps / step) * step


def low_aupimo(masks, maps):
    """AUPIMO at rates that the pixels of the example can have."""
    return aupimo(masks, maps, (0.01, 0.1))


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.3, 0.77, 1.0])
@pytest.mark.parametrize("step", [None, 0.2, 1.5])
def test_aupro_equals_a_threshold_loop(limit, step):
    """Catches approximate thresholds, ties cut the wrong way, and a limit between two points."""
    masks, maps = example(1, step)
    assert aupro(masks, maps, limit) == pytest.approx(plain_aupro(masks, maps, limit), abs=1e-12)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_aupro_analytic_cases(limit):
    """Catches a division by the reached end of the curve in place of the limit."""
    masks, _ = example()
    assert aupro(masks, masks.astype(float), limit) == pytest.approx(1.0)
    assert aupro(masks, np.zeros(masks.shape), limit) == pytest.approx(limit / 2)
    assert aupro(masks, -masks.astype(float), limit) == pytest.approx(0.0)


def test_aupro_of_a_random_map_is_half_the_limit():
    """Catches a curve that does not start in the origin."""
    rng = np.random.default_rng(0)
    masks = np.zeros((20, 64, 64), dtype=bool)
    masks[:10, 10:30, 10:30] = True
    assert aupro(masks, rng.random(masks.shape), 0.3) == pytest.approx(0.15, abs=0.01)


def test_regions_weigh_the_same_and_join_over_corners():
    """Catches pixels weighed alike, 4-connected regions, and regions joined across images."""
    masks = np.zeros((2, 8, 8), dtype=bool)
    masks[0, 0, 0] = True
    masks[1, 0:4, 0:4] = True
    found = np.zeros(masks.shape)
    found[0, 0, 0] = 1.0  # one of two regions, 1 of 17 pixels, in the same place of both images
    assert aupro(masks, found, 0.3) == pytest.approx(0.5 + 0.5 * 0.15)
    corner = np.zeros((1, 8, 8), dtype=bool)
    corner[0, 0, 0] = corner[0, 1, 1] = True
    corner[0, 5, 5] = True
    found = np.zeros(corner.shape)
    found[0, 5, 5] = 1.0
    assert aupro(corner, found, 0.3) == pytest.approx(0.5 + 0.5 * 0.15)


def test_aupro_never_passes_one():
    """Catches the inflation by rounding or by a wrong divisor, over many near-perfect maps."""
    for seed in range(30):
        masks, maps = example(seed)
        for limit in (1e-3, 0.05, 0.3):
            assert 0 <= aupro(masks, maps + 3.0 * masks, limit) <= 1


@pytest.mark.parametrize("step", [None, 0.5])
def test_pixel_auroc_equals_scikit_learn(step):
    """Catches ties counted whole or not at all, and maps ranked one image at a time."""
    masks, maps = example(2, step)
    assert pixel_auroc(masks, maps) == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()))


@pytest.mark.parametrize("step", [None, 0.5])
def test_pixel_average_precision_equals_scikit_learn(step):
    """Catches tied pixels called one after another, and precision between two thresholds."""
    masks, maps = example(2, step)
    expected = average_precision_score(masks.ravel(), maps.ravel())
    assert pixel_average_precision(masks, maps) == pytest.approx(expected, abs=1e-12)


def test_pixel_average_precision_by_hand():
    """Catches recall for precision, and a tie that is broken in favour of the map."""
    masks = np.array([[[1, 0, 1, 0]]])
    assert pixel_average_precision(masks, [[[4, 3, 2, 1]]]) == pytest.approx(1 / 2 + 1 / 3)
    assert pixel_average_precision(masks, [[[4, 3, 3, 1]]]) == pytest.approx(1 / 2 + 1 / 3)
    assert pixel_average_precision(masks, [[[1, 1, 1, 1]]]) == 0.5  # the share of abnormal pixels


def plain_aupimo(masks, maps, lower, upper, rates=20_001):
    """One rate after the other, each with the lowest threshold that keeps to it."""
    normal = maps[~masks.any((1, 2))]
    thresholds = np.append(np.unique(maps), np.inf)
    fprs = np.array([(normal >= threshold).mean() for threshold in thresholds])
    edges = np.geomspace(lower, upper, rates)
    middles = np.sqrt(edges[1:] * edges[:-1])
    chosen = thresholds[[np.flatnonzero(fprs <= rate)[0] for rate in middles]]
    abnormal = zip(masks[masks.any((1, 2))], maps[masks.any((1, 2))], strict=True)
    return [np.mean([(own[mask] >= t).mean() for t in chosen]) for mask, own in abnormal]


@pytest.mark.parametrize("bounds", [(0.004, 0.04), (0.01, 0.9)])
@pytest.mark.parametrize("step", [None, 0.5])
def test_aupimo_equals_a_loop_over_rates(bounds, step):
    """Catches a rate that counts normal pixels of abnormal images, ties won, a linear axis."""
    masks, maps = example(4, step)
    found = aupimo_of_images(masks, maps, bounds)
    assert found == pytest.approx(plain_aupimo(masks, maps, *bounds, rates=2001), abs=2e-3)
    assert aupimo(masks, maps, bounds) == pytest.approx(found.mean())


def test_aupimo_by_hand():
    """Catches an area that is not divided by the bounds, and pixels weighed across images."""
    masks, maps = np.zeros((3, 10, 10), bool), np.zeros((3, 10, 10))
    masks[1, 0, :2] = masks[2, 0, 0] = True
    maps[0, 0] = np.arange(10, 0, -1)  # of 100 normal pixels ten lie above 0
    maps[1, 0, :2] = 11, 9  # no normal pixel reaches 11, two reach 9
    maps[1, 5] = 99  # normal pixels of an abnormal image
    maps[2, 0, 0] = 1  # ties with the tenth normal pixel
    bounds = (0.01, 0.1)
    assert aupimo_of_images(masks, maps, bounds) == pytest.approx(
        [(1 + np.log10(0.1 / 0.02)) / 2, 0.0]
    )
    maps[2, 0, 0] = 1.5  # nine reach it
    assert aupimo_of_images(masks, maps, bounds)[1] == pytest.approx(np.log10(0.1 / 0.09))
    perfect = masks.astype(float)
    assert aupimo(masks, perfect, bounds) == 1 and aupimo(masks, -perfect, bounds) == 0


def test_aupimo_nears_the_authors_trapezoids():
    """Catches another definition than the paper's: evenly spaced thresholds, joined in log rate."""
    rng = np.random.default_rng(0)
    masks = np.zeros((8, 64, 64), bool)
    masks[5:, 20:30, 20:30] = True
    maps = rng.normal(size=masks.shape) + 2.5 * masks
    normal = np.sort(maps[:5].ravel())
    thresholds = np.linspace(normal[0], normal[-1], 100_000)
    fpr = 1 - np.searchsorted(normal, thresholds) / normal.size
    inside = (fpr >= 1e-3) & (fpr <= 1e-2)
    log_rate = np.log(fpr[inside])[::-1]
    for image, found in zip(range(5, 8), aupimo_of_images(masks, maps, (1e-3, 1e-2)), strict=True):
        own = np.sort(maps[image][masks[image]])
        overlap = 1 - np.searchsorted(own, thresholds[inside])[::-1] / own.size
        area = np.trapezoid(overlap, log_rate) / np.log(10)
        assert found == pytest.approx(area, abs=0.02)


def test_too_few_normal_pixels_are_named_with_their_lowest_rate():
    """Catches a number that no threshold on the normal images can have."""
    masks, maps = example(5)
    assert lowest_fpr(masks) == 1 / 256
    with pytest.raises(ValueError, match="256 pixels.*is 0.0039, above the lower bound 1e-05"):
        aupimo(masks, maps)
    aupimo(masks, maps, (1 / 256, 0.1))
    with pytest.raises(ValueError, match="have 0 pixels"):
        aupimo(masks[[0, 1]], maps[[0, 1]])
    for bounds in ((1e-4, 1e-5), (0.0, 0.1), (0.1, 30.0)):
        with pytest.raises(ValueError, match="fpr_bounds are"):
            aupimo(masks, maps, bounds)


def test_order_of_images_and_type_of_numbers_do_not_matter():
    """Catches a result that hangs on the order of images, on float32 or on integer masks."""
    masks, maps = example(3)
    maps = maps.astype(np.float32)
    for metric in (aupro, pixel_auroc, pixel_average_precision, low_aupimo):
        value = metric(masks, maps)
        assert type(value) is float
        assert metric(masks[::-1], maps[::-1]) == pytest.approx(value)
        assert metric(masks.astype(np.uint8), maps.astype(np.float64)) == value


@pytest.mark.parametrize("metric", [aupro, pixel_auroc, pixel_average_precision, low_aupimo])
def test_bad_maps_and_masks_are_named(metric):
    """Catches a number made out of masks or maps that have none."""
    masks, maps = example()
    nan = maps.copy()
    nan[2, 3, 3] = np.nan
    for bad_masks, bad_maps, message in [
        (masks, maps[:2], r"must both be \(N, H, W\)"),
        (masks[0], maps[0], r"must both be \(N, H, W\)"),
        (masks, nan, "first in map 2"),
        (masks & False, maps, "One class only"),
        (masks | True, maps, "One class only"),
        (masks * 255, maps, "only 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            metric(bad_masks, bad_maps)


@pytest.mark.parametrize("limit", [0.0, -0.1, 30.0])
def test_limit_outside_its_range_is_named(limit):
    """Catches a limit given in percent."""
    with pytest.raises(ValueError, match="fpr_limit"):
        aupro(*example(), limit)
