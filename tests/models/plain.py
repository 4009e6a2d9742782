"""What the tests of several methods share: layers counted by hand, steps in float64."""

import copy

import torch

from adlib import models
from adlib.models import training
from adlib.networks import augment


def conv(inputs, outputs, side):
    """Trainable values of a convolution, transposed or not, or of a dense layer (side 1)."""
    return inputs * outputs * side**2 + outputs


def norm(n):
    """Those of a batch norm."""
    return 2 * n


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(seed=0, n=4, side=32, channels=1):
    """Float images in [-1, 1] that uint8 can hold."""
    shape = n, channels, side, side
    values = torch.randint(0, 256, shape, generator=generator(seed), dtype=torch.uint8)
    return augment.to_float(values)


def batches(side=32, channels=1):
    """A function that draws the batches 0, 1, ... in float64."""
    count = iter(range(99))
    return lambda: images(next(count), side=side, channels=channels).double()


def prepared(name, spread=None, **settings):
    """A detector in float64 with known weights, and the same networks, which nothing trains.

    Fresh networks of small weights hardly tell images apart: `spread` redraws them N(0, spread).
    """
    detector = models.build(name, **settings)
    training.initialise(detector, 0)
    if spread:
        rng = generator(9)
        with torch.no_grad():
            for p in detector.networks.parameters():
                if p.ndim > 1:
                    p.copy_(torch.randn(p.shape, generator=rng) * spread)
    detector.networks.double()
    return detector, copy.deepcopy(dict(detector.networks))


def stepped(detector, **drawing):
    """The losses of one training step; its draws are those of the generators of seed 0."""
    torch.manual_seed(0)  # of dropout
    draw = batches(detector.settings.side, detector.settings.channels, **drawing)
    return detector.training_step(draw, detector.optimizers(), generator())


def assert_equal_weights(networks, wanted):
    """Weights after a step, to 1e-9: float64 leaves ten digits of a gradient.

    A bias in front of a batch norm has no gradient but rounding, whose sign an optimiser makes a
    step of. Such values are left out, and the running means that they move.
    """
    for name, network in wanted.items():
        ours, weights = networks[name].state_dict(), dict(network.named_parameters())
        for key, value in network.state_dict().items():
            found = ours[key]
            if key in weights:
                told = weights[key].grad.abs() > 1e-12
                assert told.any() or value.ndim == 1, f"{name}.{key}"
                found, value = found[told], value[told]
            if not key.endswith("running_mean"):
                message = f"{name}.{key}"
                torch.testing.assert_close(found, value, rtol=1e-9, atol=1e-9, msg=message)


def cross_entropy(logits, label):
    """Mean cross-entropy, through the probability."""
    p = torch.sigmoid(logits)
    return -torch.log(p if label else 1 - p).mean()


def update(optimizer, loss, retain=False):
    """One step of a plain optimiser."""
    optimizer.zero_grad()
    loss.backward(retain_graph=retain)
    optimizer.step()
