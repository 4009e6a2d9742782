"""ONNX files of scorers, run by another program than torch."""

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from adlib import data, models
from adlib.deploy import decisions, export

SMALL = {
    "PatchCore": {"side": 32, "backbone": "efficientnet_lite0", "coreset": 0.02},
    "GANomaly": {"side": 64, "patch": 32, "width": 4, "latent": 4},  # own convolution, patches
    "CycleGAN": {"side": 32, "channels": 1, "width": 2, "blocks": 1},  # own norm
    "VAE": {"side": 32, "channels": 1, "width": 2, "latent": 4},  # mean and variance of a code
}
packages = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, export.PACKAGES)),
    reason=f"the extra 'export' is not installed ({', '.join(export.PACKAGES)})",
)


def made(name):
    """A small detector, fitted where fitting takes no steps."""
    torch.manual_seed(0)
    detector = models.build(name, **SMALL[name])
    if not isinstance(detector, models.Trainable):
        detector.fit(data.one_class(data.load("synthetic", "object")), device="cpu")
    return detector


@packages
@pytest.mark.parametrize("name", SMALL)
def test_the_file_scores_as_torch_does(name, tmp_path):
    """Would catch an operation that the exporter translates into another one."""
    import onnxruntime

    detector = made(name)
    calibrated = decisions.calibrate(detector, "fpr 0.1", np.arange(9.0))
    calibrated = replace(calibrated, pixel_threshold=0.25)
    found = export.to_onnx(calibrated, tmp_path / "scorer.onnx", batch=2)
    assert found["score"] <= 1e-4 * found["score_scale"]
    assert found["map"] <= 1e-4 * found["map_scale"]
    session = onnxruntime.InferenceSession(tmp_path / "scorer.onnx")
    s = detector.settings
    images = data.load("synthetic", "object").pixels([0, 50], s.side, s.channels)
    score, maps = session.run(["score", "map"], {"images": images.numpy()})
    np.testing.assert_allclose(score, detector.score(images), rtol=1e-3)
    np.testing.assert_allclose(maps, detector.anomaly_map(images), rtol=1e-2, atol=1e-4)
    about = session.get_modelmeta().custom_metadata_map
    assert float(about["threshold"]) == calibrated.threshold
    assert float(about["pixel_threshold"]) == 0.25
    assert json.loads(about["decoding"])["side"] == s.side


@packages
@pytest.mark.parametrize("name", ["PatchCore", "VAE"])
def test_decisions_do_not_depend_on_batch_or_runtime(name, tmp_path):
    """Would catch an image at the threshold that a batch of one or an export calls otherwise."""
    import onnxruntime

    detector = made(name)
    images = data.load("synthetic", "object").pixels(None, 32, detector.settings.channels)
    calibrated = decisions.calibrate(detector, "fpr 0.05", detector.score(images[64:]))
    decided = calibrated.decide(images)
    assert 0 < decided.sum() < len(images)
    assert (calibrated.decide(images, batch=1) == decided).all()
    export.to_onnx(calibrated, tmp_path / "scorer.onnx", batch=8)
    session = onnxruntime.InferenceSession(tmp_path / "scorer.onnx")
    threshold = float(session.get_modelmeta().custom_metadata_map["threshold"])
    parts = [session.run(["score"], {"images": part.numpy()})[0] for part in images.split(8)]
    assert ((np.concatenate(parts) >= threshold) == decided).all()


@packages
def test_an_export_takes_the_place_of_an_export_alone(tmp_path):
    """Would catch another program's network replaced by a scorer."""
    import onnx

    detector, path = models.AutoEncoder(side=32, width=2), tmp_path / "scorer.onnx"
    for _ in range(2):
        export.to_onnx(detector, path)
    others = onnx.load(path)
    del others.metadata_props[:]
    for content in (others.SerializeToString(), b"no network"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not an exported scorer of this program's"):
            export.to_onnx(detector, path)
        assert path.read_bytes() == content


@packages
def test_a_file_that_differs_from_torch_is_not_kept(tmp_path, monkeypatch):
    """Would catch a wrong file that is written all the same."""
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(ArithmeticError, match="differs from torch"):
        export.to_onnx(models.AutoEncoder(side=32, width=2), tmp_path / "scorer.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_names_what_can(tmp_path, monkeypatch):
    """Would catch a search that is frozen into a file, and a traceback of the exporter."""
    searching = models.NoisyAnoGAN(side=32, width=8, latent=8)
    with pytest.raises(ValueError, match="these can be exported: ALAD, ALOCC, AVID, "):
        export.to_onnx(searching, tmp_path / "scorer.onnx")
    with pytest.raises(ValueError, match="VAEGrad searches by gradients"):
        export.to_onnx(models.VAEGrad(**SMALL["VAE"]), tmp_path / "scorer.onnx")
    with pytest.raises(ValueError, match="score='kl_gradient' cannot be exported"):
        slopes = models.VAE(**SMALL["VAE"], score="kl_gradient")
        export.to_onnx(slopes, tmp_path / "scorer.onnx")
    with pytest.raises(ValueError, match="LSA scores in float64"):
        export.to_onnx(models.LSA(side=32, width=2, density_width=2), tmp_path / "scorer.onnx")
    pooled = SMALL["CycleGAN"] | {"score": "features", "backbone": "efficientnet_lite0"}
    with pytest.raises(ValueError, match="its other scores can"):
        export.to_onnx(models.CycleGAN(**pooled), tmp_path / "scorer.onnx")
    small = models.AutoEncoder(side=32, width=2)
    with pytest.raises(ValueError, match=r"ends in \.onnx"):
        export.to_onnx(small, tmp_path / "scorer.pt")
    with pytest.raises(ValueError, match="batch=0"):
        export.to_onnx(small, tmp_path / "scorer.onnx", batch=0)
    monkeypatch.setattr(export, "PACKAGES", ("no_such_package",))
    with pytest.raises(ModuleNotFoundError, match="pip install no_such_package"):
        export.to_onnx(small, tmp_path / "scorer.onnx")
