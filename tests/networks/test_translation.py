"""The layers of Cycle-GAN against PyTorch's, and its store of past images."""

import math

import pytest
import torch
from torch.nn import functional as F

from adlib.networks import translation


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_norm_is_pytorchs(slope, memory_format):
    """Would catch a mean over rows for one over the map, or a wrong gradient."""
    x = torch.randn(3, 5, 4, 6, generator=generator(), dtype=torch.double) * 3 + 2
    x = x.to(memory_format=memory_format).requires_grad_()
    norm = translation.Norm(slope)
    torch.testing.assert_close(norm(x), F.leaky_relu(F.instance_norm(x), slope))
    assert torch.autograd.gradcheck(norm, x)


def test_norm_in_half_precision():
    """Would catch means or variances summed up in too few digits."""
    x = torch.randn(2, 8, 32, 32, generator=generator()) + 3
    x = x.bfloat16().contiguous(memory_format=torch.channels_last)
    wanted = F.instance_norm(x.float())
    error = (translation.Norm(1.0)(x).float() - wanted).square().mean((2, 3)).sqrt()
    assert error.max() < 0.02


def test_image_layer_is_pytorchs():
    """Would catch pixels exchanged by the four-at-once convolution, or a wrong gradient."""
    layer = translation.ToImage(4, 3, 7).double()
    x = torch.randn(2, 4, 10, 12, generator=generator(), dtype=torch.double, requires_grad=True)
    wanted, found = F.conv2d(x, layer.weight, layer.bias).tanh(), layer(x)
    torch.testing.assert_close(found, wanted)
    inputs, g = (x, layer.weight, layer.bias), torch.randn(wanted.shape, generator=generator(1))
    for got, gradient in zip(
        torch.autograd.grad(found, inputs, g.double()),
        torch.autograd.grad(wanted, inputs, g.double()),
        strict=True,
    ):
        torch.testing.assert_close(got, gradient)


# ---- replay --------------------------------------------------------------------------------


def numbered(first, n):
    """Images that show nothing but their number."""
    return torch.arange(first, first + n).float().view(n, 1, 1, 1).expand(n, 1, 2, 2)


def test_replay_fills_before_it_swaps():
    """Would catch images shown before they were made, or places left empty."""
    replay = translation.Replay(10, 1, 2)
    assert torch.equal(replay(numbered(1, 4), generator()), numbered(1, 4))
    assert torch.equal(replay(numbered(5, 4), generator()), numbered(5, 4))
    assert torch.equal(replay.images[:8], numbered(1, 8)) and (replay.images[8:] == 0).all()
    shown = replay(numbered(9, 4), generator())
    assert torch.equal(shown[:2], numbered(9, 2)) and (shown > 0).all()
    with pytest.raises(ValueError, match=r"batch of 11 images does not fit into replay=10"):
        replay(numbered(0, 11), generator())


def test_replay_swaps_half_and_loses_nothing():
    """Would catch a wrong probability, an image shown twice in a batch, or one that vanishes."""
    replay, rng, n = translation.Replay(20, 1, 2), generator(), 16
    replay(numbered(0, 20), rng)
    fresh, rounds = 0, 200
    for k in range(rounds):
        before = replay.images.clone()
        new = numbered(20 + k * n, n)
        shown = replay(new, rng)
        went_in, came_out = (torch.cat(v)[:, 0, 0, 0].sort()[0] for v in (
            (before, new), (replay.images, shown)))  # fmt: skip
        assert torch.equal(went_in, came_out)
        kept = (shown == new).flatten(1).all(1)
        assert (shown[~kept] < 20 + k * n).all()
        fresh += int(kept.sum())
    share = fresh / (rounds * n)
    assert abs(share - 0.5) < 4 * math.sqrt(0.25 / (rounds * n))
