"""The two-dimensional toy against hand computations."""

import math

import pytest
import torch

from adlib.models import toy


@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.5, 0.1])
def test_optimum_integrates_to_one(gamma):
    """Would catch a density that is negative, not scaled again, or cut off by the grid."""
    found = toy.optimum(gamma)
    cell = (found.points[0, 1, 0] - found.points[0, 0, 0]) ** 2
    assert found.points.shape == (*found.density.shape, 2)
    assert (found.density >= 0).all()
    assert (found.density.sum() * cell).item() == pytest.approx(1)


def test_optimum_by_hand():
    """Would catch a wrong weight in equation 23, and a wrong amount of negative density."""
    peak = 1 / (2 * math.pi * toy.SPREAD**2)
    found = toy.optimum(0.95, contamination=0.1)
    exact = toy.optimum(1.0, contamination=0.1)
    assert exact.negative == 0
    # At a normal centre p_an is nothing: p_g* is p_d / gamma, and its negative part is none here.
    at = (found.points - torch.tensor(toy.NORMAL[0])).square().sum(-1).argmin()
    point = found.points.flatten(0, 1)[at]
    near = math.exp(-(point - torch.tensor(toy.NORMAL[0])).square().sum() / (2 * toy.SPREAD**2))
    assert found.density.flatten()[at].item() == pytest.approx(
        0.9 / 3 * peak * near / 0.95, rel=1e-3
    )
    # At the abnormal centre 0.1 / 0.95 - 0.05 / 0.95 of its density are left.
    at = (found.points - torch.tensor(toy.ABNORMAL)).square().sum(-1).argmin()
    ratio = (found.density.flatten()[at] / exact.density.flatten()[at]).item()
    assert ratio == pytest.approx((0.1 - 0.05) / 0.95 / 0.1, rel=1e-3)
    # Far below the contamination all of it is negative: (0.9 - 0.1) / gamma of the mass.
    negative = (0.9 - 0.1) / 0.1
    assert toy.optimum(0.1).negative == pytest.approx(negative, rel=1e-2)


def test_optimum_share_falls_with_gamma():
    """Would catch gamma reversed, or a region that is not where p_an is."""
    shares = [toy.optimum(gamma).abnormal for gamma in (1.0, 0.97, 0.95, 0.9, 0.5)]
    assert shares == sorted(shares, reverse=True)
    # A disc of three standard deviations holds 1 - exp(-9 / 2) of a Gaussian.
    assert shares[0] == pytest.approx(0.1 * (1 - math.exp(-4.5)), abs=2e-3)
    assert shares[-1] < 1e-3


def test_points_drawn():
    """Would catch contamination that is not the share of abnormal points, or no seed at all."""
    points = toy.draw(20_000, 0.25, torch.Generator().manual_seed(0))
    assert points.shape == (20_000, 2)
    assert toy.abnormal_share(points) == pytest.approx(0.25, abs=0.02)
    assert toy.abnormal_share(toy.draw(1000, 0.0, torch.Generator().manual_seed(0))) == 0
    assert torch.equal(points, toy.draw(20_000, 0.25, torch.Generator().manual_seed(0)))


def test_smaller_gamma_makes_fewer_abnormal_points():
    """Would catch an objective that does not push the generator away from abnormal points."""
    state = torch.get_rng_state()
    shares = {
        gamma: toy.abnormal_share(toy.train_points(gamma, steps=400, contamination=0.3, seed=0))
        for gamma in (1.0, 0.3)
    }
    assert torch.equal(torch.get_rng_state(), state)
    assert shares[1.0] > 0.1
    assert shares[0.3] < shares[1.0] / 4


def test_the_seed_decides_the_points():
    """Would catch a draw that no seed reaches."""
    first, same, other = (toy.train_points(0.5, steps=3, count=5, seed=s) for s in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)
