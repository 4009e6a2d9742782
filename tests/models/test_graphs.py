"""Training steps as graphs, on a CPU: recordings stand for CUDA graphs (see recorder.py).

What only a GPU can show is in tests/gpu.
"""

import sys
from dataclasses import replace

import numpy as np
import pytest
import recorder
import torch
from detectors import SMALL, TRAINED, noise
from detectors import trained_on_noise as trained

from adlib import models
from adlib.models import ganomaly, graphs, training
from adlib.models.latent_search import latent_search
from adlib.models.training import Budget
from adlib.networks.progressive import normalise

# GANomaly looks at its discriminator in step 25; seven steps have all of Noisy-AnoGAN's phases, and
# eight fill Cycle-GAN's store of five images, and of others a part.
STEPS = {"GANomaly": 27, "NoisyAnoGAN": 14}


@pytest.fixture
def by_graph(monkeypatch):
    """Let trainings on the CPU run by recordings, as those on a GPU run by CUDA graphs."""

    def warm_up(function):
        for _ in range(graphs.WARM_UP):
            function()

    monkeypatch.setattr(graphs, "usable", lambda device: True)
    monkeypatch.setattr(graphs, "_warm_up", warm_up)
    monkeypatch.setattr(graphs, "_record", recorder.record)
    for name in ("adam", "rmsprop"):
        module = sys.modules[f"torch.optim.{name}"]
        monkeypatch.setattr(module, "_get_capturable_supported_devices", lambda *_: ["cpu"])


def assert_equal(a, b):
    ours, theirs = (d.networks.state_dict() for d in (a, b))
    for key, value in ours.items():
        assert torch.equal(value, theirs[key]), key


@pytest.mark.parametrize(("name", "settings"), TRAINED)
def test_a_training_by_graphs_is_the_training(name, settings, by_graph, monkeypatch):
    """Would catch a value that a graph keeps from its capture (a rate, a share, a stage), a state
    that the warm-up leaves changed, any read of a device value on the host, and a detector that
    deterministic algorithms change or stop."""
    budget = Budget(STEPS.get(name, 8), 4, "float32")
    graphed, history = trained(name, settings, budget)
    assert graphed.graphed == "yes"
    monkeypatch.setattr(graphs, "usable", lambda device: False)
    eager, wanted = trained(name, settings, replace(budget, deterministic=True))
    assert eager.graphed == "no: cpu"
    assert not torch.are_deterministic_algorithms_enabled()
    assert history.equals(wanted)
    assert_equal(graphed, eager)


def test_a_restart_by_graph_is_the_restart(by_graph, monkeypatch):
    """Would catch weights that a graph always, or never, starts anew."""
    monkeypatch.setattr(ganomaly, "TOO_EASY", 1e9)
    settings, budget = (
        {"side": 32, "channels": 1, "width": 4, "latent": 8},
        Budget(27, 4, "float32"),
    )
    graphed, history = trained("GANomaly", settings, budget)
    assert history.step[history.restarts == 1].tolist() == [25]
    monkeypatch.setattr(graphs, "usable", lambda device: False)
    assert_equal(graphed, trained("GANomaly", settings, budget)[0])


@pytest.mark.parametrize("name", ["CycleGAN", "FAnoGAN", "NoisyAnoGAN"])
def test_a_resumed_training_by_graphs_is_the_unbroken_one(name, by_graph, tmp_path, monkeypatch):
    """Would catch a capture that takes the state of a checkpoint for its own warm-up's."""
    settings, budget = SMALL[name], Budget(8, 4, "float32")
    whole, history = trained(name, settings, budget)
    detector = models.REGISTRY[name]
    prepare = detector.before_step

    def stopped(self, step, steps):
        training.stop.set() if step == 5 else None
        return prepare(self, step, steps)

    with monkeypatch.context() as patch, pytest.raises(training.TrainingStopped):
        patch.setattr(training, "stop", type(training.stop)())
        patch.setattr(detector, "before_step", stopped)
        trained(name, settings, budget, tmp_path)
    resumed, again = trained(name, settings, budget, tmp_path)
    assert again.equals(history)
    assert_equal(resumed, whole)


def test_a_step_that_cannot_be_captured_runs_eagerly(by_graph, monkeypatch):
    """Would catch a training that stops, or changes, because a step reads from the device."""
    original = ganomaly.GANomaly._restarts

    def reading(self, lowest):
        return original(self, lowest) if lowest < ganomaly.TOO_EASY else torch.zeros_like(lowest)

    settings, budget = (
        {"side": 32, "channels": 1, "width": 4, "latent": 8},
        Budget(30, 4, "float32"),
    )
    wanted, _ = trained("GANomaly", settings, budget)
    monkeypatch.setattr(ganomaly.GANomaly, "_restarts", reading)
    with pytest.warns(UserWarning, match="without CUDA graphs"):
        detector, _ = trained("GANomaly", settings, budget)
    assert detector.graphed.startswith("no: aten._local_scalar_dense")
    assert_equal(detector, wanted)


@pytest.mark.parametrize("name", ["CBiGAN", "GANomaly"])
def test_scoring_by_graph_gives_the_scores(name, by_graph, monkeypatch):
    """Would catch a chunk that is scored as the one before, or one of another size as a whole."""
    detector, images = models.build(name, **SMALL[name]), noise(SMALL[name])
    found = detector.score(images, batch=3), detector.score(images[:11], batch=3)
    monkeypatch.setattr(graphs, "usable", lambda device: False)
    np.testing.assert_allclose(found[0], detector.score(images, batch=3), rtol=3e-6)
    np.testing.assert_allclose(found[1], detector.score(images[:11], batch=3), rtol=3e-6)


def test_a_search_by_graph_ends_at_the_same_codes(by_graph, monkeypatch):
    """Would catch a rate that stays that of the first step, or codes left from the warm-up.

    Adam counts its steps in float32 there, so its first corrections have four digits.
    """
    generator = torch.Generator().manual_seed(0)
    start, wanted = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)

    def search():
        return latent_search(lambda z: (z - wanted).square().sum(1), normalise(start), 30, 0.1)

    by_graph = search()
    monkeypatch.setattr(graphs, "usable", lambda device: False)
    for found, value in zip(by_graph, search(), strict=True):
        torch.testing.assert_close(found, value, rtol=1e-3, atol=1e-3)


def test_a_projection_by_graph_ends_at_the_same_images(by_graph, monkeypatch):
    """Would catch images that keep the steps of the warm-up, or of the chunk before."""
    detector, images = models.build("VAEGrad", **SMALL["VAEGrad"]), noise(SMALL["VAEGrad"])
    found = detector.score(images, batch=5)
    monkeypatch.setattr(graphs, "usable", lambda device: False)
    np.testing.assert_allclose(found, detector.score(images, batch=5), rtol=3e-6)
