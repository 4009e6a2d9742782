"""VAE-grad's projection against the paper's loop for one image, and where it stops."""

import numpy as np
import pytest
import torch
from detectors import noise

from adlib import data, models
from adlib.models import training
from adlib.models.training import Budget
from adlib.networks import augment

SMALL = {"side": 32, "channels": 1, "width": 4, "latent": 8}


def prepared(**settings):
    """A detector in float64 with weights that tell images apart."""
    detector = models.VAEGrad(**SMALL | settings)
    training.initialise(detector, 0)
    detector.networks.double()
    with torch.no_grad():
        for p in detector.networks["encoder"].parameters():
            p *= 2 if p.ndim == 4 else 1
    return detector


def images(n=4, seed=0):
    """Float64 in [-1, 1]; the first are nearly grey, as what fresh networks make."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 1, 32, 32, generator=generator, dtype=torch.double) * 2 - 1
    return x * torch.linspace(0.2, 1, n).view(-1, 1, 1, 1)


def plain_loop(detector, image, steps, alpha, weight, limit):
    """The published loop for one image in [0, 1]; the result and the steps that were taken."""
    nets, start = detector.networks, (image + 1) / 2
    x = start.clone()
    for step in range(steps):
        x.requires_grad_(True)
        mean = nets["posterior"](nets["encoder"](2 * x - 1))[:, :8]
        again = (nets["decoder"](mean) + 1) / 2
        error = ((x - again) ** 2).sum()
        if error <= limit:
            return 2 * x.detach() - 1, step
        (slope,) = torch.autograd.grad(error + weight * (x - start).abs().sum(), x)
        x = (x - alpha * slope * (x - again) ** 2).detach().clamp(0, 1)
    return 2 * x.detach() - 1, steps


@pytest.mark.parametrize("weight", [0.0, 0.05, 2.0])
def test_projection_is_the_published_loop(weight):
    """Would catch a wrong unit, sign or term, a batch that shares its steps, and a missing stop."""
    detector = prepared(search_steps=12, sparsity=weight, alpha=0.3)
    limit = 20.0
    detector.networks["stop"].error.fill_(limit)
    runs = [plain_loop(detector, x, 12, 0.3, weight, limit) for x in images().split(1)]
    taken = [steps for _, steps in runs]
    assert taken[0] == 0 and taken[-1] == 12 and 0 < taken[1] < 12, taken
    with torch.inference_mode():
        found = detector.reconstruct_inputs(images())
    torch.testing.assert_close(found, torch.cat([x for x, _ in runs]))


def test_map_and_score_are_the_way_an_image_went():
    """Would catch a map of the VAE's reconstruction, and an image that moves after its stop."""
    detector, x = prepared(search_steps=5, stop=0.0), images()
    detector.networks["stop"].error.fill_(20.0)
    maps, scores = detector.map_inputs(x), detector.score_inputs(x)
    torch.testing.assert_close(maps, (x - detector.reconstruct_inputs(x)).abs()[:, 0])
    torch.testing.assert_close(scores, maps.flatten(1).max(1).values)
    assert scores[0] == 0 and (scores[2:] > 0).all()


def test_a_projection_ends_nearer_to_the_vae():
    """Would catch a step that climbs the energy."""
    detector, x = prepared(search_steps=30, sparsity=0.0), images()
    end = detector.reconstruct_inputs(x)

    def error(x):
        return (x - detector._vae(x)).square().flatten(1).sum(1)

    assert (error(end) < 0.7 * error(x)).all()


@pytest.mark.parametrize(("settings", "stop"), [({}, 0.0), ({"side": 64, "patch": 32}, 0.25)])
def test_the_stop_is_a_quantile_of_the_training_images(settings, stop):
    """Would catch another statistic, test images among them, or weights before the training."""
    split = data.one_class(data.load("synthetic", "object"), seed=0)
    detector = models.VAEGrad(**SMALL | settings, stop=stop, search_steps=2)
    detector.fit(split, Budget(2, 4, "float32"), device="cpu")
    pixels = split.pixels("train", detector.settings.side, 1)
    x = augment.to_float(augment.tile(pixels, 32))
    with torch.no_grad():
        errors = ((x - detector._vae(x)) / 2).square().flatten(1).sum(1)
    found = detector.networks["stop"].error.item()
    assert found == pytest.approx(np.quantile(errors.numpy(), stop), rel=1e-4)


def test_the_stop_is_kept_in_the_file(tmp_path):
    """Would catch a loaded detector that never stops."""
    detector = models.VAEGrad(**SMALL)
    detector.networks["stop"].error.fill_(1e9)
    loaded = models.load(detector.save(tmp_path / "detector.safetensors"))
    assert (loaded.score(noise(SMALL, n=2)) == 0).all()
    assert (models.VAEGrad(**SMALL, search_steps=2).score(noise(SMALL, n=2)) > 0).all()
