"""CAVGA-D_u's layers, attention, step and score, written out term by term."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from adlib import models
from adlib.models import training
from adlib.models.cavga import Generator

N = 3
TINY = {"side": 32, "channels": 1, "width": 2, "latent": 3}
WEIGHTS = {"weight_reconstruction": 2.0, "weight_adversarial": 3.0, "weight_attention": 5.0}
MAPS = [64, 128, 256, 512]  # channels of DCGAN's maps


def images(seed=0, side=32):
    """A batch as training draws it, float64 in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(N, 1, side, side, generator=generator, dtype=torch.double) * 2 - 1


def prepared(**settings):
    """A detector in float64 whose networks tell images apart, and its networks before any step."""
    detector = models.CAVGA(**TINY | settings)
    training.initialise(detector, 0)
    detector.networks.double()
    with torch.no_grad():
        for p in detector.networks.parameters():
            p *= 5 if p.ndim == 4 else 1
    return detector, copy.deepcopy(dict(detector.networks))


def test_parameter_counts_are_dcgans():
    """Would catch another width, a bias in front of a batch norm, or a layer too many."""
    between = sum(16 * a * b for a, b in zip(MAPS, MAPS[1:], strict=False))
    norms = [2 * n for n in MAPS]
    down = 16 * 3 * 64 + between + sum(norms[1:])
    up = 100 * 512 + between + sum(norms) + 16 * 64 * 3
    posterior = 512 * 200 + 200
    assert models.CAVGA().parameter_counts() == {
        "generator": down + posterior + up,
        "discriminator": down + 16 * 512,
    }


@pytest.mark.parametrize("side", [32, 48, 64, 160])
def test_the_code_keeps_its_places(side):
    """Would catch a flat code, or a decoder that ends in another size."""
    generator = Generator(1, 2, 3)
    mean, log_variance = generator.encode(images(side=side).float())
    assert mean.shape == log_variance.shape == (N, 3, side // 16, side // 16)
    assert generator.decode(mean).shape == (N, 1, side, side)
    assert generator.attention(mean).shape == (N, side // 16, side // 16)


def grad_cam(generator, x):
    """Sigmoid of Grad-CAM at the encoder's last map, by autograd and without its ReLU."""
    maps = generator.encoder(x)
    mean = generator.posterior(maps)[:, :3]
    gradient = torch.autograd.grad(mean.sum(), maps, create_graph=True)[0]
    weights = gradient.mean((2, 3), keepdim=True)
    return torch.sigmoid((weights * maps).sum(1))


def test_attention_is_grad_cam():
    """Would catch the log variance among the codes, a bias left in, or a mean for a sum."""
    detector, _ = prepared()
    generator = detector.networks["generator"].eval()
    nn.init.normal_(generator.posterior.bias)
    wanted = grad_cam(generator, images())
    assert wanted.std() > 1e-3
    torch.testing.assert_close(generator.attention(generator.encode(images())[0]), wanted)


def plain_step(nets, x, z):
    """The step with every pass written out: its losses, and the networks after it."""
    generator, discriminator = nets["generator"], nets["discriminator"]
    mean, log_variance = generator.posterior(generator.encoder(x)).chunk(2, 1)
    again = torch.tanh(generator.decoder(mean + torch.exp(log_variance / 2) * z))
    reconstruction = F.binary_cross_entropy((again + 1) / 2, (x + 1) / 2)
    kl = 0.5 * (mean**2 + torch.exp(log_variance) - 1 - log_variance).mean()
    attention = (1 - grad_cam(copy_of(generator), x)).mean()
    real, fake = discriminator(x), discriminator(again)
    adversarial = -torch.log(torch.sigmoid(fake)).mean()
    judged = -torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(fake)).mean()
    loss = 2 * (reconstruction + kl) + 3 * adversarial + 5 * attention
    found = [
        torch.autograd.grad(of, list(net.parameters()), retain_graph=True)
        for of, net in ((loss, generator), (judged, discriminator))
    ]
    for net, gradients in zip((generator, discriminator), found, strict=True):
        for p, gradient in zip(net.parameters(), gradients, strict=True):
            p.grad = gradient
        torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)).step()
    return [loss, reconstruction, kl, attention, adversarial, judged]


def copy_of(generator):
    """The same weights, but running statistics of its own."""
    twin = copy.deepcopy(generator)
    for module, own in zip(twin.modules(), generator.modules(), strict=True):
        for name, p in own.named_parameters(recurse=False):
            module._parameters[name] = p
    return twin


def test_a_step_is_the_papers():
    """Would catch a wrong term, weight, sign or unit, and networks that share an update."""
    detector, before = prepared(**WEIGHTS)
    logged = detector.training_step(images, detector.optimizers(), torch.Generator().manual_seed(1))
    z = torch.randn(N, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    values = plain_step(before, images(), z)
    names = ["loss", "reconstruction", "divergence", "attention", "adversarial", "discriminator"]
    assert list(logged) == names
    for name, value in zip(names, values, strict=True):
        torch.testing.assert_close(logged[name], value, msg=name)
    for name, network in detector.networks.items():
        for (key, value), wanted in zip(
            network.state_dict().items(), before[name].state_dict().values(), strict=True
        ):
            torch.testing.assert_close(value, wanted, msg=f"{name}.{key}")


def test_the_attention_loss_spreads_attention():
    """Would catch a loss that narrows it, or that does not reach the encoder."""
    weights = {"weight_reconstruction": 0.0, "weight_adversarial": 0.0, "weight_attention": 1.0}
    detector, _ = prepared(**weights, learning_rate=1e-2)
    optimizers, rng = detector.optimizers(), torch.Generator().manual_seed(0)
    missing = [detector.training_step(images, optimizers, rng)["attention"] for _ in range(20)]
    assert missing[-1] < missing[0] - 0.2
    assert all(p.grad.abs().sum() > 0 for p in detector.networks["generator"].encoder.parameters())


def test_score_and_map_formulas():
    """Would catch a drawn code, a sum for a mean, or a map of the attention instead of its lack."""
    detector, _ = prepared()
    detector.networks.eval()
    generator, x = detector.networks["generator"], images(7)
    mean, _ = generator.posterior(generator.encoder(x)).chunk(2, 1)
    again = torch.tanh(generator.decoder(mean))
    torch.testing.assert_close(detector.reconstruct_inputs(x), again)
    wanted = ((x - again) / 2).abs().mean((1, 2, 3))
    torch.testing.assert_close(detector.score_inputs(x), wanted)
    maps, lack = detector.map_inputs(x), 1 - grad_cam(generator, x)
    torch.testing.assert_close(maps[:, ::31, ::31], lack)  # the corners
    torch.testing.assert_close(maps.mean((1, 2)), lack.mean((1, 2)))
