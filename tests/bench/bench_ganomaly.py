"""GANomaly: trained images per second against a plain PyTorch loop of the same networks and batch.

The plain loop follows the authors' step as it is written: images through a DataLoader, float32,
contiguous tensors, four passes of the discriminator, gradients wherever a `backward` leads, and
`.item()` on every loss. Both run in turn in this process; medians. Before, both networks must give
the same in float64 on the CPU.
"""

import argparse
import copy

import torch
from common import Batches, OurTrainer, add_precision, median_seconds
from torch import nn
from torch.nn import functional as F

from adlib import models
from adlib.host.device import default_device, resolve_precision
from adlib.networks import augment, pyramid


def plain_copy(network: nn.Module) -> nn.Module:
    """Make the same network of PyTorch's own layers, contiguous, codes as maps of one pixel."""
    layers = {pyramid.FromMap: nn.Conv2d, pyramid.ToMap: nn.ConvTranspose2d}
    layers |= {pyramid.Halve: nn.Conv2d, pyramid.Double: nn.ConvTranspose2d}
    for module in network.modules():
        module.__class__ = layers.get(type(module), type(module))
    return network


class PlainTrainer:
    """The plain training loop."""

    def __init__(self, settings: dict, pixels: torch.Tensor, batch: int) -> None:
        self.device = default_device()
        nets = plain_copy(models.GANomaly(**settings).networks).to(self.device)
        self.g, self.d = nets["generator"], nets["discriminator"]
        self.adam_g, self.adam_d = (
            torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (self.g, self.d)
        )
        self.draw = Batches(pixels, batch).draw

    def step(self) -> None:
        x = self.draw().contiguous()
        real, fake = (torch.full((len(x),), v, device=self.device) for v in (1.0, 0.0))
        again, code, second = self.g(x)
        judged_real, judged_fake = self.d(x)[0], self.d(again.detach())[0]
        self.adam_g.zero_grad()
        adversarial = F.mse_loss(self.d(x)[1], self.d(again)[1])
        reconstruction, latent = F.l1_loss(again, x), F.mse_loss(second, code)
        (adversarial + 50 * reconstruction + latent).backward(retain_graph=True)
        self.adam_g.step()
        self.adam_d.zero_grad()
        on_real = F.binary_cross_entropy(torch.sigmoid(judged_real), real)
        on_fake = F.binary_cross_entropy(torch.sigmoid(judged_fake), fake)
        loss = (on_real + on_fake) * 0.5
        loss.backward()
        self.adam_d.step()
        for value in (adversarial, reconstruction, latent, on_real, on_fake, loss):
            value.item()


def check(settings: dict, pixels: torch.Tensor) -> None:
    """Raise AssertionError unless both networks are the same, with statistics of the batch."""
    networks = models.GANomaly(**settings).to("cpu").networks.double()
    plain = plain_copy(copy.deepcopy(networks)).to(memory_format=torch.contiguous_format)
    x = augment.to_float(pixels).double()
    for name, network in networks.items():
        for wanted, found in zip(plain[name](x.contiguous()), network(x), strict=True):
            torch.testing.assert_close(found.flatten(), wanted.flatten(), rtol=1e-9, atol=1e-12)


def main() -> None:
    """Print images per second of both and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    add_precision(parser)
    a = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    shape = (1024, a.channels, a.side, a.side)
    pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    settings = {"side": a.side, "channels": a.channels, "width": a.width}
    check(settings, pixels[: a.batch])
    plain = PlainTrainer(settings, pixels, a.batch)
    ours = OurTrainer(models.GANomaly(**settings), pixels, a.batch, a.precision)
    device = default_device()
    precision = resolve_precision(a.precision, device)
    print(f"GANomaly {a.side} px, {a.channels} channel(s), width {a.width}, batch {a.batch}, "
          f"{device}, {precision}, {torch.get_num_threads()} threads")  # fmt: skip
    slow, fast = median_seconds(plain.step, ours.step, repeats=a.repeats)
    print(f"training step   plain {slow}   adlib {fast}   {slow.ratio(fast)}   "
          f"{a.batch / fast.wall:.1f} images/s")  # fmt: skip


if __name__ == "__main__":
    main()
