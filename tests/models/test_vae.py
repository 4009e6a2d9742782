"""The VAE's layers, loss and scores, written out term by term."""

import copy
import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from adlib import models
from adlib.models import training, vae
from adlib.networks import augment

N = 3
TINY = {"side": 32, "channels": 1, "width": 2, "latent": 5}
# Of either half: channels in and out, side of the kernel (Bergmann et al. 2018, at 128 px).
ENCODER = [(3, 32, 4), (32, 32, 4), (32, 32, 3), (32, 64, 4), (64, 64, 3), (64, 128, 4),
           (128, 64, 3), (64, 32, 3), (32, 100, 8)]  # fmt: skip
DECODER = [(100, 32, 8), (32, 64, 3), (64, 128, 3), (128, 64, 4), (64, 64, 3), (64, 32, 4),
           (32, 32, 3), (32, 32, 4), (32, 3, 4)]  # fmt: skip


def images(seed=0, n=N):
    """A batch as training draws it, float64 in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 1, 32, 32, generator=generator, dtype=torch.double) * 2 - 1


def prepared(**settings):
    """A detector in float64 with weights that tell images apart."""
    detector = models.VAE(**TINY | settings)
    training.initialise(detector, 0)
    detector.networks.double()
    with torch.no_grad():
        for p in detector.networks.parameters():
            p *= 2 if p.ndim == 4 else 1
    return detector


def posterior(nets, x):
    mean, log_variance = nets["posterior"](nets["encoder"](x)).chunk(2, 1)
    return Normal(mean, (log_variance / 2).exp())


def negative_log(x, again, deviation):
    """-log p of images in [0, 1], without the constant of the normal distribution."""
    logs = Normal((again + 1) / 2, deviation).log_prob((x + 1) / 2) + math.log(2 * math.pi) / 2
    return -logs.flatten(1).sum(1)


def test_parameter_counts_at_the_papers_size():
    """Would catch a layer that is not Bergmann's, or a second code of another length."""
    count = {"encoder": ENCODER, "decoder": DECODER, "posterior": [(100, 200, 1)]}
    wanted = {name: sum(i * o * k * k + o for i, o, k in rows) for name, rows in count.items()}
    assert models.VAE().parameter_counts() == wanted
    assert models.VAE(learns_noise=True).parameter_counts() == wanted | {"noise": 1}


@pytest.mark.parametrize("learns_noise", [False, True])
def test_a_step_descends_the_evidence_lower_bound(learns_noise):
    """Would catch a wrong sign, weight or unit of a term, and a code that is not drawn."""
    detector = prepared(noise=0.5, learns_noise=learns_noise)
    before = copy.deepcopy(detector.networks)
    logged = detector.training_step(images, detector.optimizers(), torch.Generator().manual_seed(1))
    q = posterior(before, images())
    z = q.mean + q.stddev * torch.randn(N, 5, 1, 1, generator=torch.Generator().manual_seed(1))
    deviation = before["noise"].log.exp() if learns_noise else 0.5
    reconstruction = negative_log(images(), before["decoder"](z), deviation).mean()
    kl = kl_divergence(q, Normal(0.0, 1.0)).sum() / N
    for name, value in {"reconstruction": reconstruction, "divergence": kl}.items():
        torch.testing.assert_close(logged[name], value)
    torch.testing.assert_close(logged["loss"], reconstruction + kl)
    (reconstruction + kl).backward()
    torch.optim.Adam(before.parameters(), 2e-4).step()
    for (name, p), wanted in zip(
        detector.networks.named_parameters(), before.parameters(), strict=True
    ):
        torch.testing.assert_close(p, wanted, msg=name)


@pytest.mark.parametrize("noise", [1.0, 0.2])
def test_elbo_score(noise):
    """Would catch a score at a drawn code, or a mean for a sum."""
    detector, x = prepared(noise=noise), images(7)
    q = posterior(detector.networks, x)
    kl = kl_divergence(q, Normal(0.0, 1.0)).flatten(1).sum(1)
    again = detector.networks["decoder"](q.mean)
    torch.testing.assert_close(detector.score_inputs(x), negative_log(x, again, noise) + kl)
    torch.testing.assert_close(detector.map_inputs(x), (x - again).abs()[:, 0])


def test_probability_score_averages_over_the_same_draws():
    """Would catch one draw for all, draws that change from call to call, or a KL term added."""
    detector, x = prepared(score="probability", draws=4), images(7)
    codes = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).double()
    q, total = posterior(detector.networks, x), 0.0
    for z in codes:
        again = detector.networks["decoder"](q.mean + q.stddev * z[:, None, None])
        total = total + negative_log(x, again, 1.0)
    torch.testing.assert_close(detector.score_inputs(x), total / 4)


@pytest.mark.parametrize("pool", ["max", "mean"])
@pytest.mark.parametrize("score", ["kl_gradient", "combined"])
def test_gradient_maps_and_scores(score, pool):
    """Would catch the gradient of another term, or one that other images share."""
    detector, x = prepared(score=score, pool=pool), images(7)
    maps = []
    for one in x.split(1):
        one.requires_grad_(True)
        kl = kl_divergence(posterior(detector.networks, one), Normal(0.0, 1.0)).sum()
        (slope,) = torch.autograd.grad(kl, one)
        again = detector.networks["decoder"](posterior(detector.networks, one).mean)
        error = (one - again).detach()[:, 0] ** 2 if score == "combined" else 1.0
        maps.append(vae.smoothed(slope.abs()[:, 0]) * error)
    maps = torch.cat(maps)
    with torch.inference_mode():
        torch.testing.assert_close(detector.map_inputs(x.detach()), maps)
        wanted = maps.flatten(1).max(1).values if pool == "max" else maps.mean((1, 2))
        torch.testing.assert_close(detector.score_inputs(x.detach()), wanted)


def test_smoothing_is_the_authors():
    """Would catch another width, or a kernel that does not sum to one."""
    maps = torch.zeros(1, 15, 15)
    maps[0, 7, 7] = 1.0
    rows = [math.exp(-(k**2) / 18) for k in range(-3, 4)]
    wanted = torch.zeros(15, 15)
    wanted[4:11, 4:11] = torch.tensor([[a * b / sum(rows) ** 2 for a in rows] for b in rows])
    torch.testing.assert_close(vae.smoothed(maps)[0], wanted)


def test_mixed_precision_keeps_the_loss_in_float32():
    """Would catch a likelihood summed in bfloat16, which has three digits."""
    pixels = augment.to_uint8(images(2, 8))
    one, other = (
        training.train(models.VAE(**TINY), pixels, training.Budget(1, 8, precision), device="cpu")
        for precision in ("float32", "bfloat16")
    )
    assert one.reconstruction[0] == pytest.approx(other.reconstruction[0], rel=2e-3)
