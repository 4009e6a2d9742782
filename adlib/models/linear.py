"""Linear outlier detection on features: CoP, REAPER, LRR, DPCP and R-graph.

These methods assume that inliers lie near one low-dimensional subspace, or a union of several.
They are transductive: each takes the very sample whose outliers are sought, labels unseen, and
scores its points against one another. So they are functions of features; nothing is trained.
`adlib/models/robust_subspace.py` gives them to the study's tables.

Noisy-AnoGAN's Table 2 quotes them from Sabokrou et al. 2018 on Caltech-256, where half of the
sample is clutter. Which features and parameters gave its numbers was not at hand.

All functions take `(n, d)` arrays, a point a row, and give scores `(n,)`, higher = more outlying.
Anything but a finite matrix of at least two points is a ValueError.
"""

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from sklearn.linear_model import lars_path_gram

FLOOR = 1e-10  # of a residual, in the weights of iterative reweighting
ROUNDING = 1e-12  # singular values below this share of the largest are zeros
ITERATIONS = 200  # of reweighted least squares at most
SETTLED = 1e-12  # relative fall of the objective at which reweighting ends


def cop(features: np.ndarray) -> np.ndarray:
    """Coherence Pursuit (Rahmani and Atia 2017): minus how much a point resembles all others.

    The points are scaled to unit length. A point's coherence is the squared l2 norm of its inner
    products with the others, as in the authors' code; inliers, which share a subspace, have much.
    """
    points = unit(_checked(features))
    products = points @ points.T
    np.fill_diagonal(products, 0)
    return -np.square(products).sum(1)


def reaper(features: np.ndarray, dimension: int) -> np.ndarray:
    """REAPER (Lerman, McCoy, Tropp and Zhang 2015): distance to a robustly fitted subspace.

    Projections are relaxed to symmetric matrices P with eigenvalues in [0, 1] and trace
    `dimension`; the sum of the distances |x - P x| is minimised by iteratively reweighted least
    squares. The subspace is that of the leading eigenvectors. Features are taken as they are: not
    centred, and not scaled to the sphere, which the paper calls S-REAPER.

    Args:
        features: the points.
        dimension: of the subspace, less than that of the points' span.
    """
    points = _coordinates(_checked(features))
    _check("dimension", dimension, points)

    def fit(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, vectors = np.linalg.eigh((points.T * weights) @ points)
        rotated = points @ vectors[:, ::-1]
        rest = 1 - water_filling(values[::-1], dimension)
        return np.linalg.norm(rotated * rest, axis=1), np.linalg.norm(
            rotated[:, dimension:], axis=1
        )

    return _reweighted(fit, len(points))


def water_filling(values: np.ndarray, dimension: int) -> np.ndarray:
    """Eigenvalues of REAPER's P for those of a weighted covariance `(d,)`, highest first.

    They minimise sum(values (1 - p)^2) with p in [0, 1] and sum(p) = `dimension`, which is the
    weighted least-squares problem in the basis of the eigenvectors.
    """
    values = np.maximum(values, 0)
    if values[dimension] <= ROUNDING * values[0]:
        return (np.arange(len(values)) < dimension).astype(float)
    for used in range(dimension + 1, len(values) + 1):
        level = (used - dimension) / np.sum(1 / values[:used])
        if used == len(values) or level >= values[used]:
            break
    return np.where(values > level, 1 - level / np.maximum(values, level), 0)


def dpcp(features: np.ndarray, directions: int) -> np.ndarray:
    """Dual Principal Component Pursuit (Tsakiris and Vidal 2015): distance along dual directions.

    Orthonormal directions B, to which the inliers are orthogonal, minimise the sum of |B'x| over
    the points on the unit sphere; here all at once by iteratively reweighted least squares
    (DPCP-IRLS), from the last principal directions. A point's score is |B'x|. Directions outside
    the points' span do not count.

    Args:
        features: more points than they have dimensions, else directions always fit all points but
            a few; see `reduced`.
        directions: how many; dimensions of the span that the inliers leave free.
    """
    points = _coordinates(unit(_checked(features)))
    _check("directions", directions, points)
    if len(points) <= points.shape[1]:
        raise ValueError(
            f"{len(points)} points span {points.shape[1]} dimensions; DPCP needs more points than "
            "dimensions: give it reduced(features, components)"
        )

    def fit(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        _, vectors = np.linalg.eigh((points.T * weights) @ points)
        residuals = np.linalg.norm(points @ vectors[:, :directions], axis=1)
        return residuals, residuals

    return _reweighted(fit, len(points))


def lrr(features: np.ndarray, weight: float) -> np.ndarray:
    """Low-rank representation (Liu, Lin and Yu 2010): what of a point the others do not explain.

    With points as columns of X it minimises |Z|_* + weight |E|_2,1 under X = X Z + E, by the
    inexact augmented Lagrangian of public solvers (mu from 1e-6 to 1e10, times 1.1 a step, until
    both constraints hold to 1e-8). A point's score is the l2 norm of its column of E. All is
    computed in the basis of X's singular vectors, where the dictionary is a diagonal matrix;
    neither norm changes.

    Args:
        features: the points; time grows with the third power of their number.
        weight: lambda. Where it is too low all of every point is error, and the score its length;
            where it is too high every point explains itself, and all scores are 0. The paper
            chooses it for each data set; its value for Caltech-256 was not at hand.
    """
    if weight <= 0:
        raise ValueError(f"weight={weight}: allowed is more than 0")
    _, s, v = np.linalg.svd(_checked(features).T, full_matrices=False)
    kept = s > ROUNDING * s[0]
    s, v = s[kept, None], v[kept]
    x, z = s * v, np.zeros_like(v)
    e, y1, y2 = np.zeros_like(x), np.zeros_like(x), np.zeros_like(z)
    mu = 1e-6
    for _ in range(1000):
        left, values, right = np.linalg.svd(z + y2 / mu, full_matrices=False)
        j = (left * np.maximum(values - 1 / mu, 0)) @ right
        z = (s * (x - e) + j + (s * y1 - y2) / mu) / (1 + s**2)
        target = x - s * z + y1 / mu
        lengths = np.linalg.norm(target, axis=0)
        e = target * np.maximum(1 - weight / mu / np.maximum(lengths, 1e-300), 0)
        gaps = x - s * z - e, z - j
        if max(np.abs(gap).max() for gap in gaps) < 1e-8:
            break
        y1, y2 = y1 + mu * gaps[0], y2 + mu * gaps[1]
        mu = min(1.1 * mu, 1e10)
    return np.linalg.norm(e, axis=0)


def r_graph(
    features: np.ndarray, share: float = 0.95, alpha: float = 50.0, steps: int = 1000
) -> np.ndarray:
    """R-graph (You, Robinson and Vidal 2017): where a random walk over representations rarely is.

    Every point is represented by few others (`self_representation`). From a point the walk goes to
    those that represent it, in proportion to the size of their coefficients: inliers are
    represented by inliers, so it leaves the outliers. It starts anywhere alike; a point's score is
    minus the mean probability of being there after 1 to `steps` steps.

    The authors' values for Caltech-256 were not at hand. `share` and `steps` are as generally
    known, `alpha` is the default of public implementations.

    Args:
        features: the points; they are scaled to unit length.
        share: lambda, between the l2 (0) and the l1 norm (1) of the coefficients.
        alpha: weight of the representation's error, in units of the least one for which a point is
            represented at all; more than 1.
        steps: T, of the walk.
    """
    weights = np.abs(self_representation(features, share, alpha))
    onwards = weights / weights.sum(1, keepdims=True)
    now = np.full(len(weights), 1 / len(weights))
    total = np.zeros_like(now)
    for _ in range(steps):
        now = now @ onwards
        total += now
    return -total / steps


def self_representation(features: np.ndarray, share: float, alpha: float) -> np.ndarray:
    """Coefficients `(n, n)` whose row j represents unit point j by the others.

    A row c minimises share |c|_1 + (1 - share) / 2 |c|^2 + gamma / 2 |x_j - sum_i c_i x_i|^2 with
    gamma = alpha share / max_i |x_i x_j|. A point that is orthogonal to all others is a ValueError:
    nothing represents it.
    """
    if not 0 < share <= 1 or alpha <= 1:
        raise ValueError(f"share={share}, alpha={alpha}: allowed are above 0 to 1, and above 1")
    points = unit(_checked(features))
    products = points @ points.T
    np.fill_diagonal(products, 0)
    nearest = np.abs(products).max(1)
    if not nearest.all():
        raise ValueError(f"point {int(nearest.argmin())} is orthogonal to all others")
    representation = np.zeros_like(products)
    for j, to_others in enumerate(products):
        gamma, others = alpha * share / nearest[j], np.arange(len(products)) != j
        # The l2 norm lengthens every point along an axis of its own; what is left is a lasso.
        gram = products[np.ix_(others, others)]
        np.fill_diagonal(gram, 1 + (1 - share) / gamma)
        _, _, representation[j, others] = lars_path_gram(
            to_others[others], gram, n_samples=1, alpha_min=share / gamma, method="lasso",
            max_iter=10 * len(gram), return_path=False,
        )  # fmt: skip
    return representation


METHODS: MappingProxyType[str, Callable[..., np.ndarray]] = MappingProxyType(
    {"CoP": cop, "REAPER": reaper, "LRR": lrr, "DPCP": dpcp, "R-graph": r_graph}
)


def reduced(features: np.ndarray, components: int) -> np.ndarray:
    """Coordinates `(n, components)` in the leading principal directions, nothing centred."""
    points = _coordinates(_checked(features))
    if not 1 <= components <= points.shape[1]:
        raise ValueError(f"components={components}: allowed are 1 to {points.shape[1]}")
    return points[:, :components]


# ---- shared --------------------------------------------------------------------------------


def _checked(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or len(features) < 2 or not np.isfinite(features).all():
        raise ValueError(f"features {features.shape}: give a finite matrix of two points or more")
    return features


def _check(name: str, value: int, points: np.ndarray) -> None:
    most = points.shape[1] - 1
    if not 1 <= value <= most:
        raise ValueError(f"{name}={value}: allowed are 1 to {most}, below the span of the points")


def unit(points: np.ndarray) -> np.ndarray:
    """Points of length 1. Raises ValueError for a point that is zero."""
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError(f"point {int(lengths.argmin())} is zero and has no direction")
    return points / lengths


def _coordinates(points: np.ndarray) -> np.ndarray:
    """The points in an orthonormal basis of their span, strongest direction first."""
    u, s, _ = np.linalg.svd(points, full_matrices=False)
    kept = s > ROUNDING * s[0]
    return u[:, kept] * s[kept]


def _reweighted(fit: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], n: int) -> np.ndarray:
    """Minimise the sum of n residuals: reweight by their inverses until it falls no more.

    `fit` takes weights `(n,)` and gives residuals and scores.
    """
    weights, before = np.ones(n), np.inf
    for _ in range(ITERATIONS):
        residuals, scores = fit(weights)
        if residuals.sum() >= (1 - SETTLED) * before:
            break
        before, weights = residuals.sum(), 1 / np.maximum(residuals, FLOOR)
    return scores
