"""Latent search over 64 images at once against one image after another.

The plain loop is what a first implementation looks like: the same networks in float32, one image,
Adam on its code, `loss.backward()`, the loss asked for by `.item()` at each step. It runs twice:
as it comes, where autograd also computes the weights' gradients that nobody uses, and with the
weights frozen. Both sides do few steps, for a step's time does not depend on how many there are.
Time per image and step; medians of runs in turn in this process. Before, both must give the same
losses in float64 on the CPU.
"""

import argparse

import numpy as np
import torch
from common import Seconds, median_seconds

from adlib import models
from adlib.host.device import default_device
from adlib.networks import augment

IMAGES = 64
PLAIN = 4  # images of the plain loop in one measurement: each takes as long as the other


def plain_search(detector: models.NoisyAnoGAN, pixels: torch.Tensor, steps: int) -> list[float]:
    """Scores of the images, searched one after another."""
    s, nets = detector.settings, detector.networks.eval()
    generator, judge = nets["generator"], nets["discriminator"]
    scores = []
    for image in pixels.split(1):
        x = augment.to_float(image).contiguous().to(next(nets.parameters()))
        with torch.no_grad():
            wanted = judge.features(x)
        z = torch.randn(1, s.latent, generator=torch.Generator().manual_seed(0)).to(x)
        z = (z / z.square().mean().sqrt()).requires_grad_(True)
        optimizer = torch.optim.Adam([z], s.search_rate)
        for _ in range(steps):
            made = generator(z)
            features = judge.features(made)
            pixel, feature = (x - made).abs().sum(), (wanted - features).abs().sum()
            unlike = (1 - judge.logits(features).sigmoid()).abs().sum()
            loss = s.gamma * ((1 - s.score_weight) * pixel + s.score_weight * feature)
            loss = loss + (1 - s.gamma) * unlike
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                z /= z.square().mean().sqrt()
            loss.item()
        scores.append(loss.item())
    return scores


def check(settings: dict, pixels: torch.Tensor) -> None:
    """Raise AssertionError unless both find the same losses after a step."""
    one = models.NoisyAnoGAN(**settings, search_steps=1).to("cpu")
    one.networks.double().eval()
    found = one.score_inputs(augment.to_float(pixels).double())
    expected = plain_search(one, pixels, 2)  # the plain loop asks before it steps
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def main() -> None:
    """Print milliseconds per image and step of both, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--chunk", type=int, default=IMAGES)
    parser.add_argument("--repeats", type=int, default=5)
    a = parser.parse_args()
    device = default_device()
    generator = torch.Generator().manual_seed(0)
    size = IMAGES, 1, a.side, a.side
    pixels = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
    settings = {"side": a.side, "channels": 1, "width": a.width, "latent": 64}
    detector = models.NoisyAnoGAN(**settings, search_steps=a.steps, search_chunk=a.chunk)
    detector.to(device)
    plain, frozen = (models.NoisyAnoGAN(**settings) for _ in range(2))
    for other in (plain, frozen):
        other.networks.to(device).load_state_dict(detector.networks.state_dict())
    frozen.networks.requires_grad_(False)
    check(settings, pixels[:PLAIN])
    print(f"NoisyAnoGAN {a.side} px, width {a.width}, {a.steps} steps, {IMAGES} images, {device}, "
          f"float32, {torch.get_num_threads()} threads")  # fmt: skip
    slow, held, fast = median_seconds(
        lambda: plain_search(plain, pixels[:PLAIN], a.steps),
        lambda: plain_search(frozen, pixels[:PLAIN], a.steps),
        lambda: detector.score(pixels),
        repeats=a.repeats,
    )
    fast = Seconds(*(t / IMAGES / a.steps for t in fast))
    for what, taken in (("as it comes", slow), ("weights frozen", held)):
        taken = Seconds(*(t / PLAIN / a.steps for t in taken))
        print(f"one by one, {what:<16}{taken}   {IMAGES} at once {fast}   {taken.ratio(fast)}")


if __name__ == "__main__":
    main()
