"""What only a GPU can show: graphs against eager steps, deterministic bytes, scores of both.

`tests/models/test_graphs.py` holds what a CPU can show of the same.
"""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from detectors import SMALL, TRAINED, noise, trained_on_noise

from adlib import data, models
from adlib.deploy import decisions
from adlib.models import graphs, training
from adlib.models.training import Budget

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
BUDGET = Budget(200, 8, "bfloat16")
EXACT = replace(BUDGET, deterministic=True)


trained = partial(trained_on_noise, device="cuda")


def weights(detector):
    return torch.cat([v.flatten().double() for v in detector.networks.state_dict().values()])


@pytest.mark.parametrize(("name", "settings"), TRAINED)
def test_a_graph_trains_as_eager_steps_do(name, settings, monkeypatch):
    """Would catch a graph that differs from the step, and one that cannot be captured."""
    graphed, history = trained(name, settings, EXACT)
    assert graphed.graphed == "yes"
    monkeypatch.setattr(graphs, "usable", lambda device: False)
    eager, wanted = trained(name, settings, EXACT)
    assert eager.graphed == "no: cuda"
    # Adam with and without `capturable` rounds its corrections differently: to a stated tolerance.
    np.testing.assert_allclose(history.iloc[0], wanted.iloc[0], rtol=1e-3, atol=1e-5)
    change = weights(graphed) - weights(eager)
    assert change.norm() <= 0.05 * weights(eager).norm()


@pytest.mark.parametrize(("name", "settings"), SMALL.items())
def test_deterministic_trainings_end_in_the_same_bytes(name, settings):
    """Would catch an operation whose sums depend on the order in which threads come."""
    if not issubclass(models.REGISTRY[name], models.Trainable):
        pytest.skip(f"{name} is not trained in steps")
    first, second = (trained(name, settings, EXACT)[0] for _ in range(2))
    assert torch.equal(weights(first), weights(second))


@pytest.mark.parametrize("name", ["CBiGAN", "CycleGAN", "NoisyAnoGAN"])
def test_a_resumed_training_by_graphs_is_the_unbroken_one(name, tmp_path, monkeypatch):
    """Would catch a capture that takes the state of a checkpoint for its own warm-up's."""
    settings = SMALL[name]
    whole, history = trained(name, settings, EXACT)
    prepare = models.REGISTRY[name].before_step

    def stopped(self, step, steps):
        training.stop.set() if step == 90 else None
        return prepare(self, step, steps)

    with monkeypatch.context() as patch, pytest.raises(training.TrainingStopped):
        patch.setattr(training, "stop", type(training.stop)())
        patch.setattr(models.REGISTRY[name], "before_step", stopped)
        trained(name, settings, EXACT, tmp_path)
    resumed, again = trained(name, settings, EXACT, tmp_path)
    assert again.equals(history)
    assert torch.equal(weights(resumed), weights(whole))


@pytest.mark.parametrize(("name", "settings"), TRAINED)
def test_scores_by_graph_are_the_scores(name, settings, monkeypatch):
    """Would catch a chunk that is scored as the one before; a search amplifies rounding."""
    detector, images = models.build(name, **settings).to("cuda"), noise(settings)
    found = detector.score(images, batch=4)
    monkeypatch.setattr(graphs, "usable", lambda device: False)
    tolerance = 0.05 if name in ("AnoGAN", "NoisyAnoGAN") else 1e-4
    np.testing.assert_allclose(found, detector.score(images, batch=4), rtol=tolerance)


@pytest.mark.parametrize("name", ["PatchCore", "PaDiM", "AutoEncoder"])
def test_a_detector_of_a_gpu_decides_alike_on_a_cpu(name, tmp_path):
    """Would catch a threshold on a score, which the other device moves across."""
    split = data.one_class(data.load("synthetic", "object"))
    detector = models.build(name, **SMALL[name])
    detector.fit(split, Budget(20, 8), device="cuda")
    images = split.pixels("test", detector.settings.side, detector.settings.channels)
    held = images[split.labels_of("test") == 0]
    calibrated = decisions.calibrate(detector, "fpr 0.05", detector.score(held))
    again = decisions.load(calibrated.save(tmp_path / "m.safetensors"), "cpu")
    assert (again.decide(images) == calibrated.decide(images)).all()
