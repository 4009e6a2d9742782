"""GANomaly: trained images per second against a plain PyTorch loop of the same networks and batch.

The plain loop follows the authors' step as it is written: images through a DataLoader, float32,
contiguous tensors, four passes of the discriminator, gradients wherever a `backward` leads, and
`.item()` on every loss. Both run in turn in this process; medians.
"""

import argparse

import numpy as np
import torch
from bench_cbigan import median_seconds
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from adlib import augment, models, training
from adlib.models import pyramid
from adlib.training import Budget


class Pictures(Dataset):
    """Pictures that are resized and turned into tensors one at a time."""

    def __init__(self, pixels: torch.Tensor, side: int) -> None:
        pictures = pixels.permute(0, 2, 3, 1).squeeze(-1).numpy()
        self.images, self.side = [Image.fromarray(p) for p in pictures], side

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        image = self.images[i].resize((self.side, self.side), Image.Resampling.BILINEAR)
        array = np.array(image, np.float32) / 127.5 - 1
        return torch.from_numpy(array.reshape(self.side, self.side, -1)).permute(2, 0, 1)


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
        self.device = training.default_device()
        nets = plain_copy(models.GANomaly(**settings).networks).to(self.device)
        self.g, self.d = nets["generator"], nets["discriminator"]
        self.adam_g, self.adam_d = (
            torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (self.g, self.d)
        )
        pictures = Pictures(pixels, settings["side"])
        self.loader = DataLoader(pictures, batch, shuffle=True, drop_last=True)
        self.batches = iter(self.loader)

    def draw(self) -> torch.Tensor:
        try:
            return next(self.batches).to(self.device)
        except StopIteration:
            self.batches = iter(self.loader)
            return next(self.batches).to(self.device)

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


class OurTrainer:
    """The same through `adlib.training`'s loop, without checkpoints."""

    def __init__(self, settings: dict, pixels: torch.Tensor, batch: int) -> None:
        self.detector = models.GANomaly(**settings)
        device = training.default_device()
        self.detector.to(device).networks.train()
        self.state = training._State(
            self.detector, self.detector.optimizers(), training._Average(self.detector)
        )
        self.batch, self.parts = batch, {"train": pixels.to(device)}

    def step(self) -> None:
        budget = Budget(self.state.step + 1, self.batch)
        training._steps(self.state, self.parts, budget, 0, None)


def main() -> None:
    """Print images per second of both and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    a = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    shape = (1024, a.channels, a.side, a.side)
    pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    settings = {"side": a.side, "channels": a.channels, "width": a.width}
    plain, ours = (cls(settings, pixels, a.batch) for cls in (PlainTrainer, OurTrainer))
    device = training.default_device()
    precision = training.resolve_precision("auto", device)
    print(f"GANomaly {a.side} px, {a.channels} channel(s), width {a.width}, batch {a.batch}, "
          f"{device}, {precision}, {torch.get_num_threads()} threads")  # fmt: skip
    images = augment.to_float(pixels[: a.batch]).to(device)
    for name, network in ours.detector.networks.items():  # the same networks, or nothing follows
        network.load_state_dict((plain.g if name == "generator" else plain.d).state_dict())
    torch.testing.assert_close(ours.detector.networks["generator"](images)[0], plain.g(images)[0])
    slow, fast = median_seconds(plain.step, ours.step, repeats=a.repeats)
    print(f"training   plain {a.batch / slow:8.1f} images/s   adlib {a.batch / fast:8.1f} images/s"
          f"   ratio {slow / fast:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
