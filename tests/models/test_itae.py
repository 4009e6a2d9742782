"""ITAE's erasure, network, training step and score, written out plainly."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from adlib import models
from adlib.models import training
from adlib.models.training import Budget
from adlib.networks import augment

N = 6
TINY = {"side": 32, "channels": 3, "width": 2}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(seed=0, n=N):
    """A batch as training draws it, float64 in [-1, 1]."""
    return torch.rand(n, 3, 32, 32, generator=generator(seed), dtype=torch.float64) * 2 - 1


def prepared(**settings):
    """A detector in float64 with known weights, in the first phase of its training."""
    detector = models.ITAE(**TINY | settings)
    training.initialise(detector, 0)
    detector.networks.double()
    return detector


def erased(image, quarters):
    """A grey image on 0 to 1, turned counterclockwise, `(1, S, S)`, of a float one `(3, S, S)`."""
    grey = (image.numpy().mean(0) + 1) / 2
    return torch.from_numpy(np.rot90(grey, quarters).copy())[None]


def plain_network(w, x, training=True):
    """The network of weights and statistics by name, layer after layer."""

    def double(name, x):
        for k in (0, 3):
            x = F.conv2d(x, w[f"{name}.{k}.weight"], w[f"{name}.{k}.bias"], padding=1)
            norm = f"{name}.{k + 1}"
            statistics = [None if training else w[f"{norm}.running_{s}"] for s in ("mean", "var")]
            x = F.batch_norm(x, *statistics, w[f"{norm}.weight"], w[f"{norm}.bias"], training)
            x = F.relu(x)
        return x

    maps = [double("down.0", x)]
    for k in (1, 2, 3, 4):
        maps.append(double(f"down.{k}", F.max_pool2d(maps[-1], 2)))
    x = maps.pop()
    for k in range(4):
        x = F.interpolate(x, scale_factor=2, mode="bilinear")
        x = double(f"up.{k}", torch.cat([maps.pop(), x], 1))
    return F.conv2d(x, w["output.weight"], padding=1)


def test_parameter_count():
    """Would catch a layer, a bias or a width that differs from the public re-implementation."""

    def double(inputs, outputs):
        return sum(9 * n * outputs + outputs + 2 * outputs for n in (inputs, outputs))

    down = sum(double(*p) for p in ((1, 64), (64, 128), (128, 256), (256, 512), (512, 512)))
    up = sum(double(*p) for p in ((1024, 256), (512, 128), (256, 64), (128, 64)))
    total = down + up + 9 * 64 * 3
    assert models.ITAE().parameter_counts() == {"restorer": total, "errors": 0}
    assert total == 13_395_840


def test_other_sides_are_refused():
    """Would catch maps whose halves do not meet."""
    with pytest.raises(ValueError, match="sees 40 px; allowed are multiples of 16 from 32"):
        models.ITAE(side=40)


# ---- training ------------------------------------------------------------------------------


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_step_restores_what_was_erased(loss, mirror):
    """Would catch a target that is turned too, an input with colour, and another loss or rate."""
    detector = prepared(loss=loss, mirror=mirror)
    network = detector.networks["restorer"]
    w = {k: p.detach().clone().requires_grad_() for k, p in network.named_parameters()}
    rng, x = generator(1), images()
    if mirror:
        chosen = torch.rand(N, 1, 1, 1, generator=rng).flatten() < 0.5
        assert chosen.any() and not chosen.all()
        x = torch.stack([i.flip(2) if c else i for i, c in zip(x, chosen, strict=True)])
    turns = torch.randint(4, (N,), generator=rng)
    inputs = torch.stack([erased(i, int(k)) for i, k in zip(x, turns, strict=True)])
    difference = plain_network(w, inputs) - (x + 1) / 2
    wanted = (difference.abs() if loss == "l1" else difference**2).mean()
    wanted.backward()
    optimizers = detector.optimizers()
    detector.before_step(1, 100)
    logged = detector.training_step(images, optimizers, generator(1))
    torch.testing.assert_close(logged, {"loss": wanted})
    for name, p in network.named_parameters():
        torch.testing.assert_close(p, w[name] - 0.1 * w[name].grad, rtol=1e-6, atol=1e-9, msg=name)


def test_the_rate_is_halved_every_tenth():
    """Would catch a rate that stays, or falls too early."""
    detector = prepared()
    detector.optimizers()
    rates = []
    for step in range(1, 101):
        detector.before_step(step, 100)
        rates.append(detector._rate.item())
    np.testing.assert_allclose(rates, np.repeat(0.1 / 2.0 ** np.arange(10), 10))


def test_a_killed_training_goes_on_at_its_rate(tmp_path, monkeypatch):
    """Would catch a rate that starts anew, or is that of the checkpoint for ever."""
    pixels, budget = augment.to_uint8(images(3, 16)), Budget(10, 4, "float32")
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    whole, resumed = models.ITAE(**TINY), models.ITAE(**TINY)
    training.train(whole, pixels, budget, device="cpu")
    original = models.ITAE.training_step

    def killed(self, *arguments):
        if killed.left == 0:
            raise KeyboardInterrupt
        killed.left -= 1
        return original(self, *arguments)

    killed.left = 6
    monkeypatch.setattr(models.ITAE, "training_step", killed)
    with pytest.raises(KeyboardInterrupt):
        training.train(models.ITAE(**TINY), pixels, budget, device="cpu", folder=tmp_path)
    monkeypatch.setattr(models.ITAE, "training_step", original)
    training.train(resumed, pixels, budget, device="cpu", folder=tmp_path)
    expected = whole.networks.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in resumed.networks.state_dict().items())


# ---- score ---------------------------------------------------------------------------------


def plain_errors(detector, pixels, kind):
    """Errors at every pixel of every turn, image by image, `(n, 4, 32, 32)`."""
    w = detector.networks["restorer"].state_dict()
    rows = []
    for image in augment.to_float(pixels).double():
        inputs = torch.stack([erased(image, k) for k in range(4)])
        difference = plain_network(w, inputs, training=False) - (image + 1) / 2
        rows.append((difference.abs() if kind == "l1" else difference**2).mean(1))
    return torch.stack(rows)


@pytest.mark.parametrize("score", ["l1", "l2"])
def test_score_is_the_error_in_units_of_normal_images(score):
    """Would catch turns that are mixed up, a mean error of one batch, or batch statistics."""
    detector = models.ITAE(**TINY | {"score": score})
    training.train(detector, augment.to_uint8(images(1, 16)), Budget(3, 8, "float32"), device="cpu")
    detector.networks.double()
    pixels, normal = augment.to_uint8(images(2)), augment.to_uint8(images(4, 70))
    before = copy.deepcopy(detector.networks["restorer"].state_dict())
    cast = detector._errors
    detector._errors = lambda x: cast(x.double())
    detector.calibrate(normal)
    means = plain_errors(detector, normal, score).mean((0, 2, 3))
    assert (means.diff().abs() > 1e-6).any()
    torch.testing.assert_close(detector.networks["errors"].normal, means, rtol=1e-5, atol=0)
    maps = (plain_errors(detector, pixels, score) / means.view(1, 4, 1, 1)).mean(1)
    np.testing.assert_allclose(detector.anomaly_map(pixels), maps, rtol=1e-4)
    np.testing.assert_allclose(detector.score(pixels), maps.mean((1, 2)), rtol=1e-4)
    after = detector.networks["restorer"].state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())


def test_reconstruction_is_the_mean_restoration():
    """Would catch restorations of one turn, or another range of values."""
    detector = prepared()
    detector.networks.eval()
    w, x = detector.networks["restorer"].state_dict(), images()
    with torch.no_grad():
        found = detector.reconstruct_inputs(x)
    for image, again in zip(x, found, strict=True):
        inputs = torch.stack([erased(image, k) for k in range(4)])
        wanted = 2 * plain_network(w, inputs, training=False).mean(0) - 1
        torch.testing.assert_close(again, wanted.clamp(-1, 1))
