"""LSA's networks, losses and score against the authors' code, written out plainly."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from adlib import data, models
from adlib.models import training
from adlib.models.training import Budget
from adlib.networks import augment
from adlib.networks.autoregression import Density

N = 6
TINY = {"side": 32, "channels": 1, "width": 4, "latent": 5, "bins": 7, "density_width": 3}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(seed=0, n=N):
    """A batch as training draws it, float64 in [-1, 1]."""
    return torch.rand(n, 1, 32, 32, generator=generator(seed), dtype=torch.float64) * 2 - 1


def prepared(**settings):
    """A detector in float64 whose density tells codes apart."""
    detector = models.LSA(**TINY | settings)
    training.initialise(detector, 0)
    with torch.no_grad():
        for p in detector.networks["density"].parameters():
            p *= 3
    detector.networks.double()
    return detector


# ---- sizes ---------------------------------------------------------------------------------


def block(inputs, outputs, first, skip):
    """Values of a residual block: two convolutions, perhaps a 1x1 skip, two values a norm."""
    convolutions = first * inputs * outputs + 9 * outputs**2
    return convolutions + 4 * outputs + (inputs * outputs + 2 * outputs if skip else 0)


def test_parameter_counts():
    """Would catch a layer, a bias or a width that differs from the authors' for CIFAR-10."""
    down = sum(block(32 * k, 64 * k, 9, True) for k in (1, 2, 4))
    up = sum(block(64 * k, 32 * k, 25, True) for k in (4, 2, 1))
    plain, flat = block(32, 32, 9, False), 256 * 4 * 4
    encoder = 3 * 32 * 9 + plain + down + 256 * (flat + 1) + 2 * 256 + 64 * 257
    decoder = 256 * 65 + 2 * 256 + flat * 257 + 2 * flat + up + plain + 32 * 3
    wide = 64 * 32
    density = wide * 65 + 3 * wide * (wide + 1) + 6400 * (wide + 1)
    assert (encoder, decoder, density) == (2_292_128, 2_409_760, 25_835_776)
    counts = models.LSA().parameter_counts()
    assert counts == {"encoder": encoder, "decoder": decoder, "density": density, "scale": 0}


def test_the_density_has_as_many_weights_as_the_authors():
    """Would catch a mask that hides too much: they count weights that are not masked."""
    density = Density(64, 32, 100)
    layers = [layer for layer in density if hasattr(layer, "mask")]
    seen = sum(int(layer.mask.sum()) + len(layer.bias) for layer in layers)
    triangle = 64 * 65 // 2
    wanted = (triangle - 64) * 32 + 3 * triangle * 32**2 + triangle * 3200 + 4 * 2048 + 6400
    assert seen == wanted == 13_124_864


def test_every_value_follows_from_those_before_alone():
    """Would catch a likelihood that sees what it has to predict, or only a part of what it may."""
    density = Density(5, 4, 3).double()
    code = torch.rand(5, generator=generator(), dtype=torch.float64)
    slopes = torch.autograd.functional.jacobian(lambda z: density(z[None])[0], code)
    sees = (slopes != 0).any(1)
    assert torch.equal(sees, torch.ones(5, 5, dtype=torch.bool).tril(-1))


@pytest.mark.parametrize("side", [16, 24, 64])
def test_sizes(side):
    """Would catch a decoder that ends in another size than the encoder took."""
    detector = models.LSA(**TINY | {"side": side})
    pixels = torch.zeros(2, 1, side, side, dtype=torch.uint8)
    assert detector.reconstruct(pixels).shape == pixels.shape
    with pytest.raises(ValueError, match="sees 20 px; allowed are multiples of 8 from 16"):
        models.LSA(side=20)


# ---- one step ------------------------------------------------------------------------------


def leaky(x):
    return F.leaky_relu(x, 0.01)


def norm(w, name, x):
    return F.batch_norm(x, None, None, w[f"{name}.weight"], w[f"{name}.bias"], True)


def residual(w, name, x, resize):
    """The authors' block, with strided and transposed convolutions for both branches."""
    first, second = (w[f"{name}.inner.{k}.weight"] for k in (0, 3))
    if resize == "up":
        a = F.conv_transpose2d(x, first, None, 2, 2, 1)
        skip = w[f"{name}.skip.weight"].transpose(0, 1)
        b = norm(w, f"{name}.norm", F.conv_transpose2d(x, skip, None, 2, 0, 1))
    elif resize == "down":
        a = F.conv2d(x, first, None, 2, 1)
        b = norm(w, f"{name}.norm", F.conv2d(x, w[f"{name}.skip.weight"], None, 2))
    else:
        a, b = F.conv2d(x, first, None, 1, 1), x
    a = F.conv2d(leaky(norm(w, f"{name}.inner.1", a)), second, None, 1, 1)
    return leaky(norm(w, f"{name}.inner.4", a) + b)


def dense(w, name, x):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def plain_parts(w, x, bins):
    """Mean negative log-likelihood and mean squared error, summed over the image."""
    x = x / 2 + 0.5
    h = residual(w, "encoder.2", leaky(F.conv2d(x, w["encoder.0.weight"])), "")
    for k in (3, 4, 5):
        h = residual(w, f"encoder.{k}", h, "down")
    h = leaky(norm(w, "encoder.8", dense(w, "encoder.7", h.flatten(1))))
    code = torch.sigmoid(dense(w, "encoder.10", h))
    h = leaky(norm(w, "decoder.1", dense(w, "decoder.0", code)))
    h = leaky(norm(w, "decoder.4", dense(w, "decoder.3", h))).view(len(x), -1, 4, 4)
    for k in (7, 8, 9):
        h = residual(w, f"decoder.{k}", h, "up")
    again = F.conv2d(residual(w, "decoder.10", h, ""), w["decoder.11.weight"])
    h, latent = code, code.shape[1]
    for k in (0, 2, 4, 6, 8):
        weight = w[f"density.{k}.weight"]
        ins, outs = weight.shape[1] // latent, weight.shape[0] // latent
        mask = torch.zeros_like(weight)
        for place in range(latent):  # the authors' loop
            end = place * ins if k == 0 else (place + 1) * ins
            mask[place * outs : (place + 1) * outs, :end] = 1
        h = h @ (weight * mask).T + w[f"density.{k}.bias"]
        h = h if k == 8 else leaky(h)
    p = h.view(len(x), latent, bins).softmax(2)
    likelihood = 0
    for n in range(len(x)):
        for place in range(latent):
            likelihood -= p[n, place, int(code[n, place].item() * bins)].log() / len(x)
    return likelihood, ((x - again) ** 2).sum() / len(x)


def test_step_is_the_authors():
    """Would catch another layer, a mean for a sum, a missing weight or another optimiser."""
    detector = prepared(weight=0.3, learning_rate=1e-3)
    w = {k: p.detach().clone().requires_grad_() for k, p in detector.networks.named_parameters()}
    likelihood, error = plain_parts(w, images(), 7)
    (error + 0.3 * likelihood).backward()
    logged = detector.training_step(images, detector.optimizers(), generator())
    wanted = [error + 0.3 * likelihood, error, likelihood]
    assert list(logged) == ["loss", "error", "negative_log_likelihood"]
    torch.testing.assert_close(list(logged.values()), wanted)
    for name, p in detector.networks.named_parameters():
        slope = w[name].grad
        change = 1e-3 * slope / (slope.abs() + 1e-8)  # Adam's first step
        clear = (slope == 0) | (slope.abs() > 1e-9)  # else rounding decides the sign
        torch.testing.assert_close(p[clear], (w[name] - change)[clear], rtol=1e-5, atol=1e-7)


# ---- score ---------------------------------------------------------------------------------


def test_likelihood_by_hand():
    """Would catch a bin too far, a code of 1 without a bin, and a mean over the code."""
    detector = models.LSA(**TINY | {"latent": 2, "bins": 4})
    logits = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]]).log()
    nets = {
        "encoder": lambda x: torch.tensor([[0.5, 1.0], [0.49, 0.0]]),
        "density": lambda code: logits.expand(2, 2, 4),
        "decoder": lambda code: torch.full((2, 1, 2, 2), 0.25),
    }
    found = detector._parts(torch.zeros(2, 1, 2, 2), nets)
    likelihood = -torch.tensor([0.3 * 0.1, 0.2 * 0.7]).log()
    torch.testing.assert_close(found, torch.stack([likelihood, torch.full((2,), 0.25)], 1))


def test_score_is_the_authors_negated():
    """Would catch a part without scale, a wrong sign, or the extremes of single parts mixed up."""
    detector = prepared()
    detector.networks.eval()
    normal, found = (augment.to_uint8(images(seed, 7)) for seed in (1, 2))
    detector.calibrate(normal)

    def parts(pixels):
        with torch.no_grad():
            return -detector._parts(augment.to_float(pixels).double(), detector.networks).numpy()

    low, high = parts(normal).min(0), parts(normal).max(0)
    novelty = ((parts(found) - low) / (high - low)).sum(1)  # theirs, high for normal images
    np.testing.assert_allclose(detector.score(found), 2 - novelty, rtol=1e-3, atol=1e-3)


def test_images_that_scale_the_score_are_not_learnt(monkeypatch):
    """Would catch a scale of images that the auto-encoder knows by heart."""
    split = data.one_class(data.load("synthetic", "object"), seed=0)
    seen, original = [], training.train

    def spy(detector, pixels, *arguments, **options):
        seen.append(pixels)
        return original(detector, pixels, *arguments, **options)

    monkeypatch.setattr(training, "train", spy)
    detector = models.LSA(**TINY)
    detector.fit(split, Budget(1, 4, "float32"), device="cpu")
    pixels = split.pixels("train", 32, 1)
    learnt, kept = detector.divide(pixels)
    assert torch.equal(seen[0], learnt) and torch.equal(kept, pixels[::10])
    assert len(learnt) + len(kept) == len(pixels)
    for few in range(4, 21):
        learnt, kept = detector.divide(pixels[:few])
        assert len(kept) == 2 and len(learnt) == few - 2
    with pytest.raises(ValueError, match="needs at least 4 in all, not 3"):
        detector.divide(pixels[:3])


def test_equal_images_leave_the_score_finite():
    """Would catch a division by a range of zero."""
    detector = prepared()
    detector.calibrate(torch.full((4, 1, 32, 32), 9, dtype=torch.uint8))
    scale = detector.networks["scale"]
    torch.testing.assert_close(scale.high - scale.low, torch.ones(2, dtype=torch.float64))
