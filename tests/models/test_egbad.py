"""EGBAD's networks, step and score against the authors' code, written out plainly."""

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
)

from adlib import models
from adlib.networks import augment

TINY = {"side": 32, "channels": 1, "width": 2, "latent": 8}


def test_parameter_counts_are_the_authors():
    """Would catch another kernel, width, bias or layer than the code's for MNIST."""
    counts = models.EGBAD(side=28, channels=1).parameter_counts()
    encoder = conv(1, 32, 3) + conv(32, 64, 3) + norm(64) + conv(64, 128, 3) + norm(128)
    generator = conv(200, 1024, 1) + norm(1024) + conv(1024, 6272, 1) + norm(6272)
    generator += conv(128, 64, 4) + norm(64) + conv(64, 1, 4)
    pairs = conv(1, 64, 4) + conv(64, 64, 4) + norm(64) + conv(200, 512, 1)
    assert counts == {
        "encoder": encoder + conv(128 * 7 * 7, 200, 1),
        "generator": generator,
        "discriminator": pairs + conv(64 * 7 * 7 + 512, 1024, 1) + conv(1024, 1, 1),
    }


@pytest.mark.parametrize("side", [16, 28, 36, 64])
def test_sides_come_back(side):
    """Would catch networks that do not meet at a side."""
    detector = models.EGBAD(side=side, channels=3, width=1, latent=3)
    pixels = augment.to_uint8(images(side=side, channels=3))
    assert detector.reconstruct(pixels).shape == pixels.shape
    with pytest.raises(ValueError, match="allowed are multiples of 4 from 16"):
        models.EGBAD(side=side + 2)


def test_step_is_the_authors():
    """Would catch swapped labels, one batch for both updates, or players of an old D."""
    detector, nets = prepared("EGBAD", spread=0.2, **TINY | {"learning_rate": 1e-3})
    adam = {k: torch.optim.Adam(v.parameters(), 1e-3, (0.5, 0.999)) for k, v in nets.items()}
    draw, rng = batches(), generator()
    torch.manual_seed(0)

    def pairs():
        x = draw()
        z = torch.randn(4, 8, generator=rng, dtype=torch.float64)
        return x, nets["encoder"](x), nets["generator"](z), z

    d = nets["discriminator"]
    x, code, made, z = (v.detach() for v in pairs())
    loss = cross_entropy(d(x, code)[1], True) + cross_entropy(d(made, z)[1], False)
    adam["discriminator"].zero_grad()
    loss.backward()
    adam["discriminator"].step()
    x, code, made, z = pairs()
    encoding, generating = (
        cross_entropy(d(x, code)[1], False),
        cross_entropy(d(made, z)[1], True),
    )
    for name, value in (("encoder", encoding), ("generator", generating)):
        weights = list(nets[name].parameters())
        for p, g in zip(weights, torch.autograd.grad(value, weights), strict=True):
            p.grad = g
        adam[name].step()
    logged = stepped(detector)
    wanted = {"discriminator": loss, "encoder": encoding, "generator": generating}
    assert list(logged) == list(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(logged[name], value, rtol=1e-9, atol=0, msg=name)
    assert_equal_weights(detector.networks, nets)


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_score_formula(share):
    """Would catch a mean for a sum, swapped shares, or the reconstruction's own code in D."""
    detector, nets = prepared("EGBAD", spread=0.3, **TINY | {"score_weight": share})
    pixels = augment.to_uint8(images(5))
    x = augment.to_float(pixels)
    for network in nets.values():
        network.eval().float()
    detector.networks.float()
    with torch.no_grad():
        code = nets["encoder"](x)
        again = nets["generator"](code)
        f, f_again = (nets["discriminator"](v, code)[0] for v in (x, again))
    wanted = (1 - share) * (x - again).abs().sum((1, 2, 3)) + share * (f - f_again).abs().sum(1)
    assert (wanted > 0.1).all()
    np.testing.assert_allclose(detector.score(pixels), wanted, rtol=1e-4)


def test_dropout_is_of_training_alone():
    """Would catch scores that differ from call to call."""
    detector = models.EGBAD(**TINY)
    pixels = augment.to_uint8(images(6))
    np.testing.assert_array_equal(detector.score(pixels), detector.score(pixels))
    d, (x, z) = detector.networks["discriminator"].train(), (images(6), torch.zeros(4, 8))
    assert not torch.equal(d(x, z)[1], d(x, z)[1])
