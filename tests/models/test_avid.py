"""AVID's networks, step, score and map against the authors' code, written out plainly."""

import numpy as np
import pytest
import torch
from plain import (
    assert_equal_weights,
    batches,
    conv,
    generator,
    images,
    norm,
    prepared,
    stepped,
    update,
)

from adlib import models

TINY = {"side": 64, "channels": 1, "width": 2}


def test_parameter_counts_are_the_authors():
    """Would catch another width, bias or layer than the code's, at 64 channels."""
    counts = models.AVID(side=224, channels=1).parameter_counts()
    pairs = [(1, 64), (64, 128), (128, 256), (256, 256), (256, 64)]  # down
    pairs += [(64 + 256, 256), (256 + 256, 64), (64 + 128, 64), (64 + 64, 64)]  # up
    blocks = sum(conv(a, b, 3) + conv(b, b, 3) + 2 * norm(b) for a, b in pairs)
    first = conv(1, 96, 11) + 2 * conv(96, 96, 1)
    second = conv(96, 96, 3) + 2 * conv(96, 96, 1)
    third = conv(96, 256, 5) + conv(256, 512, 1) + conv(512, 1024, 1) + conv(1024, 1024, 1)
    detector = first + second + third + 1024
    assert counts == {"inpainter": blocks + conv(64, 1, 1), "detector": detector}


@pytest.mark.parametrize(("side", "regions"), [(64, 1), (80, 2), (128, 5), (224, 11)])
def test_regions_are_the_papers(side, regions):
    """Would catch a stride or padding that gives another grid than 11 x 11 at 224 px."""
    detector = models.AVID(side=side, channels=1, width=2)
    x = images(n=1, side=side)
    assert detector.networks["detector"](x).shape == (1, 1, regions, regions)
    assert detector.networks["inpainter"](x).shape == x.shape


def test_a_region_sees_51_pixels_and_the_next_lies_16_further():
    """Would catch a field of view other than the docstring's."""
    detector, _ = prepared("AVID", **TINY | {"side": 80})
    for p in detector.networks["detector"].parameters():
        p.data.abs_()  # no path may be cut by a ReLU
    x = torch.ones(1, 1, 80, 80, dtype=torch.float64, requires_grad=True)
    regions = detector.networks["detector"](x)[0, 0]
    for k in range(2):
        (slope,) = torch.autograd.grad(regions[k, k], x, retain_graph=True)
        seen = slope[0, 0].nonzero()
        assert seen.min() == 16 * k and seen.max() == 16 * k + 50


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_step_is_the_authors(weight):
    """Would catch a wrong target, weight, noise or order, or a gradient of D's loss for I."""
    # In narrower networks ReLUs may cut every path.
    settings = TINY | {"width": 16, "weight_reconstruction": weight}
    detector, before = prepared("AVID", **settings)
    nets = before
    adam = {k: torch.optim.Adam(v.parameters(), 2e-4, (0.9, 0.9)) for k, v in nets.items()}
    x = batches(64)()
    noise = torch.randn(x.shape, generator=generator(), dtype=torch.float64)
    inpainted = nets["inpainter"]((x + 0.8 * noise).clamp(-1, 1))
    d = nets["detector"]
    real, fake = ((d(x) - 1) ** 2).mean(), (d(inpainted.detach()) ** 2).mean()
    update(adam["detector"], real + fake)
    adversarial = ((d(inpainted) - 1) ** 2).mean()
    reconstruction = ((x - inpainted) ** 2).mean()
    update(adam["inpainter"], adversarial + weight * reconstruction)
    logged = stepped(detector)
    wanted = [real, fake, adversarial, reconstruction]
    names = ["detector_real", "detector_inpainted", "adversarial", "reconstruction"]
    assert list(logged) == names
    for name, value in zip(names, wanted, strict=True):
        torch.testing.assert_close(logged[name], value, rtol=1e-9, atol=0, msg=name)
    assert_equal_weights(detector.networks, before)


@pytest.mark.parametrize("score", ["detector", "both"])
def test_score_and_map_of_known_networks(score):
    """Would catch the mean for the worst region, D of the input, a change that is not weighed, or
    regions in another place: I halves every value, D gives the mean of what it sees."""
    detector = models.AVID(**TINY | {"side": 80}, score=score)
    halving = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.constant_(halving.weight, 0.5)
    torch.nn.init.zeros_(halving.bias)
    detector.networks["inpainter"] = halving
    detector.networks["detector"] = torch.nn.AvgPool2d(51, 16)
    pixels = torch.full((2, 1, 80, 80), 255, dtype=torch.uint8)
    pixels[1, :, 57:67, 57:67] = 0  # lies in the last region alone
    maps, scores = detector.anomaly_map(pixels), detector.score(pixels)
    dark = 100 / 51**2  # share of dark pixels in that region, which take 1 each off its mean
    change, regular, last = 0.5, 1 - 0.5, 1 - (0.5 - dark)
    np.testing.assert_allclose(maps[0], change * regular, rtol=1e-5)
    # In a corner the stretched grid holds the value of the corner's region.
    np.testing.assert_allclose(maps[1][[0, -1], [0, -1]], [0.25, change * last], rtol=1e-5)
    wanted = (regular, last) if score == "detector" else (0.25, change * last)
    np.testing.assert_allclose(scores, wanted, rtol=1e-5)


def test_bad_sides_are_refused():
    """Would catch a side that D has no region for, or that the inpainter cannot halve."""
    for side in (32, 72):
        with pytest.raises(ValueError, match="allowed are multiples of 16 from 64"):
            models.AVID(side=side)
