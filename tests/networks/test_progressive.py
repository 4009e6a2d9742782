"""Progressively grown networks against hand counts and plain references."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from adlib.networks import progressive
from adlib.networks.progressive import Discriminator, Generator

WIDTHS = {32: [512] * 4, 64: [512] * 4 + [256], 128: [512] * 4 + [256, 128]}


@pytest.fixture(autouse=True)
def seeded():
    """The same weights for every test."""
    torch.manual_seed(0)


def networks(side=32, width=6, channels=1, latent=5):
    return Generator(side, channels, width, latent), Discriminator(side, channels, width)


def count(network, without=()):
    return sum(p.numel() for name, p in network.named_parameters() if not name.startswith(without))


def codes(n, latent=5):
    return torch.randn(n, latent)


# ---- sizes ---------------------------------------------------------------------------------


def conv(inputs, outputs, kernel=3):
    return inputs * outputs * kernel**2 + outputs


@pytest.mark.parametrize(
    ("side", "width", "widths"),
    [
        (32, 6, [6] * 4),
        (128, 12, [12] * 4 + [6, 4]),
        *[(side, 512, widths) for side, widths in WIDTHS.items()],
    ],
)
def test_parameters_counted_by_hand(side, width, widths):
    """Would catch a missing or additional layer, bias or map, and widths halved at a wrong side."""
    with torch.device("meta"):
        generator, discriminator = networks(side, width, 3, 7)
    pairs = list(zip(widths, widths[1:], strict=False))
    made = 7 * 16 * widths[0] + widths[0] + conv(widths[0], widths[0])
    made += sum(conv(a, b) + conv(b, b) for a, b in pairs) + sum(conv(w, 3, 1) for w in widths)
    assert count(generator) == made
    judged = conv(widths[0] + 1, widths[0]) + 16 * widths[0] ** 2 + widths[0] + widths[0] + 1
    judged += sum(conv(b, b) + conv(b, a) for a, b in pairs) + sum(conv(3, w, 1) for w in widths)
    assert count(discriminator) == judged


def test_parameters_of_the_paper():
    """Would catch networks that differ from Karras et al.'s Table 2: 23.1 million values each."""
    with torch.device("meta"):
        generator, discriminator = networks(1024, 512, 3, 512)
    # The paper counts the layers that are left at the end: one of those at the image.
    assert count(generator, "to_image") + conv(16, 3, 1) == 23_071_507
    assert count(discriminator, "from_image") + conv(3, 16, 1) == 23_077_137


def test_shapes_at_every_level():
    """Would catch a level that works at the wrong side, and a batch or channel lost on the way."""
    generator, discriminator = networks(channels=3)
    for level, side in ((0, 4), (0.3, 8), (1, 8), (1.5, 16), (2, 16), (2.9, 32), (3, 32)):
        generator.grow(level), discriminator.grow(level)
        made = generator(codes(4))
        assert made.shape == (4, 3, side, side)
        assert discriminator.shrink(torch.zeros(4, 3, 32, 32)).shape == made.shape
        assert discriminator(made, parts=2).shape == (4,)
        assert discriminator.features(made).shape == (4, 6, 4, 4)


@pytest.mark.parametrize("side", [64, 256, 1024])
def test_large_sides_run(side):
    """Would catch a limit below 1024 px, and images that lose their channels-last order."""
    generator, discriminator = networks(side, 4)
    made = generator(codes(1))
    assert made.shape == (1, 1, side, side)
    assert discriminator(made).isfinite().all()
    (gradient,) = torch.autograd.grad(discriminator(made).sum(), generator.dense.weight)
    assert (gradient != 0).any()
    inner = generator.blocks[-1](torch.randn(1, 4, 8, 8).to(memory_format=torch.channels_last))
    assert inner.is_contiguous(memory_format=torch.channels_last)


# ---- growth --------------------------------------------------------------------------------


def test_phases_of_equal_length():
    """Would catch a phase left out, a fade that jumps, and a budget that ends before the top."""
    levels = [progressive.level_at(step, 14, 0, 3) for step in range(1, 15)]
    assert levels == [0, 0, 0.5, 1, 1, 1, 1.5, 2, 2, 2, 2.5, 3, 3, 3]
    assert [progressive.level_at(s, 3, 2, 3) for s in (1, 2, 3)] == [2, 3, 3]
    assert {progressive.level_at(s, 5, 3, 3) for s in range(1, 6)} == {3}
    for steps in (1, 2, 3, 50, 997):
        levels = [progressive.level_at(s, steps, 1, 8) for s in range(1, steps + 1)]
        assert levels == sorted(levels) and levels[-1] == 8 and levels[0] >= 1


def test_fading_in_is_continuous():
    """Would catch a share on the wrong path: a stage must enter without any effect."""
    generator, discriminator = networks()
    z, tiny, x = codes(4), 1e-4, torch.randn(4, 1, 32, 32)
    for stage in range(3):
        made, logits, shrunk = {}, {}, {}
        for level in (stage, stage + tiny, stage + 1 - tiny, stage + 1):
            generator.grow(level), discriminator.grow(level)
            made[level] = generator(z)
            shrunk[level] = discriminator.shrink(x)
            logits[level] = discriminator(shrunk[level])
        side = 8 * 2**stage
        close = {"rtol": 1e-2, "atol": 1e-2}
        for images in (made, shrunk):
            coarse = progressive.upsample(images[stage], side)
            torch.testing.assert_close(images[stage + tiny], coarse, **close)
            torch.testing.assert_close(images[stage + 1 - tiny], images[stage + 1], **close)
            assert (coarse - images[stage + 1]).abs().max() > 0.05
        torch.testing.assert_close(logits[stage + tiny], logits[stage], **close)
        torch.testing.assert_close(logits[stage + 1 - tiny], logits[stage + 1], **close)


def test_half_faded_is_the_mean_of_both_paths():
    """Would catch a share that is squared, reversed or applied to features instead of images."""
    generator, discriminator = networks()
    made, z = {}, codes(2)
    for level in (1, 1.5, 2):
        generator.grow(level)
        made[level] = generator(z)
    expected = (progressive.upsample(made[1], 16) + made[2]) / 2
    torch.testing.assert_close(made[1.5], expected)
    discriminator.grow(1.5)
    x = torch.randn(2, 1, 16, 16)
    own = discriminator.blocks[1](F.leaky_relu(discriminator.from_image[2](x), 0.2))
    coarse = F.leaky_relu(discriminator.from_image[1](F.avg_pool2d(x, 2)), 0.2)
    expected = discriminator.blocks[0]((own + coarse) / 2)
    torch.testing.assert_close(discriminator.features(x), expected)


def test_the_level_is_saved_and_copied():
    """Would catch a snapshot of half-grown networks that comes back fully grown."""
    generator, _ = networks()
    z = codes(2)
    generator.grow(1.3)
    expected = generator(z)
    loaded = networks()[0]
    loaded.load_state_dict(generator.state_dict())
    assert (loaded.stage, loaded.share) == (generator.stage, generator.share)
    for again in (loaded, copy.deepcopy(generator)):
        assert torch.equal(again(z), expected)
    copied = copy.deepcopy(generator)
    copied.load_state_dict(networks()[0].state_dict())
    assert copied.stage == 3 and generator.stage == 2


# ---- layers --------------------------------------------------------------------------------


def test_equalised_learning_rate():
    """Would catch scaled initial weights, a wrong fan-in or gain, or biases that are scaled."""
    layer = progressive.Conv(8, 16, 3)
    assert layer.weight.std().item() == pytest.approx(1, abs=0.05) and (layer.bias == 0).all()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 8, 5, 5)
    scale = math.sqrt(2 / (8 * 9))
    expected = F.conv2d(x, layer.weight * scale, layer.bias, padding=1)
    torch.testing.assert_close(layer(x), expected)
    dense = progressive.Dense(64, 16, gain=1.0)
    x = torch.randn(3, 64)
    torch.testing.assert_close(dense(x), F.linear(x, dense.weight / 8, dense.bias))


def test_upsampling_convolution_is_exact():
    """Would catch a 4x4 kernel that is not the 3x3 convolution of repeated pixels."""
    layer = progressive.UpConv(3, 5, 3)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 3, 6, 6)
    repeated = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(layer(x), progressive.Conv.forward(layer, repeated))


def test_feature_norm_and_its_derivative():
    """Would catch a norm over the wrong dimension, or a wrong derivative written by hand."""
    x = torch.randn(3, 7, 2, 2, dtype=torch.float64, requires_grad=True)
    y = progressive.normalise(x)
    torch.testing.assert_close(y.square().mean(1), torch.ones(3, 2, 2).double(), rtol=1e-6, atol=0)
    plain = x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()
    torch.testing.assert_close(y, plain, rtol=1e-6, atol=0)
    weights = torch.randn_like(y)
    ours, expected = (torch.autograd.grad((v * weights).sum(), x)[0] for v in (y, plain))
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-8)
    zero = torch.zeros(1, 4, requires_grad=True)
    progressive.normalise(zero).sum().backward()
    assert zero.grad.isfinite().all()


def test_codes_live_on_the_hypersphere():
    """Would catch a length of the code that changes the image."""
    generator, _ = networks()
    z = codes(3)
    torch.testing.assert_close(generator(z), generator(7 * z), rtol=1e-4, atol=1e-5)


def test_minibatch_deviation():
    """Would catch a statistic over the wrong dimensions, or one that parts of a batch share."""
    discriminator = networks()[1]
    torch.nn.init.constant_(discriminator.conv.weight, 0.0)
    discriminator.conv.weight.data[:, -1] = 1.0  # the final block sees the statistic alone
    alike, varied = torch.randn(1, 1, 32, 32).expand(3, -1, -1, -1), torch.randn(3, 1, 32, 32)
    both = discriminator(torch.cat([alike, varied]), parts=2)
    torch.testing.assert_close(both[:3], discriminator(alike))
    torch.testing.assert_close(both[3:], discriminator(varied))
    assert (both[:3] - both[3:]).abs().min() > 1e-4
    seen = []
    discriminator.conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    discriminator(varied)
    expected = discriminator.features(varied).var(0, correction=0).add(1e-8).sqrt().mean()
    torch.testing.assert_close(seen[0][:, -1], expected.expand(3, 4, 4))


def test_evaluation_uses_the_running_deviation():
    """Would catch logits that depend on the other images of a batch, or a mean never updated."""
    discriminator = networks()[1]
    x = torch.randn(5, 1, 32, 32)
    for _ in range(400):
        discriminator.logits(discriminator.features(x).detach())
    deviation = discriminator.features(x).var(0, correction=0).add(1e-8).sqrt().mean()
    torch.testing.assert_close(discriminator.deviation, deviation, rtol=1e-2, atol=0)
    trained = discriminator(x)
    kept = discriminator.deviation.clone()
    discriminator.eval()
    torch.testing.assert_close(discriminator(x), trained, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(discriminator(x)[:1], discriminator(x[:1]))
    assert torch.equal(discriminator.deviation, kept)
    assert "deviation" in discriminator.state_dict()
