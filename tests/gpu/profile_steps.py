"""Where the time of a training step on a GPU goes, and what could make it shorter.

For each case of `bench_steps` the kernels that take longest, and milliseconds a step with one
choice changed at a time. `profile_steps.py OUT` writes both to a text file.
"""

import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from unittest import mock

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
import bench_steps
from bench_steps import CASES, IMAGES, smaller
from common import OurTrainer, median_seconds

from adlib import models
from adlib.host.device import mixed_precision
from adlib.models import training
from adlib.models.base import Detector
from adlib.networks import augment, kernels

CUDA = torch.cuda.is_available()
STEPS = 20 if CUDA else 1


def contiguous(self: Detector, device: str) -> Detector:
    """`Detector.to` with maps in channels-first order."""
    self.networks.to(device)
    return self


def untimed(device: torch.device, mixed: bool, timed: bool) -> AbstractContextManager:
    """`mixed_precision` in which cuDNN takes the algorithm it thinks best."""
    return mixed_precision(device, mixed)


CHOICES = {
    "as it is": [],
    "channels-first images and weights": [
        mock.patch.object(Detector, "to", contiguous),
        mock.patch.object(augment, "to_float", lambda images: images.float() / 127.5 - 1),
    ],
    "doubling and padding without atomics": [
        mock.patch.object(kernels, "_in_order", lambda x: True)
    ],
    "cuDNN does not try its algorithms": [mock.patch.object(training, "mixed_precision", untimed)],
    "float32": [mock.patch.object(training, "resolve_precision", lambda *_: "float32")],
}


def trainer(name: str, settings: dict, batch: int) -> OurTrainer:
    """Our loop over noise."""
    shape = IMAGES, settings.get("channels", 3), settings["side"], settings["side"]
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
    parts = {"train": pixels, "abnormal": pixels.flip(0)}
    return bench_steps.ours(models.build(name, **settings), parts, batch)


def kernels_of(one: OurTrainer) -> str:
    """Table of the kernels of a few steps, those that take longest first."""
    for _ in range(3):
        one.step()
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] if CUDA else []
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(3):
            one.step()
    order = "self_cuda_time_total" if CUDA else "self_cpu_time_total"
    return profile.key_averages().table(sort_by=order, row_limit=12, max_name_column_width=70)


def main() -> None:
    """Write the profile of every case."""
    with Path(sys.argv[1]).open("w", encoding="utf-8") as out:
        for case in CASES:
            case = case if CUDA else smaller(*case)
            print(*case, file=out)
            for name, patches in CHOICES.items():
                with ExitStack() as stack:
                    for patch in patches:
                        stack.enter_context(patch)
                    one = trainer(*case)
                    (taken,) = median_seconds(
                        lambda one=one: [one.step() for _ in range(STEPS)], repeats=3
                    )
                print(f"{taken.wall / STEPS * 1e3:9.3f} ms  {name}", file=out, flush=True)
            print(kernels_of(trainer(*case)), file=out, flush=True)


if __name__ == "__main__":
    main()
