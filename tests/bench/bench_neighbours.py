"""Exact search in a PatchCore bank against faiss' `IndexFlatL2`, with the index at hand.

Both run in turn in this process on the same vectors, images of 1,024 patches at a time; medians.
faiss is no requirement of adlib: without it, a line says that it was left out.
"""

import argparse

import torch
from common import Seconds, median_seconds

from adlib.networks.neighbours import Index

PATCHES = 1024  # of an image of 256 px
BANKS = (21401, 2140)
IMAGES = (1, 8, 16)

try:
    import faiss
except ImportError:
    faiss = None


def vectors(n: int, d: int, seed: int) -> torch.Tensor:
    """Vectors near a curved surface of eight dimensions, as features lie."""
    rng = torch.Generator().manual_seed(seed)
    bent = torch.randn(8, d, generator=torch.Generator().manual_seed(0))
    made = torch.tanh(torch.randn(n, 8, generator=rng) @ bent)
    return made + 0.1 * torch.randn(n, d, generator=rng)


def compared(index: Index, queries: torch.Tensor, repeats: int) -> list[Seconds]:
    """Seconds of our search and, where it is installed, of faiss'; both must agree."""

    def ours() -> torch.Tensor:
        return index.nearest(queries)[1]

    if faiss is None:
        return median_seconds(ours, repeats=repeats)
    flat = faiss.IndexFlatL2(index.bank.shape[1])
    flat.add(index.bank.numpy())
    searched = queries.numpy()
    found = torch.from_numpy(flat.search(searched, 1)[1])[:, 0]
    ties = (queries - index.bank[found]).norm(dim=1), index.nearest(queries)[0]
    torch.testing.assert_close(*ties, rtol=1e-4, atol=1e-4)
    return median_seconds(ours, lambda: flat.search(searched, 1), repeats=repeats)


def main() -> None:
    """Print the time to build an index, and times of a search for some images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=5)
    a = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    if faiss is None:
        print("skipped: the comparison with faiss, which is not installed (pip install faiss-cpu)")
    with torch.inference_mode():
        for size in BANKS:
            bank = vectors(size, a.width, 1)
            (built,) = median_seconds(lambda bank=bank: Index(bank), repeats=a.repeats)
            print(f"{size} x {a.width}: index built in {built}")
            index = Index(bank)
            for images in IMAGES:
                queries = vectors(images * PATCHES, a.width, 2)
                ours, *theirs = compared(index, queries, a.repeats)
                line = f"  {images:2} images: {ours}"
                print(line, *(f"faiss {other}, {other.ratio(ours)}" for other in theirs))


if __name__ == "__main__":
    main()
