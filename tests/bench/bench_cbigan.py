"""CBiGAN: training steps and scoring against a plain PyTorch loop of the same networks and batch.

The plain loop is what a careful first implementation looks like: images through a DataLoader,
float32, contiguous tensors, E(x) and G(z) detached in the critic's update, a forward pass for every
term of the others, `.item()` on every loss, Adam as it comes. It scores in batches of the same size
with one transfer per batch: once with separate forward passes for every term of the score, once
with E and G called a single time. All run in turn in this process; medians.
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

SCORED = 64  # images, and the size of a scoring batch


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
        code, made = self.e(x).detach(), self.g(z).detach()
        real, fake = self.d(x, code).mean(), self.d(made, z).mean()
        mix = torch.rand(len(x), 1, device=self.device)
        image = mix[..., None, None] * x + (1 - mix[..., None, None]) * made
        code = mix * code + (1 - mix) * z
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
    def score(self, pixels: torch.Tensor, separate: bool) -> list[float]:
        """Scores by equation 7; `separate`: E and G run again for every term."""
        scores: list[float] = []
        for x in DataLoader(Pictures(pixels), SCORED):
            x = x.to(self.device)
            code = self.e(x)
            again = self.g(code)
            distance = (x - again).abs().flatten(1).sum(1)
            if separate:
                f = self.d.hidden(x, self.e(x)) - self.d.hidden(self.g(self.e(x)), self.e(x))
            else:
                f = self.d.hidden(x, code) - self.d.hidden(again, code)
            scores += (0.9 * distance + 0.1 * f.abs().sum(1)).tolist()
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
        training._steps(self.state, {"train": self.pixels}, budget, 0, None)

    def score(self, pixels: torch.Tensor) -> np.ndarray:
        return self.detector.score(pixels, SCORED)


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
    line = "{:<28}plain {:8.1f} ms   adlib {:8.1f} ms   ratio {:.2f}"
    slow, fast = median_seconds(plain.step, ours.step, repeats=a.repeats)
    print(line.format("training step", slow * 1e3, fast * 1e3, slow / fast))
    few, networks = pixels[:SCORED], ours.detector.networks.eval()
    for name, network in (("encoder", plain.e), ("generator", plain.g), ("critic", plain.d)):
        network.load_state_dict(networks[name].state_dict())
    for separate in (True, False):  # the same numbers, or the ratio means nothing
        np.testing.assert_allclose(plain.score(few, separate), ours.score(few), rtol=1e-3)
    apart, once, fast = median_seconds(
        lambda: plain.score(few, True),
        lambda: plain.score(few, False),
        lambda: ours.score(few),
        repeats=a.repeats,
    )
    for what, slow in (("separate passes", apart), ("E and G once", once)):
        print(line.format(f"scoring {SCORED}, {what}", slow * 1e3, fast * 1e3, slow / fast))


if __name__ == "__main__":
    main()
