"""f-AnoGAN's two stages, losses and score against the paper, written out term by term."""

import copy

import pytest
import torch

from adlib import models
from adlib.models import training
from adlib.models.training import Budget
from adlib.networks import augment

N = 4
TINY = {"side": 32, "channels": 1, "width": 2, "latent": 8, "critic_steps": 1}
NAMES = ["critic", "penalty", "generator", "image", "features"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(seed=0, n=N):
    """A batch as training draws it, float in [-1, 1]."""
    return torch.rand(n, 1, 32, 32, generator=generator(seed)) * 2 - 1


def prepared(gan, **settings):
    """A detector in one of its stages with known weights, and its networks before any step."""
    detector = models.FAnoGAN(**TINY | settings)
    training.initialise(detector, 0)
    detector.before_step(1 if gan else 10, 10)
    with torch.no_grad():
        for p in detector.networks["critic"].parameters():
            p *= 2  # fresh features hardly differ, and could be left out
    return detector, copy.deepcopy(dict(detector.networks))


def step(detector):
    """One training step in float32 on the batches 0, 1, ..., and how many it drew."""
    drawn = []

    def draw():
        drawn.append(images(len(drawn)))
        return drawn[-1]

    return detector.training_step(draw, detector.optimizers(), generator()), len(drawn)


def assert_gradients(network, expected):
    scale = max(w.norm() for w in expected)
    for (name, p), wanted in zip(network.named_parameters(), expected, strict=True):
        assert (p.grad - wanted).norm() <= 1e-3 * wanted.norm() + 1e-6 * scale, name


# ---- settings ------------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "message"), [
    ({"side": 48}, "sees 48 px; allowed are multiples of 32"),
    ({"side": 16}, "sees 16 px; allowed are multiples of 32"),
    ({"share_gan": 0.0}, "share_gan=0.0: allowed is more than 0"),
    ({"share_gan": 1.0}, "share_gan=1.0: allowed is more than 0"),
    ({"critic_steps": 0}, "critic_steps=0: allowed is at least 1"),
])  # fmt: skip
def test_bad_settings_are_refused(settings, message):
    """Would catch a stage that never comes, or a size the networks do not fit."""
    with pytest.raises(ValueError, match=message):
        models.FAnoGAN(**TINY | settings)


@pytest.mark.parametrize("side", [32, 64, 96, 160])
def test_sizes(side):
    """Would catch networks that do not meet at a side."""
    detector = models.FAnoGAN(**TINY | {"side": side})
    pixels = torch.zeros(2, 1, side, side, dtype=torch.uint8)
    assert detector.reconstruct(pixels).shape == pixels.shape
    assert detector.score(pixels).shape == (2,)


def test_optimisers_are_the_authors():
    """Would catch a momentum in the Wasserstein GAN or another rate for the encoder."""
    optimizers = models.FAnoGAN(**TINY).optimizers()
    assert set(optimizers) == {"generator", "critic", "encoder"}
    for name in ("generator", "critic"):
        group = optimizers[name].param_groups[0]
        assert (group["lr"], tuple(group["betas"])) == (1e-4, (0, 0.9))
    assert type(optimizers["encoder"]) is torch.optim.RMSprop
    assert optimizers["encoder"].param_groups[0]["lr"] == 5e-5


# ---- stages --------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "steps", "gan_steps"), [(0.5, 8, 4), (0.25, 8, 2), (0.5, 5, 2)])
def test_stages_follow_the_budget(share, steps, gan_steps):
    """Would catch an encoder trained with the GAN, or a GAN that moves under the encoder."""
    detector = models.FAnoGAN(**TINY | {"share_gan": share})
    training.initialise(detector, 0)
    optimizers, moved = detector.optimizers(), []
    for k in range(1, steps + 1):
        before = copy.deepcopy(dict(detector.networks))
        detector.before_step(k, steps)
        logged = detector.training_step(images, optimizers, generator(k))
        assert list(logged) == NAMES
        idle = {name for name, value in logged.items() if value == 0}
        assert idle == ({"image", "features"} if k <= gan_steps else set(NAMES[:3]))
        moved.append({
            name
            for name, network in detector.networks.items()
            if any(
                not torch.equal(a, b)
                for a, b in zip(network.parameters(), before[name].parameters(), strict=True)
            )
        })  # fmt: skip
    assert moved == [{"generator", "critic"}] * gan_steps + [{"encoder"}] * (steps - gan_steps)


def test_a_killed_training_goes_on_in_its_stage(tmp_path, monkeypatch):
    """Would catch a stage that is remembered in the detector instead of following from the step."""
    pixels, budget = augment.to_uint8(images(3, 16)), Budget(8, 4, "float32")
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    whole, parts = models.FAnoGAN(**TINY), models.FAnoGAN(**TINY)
    training.train(whole, pixels, budget, device="cpu")
    original = models.FAnoGAN.training_step

    def killed(self, *arguments):
        if killed.left == 0:
            raise KeyboardInterrupt
        killed.left -= 1
        return original(self, *arguments)

    killed.left = 7
    monkeypatch.setattr(models.FAnoGAN, "training_step", killed)
    with pytest.raises(KeyboardInterrupt):
        training.train(parts, pixels, budget, device="cpu", folder=tmp_path)
    monkeypatch.undo()
    resumed = models.FAnoGAN(**TINY)
    training.train(resumed, pixels, budget, device="cpu", folder=tmp_path)
    expected = whole.networks.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in resumed.networks.state_dict().items())


@pytest.mark.parametrize("critic_steps", [1, 3])
def test_every_critic_update_draws_its_own_batch(critic_steps):
    """Would catch several critic updates on the same images, or too few."""
    _, drawn = step(prepared(True, critic_steps=critic_steps)[0])
    assert drawn == critic_steps
    assert step(prepared(False, critic_steps=critic_steps)[0])[1] == 1


# ---- losses and score ----------------------------------------------------------------------


def test_gan_losses_are_those_of_the_wgan_with_penalty():
    """Would catch a wrong sign, weight or interpolation, or the generator against an old critic."""
    detector, before = prepared(True, penalty_weight=3.0)
    logged, _ = step(detector)
    x, rng = images(0), generator()
    z, mix = torch.randn(N, 8, generator=rng), torch.rand(N, generator=rng)[:, None, None, None]
    again = torch.randn(N, 8, generator=rng)
    critic, made = before["critic"], before["generator"](z).detach()
    wasserstein = critic(made).mean() - critic(x).mean()
    where = (mix * x + (1 - mix) * made).requires_grad_()
    (slope,) = torch.autograd.grad(critic(where).sum(), where, create_graph=True)
    penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    torch.testing.assert_close(logged["critic"], wasserstein)
    torch.testing.assert_close(logged["penalty"], penalty)
    weights = list(critic.parameters())
    terms = [
        torch.autograd.grad(t, weights, retain_graph=True, allow_unused=True)
        for t in (wasserstein, 3 * penalty)
    ]
    expected = [
        sum(g for g in pair if g is not None) + torch.zeros_like(w)
        for w, pair in zip(weights, zip(*terms, strict=True), strict=True)
    ]
    assert_gradients(detector.networks["critic"], expected)
    loss = -detector.networks["critic"](before["generator"](again)).mean()  # the updated critic
    torch.testing.assert_close(logged["generator"], loss)
    expected = torch.autograd.grad(loss, list(before["generator"].parameters()))
    assert_gradients(detector.networks["generator"], expected)


def residuals(nets, x):
    """Squared differences of images and of the critic's last map, a mean per image."""
    again = nets["generator"](nets["encoder"](x))
    f, f_again = (nets["critic"].trunk(image).flatten(1) for image in (x, again))
    return ((x - again) ** 2).flatten(1).mean(1), ((f - f_again) ** 2).mean(1)


@pytest.mark.parametrize("kappa", [0.0, 1.0, 20.0])
def test_encoder_follows_izi_f(kappa):
    """Would catch a sum for a mean, a missing weight, or features that no gradient passes."""
    detector, before = prepared(False, kappa=kappa)
    logged, _ = step(detector)
    image, features = (r.mean() for r in residuals(before, images(0)))
    torch.testing.assert_close(logged["image"], image)
    torch.testing.assert_close(logged["features"], features)
    weights = list(before["encoder"].parameters())
    expected = torch.autograd.grad(image + kappa * features, weights)
    assert_gradients(detector.networks["encoder"], expected)


@pytest.mark.parametrize("kappa", [0.0, 1.0, 20.0])
def test_score_is_the_encoders_loss_of_one_image(kappa):
    """Would catch a weight left out of the score, or features of another layer."""
    detector, _ = prepared(False, kappa=kappa)
    pixels = augment.to_uint8(images(7))
    with torch.no_grad():
        image, features = residuals(detector.networks, augment.to_float(pixels))
    assert (features > 1e-3 * image).all()  # else it could be left out
    wanted = image + kappa * features
    torch.testing.assert_close(torch.from_numpy(detector.score(pixels)).float(), wanted)
