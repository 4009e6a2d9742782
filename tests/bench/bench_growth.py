"""How a study grows: 1, 2 and 4 categories one after another, and 4 on two workers.

Every study is made from nothing, in a copy of the project, with one torch thread a worker. The
times are those of the whole command, so reading the grid and the report's absence are part of it.
Growth is fair if four categories take no longer than four times one; two workers are worth it from
1.7 times the speed of one.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
NOTEBOOK = "ganomaly/table1_mnist"
CATEGORIES = "0123"
PAPER = """
title = "GANomaly"
[datasets]
"*" = ["mnist"]
[methods.GANomaly]
detector = "GANomaly"
[options]
pooled = "methods that also run on the pooled split"
search_images = "test images of either label whose latent codes are searched"
"""
PROFILE = f"""
title = "Growth"
about = "One table of one paper."
seeds = [0]
[ganomaly]
pooled = []
search_images = 4
[ganomaly.sets]
digits = {list(CATEGORIES)}
[ganomaly.object]
side = 32
channels = 1
[ganomaly.detectors.GANomaly]
width = 16
steps = 400
batch = 32
"""
SETTINGS = [(1, 1), (2, 1), (4, 1), (4, 2)]  # categories, workers


def project(folder: Path) -> Path:
    """Copy what a study of one notebook needs."""
    shutil.copytree(HOME / "adlib", folder / "adlib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HOME / "Snakefile", folder)
    target = folder / "notebooks" / f"{NOTEBOOK}.ipynb"
    target.parent.mkdir(parents=True)
    shutil.copy(HOME / "notebooks" / f"{NOTEBOOK}.ipynb", target)
    (target.parent / "paper.toml").write_text(PAPER, encoding="utf-8")
    profile = folder / "notebooks" / "profiles" / "growth.toml"
    profile.parent.mkdir()
    profile.write_text(PROFILE, encoding="utf-8")
    return folder


def seconds(folder: Path, categories: int, workers: int) -> float:
    """Wall time of a study from nothing.

    Raises:
        subprocess.CalledProcessError: a cell failed; its output is printed.
    """
    with tempfile.TemporaryDirectory() as out:
        own = {f"ADLIB_{name}": f"{out}/{name}" for name in ("RUNS", "RESULTS", "CACHE")}
        own |= {"PYTHONPATH": str(folder), "ADLIB_THREADS": "1", "OMP_NUM_THREADS": "1"}
        cells = [
            f"{out}/RESULTS/growth/{NOTEBOOK}/digits-{category}-s0.done"
            for category in CATEGORIES[:categories]
        ]
        command = [sys.executable, "-m", "snakemake", "--cores", str(workers), "--nolock"]
        command += ["--config", "profile=growth", "--quiet", "rules", "host", "--", *cells]
        began = time.perf_counter()
        done = subprocess.run(
            command, cwd=folder, env=os.environ | own, capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(done.stdout, done.stderr, file=sys.stderr)
            done.check_returncode()
        return time.perf_counter() - began


def main() -> None:
    """Print times, growth and the gain of a second worker."""
    with tempfile.TemporaryDirectory() as folder:
        copy = project(Path(folder))
        took = {setting: seconds(copy, *setting) for setting in SETTINGS}
    for (categories, workers), wall in took.items():
        print(f"{categories} categories, {workers} worker(s): {wall:6.1f} s")
    growth = took[4, 1] / took[1, 1]
    print(f"4 categories against 1: {growth:.2f} x the time (fair: at most 4)")
    gain = took[4, 1] / took[4, 2]
    print(f"2 workers against 1:    {gain:.2f} x the speed (wanted: 1.7)")


if __name__ == "__main__":
    main()
