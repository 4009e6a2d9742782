"""PatchCore: time and memory of fit, score and map, and its search against a plain loop.

The plain loop is what public implementations do: for every image `torch.cdist` of its patches to
the whole memory, then `min`, or `topk` of the neighbours that the score is weighted by. Both run in
turn in this process on the same patches and the same memory; medians.
"""

import argparse
import time
from collections.abc import Iterator

import torch
from common import median_seconds
from torch.nn import functional as F

from adlib import data, models
from adlib.host import provenance
from adlib.host.device import default_device
from adlib.networks import augment, neighbours

CHUNK = 64  # generated images at a time
SEARCHED = 8  # images whose patches are searched for


class Generated:
    """Images of smooth noise at several scales, so that patches have neighbours; as a split."""

    def __init__(self, images: int) -> None:
        self.images = {"train": images, "test": 100}

    def rows(self, part: str) -> range:
        return range(self.images[part])

    def chunks(self, part: str, side: int, channels: int) -> Iterator[torch.Tensor]:
        rng = torch.Generator().manual_seed(len(part))
        for start in range(0, self.images[part], CHUNK):
            images = min(CHUNK, self.images[part] - start)
            yield torch.cat([self.one(side, channels, rng) for _ in range(images)])

    def pixels(self, part: str, side: int, channels: int) -> torch.Tensor:
        return torch.cat(list(self.chunks(part, side, channels)))

    def one(self, side: int, channels: int, rng: torch.Generator) -> torch.Tensor:
        made = torch.zeros(1, channels, side, side)
        for k in range(2, 7):
            coarse = torch.randn(1, channels, 2**k, 2**k, generator=rng)
            made += F.interpolate(coarse, (side, side), mode="bicubic") / k
        return augment.to_uint8(made / 3)


def megabytes() -> str:
    """Peak memory of this process so far."""
    return ", ".join(
        f"{name} {value:.0f} MB" for name, value in provenance.peak_memory_mb().items()
    )


def main() -> None:
    """Print seconds and memory of both parts, then the ratio of the searches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="generated", help="or a category of MVTec AD")
    parser.add_argument("--images", type=int, default=300, help="generated training images")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--coreset", type=float, default=0.1)
    parser.add_argument("--sample", type=int, default=100_000, help="patches; 0 for all")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--repeats", type=int, default=3)
    a = parser.parse_args()
    device = default_device()
    if a.data == "generated":
        split = Generated(a.images)
    else:
        split = data.one_class(data.load("mvtec_ad", a.data))
    test = split.pixels("test", a.side, 3)
    detector = models.PatchCore(
        side=a.side, backbone=a.backbone, coreset=a.coreset, sample=a.sample
    )
    print(f"PatchCore {a.side} px, {a.backbone}, {a.data}, coreset {a.coreset}, {device}, "
          f"{torch.get_num_threads()} threads; peak before: {megabytes()}")  # fmt: skip
    start = time.perf_counter()
    told = detector.fit(split, seed=0).iloc[0]
    taken = time.perf_counter() - start
    print(f"fit    {told.images:4.0f} images {taken:7.1f} s   {told.bank:.0f} of "
          f"{told.patches:.0f} patches kept   peak {megabytes()}")  # fmt: skip
    start = time.perf_counter()
    detector.score(test)
    taken = time.perf_counter() - start
    print(f"score  {len(test):4d} images {taken:7.1f} s   peak {megabytes()}")
    some = test[:SEARCHED]
    once, apart = median_seconds(
        lambda: detector.judge(some),
        lambda: (detector.score(some), detector.anomaly_map(some)),
        repeats=a.repeats,
    )
    print(f"score and map of {len(some)} images in one pass {once}   apart {apart}, "
          f"{apart.ratio(once)}")  # fmt: skip

    bank = detector.networks["memory"].bank
    with torch.inference_mode():
        patches = detector._patches(detector.maps(augment.to_float(test[:SEARCHED].to(device))))
        flat = patches.flatten(0, 1)
        wanted = torch.cat([torch.cdist(image, bank).amin(1) for image in patches])
        index = neighbours.Index(bank)
        torch.testing.assert_close(index.nearest(flat)[0], wanted, rtol=1e-3, atol=1e-2)
        ours, least, nine = median_seconds(
            lambda: index.nearest(flat),
            lambda: [torch.cdist(image, bank).min(1) for image in patches],
            lambda: [torch.cdist(image, bank).topk(9, largest=False) for image in patches],
            repeats=a.repeats,
        )
    each = 1000 / len(patches)
    print(f"search among {len(bank)} entries of {bank.shape[1]}: {ours.wall * each:.1f} ms an image"
          f"   plain cdist and min {least.wall * each:.1f} ms, {least.ratio(ours)}   "
          f"plain cdist and topk {nine.wall * each:.1f} ms, {nine.ratio(ours)}")  # fmt: skip


if __name__ == "__main__":
    main()
