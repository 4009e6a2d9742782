"""Every trained detector: milliseconds a training step by our loop, without graphs, and plainly.

The plain loop has the same networks and losses in float32: pictures through a DataLoader, and
`.item()` on every loss. On a GPU our loop is a CUDA graph, and the same loop is measured without
graphs too. Each is timed over several steps in turn, in this process; medians. What was measured is
written to `results/bench/<device>.json`, from which the README's figures and `adlib plan` come. On
a CPU the networks are a quarter as wide and the batches a quarter as large.
"""

import argparse
import json
import re
from unittest import mock

import torch
from common import Batches, OurTrainer, median_seconds

from adlib import models
from adlib.host import files, paths, provenance
from adlib.host.device import default_device, mixed_precision, resolve_precision
from adlib.models import graphs

# Detector, settings and batch, as the papers' experiments have them.
CASES = (
    ("GANomaly", {"side": 32, "channels": 1}, 64),
    ("GANomaly", {"side": 128}, 64),
    ("CBiGAN", {"side": 128, "width": 16}, 32),
    ("CBiGAN", {"side": 512, "patch": 64, "width": 16, "rotation": (0.0, 45.0)}, 32),
    ("CBiGAN", {"side": 32, "channels": 1, "width": 16, "alpha": 0.0}, 64),
    ("AutoEncoder", {"side": 128}, 32),
    ("FAnoGAN", {"side": 32, "channels": 1}, 64),
    (
        "NoisyAnoGAN",
        {"side": 32, "channels": 1, "width": 128, "latent": 128, "first_side": 32, "gamma": 1.0},
        64,
    ),
    ("CycleGAN", {"side": 64}, 16),
)
STEPS = {"cuda": 10, "cpu": 2}  # in one measurement
IMAGES = 256


def smaller(name: str, settings: dict, batch: int) -> tuple[str, dict, int]:
    """A case that a processor computes in seconds."""
    width = settings.get("width", models.REGISTRY[name].Settings.width)
    return name, settings | {"width": max(4, width // 4)}, batch // 4


def plain(detector: models.Trainable, draws: dict[str, Batches]) -> object:
    """A function that does a step of the plain loop."""
    optimizers, rng = detector.optimizers(), torch.Generator(detector.device)

    def step() -> None:
        detector.before_step(1, 10**6)
        with mixed_precision(detector.device, False):
            logged = detector.training_step(
                lambda part="train": draws[part].draw(), optimizers, rng
            )
        for value in logged.values():
            value.item()

    return step


def ours(detector: models.Trainable, parts: dict[str, torch.Tensor], batch: int) -> OurTrainer:
    """Our loop over images of either kind."""
    trainer = OurTrainer(detector, parts["train"], batch)
    trainer.parts["abnormal"] = parts["abnormal"].to(detector.device)
    return trainer


def measure(name: str, settings: dict, batch: int, repeats: int) -> dict[str, object]:
    """Times of one case."""
    generator = torch.Generator().manual_seed(0)
    shape = IMAGES, settings.get("channels", 3), settings["side"], settings["side"]
    pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    parts = {"train": pixels, "abnormal": pixels.flip(0)}
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    side = settings.get("patch") or settings["side"]
    draws = {part: Batches(value[..., :side, :side], batch) for part, value in parts.items()}
    fast = ours(models.build(name, **settings), parts, batch)
    with mock.patch.object(graphs, "usable", lambda device: False):
        eager = ours(models.build(name, **settings), parts, batch)
    bare = models.build(name, **settings)
    bare.networks.to(default_device()).train()
    functions = (fast.step, eager.step, plain(bare, draws))
    steps = STEPS[default_device().type]
    repeated = (lambda f=f: [f() for _ in range(steps)] for f in functions)
    taken = median_seconds(*repeated, repeats=repeats)
    ms = [round(1e3 * t.wall / steps, 3) for t in taken]
    return {
        "detector": name,
        "settings": settings,
        "batch": batch,
        "precision": resolve_precision("auto", default_device()),
        "graphed": fast.detector.graphed,
        "ms_per_step": ms[0],
        "without_graph_ms": ms[1],
        "plain_ms": ms[2],
        "times_plain": round(taken[2].wall / taken[0].wall, 2),
        "cpu_times_plain": round(taken[2].cpu / taken[0].cpu, 2),
        **{f"{k}_mb": v for k, v in provenance.peak_memory_mb().items() if k == "gpu"},
    }


def main() -> None:
    """Print and write the times of all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=(), help="detectors; default: all")
    a = parser.parse_args()
    cuda = default_device().type == "cuda"
    machine = provenance.machine()
    kind = "gpu" if cuda else "processor"
    about = {
        "device": default_device().type,
        kind: machine[kind],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **provenance.commit(),
    }
    entries = []
    for case in CASES:
        if a.only and case[0] not in a.only:
            continue
        entry = measure(*(case if cuda else smaller(*case)), a.repeats)
        entries.append(entry | about)
        times = (
            "{ms_per_step:9.2f} ms, without graph {without_graph_ms:9.2f}, plain {plain_ms:9.2f}"
        )
        ratio = "ratio {times_plain:.2f} (CPU seconds {cpu_times_plain:.2f})"
        what = f"{entry['detector']:12} {entry['settings']} batch {entry['batch']}"
        print(f"{times} {ratio}".format(**entry), what, flush=True)
    name = re.sub(r"[^A-Za-z0-9]+", "-", machine[kind]).strip("-").lower()
    file = paths.results_root() / "bench" / f"{name}.json"
    if not a.only:
        files.write_text(file, json.dumps(entries, indent=1) + "\n")
        print(f"written: {file}")


if __name__ == "__main__":
    main()
