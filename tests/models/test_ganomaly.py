"""GANomaly's networks, losses and score against the authors' construction, written out plainly."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from adlib import models
from adlib.models import ganomaly, training
from adlib.models.training import Budget
from adlib.networks import augment, kernels, pyramid

N = 6
TINY = {"side": 32, "channels": 1, "width": 4, "latent": 8}
LOSSES = ["code", "release", "paper"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(seed=0, n=N, side=32, channels=1):
    """A batch as training draws it, float in [-1, 1]."""
    return torch.rand(n, channels, side, side, generator=generator(seed)) * 2 - 1


def prepared(**settings):
    """A detector with known weights, and the same networks once more, which nothing trains."""
    detector = models.GANomaly(**TINY | settings)
    training.initialise(detector, 0)
    return detector, copy.deepcopy(detector.networks)


def trained(steps=40, **settings):
    """A detector whose batch statistics and codes are no longer those of the start."""
    detector = models.GANomaly(**TINY | {"learning_rate": 2e-3} | settings)
    pixels = augment.to_uint8(images(1, 32, detector.settings.side))
    training.train(detector, pixels, Budget(steps, 8, "float32"), device="cpu")
    return detector


# ---- sizes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [16, 24, 40, 100, 250, 272, 512])
def test_other_sides_are_refused(side):
    """Would catch a side for which the networks do not meet the image's size."""
    with pytest.raises(ValueError, match=f"sees {side} px; allowed are multiples of 16 from 32 to"):
        models.GANomaly(side=side)
    with pytest.raises(ValueError, match="losses='both': allowed are 'code', 'release', 'paper'"):
        models.GANomaly(losses="both")
    with pytest.raises(ValueError, match="score='l2': allowed are 'squared', 'l1'"):
        models.GANomaly(score="l2")


@pytest.mark.parametrize(("side", "channels", "g", "d"), [
    (32, 1, 3_200_384, 661_248),
    (64, 3, 10_729_856, 2_765_568),
])  # fmt: skip
def test_parameter_counts(side, channels, g, d):
    """Would catch a layer, a bias or a width that differs from the authors' networks."""
    counts = models.GANomaly(side=side, channels=channels).parameter_counts()
    assert counts == {"generator": g, "discriminator": d}


def maps(network, x):
    """Shapes that leave the convolutions of a network, in the order they run."""
    seen, kinds = [], nn.Conv2d | nn.ConvTranspose2d
    hooks = [
        m.register_forward_hook(lambda _, i, o: seen.append(tuple(o.shape[1:])))
        for m in network.modules()
        if isinstance(m, kinds)
    ]
    network(x)
    for hook in hooks:
        hook.remove()
    return seen


def test_maps_are_the_authors():
    """Would catch another padding, stride, width or order of layers."""
    nets = models.GANomaly().networks
    x = images(channels=3)
    down = [(64, 16, 16), (128, 8, 8), (256, 4, 4)]
    up = [(256, 4, 4), (128, 8, 8), (64, 16, 16), (3, 32, 32)]
    assert maps(nets["generator"], x) == [*down, (100,), *up, *down, (100,)]
    assert maps(nets["discriminator"], x) == [*down, (1,)]


@pytest.mark.parametrize("side", range(32, 257, 16))
def test_every_multiple_of_16_comes_back(side):
    """Would catch a decoder that ends in another size than the encoder took."""
    detector = models.GANomaly(side=side, width=1, latent=2, channels=3)
    count, rest = pyramid.halvings(side)
    assert side == rest * 2**count and rest >= 3 and (rest <= 4 or rest % 2)
    if side & (side - 1) == 0:  # the only sides of the authors' own construction
        assert rest == 4
    x = images(n=2, side=side, channels=3)
    again, code, second = detector.networks["generator"](x)
    logit, features = detector.networks["discriminator"](x)
    assert again.shape == x.shape and again.abs().max() <= 1
    assert code.shape == second.shape == (2, 2) and logit.shape == (2,)
    assert features.shape == (2, 2 ** (count - 1), rest, rest)


@pytest.mark.parametrize(("layer", "plain", "shape"), [
    (pyramid.FromMap(5, 7, 4, bias=False), F.conv2d, (3, 5, 4, 4)),
    (pyramid.ToMap(7, 5, 4, bias=False), F.conv_transpose2d, (3, 7, 1, 1)),
    (pyramid.Halve(5, 7), F.conv2d, (3, 5, 8, 12)),
    (pyramid.Double(7, 5), F.conv_transpose2d, (3, 7, 4, 6)),
])  # fmt: skip
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_layers_are_pytorchs_convolutions(layer, plain, shape, memory_format):
    """Would catch a weight read or a gradient summed in another order than a convolution's."""
    x = torch.randn(shape, generator=generator()).to(memory_format=memory_format).requires_grad_()
    strided = () if layer.padding == (0, 0) else (None, 2, 1)
    wanted = plain(x, layer.weight, *strided)
    got = layer(x.flatten(1) if shape[-1] == 1 else x)
    torch.testing.assert_close(got.view_as(wanted), wanted, rtol=1e-4, atol=1e-5)
    g = torch.randn(wanted.shape, generator=generator(1)).to(memory_format=memory_format)
    for found, gradient in zip(
        torch.autograd.grad(got, (x, layer.weight), g.view_as(got)),
        torch.autograd.grad(wanted, (x, layer.weight), g),
        strict=True,
    ):
        torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("doubles", "shape"), [(False, (3, 5, 8, 12)), (True, (3, 5, 4, 6))])
def test_weight_gradient_by_hand(doubles, shape):
    """Would catch a gradient of the bfloat16 path that is summed in another order."""
    x = torch.randn(shape, generator=generator(), dtype=torch.double, requires_grad=True)
    weight = torch.randn(5, 5, 4, 4, generator=generator(1), dtype=torch.double, requires_grad=True)
    conv = F.conv_transpose2d if doubles else F.conv2d
    assert torch.equal(kernels._Strided.apply(x, weight, doubles), conv(x, weight, None, 2, 1))
    assert torch.autograd.gradcheck(lambda a, w: kernels._Strided.apply(a, w, doubles), (x, weight))


def test_start_is_the_authors():
    """Would catch PyTorch's own initial weights (anomalib's mistake) or a bias in a convolution."""
    detector = models.GANomaly()
    training.initialise(detector, 0)
    for module in detector.networks.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert module.bias is None
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.bias == 0).all()
            assert module.weight.mean().item() == pytest.approx(1, abs=0.01)
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.4)


def test_adam_as_the_authors_set_it():
    """Would catch other momenta or rates, or a network in the wrong optimiser."""
    detector = models.GANomaly(**TINY)
    optimizers = detector.optimizers()
    assert set(optimizers) == set(detector.networks)
    for name, optimizer in optimizers.items():
        (group,) = optimizer.param_groups
        assert [id(p) for p in group["params"]] == [
            id(p) for p in detector.networks[name].parameters()
        ]
        assert (group["lr"], tuple(group["betas"])) == (2e-4, (0.5, 0.999))


# ---- one step ------------------------------------------------------------------------------


def cross_entropy(logit, label):
    return F.binary_cross_entropy(torch.sigmoid(logit), torch.full_like(logit, label))


def plain_step(nets, x, losses, weights):
    """The authors' step with every pass written out: logged values and gradients by network."""
    g, d = nets["generator"], nets["discriminator"]
    again, code, second = g(x)

    def update_d():
        on_real = cross_entropy(d(x)[0], 1.0)
        on_fake = cross_entropy(d(again.detach())[0], 0.0)
        loss = (on_real + on_fake) * (0.5 if losses == "code" else 1.0)
        return [loss, on_real, on_fake], torch.autograd.grad(loss, list(d.parameters()))

    if losses == "release":
        found_d = update_d()
        adam = torch.optim.Adam(d.parameters(), 2e-4, (0.5, 0.999))
        for p, gradient in zip(d.parameters(), found_d[1], strict=True):
            p.grad = gradient.clone()
        adam.step()
    f, f_again = d(x)[1].detach(), d(again)[1]
    adversarial = {
        "code": lambda: ((f - f_again) ** 2).mean(),
        "release": lambda: cross_entropy(d(again)[0], 1.0),
        "paper": lambda: ((f.mean(0) - f_again.mean(0)) ** 2).sum().sqrt(),
    }[losses]()
    latent = (code - second).abs().mean() if losses == "paper" else ((code - second) ** 2).mean()
    terms = [adversarial, (x - again).abs().mean(), latent]
    loss = sum(w * term for w, term in zip(weights, terms, strict=True))
    gradients = torch.autograd.grad(loss, list(g.parameters()), retain_graph=True)
    if losses != "release":
        found_d = update_d()
    return [loss, *terms, *found_d[0]], {"generator": gradients, "discriminator": found_d[1]}


@pytest.mark.parametrize("losses", LOSSES)
def test_step_is_the_authors(losses):
    """Would catch a wrong term, weight, sign or order of updates, or batch statistics mixed."""
    weights = {"adversarial": 3.0, "reconstruction": 2.0, "latent": 5.0}
    settings = {f"weight_{k}": v for k, v in weights.items()}
    detector, before = prepared(losses=losses, **settings)
    for nets in (detector.networks, before):
        with torch.no_grad():
            for p in nets.parameters():
                p *= 3 if p.ndim == 4 else 1  # fresh networks hardly tell images apart
    x = images()
    logged = detector.training_step(lambda: x, detector.optimizers(), generator())
    values, gradients = plain_step(before, x, losses, weights.values())
    names = ["generator", *weights, "discriminator", "discriminator_real", "discriminator_fake"]
    assert list(logged) == [*names, "restarts"] and logged["restarts"] == 0
    for name, value in zip(names, values, strict=True):
        torch.testing.assert_close(logged[name], value, rtol=1e-4, atol=1e-6, msg=name)
    for name, wanted in gradients.items():
        scale = max(w.norm() for w in wanted)
        for (key, p), w in zip(detector.networks[name].named_parameters(), wanted, strict=True):
            assert (p.grad - w).norm() <= 1e-3 * w.norm() + 1e-5 * scale, f"{name}.{key}"


@pytest.mark.parametrize("name", ["adversarial", "reconstruction", "latent"])
@pytest.mark.parametrize("losses", LOSSES)
def test_every_term_reaches_the_generator(losses, name):
    """Would catch a term without gradient, as the authors' first feature matching had."""
    weights = {f"weight_{k}": float(k == name) for k in ("adversarial", "reconstruction", "latent")}
    detector, _ = prepared(losses=losses, **weights)
    detector.training_step(images, detector.optimizers(), generator())
    assert all((p.grad != 0).any() for p in detector.networks["generator"].encoder.parameters())


def test_mixed_precision_gives_the_same_direction():
    """Would catch losses computed in bfloat16 or a pass that sees stale weights."""
    pixels = augment.to_uint8(images(2, 32))
    gradients = {}
    for precision in ("float32", "bfloat16"):
        detector = models.GANomaly(**TINY)
        training.train(detector, pixels, Budget(1, 16, precision), device="cpu")
        gradients[precision] = {
            name: torch.cat([p.grad.flatten() for p in network.parameters()])
            for name, network in detector.networks.items()
        }
    for name, wanted in gradients["float32"].items():
        assert F.cosine_similarity(wanted, gradients["bfloat16"][name], dim=0) > 0.98, name


# ---- restarts of the discriminator ---------------------------------------------------------


def test_restarts_are_looked_for_every_25_steps(monkeypatch):
    """Would catch a restart that is never made, made in between, or not counted."""
    pixels = augment.to_uint8(images(3, 16))
    budget = Budget(30, 4, "float32")
    assert training.train(models.GANomaly(**TINY), pixels, budget, device="cpu").restarts.sum() == 0
    monkeypatch.setattr(ganomaly, "TOO_EASY", 1e9)
    history = training.train(models.GANomaly(**TINY), pixels, budget, device="cpu")
    assert history.step[history.restarts == 1].tolist() == [25]


@pytest.mark.parametrize("looks", [False, True])
def test_a_restart_draws_new_weights(looks, monkeypatch):
    """Would catch a restart that keeps the old weights or touches the generator."""
    monkeypatch.setattr(ganomaly, "TOO_EASY", 1e9)
    detector, before = prepared()
    detector.before_step(50 if looks else 51, 100)
    logged = detector.training_step(images, detector.optimizers(), generator())
    assert logged["restarts"] == float(looks)
    for name, network in detector.networks.items():
        new = looks and name == "discriminator"
        pairs = zip(network.parameters(), before[name].parameters(), strict=True)
        change = max((a - b).abs().max() for a, b in pairs)
        assert (change > 0.01) if new else (change < 1e-3), name


# ---- scores --------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["squared", "l1"])
def test_score_and_map_formulas(score):
    """Would catch a sum for a mean, a root, or codes of the same encoder compared."""
    detector = trained(score=score)
    g = detector.networks["generator"]
    pixels = augment.to_uint8(images(7))
    x = augment.to_float(pixels)
    with torch.no_grad():
        code = g.encoder(x)
        again = g.decoder(code)
        difference = code - g.second_encoder(again)
    wanted = (difference**2).sum(1) / 8 if score == "squared" else difference.abs().sum(1)
    torch.testing.assert_close(torch.from_numpy(detector.score(pixels)).float(), wanted)
    found = torch.from_numpy(detector.anomaly_map(pixels))
    torch.testing.assert_close(found, (x - again).abs()[:, 0])
    assert torch.equal(detector.reconstruct(pixels), augment.to_uint8(again))


def test_features_are_those_of_evaluation_mode():
    """Would catch features that depend on the batch or come from another layer."""
    detector = trained()
    pixels = augment.to_uint8(images(7))
    features = detector.features(pixels)
    assert features.shape == (N, 16 * 4 * 4) and features.dtype == np.float32
    np.testing.assert_allclose(detector.features(pixels, batch=1), features, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        wanted = detector.networks["discriminator"](augment.to_float(pixels))[1].flatten(1)
    np.testing.assert_allclose(features, wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_training_mode_scores_are_the_authors_and_leave_no_trace():
    """Would catch an audit that shows other numbers, or that moves the running statistics."""
    detector = trained()
    pixels = augment.to_uint8(images(8, 12) * torch.linspace(0.1, 1, 12)[:, None, None, None])
    honest = detector.score(pixels)
    before = {k: v.clone() for k, v in detector.networks.state_dict().items()}
    found = detector.score_in_training_mode(pixels, batch=5)
    assert found.shape == (12,) and found.dtype == np.float64
    assert all(torch.equal(v, before[k]) for k, v in detector.networks.state_dict().items())
    assert not any(m.training for m in detector.networks.modules())
    np.testing.assert_array_equal(detector.score(pixels), honest)
    assert np.abs(found / honest - 1).max() > 0.05
    order = torch.arange(11, -1, -1)
    other = detector.score_in_training_mode(pixels[order], batch=5)[::-1]
    assert np.abs(found / other - 1).max() > 0.05
    plain = copy.deepcopy(detector.networks["generator"]).train()
    with torch.no_grad():
        for k in (0, 5, 10):
            _, code, second = plain(augment.to_float(pixels[k : k + 5]))
            wanted = ((code - second) ** 2).mean(1)
            np.testing.assert_allclose(found[k : k + 5], wanted.numpy(), rtol=1e-3)


def test_texture_mode_takes_the_highest_patch():
    """Would catch patches that are averaged, or mixed up between images."""
    detector = models.GANomaly(**TINY | {"side": 64, "patch": 32})
    whole = models.GANomaly(**TINY)
    whole.networks.load_state_dict(detector.networks.state_dict())
    pixels = augment.to_uint8(images(9, 3, 64))
    tiles = augment.tile(pixels, 32)
    wanted = whole.score(tiles).reshape(3, 4).max(1)
    np.testing.assert_allclose(detector.score(pixels), wanted, rtol=1e-4)
    wanted = whole.score_in_training_mode(tiles, batch=8).reshape(3, 4).max(1)
    found = detector.score_in_training_mode(pixels, batch=8)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert detector.features(pixels).shape == (3, 4 * 16 * 4 * 4)
