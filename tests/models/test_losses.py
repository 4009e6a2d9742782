"""Losses against closed forms."""

import pytest
import torch

from adlib.models import losses


def test_l1_sums_each_image():
    """Would catch a mean where the paper has a sum."""
    a, b = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    assert losses.l1_per_image(a, b).tolist() == [48, 48]
    assert losses.reduce_batch(torch.tensor([1.0, 3.0]), "mean") == 2
    assert losses.reduce_batch(torch.tensor([1.0, 3.0]), "sum") == 4


def test_gradient_penalty_of_a_linear_critic():
    """Would catch a penalty that is not (|w| - 1)^2 over image and code together."""
    w, v = torch.randn(12), torch.randn(5)
    weight = w.clone().requires_grad_(True)

    def critic(x, z):
        return x.flatten(1) @ weight + z @ v

    shapes = (7, 3, 2, 2), (7, 5)
    real, fake = (tuple(torch.randn(s) for s in shapes) for _ in range(2))
    penalty = losses.gradient_penalty(critic, real, fake, torch.rand(7))
    norm = torch.cat([w, v]).norm()
    assert penalty.item() == pytest.approx((norm - 1).item() ** 2, rel=1e-5)
    penalty.backward()
    torch.testing.assert_close(weight.grad, 2 * (norm - 1) / norm * w, rtol=1e-4, atol=1e-6)


def test_gradient_penalty_interpolates_pairs_with_one_coefficient():
    """Would catch image and code mixed by different coefficients."""
    seen = []

    def critic(x, z):
        seen.append((x.detach(), z.detach()))
        return (x.flatten(1).sum(1) + z.sum(1)).unsqueeze(1)

    real, fake = (
        (torch.ones(4, 1, 2, 2), torch.ones(4, 3)),
        (torch.zeros(4, 1, 2, 2), torch.zeros(4, 3)),
    )
    mix = torch.tensor([0.0, 0.25, 0.5, 1.0])
    losses.gradient_penalty(critic, real, fake, mix)
    torch.testing.assert_close(seen[0][0][:, 0, 0, 0], mix)
    torch.testing.assert_close(seen[0][1][:, 2], mix)


def test_ssim_of_equal_shifted_and_inverted_images():
    """Would catch wrong constants: 1 for equal images, luminance for a shift, negative for -x."""
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(losses.ssim_map(x, x), torch.ones_like(x))
    flat, c1 = torch.full((1, 1, 16, 16), 0.5), 0.01**2  # 0.75 and 0.625 on the scale from 0 to 1
    expected = (2 * 0.75 * 0.625 + c1) / (0.75**2 + 0.625**2 + c1)
    # Flat pictures are the worst case of the variance in float32, hence the tolerance.
    torch.testing.assert_close(
        losses.ssim_map(flat, flat / 2), torch.full_like(flat, expected), rtol=0, atol=5e-4
    )
    assert losses.ssim_map(x, -x).mean() < 0


def test_ssim_matches_a_direct_loop():
    """Would catch a window that is not a normalised Gaussian, or statistics of the wrong image."""
    a, b = torch.rand(1, 1, 24, 24) * 2 - 1, torch.rand(1, 1, 24, 24) * 2 - 1
    offsets = torch.arange(11) - 5.0
    g = torch.exp(-(offsets**2) / 4.5)
    w = torch.outer(g, g) / g.sum() ** 2
    pa, pb = (a[0, 0, 5:16, 7:18] + 1) / 2, (b[0, 0, 5:16, 7:18] + 1) / 2
    ma, mb = (w * pa).sum(), (w * pb).sum()
    va, vb = (w * (pa - ma) ** 2).sum(), (w * (pb - mb) ** 2).sum()
    cov = (w * (pa - ma) * (pb - mb)).sum()
    c1, c2 = 0.01**2, 0.03**2
    direct = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    assert losses.ssim_map(a, b)[0, 0, 10, 12].item() == pytest.approx(direct.item(), rel=1e-4)
