"""Faults of public code: each is the one thing that it says, and its price has the right sign."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from adlib import data, metrics, models
from adlib.metrics import ranks
from adlib.models import training
from adlib.models.training import Budget
from adlib.study.beyond import faults

TINY = {"side": 32, "channels": 1, "width": 4, "latent": 8}
LABELS = np.repeat([0, 1], [30, 20])


def built(fault, **settings):
    """A detector with the weights that every fault's training begins with."""
    detector = faults.TRAINED[fault](**TINY | settings)
    training.initialise(detector, 0)
    return detector


def images(side=32, n=5):
    """A batch as training draws it, float in [-1, 1]."""
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def first_step(fault):
    """Losses of the first step of a training."""
    split = data.one_class_anomalous(data.load("synthetic", "object"), 0)
    return faults.TRAINED[fault](**TINY).fit(split, Budget(steps=1, batch=8), 0).iloc[0]


def test_no_run_or_profile_can_have_a_fault():
    """Would catch a faulty detector that a table of the study could name."""
    assert set(faults.TRAINED) > {faults.RIGHT} and faults.TRAINED[faults.RIGHT] is models.GANomaly
    for fault, detector in faults.TRAINED.items():
        assert issubclass(detector, models.GANomaly)
        assert (detector in models.REGISTRY.values()) == (fault == faults.RIGHT)


def test_all_forms_train_on_the_same_batches():
    """Would catch a difference of draws that is taken for that of a fault."""
    right = first_step(faults.RIGHT)
    assert right["adversarial"] != first_step("adversarial loss on outputs")["adversarial"]
    for fault in ("adversarial loss on outputs", "one encoder"):  # their first weights are the same
        step = first_step(fault)
        assert step["reconstruction"] == right["reconstruction"]
        assert step["discriminator"] == pytest.approx(right["discriminator"], rel=1e-6)


def test_uninitialised_weights_are_pytorchs():
    """Would catch layers that keep N(0, 0.02), and batch norms that are not 1 and 0."""
    layers = zip(
        built("uninitialised weights").networks.modules(),
        built(faults.RIGHT).networks.modules(),
        strict=True,
    )
    seen = 0
    for faulty, right in layers:
        if isinstance(faulty, torch.nn.BatchNorm2d):
            assert (faulty.weight == 1).all() and (faulty.bias == 0).all()
            assert (right.weight != 1).any()
        elif isinstance(faulty, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            weight, start = faulty.weight.detach(), right.weight.detach()
            bound = (weight.shape[1] * weight[0, 0].numel()) ** -0.5  # uniform up to 1 / sqrt(fan)
            assert weight.abs().max() <= bound
            assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.3)
            assert start.std().item() == pytest.approx(0.02, rel=0.3)
            seen += 1
    assert seen == 16  # four of each pyramid


@pytest.mark.parametrize("side", [32, 64])
def test_padding_4_is_the_public_pyramid(side):
    """Would catch a padding of some pyramids alone, and layers that round otherwise."""
    detector = built("padding 4", side=side).networks.eval()
    x, generator = images(side), detector["generator"]
    for layers in (generator.encoder, generator.second_encoder):
        y = F.leaky_relu(F.conv2d(x, layers[0].weight, stride=2, padding=4), 0.2)
        assert y.shape[-1] == side // 2 + 3
        for layer in layers[2:-1]:
            y = (
                F.conv2d(y, layer.weight, stride=2, padding=1)
                if hasattr(layer, "stride")
                else layer(y)
            )
        assert y.shape[-1] == 4
        expected = F.conv2d(y, layers[-1].weight).flatten(1)
        assert torch.allclose(layers(x), expected, atol=1e-5)
    assert detector["discriminator"](x)[1].shape[-1] == 4
    assert generator(x)[0].shape == x.shape
    assert set(detector.state_dict()) == set(built(faults.RIGHT, side=side).networks.state_dict())


def test_the_output_loss_compares_probabilities():
    """Would catch logits for probabilities, features, and a changed loss of the discriminator."""
    detector, right = built("adversarial loss on outputs"), built(faults.RIGHT)
    losses = [one.training_step(images, one.optimizers(), None) for one in (detector, right)]
    networks = built(faults.RIGHT).networks
    real, fake = (
        networks["discriminator"](x)[0].sigmoid()
        for x in (images(), networks["generator"](images())[0])
    )
    assert losses[0]["adversarial"].item() == pytest.approx(F.mse_loss(real, fake).item(), rel=1e-4)
    assert losses[0]["adversarial"].item() != pytest.approx(losses[1]["adversarial"].item())
    for name in ("reconstruction", "latent", "discriminator"):
        assert losses[0][name].item() == pytest.approx(losses[1][name].item(), rel=1e-5)


def test_one_encoder_stays_one():
    """Would catch an encoder that is only copied, and learns apart."""
    detector = built("one encoder")
    right = built(faults.RIGHT).parameter_counts()["generator"]
    encoder = sum(p.numel() for p in detector.networks["generator"].encoder.parameters())
    assert detector.parameter_counts()["generator"] == right - encoder
    detector.training_step(images, detector.optimizers(), None)
    generator = detector.networks.eval()["generator"]
    again, _, second = generator(images())
    assert torch.equal(second, generator.encoder(again))


def test_scores_are_those_of_the_fault_and_need_its_losses():
    """Would catch a fault that is passed over, another order, and losses that a fault has not."""
    split = data.one_class_anomalous(data.load("synthetic", "object"), 0)
    budget = Budget(steps=2, batch=8)
    own = {f: faults.trained_scores(f, TINY, split, budget, 0) for f in faults.TRAINED}
    assert all(scores.shape == split.labels_of("test").shape for scores in own.values())
    assert len({scores.tobytes() for scores in own.values()}) == len(own)
    detector = models.GANomaly(**TINY)
    detector.fit(split, replace(budget), 0)
    assert np.array_equal(own[faults.RIGHT], detector.score(split.pixels("test", 32, 1)))
    with pytest.raises(ValueError, match="losses = 'release': the faults are those of 'code'"):
        faults.trained_scores("one encoder", TINY | {"losses": "release"}, split, budget, 0)


def test_running_min_max_by_hand():
    """Would catch ends of one batch alone, ends that come after the scaling, and a lost order."""
    scores, order = [3.0, 1.0, 2.0, 5.0, 0.0], [1, 0, 2, 4, 3]
    expected = {1: 0.0, 0: 1.0, 2: 2 / 3, 4: 0.0, 3: 1.0}  # batches 1 3, then 2 0, then 5
    found = faults.running_min_max(scores, order, batch=2)
    assert found == pytest.approx([expected[i] for i in range(5)])
    assert faults.running_min_max([2.0, 2.0, 3.0], np.arange(3), 2).tolist() == [0, 0, 1]
    rng = np.random.default_rng(0)
    scores = rng.normal(size=50) + LABELS
    whole = faults.running_min_max(scores, np.arange(50), 50)
    assert metrics.auroc(LABELS, whole) == metrics.auroc(LABELS, scores)
    one, other = (faults.running_min_max(scores, rng.permutation(50), 5) for _ in range(2))
    assert metrics.auroc(LABELS, one) != metrics.auroc(LABELS, other)


def test_a_price_is_with_minus_without_over_seeds_and_images():
    """Would catch a flipped sign, shares for points, and an interval over the images alone."""
    rng = np.random.default_rng(0)
    right = [rng.normal(size=50) + 2 * LABELS for _ in range(3)]
    faulty = [scores + rng.normal(size=50) for scores in right]
    by_seed, (value, low, high) = faults.price([LABELS] * 3, faulty, right)
    apart = [100 * (metrics.auroc(LABELS, a) - metrics.auroc(LABELS, b))
             for a, b in zip(faulty, right, strict=True)]  # fmt: skip
    assert [one[0] for one in by_seed] == pytest.approx(apart)
    assert value == pytest.approx(np.mean(apart)) and value < 0
    first = ranks.auroc_difference(LABELS, faulty[0], right[0])
    assert by_seed[0] == pytest.approx([100 * part for part in first])
    width = np.mean([one[2] - one[1] for one in by_seed])
    assert high - low > width and low < value < high
    assert faults.price([LABELS], right[:1], right[:1])[1] == (0, 0, 0)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (3.1, 9, "moves the number by more than the margin"),
        (-9, -3.1, "moves the number by more than the margin"),
        (-2, 3, "moves the number by no more than the margin"),
        (1, 4, "moves the number, perhaps by more than the margin"),
        (-2, 4, "is not shown to move the number"),
    ],
)
def test_what_an_interval_says_of_the_margin(low, high, said):
    """Would catch an effect that is told although the interval holds the margin, or none."""
    assert faults.reads(low, high, 3.0) == said


def made_scores():
    """Scores of two seeds by the right form and by a fault that ranks at random."""
    rng, good = np.random.default_rng(0), {}
    good = {seed: rng.normal(size=50) + 3 * LABELS for seed in (4, 5)}
    return {faults.RIGHT: good, "broken": {seed: rng.normal(size=50) for seed in good}}


def test_rows_keep_numbers_with_a_fault_apart():
    """Would catch an auROC with a fault under the study's own name, and seeds mixed up."""
    scores, labels = made_scores(), dict.fromkeys((4, 5), LABELS)
    priced = faults.prices(labels, scores)
    rows = faults.rows(labels, scores, priced, note="Known.")
    assert [(row["method"][1], row["seed"], row["metric"]) for row in rows] == [
        (faults.RIGHT, 4, "auroc"), (faults.RIGHT, 5, "auroc"),
        ("broken", 4, "auroc_with_fault"), ("broken", 4, "difference_points"),
        ("broken", 5, "auroc_with_fault"), ("broken", 5, "difference_points"),
    ]  # fmt: skip
    apart = [row["value"] for row in rows if row["metric"] == "difference_points"]
    areas = {
        (row["method"][1], row["seed"]): row["value"] for row in rows if "auroc" in row["metric"]
    }
    expected = [100 * (areas["broken", s] - areas[faults.RIGHT, s]) for s in (4, 5)]
    assert apart == pytest.approx(expected) and all(value < -10 for value in apart)
    assert all(
        row["low"] <= row["value"] <= row["high"] and row["n_abnormal"] == 20 for row in rows
    )


def test_what_is_said_of_faults():
    """Would catch a fault within the margin that is told as one beyond it, or left out."""
    over = {"large": (-20, -30, -10), "small": (1, -1, 2), "wide": (5, -4, 14)}
    said, decided = faults.said(0.8, over, {"seeds": 3, "steps": 1200}, 3.0)
    assert said[0] == "The right form reaches an auROC of 0.800 over 3 seeds."
    assert said[1].startswith("*Large* moves the number by more than the margin: −20.0 points")
    assert len(said) == 4
    assert "whole interval: large. By no more than it: small. Open: 1 of 3." in decided
    assert "3 seeds of 1,200 steps" in decided
    _, decided = faults.said(0.8, {"wide": (5, -4, 14)}, {"seeds": 3, "steps": 1200}, 3.0)
    assert "whole interval: no fault. By no more than it: no fault." in decided
