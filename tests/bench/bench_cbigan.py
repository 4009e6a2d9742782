"""CBiGAN: training steps and scoring against a plain PyTorch loop of the same networks and batch.

The plain loop is what a careful first implementation looks like: images through a DataLoader,
float32, contiguous tensors, E(x) and G(z) detached in the critic's update, a forward pass for every
term of the others, `.item()` on every loss, Adam as it comes. It scores in batches of the same size
with one transfer per batch: once with separate forward passes for every term of the score, once
with E and G called a single time. All run in turn in this process; medians. Before, both must give
the same scores in float64 on the CPU.
"""

import argparse

import numpy as np
import torch
from common import Batches, OurTrainer, Pictures, add_precision, median_seconds
from torch import nn
from torch.utils.data import DataLoader

from adlib import models
from adlib.host.device import default_device, resolve_precision
from adlib.networks import augment

SCORED = 64  # images, and the size of a scoring batch


def plain_networks(settings: dict) -> nn.ModuleDict:
    """Make the same networks, float32 and contiguous."""
    return models.CBiGAN(**settings).networks.to(default_device())


class PlainTrainer:
    """The plain training loop; `step` does one critic and one encoder/generator update."""

    def __init__(self, settings: dict, pixels: torch.Tensor, batch: int) -> None:
        nets = plain_networks(settings)
        self.e, self.g, self.d = nets["encoder"], nets["generator"], nets["critic"]
        players = [*self.e.parameters(), *self.g.parameters()]
        self.players = torch.optim.Adam(players, 1e-4, (0.0, 0.9))
        self.critic = torch.optim.Adam(self.d.parameters(), 1e-4, (0.0, 0.9))
        self.draw, self.alpha = Batches(pixels, batch).draw, settings.get("alpha", 1e-4)
        self.device = default_device()

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
            x = x.to(next(self.e.parameters()))
            code = self.e(x)
            again = self.g(code)
            distance = (x - again).abs().flatten(1).sum(1)
            if separate:
                f = self.d.hidden(x, self.e(x)) - self.d.hidden(self.g(self.e(x)), self.e(x))
            else:
                f = self.d.hidden(x, code) - self.d.hidden(again, code)
            scores += (0.9 * distance + 0.1 * f.abs().sum(1)).tolist()
        return scores


def check(settings: dict, pixels: torch.Tensor) -> None:
    """Raise AssertionError unless all ways to score give the same numbers."""
    detector, plain = models.CBiGAN(**settings), PlainTrainer(settings, pixels, 1)
    networks = detector.to("cpu").networks.double().eval()
    for name, network in (("encoder", plain.e), ("generator", plain.g), ("critic", plain.d)):
        network.cpu().double().load_state_dict(networks[name].state_dict())
    with torch.no_grad():
        found = detector.score_inputs(augment.to_float(pixels).double())
    for separate in (True, False):
        np.testing.assert_allclose(plain.score(pixels, separate), found.numpy(), rtol=1e-6)


def main() -> None:
    """Print steps per second and scored images per second of both, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    add_precision(parser)
    a = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (128, 3, a.side, a.side), generator=generator, dtype=torch.uint8)
    settings = {"side": a.side, "width": a.width}
    few = pixels[:SCORED]
    check(settings, few)
    plain = PlainTrainer(settings, pixels, a.batch)
    ours = OurTrainer(models.CBiGAN(**settings), pixels, a.batch, a.precision)
    device = default_device()
    precision = resolve_precision(a.precision, device)
    print(f"CBiGAN {a.side} px, width {a.width}, batch {a.batch}, {device}, {precision}, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    line = "{:<28}plain {}   adlib {}   {}"
    slow, fast = median_seconds(plain.step, ours.step, repeats=a.repeats)
    print(line.format("training step", slow, fast, slow.ratio(fast)))
    apart, once, fast = median_seconds(
        lambda: plain.score(few, True),
        lambda: plain.score(few, False),
        lambda: ours.detector.score(few, SCORED),
        repeats=a.repeats,
    )
    for what, slow in (("separate passes", apart), ("E and G once", once)):
        print(line.format(f"scoring {SCORED}, {what}", slow, fast, slow.ratio(fast)))


if __name__ == "__main__":
    main()
