"""Patches, number formats, random crops and rotations."""

import torch

from adlib.networks import augment


def test_number_formats_round_trip():
    """Would catch a loss of grey levels between uint8 and [-1, 1]."""
    x = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    y = augment.to_float(x)
    assert y.min() == -1 and y.max() == 1
    assert torch.equal(augment.to_uint8(y), x)


def test_untile_undoes_tile():
    """Would catch rows and columns of the patch grid being swapped."""
    x = torch.arange(2 * 3 * 8 * 8).view(2, 3, 8, 8)
    tiles = augment.tile(x, 4)
    assert torch.equal(tiles[1], x[0, :, :4, 4:])
    assert torch.equal(augment.untile(tiles, 8), x)
    assert augment.tile(x, 8) is x


def test_rotation_is_clockwise_and_repeats_the_border():
    """Would catch a rotation the other way round, or black corners."""
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 0, 4] = 1  # top centre goes to the right
    turned = augment.rotate(x, torch.tensor([90.0]))
    assert turned[0, 0].argmax() == 4 * 9 + 8
    white = torch.ones(1, 1, 9, 9)
    torch.testing.assert_close(augment.rotate(white, torch.tensor([45.0])), white)


def test_patches_are_pieces_of_the_image_without_corners():
    """Would catch patches with made-up content, also when rotated; and a wrong shape or range."""
    ramp = torch.arange(64, dtype=torch.uint8).view(1, 1, 1, 64).expand(3, 1, 64, 64)
    rng = torch.Generator().manual_seed(0)
    plain = augment.draw_batch(ramp, 16, 16, (0, 0), rng)
    assert plain.shape == (16, 1, 16, 16) and plain.abs().max() <= 1
    step = plain.diff(dim=3)
    torch.testing.assert_close(step, torch.full_like(step, 1 / 127.5))
    turned = augment.draw_batch(ramp, 64, 16, (45, 45), rng)
    step = turned.diff(
        dim=3
    )  # a ramp turned by 45 degrees is a ramp everywhere: no border was repeated
    torch.testing.assert_close(step, torch.full_like(step, 0.5**0.5 / 127.5), rtol=1e-2, atol=1e-4)


def test_draws_follow_the_generator():
    """Would catch a draw from torch's global generator."""
    x = torch.randint(0, 256, (9, 3, 16, 16), dtype=torch.uint8)
    a, b = (
        augment.draw_batch(x, 8, 8, (0, 45), torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(a, b)
    assert not torch.equal(
        a, augment.draw_batch(x, 8, 8, (0, 45), torch.Generator().manual_seed(4))
    )


def test_the_eight_views_of_a_square():
    """Would catch a view that is turned the other way, or that comes twice."""
    x = torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    views = torch.tensor([3, 7, 0, 5, 2, 6, 1, 4])
    found = augment.turned(x.contiguous(memory_format=torch.channels_last), views)
    assert found.is_contiguous(memory_format=torch.channels_last)
    for image, view, got in zip(x, views.tolist(), found, strict=True):
        wanted = torch.rot90(image, view % 4, (1, 2))
        assert torch.equal(got, wanted.flip(2) if view >= 4 else wanted), view
    same = augment.turned(x[:1].expand(8, -1, -1, -1), torch.arange(8))
    assert len(torch.unique(same, dim=0)) == 8
