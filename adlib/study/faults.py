"""Known faults of public implementations of GANomaly, one switch each.

For the audit alone, as are `adlib.study.audit` and `traps`: these detectors are not registered, so
no run, profile or table of the study can have one. Each is GANomaly but for one thing.
"""

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib import models
from adlib.data import Split
from adlib.metrics import interval_over_seeds, ranks
from adlib.models.base import Losses
from adlib.models.training import Budget
from adlib.networks import pyramid

BATCH = 32  # test images that anomalib scales together by default


class Uninitialised(models.GANomaly):
    """PyTorch's own initial weights in place of N(0, 0.02).

    anomalib calls the function that initialises one layer on the whole network, whose name it does
    not know, instead of applying it to every layer.
    """

    def build(self) -> dict[str, nn.Module]:
        """Reset every layer of GANomaly's networks."""
        networks = super().build()
        for network in networks.values():
            for layer in network.modules():
                if hasattr(layer, "reset_parameters"):
                    layer.reset_parameters()
        return networks


class Padding4(models.GANomaly):
    """The first convolution of encoders and discriminator pads 4 pixels in place of 1, as anomalib.

    The first map is 3 pixels larger on a side (19 for 32); later ones round down, to the last one's
    usual size.
    """

    def build(self) -> dict[str, nn.Module]:
        """Give GANomaly's networks the padding, and layers that take odd sides."""
        networks = super().build()
        generator, discriminator = networks["generator"], networks["discriminator"]
        pyramids = generator.encoder, generator.second_encoder, discriminator.features
        for layers in pyramids:
            layers[0].padding = (4, 4)
            for i, layer in enumerate(layers):
                if isinstance(layer, pyramid.Halve):  # it takes even sides alone
                    layers[i] = nn.Conv2d(
                        layer.in_channels, layer.out_channels, 4, 2, 1, bias=False
                    )
                    layers[i].weight = layer.weight
        return networks


class OutputLoss(models.GANomaly):
    """The adversarial loss compares the discriminator's outputs in place of its features.

    anomalib takes the squared difference of the probabilities for an image and its reconstruction.
    """

    def _update_generator(
        self, x: Tensor, outputs: tuple, real: tuple, fake: tuple, optimizer: Optimizer
    ) -> Losses:
        real, fake = ((logit, logit.sigmoid()) for logit, _ in (real, fake))
        return super()._update_generator(x, outputs, real, fake, optimizer)


class OneEncoder(models.GANomaly):
    """The second encoder is the first one, in place of one with weights of its own.

    So it is in zurutech's anomaly-toolbox, whose authors confirm it in its issue 5.
    """

    def build(self) -> dict[str, nn.Module]:
        """Share the first encoder of GANomaly's generator."""
        networks = super().build()
        networks["generator"].second_encoder = networks["generator"].encoder
        return networks


RIGHT = "as the authors' code"
TRAINED: dict[str, type[models.GANomaly]] = {
    RIGHT: models.GANomaly,
    "uninitialised weights": Uninitialised,
    "padding 4": Padding4,
    "adversarial loss on outputs": OutputLoss,
    "one encoder": OneEncoder,
}
SCALED = "running min-max scaling"  # of the right form's scores; see `running_min_max`


def trained_scores(
    fault: str, settings: dict, split: Split, budget: Budget, seed: int
) -> np.ndarray:
    """Scores `(n,)` of the test images by a GANomaly trained with a fault, or form, of `TRAINED`.

    All forms train on the same batches; `settings`, `split`, `budget` and `seed` are as in a run.

    Raises:
        ValueError: the settings ask for other losses than the authors' newest code.
    """
    detector = TRAINED[fault](**settings)
    if detector.settings.losses != "code":
        raise ValueError(f"losses = {detector.settings.losses!r}: the faults are those of 'code'")
    detector.fit(split, budget, seed)
    return detector.score(split.pixels("test", detector.settings.side, detector.settings.channels))


def running_min_max(scores: ArrayLike, order: ArrayLike, batch: int = BATCH) -> np.ndarray:
    """Scores scaled batch by batch to the lowest and highest seen so far, as anomalib does.

    Every batch moves both ends before it is scaled itself, so scores of different batches are on
    different scales, and a score depends on which images came before.

    Args:
        scores: (n,) as the detector gives them.
        order: (n,) numbers of the images, in which batches are filled.
        batch: images that are scaled together.

    Returns:
        float64 (n,) in [0, 1], in the order of `scores`; 0 as long as all scores seen are equal.
    """
    scores, order = np.asarray(scores, dtype=np.float64), np.asarray(order)
    scaled = np.empty_like(scores)
    for start in range(0, len(order), batch):
        seen, now = scores[order[: start + batch]], order[start : start + batch]
        span = np.ptp(seen)
        scaled[now] = (scores[now] - seen.min()) / (span or 1.0)
    return scaled


def price(
    labels: list[ArrayLike], faulty: list[ArrayLike], right: list[ArrayLike]
) -> tuple[list[tuple[float, float, float]], tuple[float, float, float]]:
    """What a fault costs, in points of the auROC: with minus without, on the same test images.

    Each argument has one (n,) vector a seed: labels, scores with the fault and without.

    Returns:
        Value and interval over test images of each seed (DeLong), and of the mean over the seeds,
        over trainings and test images.
    """
    apart = [ranks.auroc_difference(*one) for one in zip(labels, faulty, right, strict=True)]
    by_seed = [tuple(100 * part for part in one) for one in apart]
    values, lows, highs = zip(*by_seed, strict=True)
    ends = interval_over_seeds(values, lows, highs, bounds=(-np.inf, np.inf))
    return by_seed, (float(np.mean(values)), *ends)


def reads(low: float, high: float, margin: float) -> str:
    """What an interval of points says of the margin that two numbers may differ by."""
    if low > margin or high < -margin:
        return "moves the number by more than the margin"
    if -margin <= low and high <= margin:
        return "moves the number by no more than the margin"
    if low > 0 or high < 0:
        return "moves the number, perhaps by more than the margin"
    return "is not shown to move the number"
