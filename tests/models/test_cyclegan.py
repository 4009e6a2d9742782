"""Cycle-GAN's networks, losses, schedule and scores against a plain implementation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from adlib import models
from adlib.models import training
from adlib.models.cyclegan import rate_factor
from adlib.models.training import Budget
from adlib.networks import augment, backbones

TINY = {"side": 32, "channels": 1, "width": 4, "blocks": 1}


@pytest.fixture
def bench(monkeypatch):
    """The benchmark's plain networks and training step."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "bench")
    import bench_cyclegan

    return bench_cyclegan


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(seed=0, n=4, side=32, channels=1):
    """A batch as training draws it, float in [-1, 1]."""
    x = torch.rand(n, channels, side, side, generator=generator(seed)) * 2 - 1
    return x.contiguous(memory_format=torch.channels_last)


def pixels(seed=0, n=10, **size):
    return augment.to_uint8(images(seed, n, **size))


def prepared(**settings):
    """A detector with known weights, large enough to tell images apart."""
    detector = models.CycleGAN(**TINY | settings)
    training.initialise(detector, 0)
    with torch.no_grad():
        for p in detector.networks.parameters():
            p *= 3 if p.ndim == 4 else 1
    return detector.to("cpu")


# ---- networks ------------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "message"), [
    ({"side": 28}, "sees 28 px; allowed are multiples of 4 from 32 on"),
    ({"side": 66}, "sees 66 px; allowed are multiples of 4 from 32 on"),
    ({"augmentation": "all"}, "allowed are 'hard', 'light', 'flip', 'none'"),
    ({"score": "fid"}, "allowed are 'sse', 'mad', 'features'"),
    ({"score": "features", "backbone": "vgg"}, "backbone='vgg': allowed are 'auto'"),
    ({"blocks": -1}, "blocks=-1: allowed is at least 0"),
    ({"replay": 0}, "replay=0: allowed is at least 1"),
])  # fmt: skip
def test_bad_settings_are_refused(settings, message):
    """Would catch a mistyped setting or a side that does not come back from the generator."""
    with pytest.raises(ValueError, match=message):
        models.CycleGAN(**settings)


def test_parameter_counts():
    """Would catch a layer, a bias or a width that differs from the authors' networks."""
    for side, size in ((64, 7_837_699), (124, 7_837_699), (128, 11_378_179), (256, 11_378_179)):
        counts = models.CycleGAN(side=side).parameter_counts()
        assert counts["to_normal"] == counts["to_abnormal"] == size
        assert counts["judge_normal"] == counts["judge_abnormal"] == 2_764_737
        assert counts["replay"] == 0
    assert models.CycleGAN(blocks=9).parameter_counts()["to_normal"] == 11_378_179


def test_start_is_the_authors():
    """Would catch other initial weights, or biases without PyTorch's start."""
    detector = models.CycleGAN(side=32, width=16)
    training.initialise(detector, 0)
    for module in detector.networks.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.15)
            assert (module.bias != 0).any()


@pytest.mark.parametrize("side", [32, 36, 64])
def test_networks_are_the_authors(side, bench):
    """Would catch another padding, norm, order of layers or bias than PyTorch's own layers."""
    detector = prepared(side=side, channels=3, blocks=2)
    plain = bench.PlainTrainer(detector, ()).nets
    x = images(side=side, channels=3)
    for name in ("to_normal", "judge_abnormal"):
        wanted, found = plain[name](x.contiguous()), detector.networks[name](x)
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
    assert detector.networks["judge_normal"](x).shape == (4, 1, side // 8 - 2, side // 8 - 2)
    assert detector.networks["to_abnormal"](x).shape == x.shape


# ---- one step ------------------------------------------------------------------------------


@pytest.mark.numeric
def test_step_is_the_authors(bench):
    """Would catch a wrong term, weight or direction, and images stored in the wrong place.

    In float64: Adam's first step is the sign of a gradient, so in float32 the discriminators, which
    come after the generators' step, see other images where rounding turns a sign. Losses then
    differ by some thousandths; here they agree to 1e-6, and gradients too.
    """
    weights = {"weight_identity": 2.0, "weight_cycle": 3.0, "learning_rate": 1e-2}
    detector = prepared(augmentation="none", **weights)
    detector.networks.double()
    x, y = images(1).double(), images(2).double()
    plain = bench.PlainTrainer(detector, (x.contiguous, y.contiguous))
    optimizers, parts = detector.optimizers(), {"train": x, "abnormal": y}
    wanted = plain.step()
    found = detector.training_step(lambda part="train": parts[part], optimizers, generator())
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert found[name].item() == pytest.approx(value, rel=1e-6), name
    for pool, store in zip(plain.pools, detector.networks["replay"].values(), strict=True):
        torch.testing.assert_close(store.images[:4], torch.cat(pool.images), rtol=0, atol=1e-6)
        assert (store.images[4:] == 0).all()
    for name, net in plain.nets.items():
        ours = dict(detector.networks[name].named_parameters())
        scale = max(p.grad.norm() for p in net.parameters())
        for (key, p), q in zip(ours.items(), net.parameters(), strict=True):
            if p.grad is None:  # a bias in front of a norm, which has no effect
                assert p.ndim == 1 and q.grad.norm() <= 1e-6 * scale
            else:
                assert (p.grad - q.grad).norm() <= 1e-6 * scale, key


def test_losses_of_constant_networks(monkeypatch):
    """Would catch a sum for a mean and a term that is left out, by numbers worked out by hand."""
    detector = prepared(augmentation="none")

    class Constant(torch.nn.Module):
        def __init__(self, value, shape=None):
            super().__init__()
            self.value, self.shape = torch.nn.Parameter(torch.tensor(value)), shape

        def forward(self, x):
            shape = x.shape if self.shape is None else (len(x), *self.shape)
            return self.value.expand(shape)

    for name, value, shape in (
        ("to_normal", 0.25, None),
        ("to_abnormal", -0.5, None),
        ("judge_normal", 0.4, (1, 2, 2)),
        ("judge_abnormal", 0.9, (1, 2, 2)),
    ):
        detector.networks[name] = Constant(value, shape)
    x, y = torch.full((2, 1, 32, 32), 0.5), torch.full((2, 1, 32, 32), -0.25)
    parts = {"train": x, "abnormal": y}
    optimizers = detector.optimizers()
    detector.before_step(1, 10)
    found = detector.training_step(lambda part="train": parts[part], optimizers, generator())
    adversarial = (0.4 - 1) ** 2 + (0.9 - 1) ** 2
    cycle = abs(0.25 - 0.5) + abs(-0.5 + 0.25)  # N(A(x)) and A(N(y))
    identity = abs(0.25 - 0.5) + abs(-0.5 + 0.25)
    wanted = {
        "generators": adversarial + 10 * cycle + 5 * identity,
        "adversarial": adversarial,
        "cycle": cycle,
        "identity": identity,
        "judge_normal": ((0.4 - 1) ** 2 + 0.4**2) / 2,
        "judge_abnormal": ((0.9 - 1) ** 2 + 0.9**2) / 2,
    }
    assert {k: v.item() for k, v in found.items()} == pytest.approx(wanted, rel=1e-5)


def test_mixed_precision_gives_the_same_direction():
    """Would catch losses computed in bfloat16, a norm that loses digits, or stale weights."""
    gradients = {}
    for precision in ("float32", "bfloat16"):
        detector = models.CycleGAN(**TINY)
        budget = Budget(1, 8, precision)
        training.train(detector, pixels(1), budget, device="cpu", abnormal=pixels(2))
        gradients[precision] = {
            name: torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
            for name, net in detector.networks.items()
            if name != "replay"
        }
    for name, wanted in gradients["float32"].items():
        # Generators lie up to three networks deep; PyTorch's own norm gives no more there.
        least = 0.98 if name.startswith("judge") else 0.9
        assert F.cosine_similarity(wanted, gradients["bfloat16"][name], dim=0) > least, name


def test_adam_as_the_authors_set_it():
    """Would catch other momenta, or a network in the wrong optimiser."""
    detector = models.CycleGAN(**TINY)
    optimizers, nets = detector.optimizers(), detector.networks
    wanted = {
        "generators": [*nets["to_normal"].parameters(), *nets["to_abnormal"].parameters()],
        "judge_normal": list(nets["judge_normal"].parameters()),
        "judge_abnormal": list(nets["judge_abnormal"].parameters()),
    }
    assert list(optimizers) == list(wanted)
    for name, optimizer in optimizers.items():
        (group,) = optimizer.param_groups
        assert [id(p) for p in group["params"]] == [id(p) for p in wanted[name]]
        assert (group["lr"], tuple(group["betas"])) == (2e-4, (0.5, 0.999))


# ---- schedule, views, files ----------------------------------------------------------------


def test_the_rate_is_constant_for_a_tenth_and_then_falls():
    """Would catch the usual decay from the half on, a rate of zero, or one above the start."""
    assert rate_factor(1, 1) == 1
    found = [rate_factor(step, 20) for step in range(1, 21)]
    assert found[:3] == [1, 1, 1]  # two constant, then the line starts at 1
    np.testing.assert_allclose(np.diff(found[2:]), -1 / 18)
    assert found[-1] == pytest.approx(1 / 18)


def test_a_step_sets_the_rate_it_was_told():
    """Would catch a rate that depends on the steps done before, or that a resume restores."""
    detector = models.CycleGAN(**TINY, learning_rate=0.1)
    optimizers = detector.optimizers()
    for step in (20, 11):
        detector.before_step(step, 20)
        detector.training_step(lambda part="": images(), optimizers, generator())
        for optimizer in optimizers.values():
            rate = optimizer.param_groups[0]["lr"].item()
            assert rate == pytest.approx(0.1 * rate_factor(step, 20))


@pytest.mark.parametrize(("augmentation", "shared", "possible"), [
    ("hard", True, 8), ("light", False, 8), ("flip", False, 2), ("none", True, 1),
])  # fmt: skip
def test_views_of_a_pair(augmentation, shared, possible):
    """Would catch pairs turned apart, single images turned alike, or a view that never comes."""
    detector = models.CycleGAN(**TINY, augmentation=augmentation)
    x = images(n=1).expand(64, -1, -1, -1)
    normal, abnormal = detector._views(x, x, generator())
    assert torch.equal(normal, abnormal) == shared
    assert len(torch.unique(torch.cat([normal, abnormal]), dim=0)) == possible
    if augmentation == "flip":
        mirrored = x[:1].flip(3)
        assert all(torch.equal(v, x[0]) or torch.equal(v, mirrored[0]) for v in normal)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_training_ends_in_the_same_weights(tmp_path, precision, monkeypatch):
    """Would catch a replay, a rate or a count of images that a checkpoint forgets."""
    budget = Budget(9, 4, precision)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    settings = TINY | {"replay": 6}
    abnormal = pixels(1)

    def train(folder):
        detector = models.CycleGAN(**settings)
        history = training.train(detector, pixels(), budget, 3, "cpu", folder, abnormal)
        return detector, history

    class Killed(Exception):
        pass

    def killer(self, step, steps):
        if step == 8:
            raise Killed
        before_step(self, step, steps)

    before_step = models.CycleGAN.before_step
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(models.CycleGAN, "before_step", killer)
        train(tmp_path / "broken")
    (whole, history), (again, resumed) = train(tmp_path / "whole"), train(tmp_path / "broken")
    assert resumed.equals(history)
    found = again.networks.state_dict()
    assert any(key.startswith("replay") for key in found)
    for key, value in whole.networks.state_dict().items():
        assert torch.equal(found[key], value), key


def test_saved_files_hold_no_replay(tmp_path):
    """Would catch past images in a saved detector, or a file that cannot be read without them."""
    from safetensors import safe_open

    detector = prepared()
    path = detector.save(tmp_path / "detector.safetensors")
    with safe_open(path, "pt") as file:
        assert {key.split(".")[0] for key in file.keys()} == {  # noqa: SIM118 (not a dict)
            "to_normal", "to_abnormal", "judge_normal", "judge_abnormal"
        }  # fmt: skip
    np.testing.assert_array_equal(models.load(path).score(pixels()), detector.score(pixels()))


# ---- scores --------------------------------------------------------------------------------


@pytest.mark.parametrize(("score", "per_image"), [
    ("sse", lambda d: (d**2).sum((1, 2, 3))), ("mad", lambda d: d.abs().mean((1, 2, 3))),
])  # fmt: skip
def test_score_and_map_formulas(score, per_image):
    """Would catch a mean for a sum, a root, or the wrong generator."""
    detector = prepared(score=score, channels=3)
    shown = pixels(channels=3)
    x = augment.to_float(shown)
    with torch.no_grad():
        made = detector.networks["to_normal"](x)
        other = detector.networks["to_abnormal"](x)
    wanted = per_image(x - made).double().numpy()
    np.testing.assert_allclose(detector.score(shown), wanted, rtol=1e-5)
    maps = detector.anomaly_map(shown)
    np.testing.assert_allclose(maps.mean((1, 2)), wanted / (3 * 32**2 if score == "sse" else 1),
                               rtol=1e-4)  # fmt: skip
    assert torch.equal(detector.reconstruct(shown), augment.to_uint8(made))
    assert torch.equal(detector.translate(shown), augment.to_uint8(other))
    assert torch.equal(detector.translate(shown, to="normal"), detector.reconstruct(shown))
    with pytest.raises(ValueError, match="to='sick': allowed are 'normal', 'abnormal'"):
        detector.translate(shown, to="sick")


@pytest.mark.parametrize("score", ["sse", "mad", "features"])
def test_an_image_that_stays_scores_nothing(score):
    """Would catch a score that is not a distance of the image to its translation."""
    detector = models.CycleGAN(**TINY, score=score, backbone="efficientnet_lite0")
    detector.networks["to_normal"] = torch.nn.Identity()
    assert (detector.score(pixels(n=2)) == 0).all()
    assert (detector.anomaly_map(pixels(n=2)) == 0).all()


def test_feature_distance(tmp_path):
    """Would catch a root, a mean, features of other images, or batches that matter."""
    detector = prepared(score="features", backbone="efficientnet_lite0")
    shown = pixels(n=3)
    x = augment.to_float(shown)
    with torch.inference_mode():
        backbone = backbones.load("efficientnet_lite0", x.device)
        made = detector.networks["to_normal"](x)
        wanted = ((backbone.pooled(x) - backbone.pooled(made)) ** 2).sum(1)
    scores = detector.score(shown)
    np.testing.assert_allclose(scores, wanted.numpy(), rtol=1e-4)
    np.testing.assert_allclose(detector.score(shown, batch=1), scores, rtol=1e-5)
    assert not any(key.startswith("backbone") for key in detector.networks.state_dict())
    loaded = models.load(detector.save(tmp_path / "detector.safetensors"))
    np.testing.assert_array_equal(loaded.score(shown), scores)


def test_auto_names_the_backbone_only_where_it_is_used(monkeypatch):
    """Would catch a row without its backbone's name, or a look for weights that nobody needs."""
    monkeypatch.setattr(backbones, "resolve", lambda name, preferred: f"{preferred} for {name}")
    assert models.CycleGAN(**TINY).settings.backbone == "auto"
    found = models.CycleGAN(**TINY, score="features").settings.backbone
    assert found == "inception_v3 for auto"
