"""Noisy-AnoGAN's objective, growth and latent search against references written out by hand."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from adlib import models
from adlib.models import losses, training
from adlib.models.latent_search import ExactDense, frozen, latent_search, sigmoid
from adlib.models.training import Budget
from adlib.networks import augment
from adlib.networks.progressive import EPSILON, Dense, normalise

N, LATENT = 4, 6
TINY = {"side": 32, "channels": 1, "width": 8, "latent": LATENT, "search_chunk": 4}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(seed, n=N):
    """Float images in [-1, 1] that uint8 can hold."""
    values = torch.randint(0, 256, (n, 1, 32, 32), generator=generator(seed), dtype=torch.uint8)
    return augment.to_float(values)


def prepared(**settings):
    """A detector with known weights, and the same once more, which nothing trains."""
    detector = models.NoisyAnoGAN(**TINY | settings)
    training.initialise(detector, 0)
    return detector, copy.deepcopy(detector)


@pytest.fixture(scope="module")
def trained():
    """A detector after a few steps on dark and bright halves, its codes not yet searched far."""
    detector = models.NoisyAnoGAN(**TINY, first_side=16, search_steps=50)
    dark, bright = (torch.full((8, 1, 32, 32), v, dtype=torch.uint8) for v in (40, 200))
    pixels = torch.cat([dark, bright, torch.cat([dark[..., :16], bright[..., 16:]], 3)])
    training.train(detector, pixels, Budget(40, 8, "float32"), device="cpu", abnormal=bright)
    return detector


# ---- settings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"side": 28}, "sees 28 px; allowed are 32, 64, 128"),
        ({"side": 2048}, "sees 2048 px"),
        ({"gamma": 0.0}, "gamma=0.0: allowed is more than 0"),
        ({"gamma": 1.5}, "gamma=1.5"),
        ({"weighting": "both"}, "allowed are 'literal', 'theory'"),
        ({"first_side": 64}, "first_side=64 is more than the 32 px"),
        ({"score_weight": -1.0}, "score_weight=-1"),
        ({"restarts": 0}, "restarts=0: allowed is at least 1"),
        ({"search_chunk": 0}, "search_chunk=0"),
        ({"width": 2}, "width=2: allowed is at least 4 and at most 512"),
        ({"width": 520}, "width=520: allowed is at least 4 and at most 512"),
    ],
)
def test_bad_settings_are_named(settings, message):
    """Would catch a value that fails later, far from its cause."""
    with pytest.raises(ValueError, match=message):
        models.NoisyAnoGAN(**TINY | settings)


def test_gamma_1_needs_no_abnormal_images():
    """Would catch AnoGAN asking for labels, or Noisy-AnoGAN training without."""
    assert models.NoisyAnoGAN(**TINY, gamma=0.99).uses_abnormal
    assert not models.NoisyAnoGAN(**TINY, gamma=1.0).uses_abnormal


def test_adam_as_karras_set_it():
    """Would catch another momentum or epsilon, or a network without an optimiser."""
    detector, _ = prepared(learning_rate=2e-3)
    for name, optimizer in detector.optimizers().items():
        (group,) = optimizer.param_groups
        assert [id(p) for p in group["params"]] == [
            id(p) for p in detector.networks[name].parameters()
        ]
        assert (group["lr"], tuple(group["betas"]), group["eps"]) == (2e-3, (0, 0.99), 1e-8)
    assert set(detector.optimizers()) == {"generator", "discriminator"}


# ---- the objective -------------------------------------------------------------------------


def test_discriminator_loss_by_hand():
    """Would catch exchanged weights, a wrong sign, and `literal` taken for `theory`."""
    real, made, known = (torch.tensor(v) for v in ([0.3, -1.0], [0.5, 2.0], [-0.2, 1.0]))
    log, d = torch.log, torch.sigmoid
    terms = [-log(d(real)).mean(), -log(1 - d(made)).mean(), -log(1 - d(known)).mean()]
    for weighting, weights in (("literal", (0.1, 0.1, 0.9)), ("theory", (1.0, 0.1, 0.9))):
        expected = sum(w * t for w, t in zip(weights, terms, strict=True))
        loss = losses.noisy_discriminator_loss(real, made, known, 0.1, weighting)
        torch.testing.assert_close(loss, expected)
    for weighting in ("literal", "theory"):
        loss = losses.noisy_discriminator_loss(real, made, None, 1.0, weighting)
        torch.testing.assert_close(loss, terms[0] + terms[1])


def test_r1_of_known_gradients():
    """Would catch a norm that is not squared, a sum over images, or no way to the weights."""
    w = torch.tensor(2.0, requires_grad=True)
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    penalty = losses.r1_penalty(w * x.square().sum(1), x)  # gradients 2 w x
    assert penalty.item() == pytest.approx(4 * 4 * (5 + 25) / 2)
    penalty.backward()
    assert w.grad.item() == pytest.approx(2 * 2 * 4 * (5 + 25) / 2)


def step(detector, number=1, steps=1):
    """One training step; gives what was drawn, the losses and the codes of both updates."""
    drawn = []

    def draw(part="train"):
        drawn.append((part, images(len(drawn))))
        return drawn[-1][1]

    detector.before_step(number, steps)
    logged = detector.training_step(draw, detector.optimizers(), generator())
    rng = generator()
    return drawn, logged, [torch.randn(N, LATENT, generator=rng) for _ in range(2)]


@pytest.mark.parametrize(
    ("gamma", "weighting", "r1"),
    [(0.3, "literal", 3.0), (0.3, "theory", 0.0), (1.0, "theory", 3.0)],
)
def test_one_step_against_autograd(gamma, weighting, r1):
    """Would catch a wrong weight, R1 on fakes, shared statistics, abnormal images in G's update."""
    detector, before = prepared(gamma=gamma, weighting=weighting, r1=r1)
    drawn, logged, codes = step(detector)
    assert [part for part, _ in drawn] == ["train", "abnormal"][: 1 if gamma == 1 else 2]
    nets = before.networks
    judge, x = nets["discriminator"], drawn[0][1].requires_grad_(True)
    real = judge(x)
    weight = gamma if weighting == "literal" else 1.0
    loss = -weight * F.logsigmoid(real).mean()
    loss = loss - gamma * F.logsigmoid(-judge(nets["generator"](codes[0]).detach())).mean()
    if gamma < 1:
        loss = loss - (1 - gamma) * F.logsigmoid(-judge(drawn[1][1])).mean()
    torch.testing.assert_close(logged["discriminator"], loss)
    (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)
    penalty = slope.square().sum((1, 2, 3)).mean()
    weights = list(judge.parameters())
    expected = torch.autograd.grad(loss + r1 / 2 * penalty, weights, allow_unused=True)
    unused = [k for k, g in enumerate(expected) if g is None]
    assert len(unused) == 6  # from_image of the three lower stages
    for p, wanted in zip(detector.networks["discriminator"].parameters(), expected, strict=True):
        if wanted is None:
            assert p.grad is None
        else:
            torch.testing.assert_close(p.grad, wanted, rtol=1e-3, atol=1e-5)
    made = detector.networks["discriminator"](nets["generator"](codes[1]))
    loss = -F.logsigmoid(made).mean()
    torch.testing.assert_close(logged["loss"], loss)
    weights = [p for n, p in nets["generator"].named_parameters() if "to_image" not in n]
    ours = [p for n, p in detector.networks["generator"].named_parameters() if "to_image" not in n]
    for p, wanted in zip(ours, torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(p.grad, wanted, rtol=1e-3, atol=1e-5)


def test_gamma_1_ignores_abnormal_images():
    """Would catch labelled abnormal images that reach AnoGAN's weights."""
    pixels, budget = augment.to_uint8(images(0, 8)), Budget(2, N, "float32")
    found = []
    for abnormal in (None, augment.to_uint8(images(1, 8))):
        detector = models.NoisyAnoGAN(**TINY, gamma=1.0)
        training.train(detector, pixels, budget, device="cpu", abnormal=abnormal)
        found.append(detector.networks.state_dict())
    assert all(torch.equal(found[0][k], found[1][k]) for k in found[0])


def test_lazy_penalty():
    """Would catch a penalty at every step, one without its weight, or a log that changes names."""
    gradients = {}
    for every, number in ((1, 2), (2, 2), (2, 1)):
        detector, _ = prepared(penalty_every=every, r1=4.0, first_side=32)
        _, logged, _ = step(detector, number, 2)
        gradients[every, number] = detector.networks["discriminator"].blocks[2].first.weight.grad
        assert list(logged) == ["discriminator", "penalty", "real", "fake", "abnormal", "loss"]
        assert (logged["penalty"] > 0) == (number % every == 0)
    once = gradients[1, 2] - gradients[2, 1]  # the same images: only the penalty differs
    torch.testing.assert_close(gradients[2, 2] - gradients[2, 1], 2 * once, rtol=1e-2, atol=1e-4)


def test_growth_follows_the_budget():
    """Would catch a network left behind, and a level that depends on earlier calls."""
    detector, _ = prepared(first_side=8)
    for number, level in ((10, 3.0), (1, 1.0), (4, 2.0), (3, 1.5)):
        detector.before_step(number, 10)
        for network in detector.networks.values():
            assert network.level.item() == pytest.approx(level, abs=0.5)
            assert network.level == detector.networks["generator"].level
    assert detector.networks["generator"].stage == 2


def test_a_half_grown_snapshot_scores(tmp_path):
    """Would catch a snapshot that scores at another level, or not at all."""
    detector, _ = prepared(search_steps=3)
    for network in detector.networks.values():
        network.grow(1.4)
    detector.networks["discriminator"].deviation.fill_(0.1)
    pixels = augment.to_uint8(images(0))
    loaded = models.load(detector.save(tmp_path / "half.safetensors"))
    np.testing.assert_array_equal(loaded.score(pixels), detector.score(pixels))
    made = loaded.reconstruct(pixels)
    assert made.shape == pixels.shape
    assert torch.equal(made, made[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3))
    for network in detector.networks.values():
        network.grow(3)
    assert (loaded.score(pixels) != detector.score(pixels)).all()


# ---- the search ----------------------------------------------------------------------------


def reference_loss(detector, x, z):
    """Equations 24 and 25 from plain forward passes of the detector's own networks, `(n,)`."""
    s, nets = detector.settings, detector.networks
    made = nets["generator"](z)
    pixels = (x - made).abs().sum((1, 2, 3))
    features = [nets["discriminator"].features(v) for v in (x, made)]
    distance = (features[0] - features[1]).abs().sum((1, 2, 3))
    plain = (1 - s.score_weight) * pixels + s.score_weight * distance
    unlike = (1 - nets["discriminator"](made).sigmoid()).abs()
    return s.gamma * plain + (1 - s.gamma) * unlike


def start_codes(n, latent=LATENT, dtype=torch.float32):
    return normalise(torch.randn(latent, generator=generator())[None].to(dtype)).repeat(n, 1)


@pytest.mark.numeric
@pytest.mark.parametrize("settings", [{"gamma": 0.2}, {"gamma": 1.0, "score_weight": 0.7}])
def test_search_is_algorithm_1(settings):
    """Would catch a wrong share or sign, another layer, codes left unnormalised, other updates.

    In float64: Adam's first step is the sign of a gradient, and in float32 four steps make of a
    sign that rounding turns some grey levels. Here 1e-14 has 8 digits to grow in.
    """
    detector, _ = prepared(search_steps=4, search_rate=0.2, **settings)
    nets = detector.networks.double()
    nets["discriminator"].deviation.fill_(0.3)
    nets.eval()
    x, z = images(0, 3).double(), start_codes(3, dtype=torch.float64).requires_grad_(True)
    optimizer = torch.optim.Adam([z], 0.2)
    for k in range(4):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 + np.cos(np.pi * k / 4))
        optimizer.zero_grad()
        reference_loss(detector, x, z).sum().backward()
        optimizer.step()
        z.data = z.data / (z.data.square().mean(1, keepdim=True) + EPSILON).sqrt()
    with torch.no_grad():
        expected, wanted = reference_loss(detector, x, z), nets["generator"](z)
    scores, made = detector._search(x)
    torch.testing.assert_close(scores, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-6)


def test_one_search_gives_all_three(trained):
    """Would catch scores, images and maps of different searches, or patches out of order."""
    pixels = augment.to_uint8(images(0, 5))
    short = models.NoisyAnoGAN(**TINY, search_steps=10)
    short.networks.load_state_dict(trained.networks.state_dict())
    found, made = short._search(augment.to_float(pixels))
    np.testing.assert_array_equal(short.score(pixels), found.double())
    assert torch.equal(short.reconstruct(pixels), augment.to_uint8(made))
    maps = (augment.to_float(pixels) - made).abs().mean(1)
    np.testing.assert_allclose(short.anomaly_map(pixels), maps, rtol=1e-6, atol=1e-7)
    patched = models.NoisyAnoGAN(**TINY | {"side": 64, "patch": 32, "search_steps": 5})
    for detector, x in ((short, pixels), (patched, pixels.repeat(1, 1, 2, 2))):
        scores, again, maps = detector.search(x)
        np.testing.assert_array_equal(scores, detector.score(x))
        np.testing.assert_allclose(maps, detector.anomaly_map(x), rtol=1e-6, atol=1e-7)
        assert torch.equal(again, detector.reconstruct(x))


def test_search_lowers_the_loss(trained):
    """Would catch a search that climbs, stands still, or does no better than random codes."""
    pixels = augment.to_uint8(images(0, 5))
    pixels[1], pixels[2] = 40, 200  # what was trained on
    x = augment.to_float(pixels)
    scores = trained.score(pixels)
    with torch.no_grad():
        trained.networks.eval()
        first = reference_loss(trained, x, start_codes(5))
        random = torch.stack(
            [reference_loss(trained, x, torch.randn(5, LATENT, generator=generator(k)))
             for k in range(1, 9)]
        )  # fmt: skip
    assert (scores < first.numpy()).all()
    assert (scores[1:3] < random.mean(0).numpy()[1:3]).all()
    assert np.median(scores / random.numpy().mean(0)) < 0.97


@pytest.mark.numeric
def test_images_do_not_mix(trained):
    """Would catch one image's gradient in another's code, at a search as long as it matters.

    Equal to the last bit, on any kernels: a search amplifies what differs there.
    """
    detector = models.NoisyAnoGAN(**TINY | {"search_chunk": 7}, search_steps=50)
    detector.networks.load_state_dict(trained.networks.state_dict())
    pixels = augment.to_uint8(images(0, 7))
    scores = detector.score(pixels)
    np.testing.assert_array_equal(detector.score(pixels, batch=3), scores)
    np.testing.assert_array_equal(detector.score(pixels.flip(0)), scores[::-1])
    other = detector.score(torch.cat([pixels[:1], 255 - pixels[1:]]))
    assert other[0] == scores[0] and (other[1:] != scores[1:]).all()


@pytest.mark.numeric
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_rows_of_exact_layers_are_the_same_in_any_order(kind):
    """Would catch a sum that rounds, for its order is that of the kernel, and lost digits.

    Inputs in another order are added in another order: plain products fail here in either type.
    """
    rng = generator()
    layer = Dense(513, 130).to(kind)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(7, 513, generator=rng, dtype=kind).requires_grad_(True)
    slope = torch.randn(7, 130, generator=rng, dtype=kind)
    exact = frozen(torch.nn.Sequential(layer))
    assert isinstance(exact[0], ExactDense)
    found = [exact(x), *torch.autograd.grad(exact(x), x, slope)]
    weight = layer.weight.data.double() * layer.scale
    wanted = x.double() @ weight.T + layer.bias.double(), slope.double() @ weight
    tolerance = 1e-6 if kind == torch.float32 else 1e-10
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=tolerance, atol=tolerance)
    rows, inputs, outputs = (torch.randperm(n, generator=rng) for n in (7, 513, 130))
    turned = copy.deepcopy(layer)
    turned.weight.data = layer.weight.data[outputs][:, inputs]
    turned.bias.data = layer.bias.data[outputs]
    turned = frozen(torch.nn.Sequential(turned))
    y = x.detach()[rows][:, inputs].requires_grad_(True)
    assert torch.equal(turned(y), found[0][rows][:, outputs])
    (gradient,) = torch.autograd.grad(turned(y), y, slope[rows][:, outputs])
    assert torch.equal(gradient, found[1][rows][:, inputs])


def test_a_sigmoid_is_the_same_in_every_place():
    """Would catch values in a vector's rest being computed by another formula.

    Of a thousand values PyTorch's own gives some tens another last digit there, with AVX2 or more.
    """
    x = torch.linspace(-10, 10, 1001)
    whole = sigmoid(x)
    torch.testing.assert_close(whole, 1 / (1 + (-x.double()).exp()).float())
    assert torch.equal(torch.cat([sigmoid(value) for value in x.split(1)]), whole)
    assert torch.equal(torch.cat([sigmoid(values) for values in x.split(19)]), whole)


def test_losses_of_a_search_are_separate():
    """Would catch codes that share a gradient, and losses that are not those of the codes given."""
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    start = normalise(torch.tensor([[0.3, 1.0], [1.0, 0.2]]))
    codes, values = latent_search(lambda z: -(z * weights).sum(1), start, 300, 0.1)
    torch.testing.assert_close(codes, weights * 2**0.5, atol=1e-2, rtol=0)  # on the circle
    torch.testing.assert_close(values, -(codes * weights).sum(1))
    torch.testing.assert_close(codes.square().mean(1), torch.ones(2))


def test_more_restarts_are_never_worse(trained):
    """Would catch starts that others replace, and a start that is kept before it is compared."""
    pixels = augment.to_uint8(images(0, 5))
    found = []
    for restarts in (1, 4):
        detector = models.NoisyAnoGAN(**TINY, restarts=restarts, search_steps=10, search_rate=0.02)
        detector.networks.load_state_dict(trained.networks.state_dict())
        scores, _, maps = detector.search(pixels)
        found.append(scores)
    assert (found[1] <= found[0] * (1 + 1e-4)).all()
    assert maps.mean((1, 2)).shape == (5,)


def test_the_best_restart_is_kept():
    """Would catch the first, the last or the worst restart being kept.

    Images are what the starts give, so each knows its own, whatever the weights are.
    """
    settings = {"gamma": 1.0, "restarts": 4, "search_steps": 1, "search_rate": 1e-6}
    detector, _ = prepared(**settings)
    rng = generator()
    starts = torch.stack([torch.randn(LATENT, generator=rng) for _ in range(4)])
    with torch.no_grad():
        x = detector.networks.eval()["generator"](starts)
    scores, made = detector._search(x)
    others = torch.stack([(x - x.roll(k, 0)).abs().sum((1, 2, 3)) for k in (1, 2, 3)]).amin(0)
    assert (scores < 0.01 * others).all()
    torch.testing.assert_close(made, x, rtol=0, atol=1e-3)


def test_a_search_leaves_the_networks_alone(trained):
    """Would catch weights, modes or gradients that a search changes."""
    before = copy.deepcopy(trained.networks.state_dict())
    trained.networks.train()
    trained.score(augment.to_uint8(images(0, 2)))
    after = trained.networks.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert all(p.requires_grad for p in trained.networks.parameters())
    assert not any(p.is_inference() for p in trained.networks.parameters())
    copied = frozen(trained.networks)
    assert not copied.training and not any(p.requires_grad for p in copied.parameters())
    z = start_codes(2)
    torch.testing.assert_close(copied["generator"](z), trained.networks["generator"](z))
