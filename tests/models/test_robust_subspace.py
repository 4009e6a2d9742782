"""The transductive methods as a detector of the study."""

import functools

import numpy as np
import pytest
import torch
from detectors import TRANSDUCTIVE, noise

from adlib import data, deploy, models
from adlib.models import linear
from adlib.models.training import Budget, score_parts
from adlib.networks import backbones

SETTINGS = TRANSDUCTIVE["RobustSubspace"]


@functools.cache
def features():
    """Features of noise, made in one piece."""
    network = backbones.load(backbones.FALLBACK, torch.device("cpu"))
    with torch.no_grad():
        return network.pooled(noise(SETTINGS, n=18).float() / 127.5 - 1).double().numpy()


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("CoP", linear.cop),
        ("REAPER", lambda x: linear.reaper(x, 3)),
        ("LRR", lambda x: linear.lrr(linear.unit(x), 0.3)),
        ("DPCP", lambda x: linear.dpcp(linear.reduced(x, 8), 5)),
        ("R-graph", linear.r_graph),
    ],
)
def test_scores_are_those_of_the_method_on_the_whole_sample(method, wanted):
    """Would catch a sample that is cut into batches, and a parameter that does not arrive."""
    sizes = {"dimension": 3, "components": 8, "weight": 0.3}
    detector = models.RobustSubspace(method=method, **SETTINGS, **sizes)
    scores = detector.score(noise(SETTINGS, n=18), batch=4)
    assert scores.shape == (18,) and scores.dtype == np.float64
    wanted = wanted(features())
    np.testing.assert_allclose(scores, wanted, rtol=1e-2, atol=1e-3 * np.abs(wanted).max())


def test_nothing_is_learnt_and_nothing_is_lost(tmp_path, monkeypatch):
    """Would catch a training image or label that enters a score, and settings that a file loses."""
    split = data.one_class(data.load("synthetic", "object"), seed=0, validation=0)
    detector = models.RobustSubspace(**SETTINGS, method="CoP")
    with monkeypatch.context() as patch:
        patch.setattr(type(split), "rows", lambda *_: pytest.fail("an image was asked for"))
        assert len(detector.fit(split, Budget(), 0, device="cpu")) == 1
    scores = score_parts(detector, split)
    assert set(scores.split) == {"test"}
    loaded = models.load(detector.save(tmp_path / "detector.safetensors"))
    assert loaded.settings == detector.settings
    again = loaded.score(split.pixels("test", 32, 1))
    np.testing.assert_array_equal(again, scores.score.to_numpy())
    with pytest.raises(NotImplementedError, match="makes no reconstructions"):
        loaded.anomaly_map(noise(SETTINGS, n=2))


def test_settings_that_leave_no_direction_are_refused():
    """Would catch a DPCP without dual directions."""
    with pytest.raises(ValueError, match="dimension=10, components=10: DPCP needs more"):
        models.RobustSubspace(components=10)


def test_it_cannot_be_deployed(tmp_path):
    """Would catch a threshold for single images by scores that are those of a sample."""
    from PIL import Image

    for k in range(30):
        pixels = np.random.default_rng(k).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
    with pytest.raises(ValueError, match="RobustSubspace scores images by those .* Give another"):
        deploy.train(tmp_path, method="RobustSubspace", **SETTINGS)
