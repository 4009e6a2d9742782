"""ALOCC's networks, step, stopping and scores against the authors' code, written out plainly."""

import numpy as np
import pytest
import torch
from plain import (
    assert_equal_weights,
    batches,
    conv,
    cross_entropy,
    generator,
    images,
    norm,
    prepared,
    stepped,
    update,
)
from torch.nn import functional as F

from adlib import models
from adlib.models import training
from adlib.models.training import Budget
from adlib.networks import augment

TINY = {"side": 32, "channels": 1, "width": 2}


def test_parameter_counts_are_the_authors():
    """Would catch another kernel, width, bias or layer than the code's for MNIST."""
    counts = models.ALOCC(side=28, channels=1, width=16).parameter_counts()
    down = conv(1, 32, 5) + norm(32) + conv(32, 64, 5) + norm(64) + conv(64, 128, 5) + norm(128)
    up = conv(128, 32, 5) + norm(32) + conv(32, 16, 5) + norm(16) + conv(16, 1, 5)
    trunk = conv(1, 16, 5) + sum(conv(n, 2 * n, 5) + norm(2 * n) for n in (16, 32, 64))
    head = 128 * 2 * 2 + 1
    assert counts == {"refiner": down + up, "discriminator": trunk + head, "stopping": 0}


@pytest.mark.parametrize(("side", "rest"), [(16, 1), (28, 2), (32, 2), (45, 3), (128, 8)])
def test_every_side_comes_back(side, rest):
    """Would catch an odd side that the decoder misses, as 28 halved three times is."""
    detector = models.ALOCC(side=side, channels=3, width=1)
    x = images(side=side, channels=3)
    assert detector.networks["refiner"](x).shape == x.shape
    discriminator = detector.networks["discriminator"]
    assert discriminator(x).shape == (4,)
    assert discriminator[-2].in_features == 8 * rest**2


def test_padding_is_tensorflows_mirrored():
    """Would catch a padding that is not even the mirror image of the authors'."""
    x, weight = images().double(), torch.randn(3, 1, 5, 5, generator=generator()).double()
    theirs = F.conv2d(F.pad(x, [1, 2, 1, 2]), weight, stride=2)
    ours = F.conv2d(x.flip(2, 3), weight.flip(2, 3), stride=2, padding=2).flip(2, 3)
    torch.testing.assert_close(ours, theirs)


def reference(nets, s):
    """The authors' updates with every pass written out; losses as the step logs them."""
    r, d = nets["refiner"], nets["discriminator"]
    rms = {
        k: torch.optim.RMSprop(nets[k].parameters(), 2e-3, alpha=0.9, eps=1e-10)
        for k in ("refiner", "discriminator")
    }
    x = batches()()
    noise = torch.randn(x.shape, generator=generator(), dtype=torch.float64)
    noisy = (x + s.noise * noise).clamp(-1, 1)
    again = r(noisy)
    loss = cross_entropy(d(x), True) + cross_entropy(d(again.detach()), False)
    update(rms["discriminator"], loss)
    for k in range(s.refiner_steps):
        again = r(noisy) if k else again
        adversarial = cross_entropy(d(again), True)
        squared = ((x - again) ** 2).mean()
        p = torch.sigmoid(again)
        entropy = -(noisy * torch.log(p) + (1 - noisy) * torch.log(1 - p)).mean()
        error = squared if s.reconstruction == "squared" else entropy
        total = adversarial + s.weight_reconstruction * error
        update(rms["refiner"], total)
    return [loss, total, adversarial, error, squared]


@pytest.mark.parametrize("settings", [
    {}, {"reconstruction": "cross_entropy", "refiner_steps": 1, "noise": 0.5},
    {"weight_reconstruction": 7.0, "refiner_steps": 3},
])  # fmt: skip
def test_step_is_the_authors(settings):
    """Would catch a wrong sign, weight, target, noise, number of updates or order."""
    detector, before = prepared("ALOCC", spread=0.2, **TINY | settings)
    wanted = reference(before, detector.settings)
    logged = stepped(detector)
    names = ["discriminator", "refiner", "adversarial", "reconstruction", "squared_error"]
    assert list(logged) == [*names, "stopped"]
    for name, value in zip(names, wanted, strict=True):
        torch.testing.assert_close(logged[name], value, rtol=1e-9, atol=0, msg=name)
    assert_equal_weights(detector.networks, {k: before[k] for k in ("refiner", "discriminator")})


# ---- stopping ------------------------------------------------------------------------------


@pytest.mark.parametrize(("bound", "stops"), [(0.0, 99), (3.9, 2), (1e9, 1)])
def test_weights_stand_still_from_the_bound_on(bound, stops):
    """Would catch a stop that is late, never comes, or leaves one network moving.

    The running mean starts at 4 and takes a fiftieth of every error, which is about 1 here.
    """
    detector, _ = prepared("ALOCC", **TINY | {"stop_below": bound})
    draw, optimizers, moved, flags = batches(), detector.optimizers(), [], []
    for k in range(4):
        before = [p.clone() for p in detector.networks.parameters()]
        logged = detector.training_step(draw, optimizers, generator(k))
        after = list(detector.networks.parameters())
        same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert all(same) or not any(same)
        moved.append(not all(same))
        flags.append(float(logged["stopped"]))
    assert moved == [k < stops for k in range(4)]
    assert flags == [float(k + 1 >= stops) for k in range(4)]


def test_the_error_that_stops_is_of_training_images_in_full():
    """Would catch a running mean of something else than the squared error in [-1, 1]."""
    detector, _ = prepared("ALOCC", **TINY)
    logged = stepped(detector)
    error = detector.networks["stopping"].error
    torch.testing.assert_close(error, 0.98 * 4 + 0.02 * logged["squared_error"])


# ---- scores --------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["refined", "input"])
def test_score_is_minus_the_log_of_d(score):
    """Would catch the other sign, the other image, noise in a score, or a score of the map."""
    detector = models.ALOCC(**TINY, score=score)
    pixels = augment.to_uint8(images(7))
    training.train(detector, pixels, Budget(20, 4, "float32"), device="cpu")
    r, d = detector.networks["refiner"], detector.networks["discriminator"]
    x = augment.to_float(pixels)
    with torch.no_grad():
        wanted = -torch.log(torch.sigmoid(d(r(x) if score == "refined" else x)))
        change = (x - r(x)).abs()[:, 0]
    np.testing.assert_allclose(detector.score(pixels), wanted, rtol=1e-4)
    np.testing.assert_allclose(detector.anomaly_map(pixels), change, rtol=1e-4, atol=1e-6)


def test_bad_settings_are_refused():
    """Would catch a side that leaves nothing to look at, or a score that does not exist."""
    with pytest.raises(ValueError, match="sees 15 px"):
        models.ALOCC(side=15)
    with pytest.raises(ValueError, match="allowed are 'refined', 'input'"):
        models.ALOCC(score="both")
