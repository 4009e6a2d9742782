"""CBiGAN's losses, gradients and score against the paper's equations, written out term by term."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from adlib import models
from adlib.models import training
from adlib.models.training import Budget
from adlib.networks import augment

N, LATENT = 4, 8
TINY = {"side": 32, "width": 2, "latent": LATENT}
PENALTIES = ["joint", "authors"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(seed):
    """A batch as training draws it, float in [-1, 1]."""
    return torch.rand(N, 3, 32, 32, generator=generator(seed)) * 2 - 1


def networks(detector):
    """E, G and D (None without a critic)."""
    nets = dict(detector.networks)
    return nets["encoder"], nets["generator"], nets.get("critic")


def prepared(**settings):
    """A detector with known weights, and the same networks once more, which nothing trains."""
    detector = models.CBiGAN(**TINY | settings)
    training.initialise(detector, 0)
    return detector, copy.deepcopy(detector)


def step(detector):
    """One training step in float32: the batches drawn, the optimisers, and the random numbers.

    `.z` and `.mix` are those of the one critic update (where there is one), `.prior` is the z of
    the encoder's and generator's update.
    """
    batches, optimizers = [], detector.optimizers()

    def draw():
        batches.append(images(len(batches)))
        return batches[-1]

    detector.training_step(draw, optimizers, generator())
    rng, found = generator(), SimpleNamespace(batches=batches, optimizers=optimizers)
    if "critic" in detector.networks:
        found.z = torch.randn(N, LATENT, generator=rng)
        found.mix = torch.rand(N, generator=rng)
    found.prior = torch.randn(N, LATENT, generator=rng)
    return found


def points(penalty, found, encoder, gen):
    """Where the gradient penalty is taken: `mix` of the first, the rest of the second."""
    x, z = found.batches[0], found.z
    with torch.no_grad():
        code, made = encoder(x), gen(z)
    pair = {"joint": (code, z), "authors": (z, code)}[penalty]
    m, m4 = found.mix[:, None], found.mix[:, None, None, None]
    return m4 * x + (1 - m4) * made, m * pair[0] + (1 - m) * pair[1]


def size(gradients):
    return torch.stack([g.norm() for g in gradients]).norm()


def assert_gradients(network, expected):
    """The gradients left in a network are the expected ones, parameter by parameter."""
    scale = size(expected)
    for (name, p), wanted in zip(network.named_parameters(), expected, strict=True):
        worst = (p.grad - wanted).norm()
        assert worst <= 1e-3 * wanted.norm() + 1e-6 * scale, f"{name}: {worst} of {wanted.norm()}"


def l1(a, b):
    """Sum of absolute differences of each sample."""
    return (a - b).abs().flatten(1).sum(1)


# ---- the score -----------------------------------------------------------------------------


def critic_features(critic, layer, x, z):
    """f_D read off a whole pass of the critic."""
    kept = {}
    hooks = [
        critic.output.register_forward_pre_hook(lambda _, i: kept.update(dense=i[0].clone())),
        critic.trunk.register_forward_hook(lambda _, i, o: kept.update(image_map=o.clone())),
        # A copy: the activation that follows works in place.
        critic.trunk[0].first.register_forward_hook(
            lambda _, i, o: kept.update(first_conv=o.clone())
        ),
    ]
    critic(x, z)
    for hook in hooks:
        hook.remove()
    return kept[layer]


@pytest.mark.parametrize("layer", ["dense", "image_map", "first_conv"])
def test_score_is_equation_7(layer):
    """Would catch wrong shares, a mean for a sum, another layer, or E(G(E(x))) in the features."""
    detector, _ = prepared(feature_layer=layer)
    pixels = augment.to_uint8(images(7))
    x = augment.to_float(pixels)
    encoder, gen, critic = networks(detector)
    with torch.no_grad():
        for p in critic.parameters():
            p *= 3  # fresh features hardly differ, and could be left out
        code = encoder(x)
        again = gen(code)
        features = l1(*(critic_features(critic, layer, image, code) for image in (x, again)))
        expected = 0.9 * l1(x, again) + 0.1 * features
    assert (0.1 * features > 1e-2 * expected).all()
    assert (0.9 * l1(x, again) > 1e-2 * expected).all()
    torch.testing.assert_close(torch.from_numpy(detector.score(pixels)).float(), expected)


def test_score_of_the_double_autoencoder_is_the_pixels():
    """Would catch a share taken off the pixels, or asked of a critic that is not there."""
    detector, _ = prepared(alpha=1.0)
    pixels = augment.to_uint8(images(7))
    x = augment.to_float(pixels)
    encoder, gen, critic = networks(detector)
    assert critic is None
    with torch.no_grad():
        expected = l1(x, gen(encoder(x)))
    torch.testing.assert_close(torch.from_numpy(detector.score(pixels)).float(), expected)


# ---- one step ------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", PENALTIES)
def test_critic_follows_equation_6(penalty):
    """Would catch a wrong sign, pair or weight in the critic's loss or its gradient penalty."""
    detector, before = prepared(penalty=penalty, penalty_weight=3.0)
    found = step(detector)
    encoder, gen, critic = networks(before)
    x, z = found.batches[0], found.z
    adversarial = critic(gen(z), z).mean() - critic(x, encoder(x)).mean()
    where = [p.requires_grad_() for p in points(penalty, found, encoder, gen)]
    slopes = torch.autograd.grad(critic(*where).sum(), where, create_graph=True)
    norms = torch.cat([s.flatten(1) for s in slopes], 1).norm(dim=1)
    terms = adversarial, 3.0 * ((norms - 1) ** 2).mean()
    weights = list(critic.parameters())
    parts = [torch.autograd.grad(t, weights, retain_graph=True, allow_unused=True) for t in terms]
    parts = [[torch.zeros_like(w) if g is None else g for g, w in zip(part, weights, strict=True)]
             for part in parts]  # fmt: skip
    assert min(map(size, parts)) > 0.01 * max(map(size, parts))  # else one could be left out
    assert_gradients(detector.networks["critic"], [a + b for a, b in zip(*parts, strict=True)])


@pytest.mark.parametrize("bias", ["all", "authors"])
@pytest.mark.parametrize("side", [32, 64])
def test_slopes_are_autograds(side, bias):
    """Would catch a gradient, or its own derivative for a weight, that leaves a path out."""
    critic = models.CBiGAN(**TINY | {"side": side, "bias": bias}).networks["critic"].double()
    x = torch.randn(N, 3, side, side, generator=generator(), dtype=torch.double)
    z = torch.randn(N, LATENT, generator=generator(1), dtype=torch.double)
    weights = list(critic.parameters())
    inputs = x.clone().requires_grad_(), z.clone().requires_grad_()
    slopes = torch.autograd.grad(critic(*inputs).sum(), inputs, create_graph=True)
    found = critic.slopes(x, z)
    torch.testing.assert_close(found, slopes, rtol=1e-10, atol=1e-14)
    parts = [
        torch.autograd.grad(sum(g.square().sum() for g in both), weights, allow_unused=True)
        for both in (found, slopes)
    ]
    for got, wanted in zip(*parts, strict=True):
        if wanted is None or not wanted.any():
            assert got is None or not got.any()  # biases
        else:
            torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("alpha", [0.0, 0.01, 1.0])
def test_players_follow_equation_13(alpha, reduction):
    """Would catch a wrong sign, weight, norm or reduction, or a path without gradient."""
    detector, before = prepared(alpha=alpha, reduction=reduction)
    found = step(detector)
    encoder, gen, _ = networks(before)
    critic = networks(detector)[2]  # as the critic's update left it
    x, z = found.batches[-1], found.prior
    over_batch = getattr(torch, reduction)
    terms = {"image": alpha * over_batch(l1(x, gen(encoder(x))))}
    terms["latent"] = alpha * over_batch(l1(z, encoder(gen(z))))
    if critic is not None:
        adversarial = critic(x, encoder(x)).mean() - critic(gen(z), z).mean()
        terms["adversarial"] = (1 - alpha) * adversarial
    weights = [*encoder.parameters(), *gen.parameters()]
    parts = {
        name: torch.autograd.grad(term, weights, retain_graph=True) for name, term in terms.items()
    }
    for name, part in parts.items():  # else a term could be left out
        assert size(part) > 0.01 * max(map(size, parts.values())) or alpha == 0, name
    expected = [sum(of_one) for of_one in zip(*parts.values(), strict=True)]
    count = len(list(encoder.parameters()))
    assert_gradients(detector.networks["encoder"], expected[:count])
    assert_gradients(detector.networks["generator"], expected[count:])


@pytest.mark.parametrize("penalty", PENALTIES)
def test_points_of_the_penalty(penalty):
    """Would catch images and codes mixed with the wrong partners or with exchanged shares."""
    detector, before = prepared(penalty=penalty)
    seen, critic = [], detector.networks["critic"]

    def noted(*inputs):
        seen.append([i.clone() for i in inputs])
        return type(critic).slopes(critic, *inputs)

    critic.slopes = noted
    found = step(detector)
    assert len(seen) == 1
    encoder, gen, _ = networks(before)
    for got, wanted in zip(seen[0], points(penalty, found, encoder, gen), strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize(("alpha", "critic_steps"), [(1e-4, 1), (1e-4, 3), (1.0, 3)])
def test_every_update_draws_its_own_batch(alpha, critic_steps):
    """Would catch one critic update too many or too few, or several on the same images."""
    detector, _ = prepared(alpha=alpha, critic_steps=critic_steps)
    seen = []
    encoder = detector.networks["encoder"]
    encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    found = step(detector)
    updates = critic_steps if alpha < 1 else 0
    assert len(found.batches) == updates + 1
    encoded = [k for x in seen for k, b in enumerate(found.batches) if torch.equal(x, b)]
    assert encoded == list(range(updates + 1))
    done = {name: _updates(optimizer) for name, optimizer in found.optimizers.items()}
    assert done == ({"critic": {updates}} if updates else {}) | {"players": {1}}


def _updates(optimizer):
    """How often each parameter was updated, as a set."""
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    return {int(optimizer.state[p]["step"]) for p in weights}


# ---- optimisers and precision --------------------------------------------------------------


@pytest.mark.parametrize("beta2", [0.9, 0.1])
def test_adam_as_the_authors_set_it(beta2):
    """Would catch a momentum, torch's own epsilon, or networks in the wrong optimiser."""
    detector, _ = prepared(beta2=beta2, learning_rate=2e-4)
    nets = detector.networks
    wanted = {
        "players": ([nets["encoder"], nets["generator"]], (0, beta2)),
        "critic": ([nets["critic"]], (0, 0.9)),
    }
    optimizers = detector.optimizers()
    assert set(optimizers) == set(wanted)
    for name, (trained, betas) in wanted.items():
        assert type(optimizers[name]) is torch.optim.Adam
        (group,) = optimizers[name].param_groups
        assert [id(p) for p in group["params"]] == [id(p) for n in trained for p in n.parameters()]
        assert (group["lr"], tuple(group["betas"]), group["eps"]) == (2e-4, betas, 1e-7)
        assert (group["weight_decay"], group["amsgrad"]) == (0, False)


def test_mixed_precision_sees_the_updated_critic():
    """Would catch autocast that keeps casts of weights while a step's later updates change them."""
    pixels = augment.to_uint8(torch.cat([images(k) for k in range(4)]))
    gradients = {}
    for precision in ("float32", "bfloat16"):
        detector = models.CBiGAN(**TINY, critic_steps=5)
        training.train(detector, pixels, Budget(1, 8, precision), device="cpu")
        gradients[precision] = {
            name: torch.cat([p.grad.flatten() for p in network.parameters()])
            for name, network in detector.networks.items()
        }
    for name, wanted in gradients["float32"].items():
        assert F.cosine_similarity(wanted, gradients["bfloat16"][name], dim=0) > 0.98, name
