"""Known faults of public implementations of GANomaly, one switch each.

For the audit alone, as are `audit` and `traps` beside it: these detectors are not registered, so
no run, profile or table of the study can have one. Each is GANomaly but for one thing.
"""

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib import metrics, models
from adlib.data import Split
from adlib.metrics import interval_over_seeds, ranks
from adlib.models.base import Losses
from adlib.models.training import Budget
from adlib.networks import pyramid
from adlib.study.tables import points as in_points

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
Scores = dict[str, dict[int, np.ndarray]]  # fault -> seed -> scores (n,) of the test images


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


def all_scores(plan: dict, splits: dict[int, Split]) -> Scores:
    """Scores of the test images with every fault and without: trained anew, then scaled.

    The scaling needs no training of its own: it is applied to the right form's scores, in the order
    of the files and in a shuffled one.

    Args:
        plan: `steps`, `batch` and `settings`, as a profile has them.
        splits: seed to its split.

    Raises:
        ValueError: as in `trained_scores`.
    """
    budget = Budget(steps=plan["steps"], batch=plan["batch"])
    found = {
        fault: {s: trained_scores(fault, plan["settings"], split, budget, s)
                for s, split in splits.items()}
        for fault in TRAINED
    }  # fmt: skip
    orders = {"files in order": np.arange, "shuffled": np.random.default_rng(0).permutation}
    for name, rearranged in orders.items():
        found[f"{SCALED}, {name}"] = {
            s: running_min_max(own, rearranged(len(own))) for s, own in found[RIGHT].items()
        }
    return found


def prices(labels: dict[int, np.ndarray], scores: Scores) -> dict[str, tuple]:
    """`price` of every fault.

    Args:
        labels: seed to labels `(n,)` of its test images.
        scores: see `all_scores`.
    """
    right = list(scores[RIGHT].values())
    lines = list(labels.values())
    return {f: price(lines, list(own.values()), right) for f, own in scores.items() if f != RIGHT}


def rows(
    labels: dict[int, np.ndarray], scores: Scores, priced: dict[str, tuple], **shared: object
) -> list[dict[str, object]]:
    """Rows for `results.write_rows`: the auROC of every fault and seed, and what the fault costs.

    An auROC with a fault has a name of its own, for it is none of the study's.

    Args:
        labels: as in `prices`.
        scores: see `all_scores`.
        priced: see `prices`.
        **shared: further columns.
    """
    found = []
    for fault, by_seed in scores.items():
        for i, (seed, own) in enumerate(by_seed.items()):
            counts = np.bincount(labels[seed], minlength=2).tolist()
            row = shared | {"method": ("GANomaly", fault), "seed": seed}
            row |= dict(zip(("n_normal", "n_abnormal"), counts, strict=True))
            ends = metrics.interval("auroc", labels[seed], own)
            area = (metrics.auroc(labels[seed], own), *ends)
            numbers = {"auroc": area}
            if fault != RIGHT:
                numbers = {"auroc_with_fault": area, "difference_points": priced[fault][0][i]}
            found += [
                row | {"metric": metric} | dict(zip(("value", "low", "high"), given, strict=True))
                for metric, given in numbers.items()
            ]
    return found


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


def said(level: float, over: dict[str, tuple], plan: dict, margin: float) -> tuple[list[str], str]:
    """What every fault costs, and the verdict: which cost more than the margin, what is open.

    Args:
        level: mean auROC of the right form.
        over: fault -> points over all seeds: value, low, high; see `price`.
        plan: `seeds` and `steps` of the trainings.
        margin: points that two numbers may differ by.
    """
    sentences = [f"The right form reaches an auROC of {level:.3f} over {plan['seeds']} seeds."]
    sentences += [
        f"*{fault[0].upper()}{fault[1:]}* {reads(low, high, margin)}: {in_points(value)} points "
        f"({in_points(low)} to {in_points(high)})."
        for fault, (value, low, high) in sorted(over.items(), key=lambda one: one[1][0])
    ]
    moving = [f for f, (_, low, high) in over.items() if low > margin or high < -margin]
    kept = [f for f, (_, low, high) in over.items() if -margin <= low and high <= margin]
    decided = (
        f"By more than the margin of {margin:.0f} points, with the whole interval: "
        f"{', '.join(moving) or 'no fault'}. By no more than it: {', '.join(kept) or 'no fault'}. "
        f"Open: {len(over) - len(moving) - len(kept)} of {len(over)}. The intervals are over "
        f"trainings and test images; more than {plan['seeds']} seeds of {plan['steps']:,} steps "
        "would make them narrower. Another set or a longer training may pay another price."
    )
    return sentences, decided
