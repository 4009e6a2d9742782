"""Operations that a GPU is given in another form where sums must be added in one order."""

import pytest
import torch
from torch.nn import functional as F

from adlib.networks import kernels

WANTED = {
    "reflect": lambda x: F.pad(x, [3] * 4, mode="reflect"),
    "doubled": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False),
}
FORMS = {"reflect": lambda x: kernels.reflect(x, 3), "doubled": kernels.doubled}


@pytest.mark.parametrize("name", WANTED)
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 2, 8, 8)])
def test_the_ordered_form_is_pytorchs(name, shape, monkeypatch):
    """Would catch a border that is wrong by a pixel, and a wrong gradient."""
    monkeypatch.setattr(kernels, "_in_order", lambda x: True)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    found, wanted = FORMS[name](x), WANTED[name](x)
    torch.testing.assert_close(found, wanted)
    g = torch.randn(wanted.shape, generator=generator, dtype=torch.float64)
    gradients = (torch.autograd.grad(y, x, g)[0] for y in (found, wanted))
    torch.testing.assert_close(*gradients)
