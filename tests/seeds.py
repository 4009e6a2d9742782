"""The whole suite with other random numbers: `ADLIB_TEST_SEED=3 pytest` moves every seed by 3.

A test of a property must hold for every seed, not for the one that it happens to name: rounding on
another processor moves a training as another seed does. So a new test is run once for some seeds.
The numbers go into every seed that tests and package set, in torch and in NumPy, so what was equal
stays equal. A test that must not move, for it knows numbers of one seed, is marked `fixed_seed`.
"""

import os

import numpy as np
import torch

_asked = int(os.environ.get("ADLIB_TEST_SEED", "0"))
_shift = _asked


def pytest_runtest_setup(item):
    """Leave the seeds of a marked test alone."""
    global _shift
    _shift = 0 if item.get_closest_marker("fixed_seed") else _asked


def _moved(seed):
    if _shift and isinstance(seed, int | np.integer):
        return (int(seed) + 1_000_003 * _shift) % 2**63
    if _shift and isinstance(seed, list | tuple):
        return [*seed, _shift]
    return seed


class _Generator(torch.Generator):
    def manual_seed(self, seed):
        return super().manual_seed(_moved(seed))


def install():
    """Replace what sets a seed, where another one is asked for."""
    if not _asked:
        return
    manual_seed, default_rng = torch.manual_seed, np.random.default_rng
    sequence = np.random.SeedSequence
    torch.Generator = _Generator
    torch.manual_seed = lambda seed: manual_seed(_moved(seed))
    np.random.default_rng = lambda seed=None: default_rng(_moved(seed))
    np.random.SeedSequence = lambda seed=None, **more: sequence(_moved(seed), **more)
