"""The plain classifier: its batches, loss and map, and an easy set that it must separate."""

import pytest
import torch
from torch.nn import functional as F

from adlib import metrics, models
from adlib.models import training
from adlib.models.training import Budget
from adlib.networks import augment

TINY = {"side": 32, "channels": 1, "width": 4}


def noise(n, seed=0, side=32):
    """Grey noise, uint8."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(60, 196, (n, 1, side, side), generator=rng, dtype=torch.uint8)


def planted(n, seed=0):
    """Noise with a bright square in the upper left quarter."""
    pixels = noise(n, seed)
    pixels[:, :, 4:14, 4:14] = 255
    return pixels


@pytest.mark.parametrize("side", [16, 40, 272])
def test_other_sides_are_refused(side):
    """Would catch a side that the layers do not divide."""
    with pytest.raises(ValueError, match=f"sees {side} px; allowed are multiples of 16 from 32 to"):
        models.Classifier(side=side)


@pytest.mark.parametrize(("side", "rest"), [(32, 4), (48, 3), (80, 5), (128, 4)])
def test_the_score_is_the_mean_of_the_logit_map(side, rest):
    """Would catch a head whose map is not the class activation map of its logit."""
    detector = models.Classifier(**TINY | {"side": side})
    *body, head = detector.networks["classifier"].eval()
    pixels = noise(3, side=side)
    with torch.no_grad():
        features = torch.nn.Sequential(*body)(augment.to_float(pixels))
        assert features.shape[2:] == (rest, rest)
        head.bias.fill_(0.5)
        # Zhou et al. 2016: average the features, then weigh them; the map weighs them first.
        logits = features.mean((2, 3)) @ head.weight[0, :, 0, 0] + head.bias
        weighed = torch.einsum("nchw,c->nhw", features, head.weight[0, :, 0, 0]) + head.bias
    found = torch.from_numpy(detector.score(pixels)).float()
    torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-5)
    maps = torch.from_numpy(detector.anomaly_map(pixels))
    assert maps.shape == (3, side, side) and (maps >= 0).all() and (maps <= 1).all()
    # Outermost pixels lie outside the centres of the outermost cells and repeat them.
    corners = maps[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    wanted = weighed[:, [0, 0, -1, -1], [0, -1, 0, -1]].sigmoid()
    torch.testing.assert_close(corners, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("batch", "half"), [(1, 1), (4, 2), (5, 3)])
def test_batches_are_half_abnormal(batch, half):
    """Would catch labels exchanged, or classes that do not share the batch evenly."""
    detector = models.Classifier(**TINY)
    training.initialise(detector, 0)
    detector.networks.train()
    parts = {"train": noise(batch), "abnormal": planted(batch, 1)}
    seen = []
    network = detector.networks["classifier"]
    network.register_forward_hook(lambda _, i, o: seen.append((i[0], o.flatten(1).mean(1))))
    logged = detector.training_step(
        lambda part="train": augment.to_float(parts[part]), detector.optimizers(), None
    )
    (inputs, logits), *rest = seen
    assert not rest and list(logged) == ["loss", "accuracy"]
    normal, abnormal = inputs.split(half)
    assert torch.equal(normal, augment.to_float(parts["train"][:half]))
    assert torch.equal(abnormal, augment.to_float(parts["abnormal"][:half]))
    probability = logits.sigmoid()
    loss = -torch.cat([(1 - probability[:half]).log(), probability[half:].log()]).mean()
    torch.testing.assert_close(logged["loss"], loss)
    right = torch.cat([probability[:half] <= 0.5, probability[half:] > 0.5])
    assert logged["accuracy"] == right.float().mean()


def test_it_separates_an_easy_set():
    """Would catch a score of the wrong sign, labels that are not learnt, and a turned map."""
    detector = models.Classifier(**TINY, learning_rate=2e-3)
    budget = Budget(60, 16, "float32")
    history = training.train(detector, noise(32), budget, device="cpu", abnormal=planted(32, 1))
    assert history.loss.iloc[-1] < 0.5 * history.loss.iloc[0]
    test = torch.cat([noise(20, 2), planted(20, 3)])
    labels = [0] * 20 + [1] * 20
    assert metrics.auroc(labels, detector.score(test)) == 1
    maps = detector.anomaly_map(test)[20:]
    assert maps[:, :16, :16].mean() > maps[:, 16:, 16:].mean()


def test_mixed_precision_gives_the_same_direction():
    """Would catch a loss computed in bfloat16."""
    gradients = []
    for precision in ("float32", "bfloat16"):
        detector = models.Classifier(**TINY)
        training.train(
            detector, noise(32), Budget(1, 16, precision), device="cpu", abnormal=planted(32, 1)
        )
        gradients.append(torch.cat([p.grad.flatten() for p in detector.networks.parameters()]))
    assert F.cosine_similarity(*gradients, dim=0) > 0.98
