"""CBiGAN: training steps and scoring against a plain PyTorch loop of the same networks and batch.

The plain loop is what a first implementation looks like: images through a DataLoader one by one,
float32, contiguous tensors, a forward pass for every term, `.item()` on every loss, Adam as it
comes; in scoring one batch after another with a transfer of every score. Both run in turn in this
process; medians.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from adlib import models, training
from adlib.training import Budget


class Pictures(Dataset):
    """Images opened and turned into tensors one at a time."""

    def __init__(self, pixels: torch.Tensor) -> None:
        self.images = [Image.fromarray(np.asarray(p.permute(1, 2, 0))) for p in pixels]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        array = np.asarray(self.images[i].convert("RGB"), np.float32) / 127.5 - 1
        return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def plain_networks(settings: dict) -> nn.ModuleDict:
    """Make the same networks, float32 and contiguous."""
    return models.CBiGAN(**settings).networks.to(training.default_device())


class PlainTrainer:
    """The plain training loop; `step` does one critic and one encoder/generator update."""

    def __init__(self, settings: dict, pixels: torch.Tensor, batch: int) -> None:
        nets = plain_networks(settings)
        self.e, self.g, self.d = nets["encoder"], nets["generator"], nets["critic"]
        players = [*self.e.parameters(), *self.g.parameters()]
        self.players = torch.optim.Adam(players, 1e-4, (0.0, 0.9))
        self.critic = torch.optim.Adam(self.d.parameters(), 1e-4, (0.0, 0.9))
        self.loader = DataLoader(Pictures(pixels), batch, shuffle=True, drop_last=True)
        self.batches, self.alpha = iter(self.loader), settings.get("alpha", 1e-4)
        self.device = training.default_device()

    def draw(self) -> torch.Tensor:
        try:
            return next(self.batches).to(self.device)
        except StopIteration:
            self.batches = iter(self.loader)
            return next(self.batches).to(self.device)

    def step(self) -> None:
        x = self.draw()
        z = torch.randn(len(x), 64, device=self.device)
        real, fake = self.d(x, self.e(x)).mean(), self.d(self.g(z), z).mean()
        mix = torch.rand(len(x), 1, device=self.device)
        image = mix[..., None, None] * x + (1 - mix[..., None, None]) * self.g(z).detach()
        code = mix * self.e(x).detach() + (1 - mix) * z
        image.requires_grad_(True), code.requires_grad_(True)
        gradients = torch.autograd.grad(self.d(image, code).sum(), [image, code], create_graph=True)
        norm = sum(g.square().flatten(1).sum(1) for g in gradients).sqrt()
        penalty = (norm - 1).square().mean()
        self.critic.zero_grad()
        (fake - real + 10 * penalty).backward()
        self.critic.step()
        (real.item(), fake.item(), penalty.item())
        x = self.draw()
        z = torch.randn(len(x), 64, device=self.device)
        adversarial = self.d(x, self.e(x)).mean() - self.d(self.g(z), z).mean()
        image = (x - self.g(self.e(x))).abs().flatten(1).sum(1).mean()
        latent = (z - self.e(self.g(z))).abs().flatten(1).sum(1).mean()
        self.players.zero_grad()
        ((1 - self.alpha) * adversarial + self.alpha * (image + latent)).backward()
        self.players.step()
        (adversarial.item(), image.item(), latent.item())

    @torch.no_grad()
    def score(self, pixels: torch.Tensor) -> list[float]:
        scores = []
        for x in DataLoader(Pictures(pixels), 1):
            x = x.to(self.device)
            distance = (x - self.g(self.e(x))).abs().sum()
            f = self.d.hidden(x, self.e(x)) - self.d.hidden(self.g(self.e(x)), self.e(x))
            scores.append((0.9 * distance + 0.1 * f.abs().sum()).item())
        return scores


class OurTrainer:
    """The same through `adlib.training`'s pieces, without checkpoints."""

    def __init__(self, settings: dict, pixels: torch.Tensor, batch: int) -> None:
        self.detector = models.CBiGAN(**settings)
        device = training.default_device()
        self.detector.to(device).networks.train()
        self.state = training._State(
            self.detector, self.detector.optimizers(), training._Average(self.detector)
        )
        self.budget, self.pixels, self.done = Budget(1, batch), pixels.to(device), 0

    def step(self) -> None:
        self.done += 1
        self.state.step = self.done - 1
        budget = Budget(self.done, self.budget.batch)
        training._steps(self.state, self.pixels, budget, 0, None, None)

    def score(self, pixels: torch.Tensor) -> np.ndarray:
        return self.detector.score(pixels)


def median_seconds(*functions: object, repeats: int) -> list[float]:
    """Median seconds of each function, run in turn so that drifts hit all alike."""
    taken: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(repeats):
        for times, function in zip(taken, functions, strict=True):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            start = time.perf_counter()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    return [statistics.median(t) for t in taken]


def main() -> None:
    """Print steps per second and scored images per second of both, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    a = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (128, 3, a.side, a.side), generator=generator, dtype=torch.uint8)
    settings = {"side": a.side, "width": a.width}
    plain, ours = (cls(settings, pixels, a.batch) for cls in (PlainTrainer, OurTrainer))
    device = training.default_device()
    precision = training.resolve_precision("auto", device)
    print(f"CBiGAN {a.side} px, width {a.width}, batch {a.batch}, {device}, {precision}, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    line = "{:<16}plain {:8.1f} ms   adlib {:8.1f} ms   ratio {:.2f}"
    slow, fast = median_seconds(plain.step, ours.step, repeats=a.repeats)
    print(line.format("training step", slow * 1e3, fast * 1e3, slow / fast))
    ours.detector.networks.eval()
    few = pixels[:64]
    slow, fast = median_seconds(
        lambda: plain.score(few), lambda: ours.score(few), repeats=a.repeats
    )
    print(line.format("scoring 64", slow * 1e3, fast * 1e3, slow / fast))


if __name__ == "__main__":
    main()
