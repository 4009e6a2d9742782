"""ALAD's networks, step and score against the authors' code, written out plainly."""

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
from torch import nn
from torch.nn.utils import parametrize

from adlib import models
from adlib.networks import augment

TINY = {"side": 32, "channels": 1, "width": 4, "latent": 8}


def test_parameter_counts_are_the_authors():
    """Would catch another kernel, width, bias or layer than the code's for CIFAR-10."""
    counts = models.ALAD(channels=3).parameter_counts()
    middle = conv(128, 256, 4) + norm(256) + conv(256, 512, 4) + norm(512)
    first = conv(3, 128, 4)
    back = conv(512, 256, 4) + norm(256) + conv(256, 128, 4) + norm(128) + conv(128, 3, 4)
    code = conv(100, 512, 1) + conv(512, 512, 1)
    joint = conv(512 * 4 * 4 + 512, 1024, 1) + conv(1024, 1, 1)
    assert counts == {
        "encoder": first + norm(128) + middle + conv(512, 100, 4),
        "generator": conv(100, 512, 4) + norm(512) + back,
        "d_xz": first + middle + code + joint,
        # Two images of 32 x 32 lie one below the other.
        "d_xx": conv(3, 64, 5) + conv(64, 128, 5) + conv(128 * 16 * 8, 1, 1),
        "d_zz": conv(200, 64, 1) + conv(64, 32, 1) + conv(32, 1, 1),
    }


@pytest.mark.parametrize("side", [32, 48, 64, 128])
def test_sides_come_back(side):
    """Would catch networks that do not meet at a side."""
    detector = models.ALAD(side=side, channels=3, width=4, latent=3)
    pixels = augment.to_uint8(images(side=side, channels=3))
    assert detector.reconstruct(pixels).shape == pixels.shape
    assert detector.score(pixels).shape == (4,)


def test_spectral_norm_is_where_the_authors_have_it():
    """Would catch a layer with or without it against the code, or a norm that is not one."""
    networks = models.ALAD(**TINY).networks.eval()
    normed = {}
    for name, network in networks.items():
        kinds = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
        layers = [m for m in network.modules() if isinstance(m, kinds)]
        normed[name] = [parametrize.is_parametrized(layer) for layer in layers]
        for layer in filter(parametrize.is_parametrized, layers):
            largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
            assert largest.item() == pytest.approx(1, abs=0.1)
    assert normed == {
        "encoder": [True] * 3 + [False],
        "generator": [False] * 4,
        "d_xz": [True] * 6 + [False],
        "d_xx": [True] * 2 + [False],
        "d_zz": [True] * 2 + [False],
    }


def reference(nets):
    """The authors' updates, losses of E and of G apart, with every pass written out."""
    groups = {k: [v] for k, v in nets.items()}
    adam = {
        k: torch.optim.Adam([p for n in v for p in n.parameters()], 2e-4, (0.5, 0.999))
        for k, v in groups.items()
    }
    draw, rng = batches(), generator()
    torch.manual_seed(0)

    def cycles():
        x = draw()
        z = torch.randn(4, 8, generator=rng, dtype=torch.float64)
        code, made = nets["encoder"](x), nets["generator"](z)
        return x, z, code, made, nets["generator"](code), nets["encoder"](made)

    x, z, code, made, again, back = (v.detach() for v in cycles())
    losses = {}
    pairs = {
        "d_xz": ((x, code), (made, z)),
        "d_xx": ((x, x), (x, again)),
        "d_zz": ((z, z), (z, back)),
    }
    for name, (real, fake) in pairs.items():
        on_real = cross_entropy(nets[name](*real), True)
        losses[name] = on_real + cross_entropy(nets[name](*fake), False)
        adam[name].zero_grad()
        losses[name].backward()
    for name in pairs:
        adam[name].step()
    x, z, code, made, again, back = cycles()
    generating = cross_entropy(nets["d_xz"](made, z), True)
    encoding = cross_entropy(nets["d_xz"](x, code), False)
    images = cross_entropy(nets["d_xx"](x, again), True)
    codes = cross_entropy(nets["d_zz"](z, back), True)
    totals = {"encoder": encoding + images + codes, "generator": generating + images + codes}
    for name, total in totals.items():
        weights = list(nets[name].parameters())
        gradients = torch.autograd.grad(total, weights, retain_graph=True)
        for p, g in zip(weights, gradients, strict=True):
            p.grad = g
    for name in totals:
        adam[name].step()
    return losses | {
        "pairs": generating + encoding,
        "cycle_image": images,
        "cycle_code": codes,
    }


def test_step_is_the_authors():
    """Would catch swapped labels or pairs, a missing cycle, or one batch for both updates."""
    detector, nets = prepared("ALAD", **TINY)
    wanted = reference(nets)
    logged = stepped(detector)
    assert list(logged) == list(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(logged[name], value, rtol=1e-9, atol=0, msg=name)
    assert_equal_weights(detector.networks, nets)


def test_score_is_the_distance_of_d_xxs_features():
    """Would catch a mean for a sum, images side by side, or features behind the last layer."""
    detector, _ = prepared("ALAD", **TINY)
    nets = detector.networks.float().eval()
    pixels = augment.to_uint8(images(5))
    x = augment.to_float(pixels)
    with torch.no_grad():
        again = nets["generator"](nets["encoder"](x))
        below = [torch.cat([x, other], 2) for other in (x, again)]
        f, f_again = (nets["d_xx"].trunk(pair) for pair in below)
    assert f.shape == (4, 4 * 16 * 8)
    wanted = (f - f_again).abs().sum(1)
    assert (wanted > 0.1).all()
    np.testing.assert_allclose(detector.score(pixels), wanted, rtol=1e-4)


def test_what_is_averaged_is_what_is_scored():
    """Would catch raw weights in a score, or an average that nobody reads."""
    assert set(models.ALAD.averaged) == {"encoder", "generator", "d_xx"}
    assert models.ALAD(**TINY).settings.ema == 0.999
    with pytest.raises(ValueError, match="width=3: allowed is at least 4"):
        models.ALAD(**TINY | {"width": 3})
