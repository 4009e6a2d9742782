"""Loading large images, cache cold and warm, beside a plain loop: peak memory and speed.

Run as a script: `python tests/bench/bench_loading.py [n] [source side] [side]`. Each case runs in a
process of its own, so that its peak memory is its own.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

LIMIT_GB = 1.5


def generate(folder: Path, n: int, side: int) -> None:
    """Write n photographs of noise on a slope: JPG files in `normal/`."""
    (folder / "normal").mkdir(parents=True)
    rng = np.random.default_rng(0)
    slope = np.linspace(60, 190, side)[:, None, None] + np.zeros((1, side, 3))
    for i in range(n):
        noise = rng.normal(0, 12, (side // 4, side // 4, 1)).repeat(4, 0).repeat(4, 1)
        pixels = (slope + noise + i % 20).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "normal" / f"{i:04d}.jpg", quality=90)


def plain(folder: Path, side: int) -> np.ndarray:
    """What one would write first: open, resize, append, stack."""
    images = []
    for path in sorted((folder / "normal").iterdir()):
        with Image.open(path) as image:
            small = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
            images.append(np.asarray(small).transpose(2, 0, 1))
    return np.stack(images)


def cached(folder: Path, side: int) -> np.ndarray:
    """Our own loader."""
    import adlib.data

    return adlib.data.load("folder", folder).pixels(side=side).numpy()


def case(what: str, folder: Path, side: int) -> None:
    """Run one case in this process; print seconds, peak memory in GB and a sum over the pixels."""
    import resource

    import torch  # both cases pay for it, so that the memory compares

    torch.set_num_threads(1)
    start = time.perf_counter()
    pixels = {"plain": plain, "cached": cached}[what](folder, side)
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    print(seconds, peak, pixels.sum(dtype=np.int64))


def main(n: int = 1000, source: int = 1024, side: int = 512) -> None:
    """Print the table; fail where memory is above the limit or the pixels differ."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "images"
        generate(folder, n, source)
        environment = os.environ | {
            "ADLIB_CACHE": str(Path(temporary) / "cache"),
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "TQDM_DISABLE": "1",
        }
        found = {}
        for name, what in [("plain loop", "plain"), ("cold", "cached"), ("warm", "cached")]:
            command = [sys.executable, __file__, "--case", what, str(folder), str(side)]
            run = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
            found[name] = [float(value) for value in run.stdout.split()]
    print(f"{n} images of {source} px at {side} px, {os.cpu_count()} cores")
    for name, (seconds, peak, _) in found.items():
        ratio = found["plain loop"][0] / seconds
        speed = f"{n / seconds:8.0f} images/s  {ratio:5.1f} x plain"
        print(f"{name:12}{seconds:8.2f} s  {speed}  peak {peak:.2f} GB")
    assert len({total for _, _, total in found.values()}) == 1, "the pixels differ"
    worst = max(peak for name, (_, peak, _) in found.items() if name != "plain loop")
    assert worst < LIMIT_GB, f"{worst:.2f} GB is above {LIMIT_GB} GB"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        case(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main(*map(int, sys.argv[1:]))
