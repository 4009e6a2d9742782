"""How far pixels at a network's size differ if the images were made smaller before.

Run as a script: `python tests/bench/bench_reduced.py`. Pictures of full size are resized at once,
and through 256 px by two filters that a copy may have been made with. For scale: the same without
antialiasing. Sets of full size in the data root join the generated ones. It fails where a mean is
above `LIMIT` grey levels at half the copy's side.
"""

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from adlib import data
from adlib.data import decode, synthetic

SIDES, COPY, N = (128, 256), 256, 40
LIMIT = 1.0
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def noise(n: int, side: int = 1024) -> np.ndarray:
    """Noise in blocks of 4 px on a slope: uint8 (n, side, side, 3), harder than photographs."""
    rng = np.random.default_rng(0)
    slope = np.linspace(60, 190, side)[:, None, None]
    blocks = rng.normal(0, 12, (n, side // 4, side // 4, 1)).repeat(4, 1).repeat(4, 2)
    return (slope + blocks).clip(0, 255).astype(np.uint8).repeat(3, 3)


def pictures() -> dict[str, list[Image.Image]]:
    """Pictures that are larger than the copy, by what they show."""
    found = {"noise, 1024 px": [Image.fromarray(x) for x in noise(N // 4)]}
    for category in ("object", "texture"):
        made, _, _ = synthetic.generate(category, 1024, N // 4, 0, N // 4)
        found[f"{category}s, generated, 1024 px"] = [Image.fromarray(x) for x in made]
    for name, category in (("elpv", "mono"), ("elpv", "poly"), ("magnetic_tile", "tile")):
        try:
            images = data.load(name, category)
        except FileNotFoundError:
            continue
        opened = (decode.open_image(images.root / path) for path in images.table["path"])
        found[f"{name}/{category}"] = [x for x in opened if min(x.size) > COPY][:N]
    return found


def print_gaps(images: list[Image.Image], side: int) -> None:
    """Print mean, 99.9th percentile and largest distance in grey levels, and the PSNR."""
    at_once = np.stack([decode.resized(image, side, 3) for image in images]).astype(float)
    made = {
        f"through {COPY} px, {name}": [
            decode.resized(image.resize((COPY, COPY), kernel), side, 3) for image in images
        ]
        for name, kernel in FILTERS.items()
    }
    made["without antialiasing"] = [without_antialiasing(image, side) for image in images]
    for name, others in made.items():
        distance = np.abs(np.stack(others) - at_once)
        psnr = 10 * np.log10(255**2 / np.square(distance).mean()) if distance.any() else np.inf
        print(
            f"  {side} px, {name:25}mean {distance.mean():5.2f}  99.9 % "
            f"{np.quantile(distance, 0.999):3.0f}  largest {distance.max():3.0f}  {psnr:.1f} dB"
        )
        close = distance.mean() < LIMIT
        assert close or side == COPY or name == "without antialiasing", distance.mean()


def without_antialiasing(image: Image.Image, side: int) -> np.ndarray:
    """The bilinear resizing of old torch and OpenCV, which looks at four pixels."""
    pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float()
    return F.interpolate(pixels, (side, side), mode="bilinear").round()[0].numpy()


def main() -> None:
    """Print a table for each kind of picture."""
    for what, images in pictures().items():
        print(f"{what}: {len(images)} pictures")
        for side in SIDES:
            print_gaps(images, side)


if __name__ == "__main__":
    main()
