"""The whole suite with other random numbers: `ADLIB_TEST_SEED=3 pytest` moves every seed by 3.

A test of a property must hold for every seed, not for the one that it happens to name: rounding on
another processor moves a training as another seed does. So a new test is run once for some seeds.
The numbers go into every seed that tests and package set, in torch and in NumPy, so what was equal
stays equal.
"""

import numpy as np
import torch


def install(shift):
    """Replace what sets a seed by what sets another."""
    manual_seed, default_rng = torch.manual_seed, np.random.default_rng
    sequence, generator = np.random.SeedSequence, torch.Generator

    def moved(seed):
        if isinstance(seed, int | np.integer):
            return (int(seed) + 1_000_003 * shift) % 2**63
        return [*seed, shift] if isinstance(seed, list | tuple) else seed

    class Generator(generator):
        def manual_seed(self, seed):
            return super().manual_seed(moved(seed))

    torch.Generator = Generator
    torch.manual_seed = lambda seed: manual_seed(moved(seed))
    np.random.default_rng = lambda seed=None: default_rng(moved(seed))
    np.random.SeedSequence = lambda seed=None, **more: sequence(moved(seed), **more)
