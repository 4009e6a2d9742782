"""Cycle-GAN: trained images per second against a plain PyTorch loop of the same networks and batch.

The plain loop follows the authors' step as it is written: images through a DataLoader, float32,
contiguous tensors, PyTorch's own layers, a pass of a generator for every term of the losses,
gradients of the discriminators in the generators' update too, a replay buffer that looks at one
image after the other, and `.item()` on every loss. Both run in turn in this process; medians.
Before, both must compute the same images and losses in float64 on the CPU.
"""

import argparse
import random

import torch
from common import Batches, OurTrainer, add_precision, median_seconds
from torch import nn
from torch.nn import functional as F

from adlib import models
from adlib.host.device import default_device, resolve_precision
from adlib.networks import augment

CHECKED = 2  # images of either kind that both must treat alike


class PlainResidual(nn.Module):
    """Residual block of the plain generator."""

    def __init__(self, n: int) -> None:
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(n, n, 3), nn.InstanceNorm2d(n)]
        other = [nn.ReflectionPad2d(1), nn.Conv2d(n, n, 3), nn.InstanceNorm2d(n)]
        self.inner = nn.Sequential(*half, nn.ReLU(inplace=True), *other)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


def plain_generator(channels: int, width: int, blocks: int) -> nn.Sequential:
    """ResNet generator of PyTorch's own layers; weights in the order of adlib's."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3)]
    n = width

    def normed(layer: nn.Module, n: int) -> list[nn.Module]:
        return [layer, nn.InstanceNorm2d(n), nn.ReLU(inplace=True)]

    layers += normed(nn.Conv2d(channels, n, 7), n)
    for _ in range(2):
        layers += normed(nn.Conv2d(n, 2 * n, 3, 2, 1), 2 * n)
        n *= 2
    layers += [PlainResidual(n) for _ in range(blocks)]
    for _ in range(2):
        layers += normed(nn.ConvTranspose2d(n, n // 2, 3, 2, 1, output_padding=1), n // 2)
        n //= 2
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(n, channels, 7), nn.Tanh())


def plain_discriminator(channels: int, width: int) -> nn.Sequential:
    """70x70 patch discriminator of PyTorch's own layers; weights in the order of adlib's."""
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
    for k, stride in ((1, 2), (2, 2), (4, 1)):
        layers += [nn.Conv2d(k * width, 2 * k * width, 4, stride, 1)]
        layers += [nn.InstanceNorm2d(2 * k * width), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


class PlainReplay:
    """The usual pool of past images, one image after the other."""

    def __init__(self, size: int) -> None:
        self.size, self.images = size, []

    def __call__(self, fresh: torch.Tensor) -> torch.Tensor:
        shown = []
        for image in fresh:
            image = image[None]
            if len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            elif random.random() < 0.5:
                place = random.randrange(self.size)
                shown.append(self.images[place].clone())
                self.images[place] = image
            else:
                shown.append(image)
        return torch.cat(shown)


class PlainTrainer:
    """The plain training loop; `draws` gives a normal and an abnormal batch."""

    def __init__(self, detector: models.CycleGAN, draws: tuple) -> None:
        s = detector.settings
        self.nets = nn.ModuleDict()
        for kind in ("normal", "abnormal"):
            size = s.channels, s.width
            self.nets[f"to_{kind}"] = plain_generator(*size, s.residual_blocks)
            self.nets[f"judge_{kind}"] = plain_discriminator(*size)
        for name, net in self.nets.items():
            ours = detector.networks[name].parameters()
            for p, weight in zip(net.parameters(), ours, strict=True):
                p.data = weight.detach().clone(memory_format=torch.contiguous_format)
        self.nets.to(detector.device)
        self.draws, self.settings = draws, s
        self.pools = PlainReplay(s.replay), PlainReplay(s.replay)
        generators = [*self.nets["to_normal"].parameters(), *self.nets["to_abnormal"].parameters()]
        self.adam, self.adam_normal, self.adam_abnormal = (
            torch.optim.Adam(weights, s.learning_rate, (0.5, 0.999))
            for weights in (
                generators,
                self.nets["judge_normal"].parameters(),
                self.nets["judge_abnormal"].parameters(),
            )
        )

    def step(self) -> dict[str, float]:
        x, y = (draw() for draw in self.draws)
        s, n, a = self.settings, self.nets["to_normal"], self.nets["to_abnormal"]
        judge_normal, judge_abnormal = self.nets["judge_normal"], self.nets["judge_abnormal"]
        normal, abnormal = n(y), a(x)
        self.adam.zero_grad()
        adversarial = self.judged(judge_normal(normal), 1)
        adversarial = adversarial + self.judged(judge_abnormal(abnormal), 1)
        cycle = F.l1_loss(n(abnormal), x) + F.l1_loss(a(normal), y)
        identity = F.l1_loss(n(x), x) + F.l1_loss(a(y), y)
        loss = adversarial + s.weight_cycle * cycle + s.weight_identity * identity
        loss.backward()
        self.adam.step()
        values = {
            "generators": loss,
            "adversarial": adversarial,
            "cycle": cycle,
            "identity": identity,
        }
        for kind, judge, real, made, pool, adam in (
            ("normal", judge_normal, x, normal, self.pools[0], self.adam_normal),
            ("abnormal", judge_abnormal, y, abnormal, self.pools[1], self.adam_abnormal),
        ):
            adam.zero_grad()
            shown = pool(made.detach())
            loss = (self.judged(judge(real), 1) + self.judged(judge(shown), 0)) * 0.5
            loss.backward()
            adam.step()
            values[f"judge_{kind}"] = loss
        return {name: value.item() for name, value in values.items()}

    @staticmethod
    def judged(value: torch.Tensor, target: float) -> torch.Tensor:
        return F.mse_loss(value, torch.full_like(value, target))


def check(settings: dict, pixels: torch.Tensor, batch: int) -> None:
    """Raise AssertionError unless both compute the same images and the same losses."""
    detector = models.CycleGAN(**settings, augmentation="none").to("cpu")
    detector.networks.double()
    x, y = augment.to_float(pixels[: 2 * batch]).double().chunk(2)
    plain = PlainTrainer(detector, (x.contiguous, y.contiguous))
    with torch.no_grad():
        made = detector.networks["to_normal"](y)
        torch.testing.assert_close(plain.nets["to_normal"](y), made, rtol=1e-8, atol=1e-10)
    rng = torch.Generator()
    wanted = plain.step()
    parts = {"train": x, "abnormal": y}
    found = detector.training_step(lambda part="train": parts[part], detector.optimizers(), rng)
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name].item(), value, rtol=1e-8, atol=1e-10, msg=name)


def main() -> None:
    """Print images per second of both and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--width", type=int, nargs="+", default=[64, 16, 8])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    add_precision(parser)
    a = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    shape = (256, a.channels, a.side, a.side)
    pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    device = default_device()
    precision = resolve_precision(a.precision, device)
    print(f"Cycle-GAN {a.side} px, {a.channels} channel(s), batch {a.batch}, {device}, "
          f"{precision}, {torch.get_num_threads()} threads")  # fmt: skip
    for width in a.width:
        settings = {"side": a.side, "channels": a.channels, "width": width}
        check(settings, pixels, CHECKED)
        detector = models.CycleGAN(**settings)
        ours = OurTrainer(detector, pixels, a.batch, a.precision)
        ours.parts["abnormal"] = pixels.flip(0).to(device)
        draws = tuple(Batches(part, a.batch).draw for part in (pixels, pixels.flip(0)))
        plain = PlainTrainer(detector, draws)
        slow, fast = median_seconds(plain.step, ours.step, repeats=a.repeats)
        print(f"training step, width {width:<4d} plain {slow}   adlib {fast}   "
              f"{slow.ratio(fast)}   {a.batch / fast.wall:.1f} images/s")  # fmt: skip


if __name__ == "__main__":
    main()
