"""AnoGAN's networks, step and search against DCGAN's layers and a plain loop."""

import numpy as np
import pytest
import torch
from plain import (
    assert_equal_weights,
    batches,
    cross_entropy,
    generator,
    images,
    norm,
    prepared,
    stepped,
    update,
)

from adlib import models
from adlib.models import training
from adlib.models.latent_search import ExactToMap, frozen
from adlib.models.training import Budget
from adlib.networks import augment, pyramid

TINY = {"side": 32, "channels": 1, "width": 4, "latent": 8, "search_chunk": 4}


def test_parameter_counts_are_dcgans():
    """Would catch a bias, a layer or a width that DCGAN at 64 px does not have."""
    counts = models.AnoGAN(side=64, channels=3).parameter_counts()
    up = 16 * (100 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 3)
    down = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    assert counts == {
        "generator": up + norm(512 + 256 + 128 + 64),
        "discriminator": down + norm(128 + 256 + 512),
    }


@pytest.mark.parametrize(("settings", "values"), [
    ({"side": 128, "width": 64}, 16384), ({"side": 64, "width": 128}, 16384),
    ({"side": 32, "width": 32, "latent": 9000}, 2048),
])  # fmt: skip
def test_what_the_search_cannot_add_exactly_is_refused(settings, values):
    """Would catch a training whose scores cannot be made afterwards."""
    with pytest.raises(ValueError, match=f"makes {values} values of a code; allowed are 8192"):
        models.AnoGAN(**settings)
    assert models.AnoGAN(side=128, width=32, latent=2).settings.width == 32


def test_step_is_a_dcgans():
    """Would catch swapped labels, G against an old D, one code for both, or statistics mixed."""
    detector, nets = prepared("AnoGAN", spread=0.1, **TINY)
    adam = {k: torch.optim.Adam(v.parameters(), 2e-4, (0.5, 0.999)) for k, v in nets.items()}
    x = batches()()
    z = torch.randn(2, 4, 8, generator=generator(), dtype=torch.float64)
    g, d = nets["generator"], nets["discriminator"]
    made = g(z[0]).detach()
    loss = cross_entropy(d(x)[0], True) + cross_entropy(d(made)[0], False)
    update(adam["discriminator"], loss)
    fooling = cross_entropy(d(g(z[1]))[0], True)
    update(adam["generator"], fooling)
    logged = stepped(detector)
    assert list(logged) == ["discriminator", "generator"]
    for value, wanted in zip(logged.values(), (loss, fooling), strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-9, atol=0)
    assert_equal_weights(detector.networks, nets)


@pytest.mark.numeric
@pytest.mark.parametrize("share", [0.1, 0.7])
def test_search_is_the_papers(share):
    """Would catch a wrong share, a mean for a sum, other features, or codes brought to a sphere.

    In float64, because Adam's first step is the sign of a gradient.
    """
    settings = {"search_steps": 4, "search_rate": 0.2, "score_weight": share}
    detector, _ = prepared("AnoGAN", spread=0.1, **TINY | settings)
    nets, x = detector.networks.eval(), images(0, 3).double()
    z = torch.randn(8, generator=generator()).double().repeat(3, 1).requires_grad_(True)

    def distance(z):
        made = nets["generator"](z)
        f, f_made = (nets["discriminator"](v)[1] for v in (x, made))
        pixels, features = ((a - b).abs().sum((1, 2, 3)) for a, b in ((x, made), (f, f_made)))
        return (1 - share) * pixels + share * features

    optimizer = torch.optim.Adam([z], 0.2)
    for k in range(4):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 + np.cos(np.pi * k / 4))
        update(optimizer, distance(z).sum())
    scores, made = detector._search(x)
    with torch.no_grad():
        torch.testing.assert_close(scores, distance(z), rtol=1e-6, atol=0)
        torch.testing.assert_close(made, nets["generator"](z), rtol=0, atol=1e-6)


@pytest.mark.numeric
def test_images_do_not_mix():
    """Would catch one image's gradient in another's code, to the last bit, on any kernels."""
    detector = models.AnoGAN(**TINY | {"search_chunk": 7, "search_steps": 50})
    pixels = augment.to_uint8(images(0, 7))
    training.train(detector, pixels, Budget(30, 4, "float32"), device="cpu")
    scores = detector.score(pixels)
    np.testing.assert_array_equal(detector.score(pixels, batch=3), scores)
    np.testing.assert_array_equal(detector.score(pixels.flip(0)), scores[::-1])
    other = detector.score(torch.cat([pixels[:1], 255 - pixels[1:]]))
    assert other[0] == scores[0] and (other[1:] != scores[1:]).all()


def test_the_exact_first_layer_is_the_layer():
    """Would catch weights or pixels in another order than the trained layer's."""
    layer = pyramid.ToMap(7, 5, 4, bias=False)
    exact = frozen(torch.nn.Sequential(layer))[0]
    assert isinstance(exact, ExactToMap)
    z = torch.randn(3, 7, generator=generator()).requires_grad_(True)
    made, wanted = exact(z), layer(z)
    torch.testing.assert_close(made, wanted)
    g = torch.randn(made.shape, generator=generator(1))
    slopes = (torch.autograd.grad(v, z, g)[0] for v in (made, wanted))
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-6)


@pytest.mark.numeric
def test_a_longer_search_comes_closer():
    """Would catch a search that climbs or stands still."""
    pixels = augment.to_uint8(images(0, 4))
    pixels[:2] = 90
    found = []
    for steps in (1, 40):
        detector = models.AnoGAN(**TINY | {"search_steps": steps, "search_rate": 0.1})
        training.train(detector, pixels, Budget(30, 4, "float32"), device="cpu")
        found.append(detector.score(pixels))
    assert (found[1] < found[0]).all()
