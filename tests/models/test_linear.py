"""The linear methods against hand-computed cases, plain solvers and planted outliers."""

import numpy as np
import pytest
from scipy.optimize import minimize

from adlib.models import linear

PARAMETERS = {
    "CoP": {},
    "REAPER": {"dimension": 3},
    "LRR": {"weight": 0.1},
    "DPCP": {"directions": 9},
    "R-graph": {"alpha": 5.0},
}


def planted(noise=0.01, inliers=60, outliers=40, seed=0):
    """Inliers near a 3-dimensional subspace of 12 dimensions, then outliers; all of length 1."""
    rng = np.random.default_rng(seed)
    inside = rng.standard_normal((inliers, 3)) @ np.linalg.qr(rng.standard_normal((12, 3)))[0].T
    inside += noise * rng.standard_normal(inside.shape)
    points = np.concatenate([inside, rng.standard_normal((outliers, 12))])
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", linear.METHODS)
def test_planted_outliers_score_highest(name, seed):
    """Would catch a score of the wrong sign, and a fit that the outliers pull away."""
    scores = linear.METHODS[name](planted(seed=seed), **PARAMETERS[name])
    assert scores.shape == (100,)
    assert np.mean(scores[:60, None] < scores[None, 60:]) > 0.98


@pytest.mark.parametrize("name", linear.METHODS)
def test_scores_follow_the_points(name):
    """Would catch scores that depend on the order of the points or the axes of the features."""
    x, rng = planted(), np.random.default_rng(3)
    order, turn = rng.permutation(100), np.linalg.qr(rng.standard_normal((12, 12)))[0]
    scores = linear.METHODS[name](x, **PARAMETERS[name])
    again = linear.METHODS[name]((x @ turn)[order], **PARAMETERS[name])
    np.testing.assert_allclose(again, scores[order], rtol=1e-3, atol=1e-3 * np.abs(scores).max())


@pytest.mark.parametrize("name", ["REAPER", "DPCP"])
def test_exact_inliers_score_zero(name):
    """Would catch a subspace that is near the inliers' but not it (both papers prove it is)."""
    scores = linear.METHODS[name](planted(noise=0), **PARAMETERS[name])
    assert scores[:60].max() < 1e-6 < 0.1 < scores[60:].min()


# ---- each method ---------------------------------------------------------------------------


def test_coherence_by_hand():
    """Would catch lengths that count, a point's product with itself, or another norm."""
    x = np.array([[2.0, 0.0], [0.0, 5.0], [3.0, 4.0]])
    np.testing.assert_allclose(linear.cop(x), [-(0.6**2), -(0.8**2), -1.0])


@pytest.mark.parametrize(("values", "dimension", "wanted"), [
    ([3.0, 1.0], 1, [0.75, 0.25]), ([4.0, 0.0], 1, [1, 0]), ([8.0, 4.0, 4.0, 0.1], 1, None),
    ([5.0, 4.0, 0.3, 0.2], 2, None),
])  # fmt: skip
def test_water_filling_is_the_least_squares_solution(values, dimension, wanted):
    """Would catch a level at the wrong eigenvalue, by hand and by a general solver."""
    values = np.array(values)
    found = linear.water_filling(values, dimension)
    assert found.sum() == pytest.approx(dimension) and found.min() >= 0 and found.max() <= 1
    if wanted is None:
        constraint = {"type": "eq", "fun": lambda p: p.sum() - dimension}
        start, bounds = np.full(len(values), dimension / len(values)), [(0, 1)] * len(values)
        solved = minimize(
            lambda p: (values * (1 - p) ** 2).sum(), start, bounds=bounds, constraints=constraint,
            options={"ftol": 1e-14},
        )  # fmt: skip
        wanted = solved.x
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_reaper_and_dpcp_find_the_line_of_three_points():
    """Would catch squared distances, whose line an outlier turns; known by symmetry."""
    x = np.array([[1.0, 0.0], [2.0, 0.0], [-1.5, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(linear.reaper(x, 1), [0, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(linear.dpcp(x, 1), [0, 0, 0, 1], atol=1e-6)


@pytest.mark.parametrize(("weight", "wanted"), [(0.4, 2.0), (0.6, 0.0)])
def test_low_rank_representation_by_hand(weight, wanted):
    """Would catch a threshold at the wrong place.

    Of orthogonal points a point x explains itself where weight |x| > 1, else nothing does.
    """
    x = np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 10.0]])
    np.testing.assert_allclose(linear.lrr(x, weight), [wanted, 0.0], atol=1e-6)


def plain_lrr(x, weight):
    """The same algorithm in the features' own basis, a point a column."""
    n = x.shape[1]
    z, y2, e, y1, mu = np.zeros((n, n)), np.zeros((n, n)), np.zeros_like(x), np.zeros_like(x), 1e-6
    while True:
        u, s, v = np.linalg.svd(z + y2 / mu)
        j = u @ np.diag(np.maximum(s - 1 / mu, 0)) @ v
        z = np.linalg.inv(np.eye(n) + x.T @ x) @ (x.T @ (x - e) + j + (x.T @ y1 - y2) / mu)
        for k, column in enumerate((x - x @ z + y1 / mu).T):
            length = np.linalg.norm(column)
            e[:, k] = max(length - weight / mu, 0) / length * column
        if max(np.abs(x - x @ z - e).max(), np.abs(z - j).max()) < 1e-8:
            return np.linalg.norm(e, axis=0)
        y1, y2 = y1 + mu * (x - x @ z - e), y2 + mu * (z - j)
        mu = min(1.1 * mu, 1e10)


@pytest.mark.parametrize("shape", [(20, 6), (10, 15)])
def test_low_rank_representation_needs_no_basis(shape):
    """Would catch a basis in which the problem is another one.

    Of the method's own accuracy: when it ends, its penalty grew too fast to settle further.
    """
    x = np.random.default_rng(0).standard_normal(shape) @ np.diag(np.arange(1, shape[1] + 1))
    wanted = plain_lrr(x.T, 0.05)
    assert (wanted > 0.1).any()
    np.testing.assert_allclose(linear.lrr(x, 0.05), wanted, rtol=1e-3, atol=1e-3)


def test_representation_by_hand():
    """Would catch a weight of another scale: of two points each has the other, in closed form."""
    x, share, alpha, g = np.array([[1.0, 0.0], [6.0, 8.0]]), 0.9, 4.0, 0.6
    gamma = alpha * share / g
    c = (gamma * g - share) / (gamma + 1 - share)
    found = linear.self_representation(x, share, alpha)
    np.testing.assert_allclose(found, [[0, c], [c, 0]], atol=1e-6)


def test_walk_by_hand(monkeypatch):
    """Would catch a walk along the wrong direction of the edges, or the last step for the mean."""
    # The third point is represented by the others and represents nobody.
    c = np.array([[0, 2.0, 0], [-1.0, 0, 0], [0.5, -1.5, 0]])
    monkeypatch.setattr(linear, "self_representation", lambda *_: c)
    first = np.array([1 / 3 + 1 / 12, 1 / 3 + 1 / 4, 0])
    second = np.array([first[1], first[0], 0])
    np.testing.assert_allclose(linear.r_graph(c, steps=1), -first)
    np.testing.assert_allclose(linear.r_graph(c, steps=2), -(first + second) / 2)


# ---- bad input and features ----------------------------------------------------------------


def test_bad_input_is_named():
    """Would catch scores of NaN, and a parameter that means nothing."""
    x = planted()
    with pytest.raises(ValueError, match=r"features \(1, 12\): give a finite matrix"):
        linear.cop(x[:1])
    with pytest.raises(ValueError, match="give a finite matrix"):
        linear.lrr(np.where(x > 0.5, np.nan, x), 0.1)
    with pytest.raises(ValueError, match="dimension=12: allowed are 1 to 11"):
        linear.reaper(x, 12)
    with pytest.raises(ValueError, match="8 points span 8 dimensions; DPCP needs more"):
        linear.dpcp(x[-8:], 1)
    assert linear.dpcp(linear.reduced(x[-8:], 4), 1).shape == (8,)
    with pytest.raises(ValueError, match="components=13: allowed are 1 to 12"):
        linear.reduced(x, 13)
    with pytest.raises(ValueError, match="point 3 is zero"):
        linear.cop(x * (np.arange(100) != 3)[:, None])
    with pytest.raises(ValueError, match="weight=0: allowed is more than 0"):
        linear.lrr(x, 0)
    with pytest.raises(ValueError, match="alpha=1: allowed"):
        linear.r_graph(x, alpha=1)
    with pytest.raises(ValueError, match="point 0 is orthogonal"):
        linear.r_graph(np.eye(3))


def test_reduced_keeps_the_leading_directions():
    """Would catch the last directions, or points whose products change."""
    x = planted(noise=0, outliers=0)
    found = linear.reduced(x, 3)
    np.testing.assert_allclose(found @ found.T, x @ x.T, atol=1e-9)
