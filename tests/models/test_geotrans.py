"""GeoTrans against its authors' code, written out plainly: copies, network, step and score."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage, special
from torch.nn import functional as F

from adlib import data, models
from adlib.models import training
from adlib.models.dirichlet import dirichlet
from adlib.models.training import Budget
from adlib.networks import augment
from adlib.networks.transformations import Transformations

N = 6
TINY = {"side": 32, "channels": 1, "width": 2, "widen": 2}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(seed=0, n=N, side=32, channels=1):
    """A batch as training draws it, float64 in [-1, 1]."""
    shape = n, channels, side, side
    return torch.rand(shape, generator=generator(seed), dtype=torch.float64) * 2 - 1


def prepared(**settings):
    """A detector in float64 with known weights that tell images apart."""
    detector = models.GeoTrans(**TINY | settings)
    training.initialise(detector, 0)
    detector.networks.double()
    return detector


# ---- sizes ---------------------------------------------------------------------------------


def authors_count(side, channels, depth, widen):
    """Values of the authors' layers: convolutions without bias, two a norm, one dense layer."""
    count, inputs = 9 * channels * 16, 16
    for group in (1, 2, 4):
        for _ in range((depth - 4) // 6):
            outputs = 16 * widen * group
            count += 2 * inputs + 9 * inputs * outputs + 2 * outputs + 9 * outputs**2
            count += inputs * outputs if inputs != outputs else 0
            inputs = outputs
    return count + 2 * inputs + 72 * (inputs * (side // 32) ** 2 + 1)


@pytest.mark.parametrize(("side", "channels", "depth", "widen", "total"), [
    (32, 3, 10, 4, 1_214_744), (32, 1, 10, 4, 1_214_456), (64, 3, 16, 8, 11_103_768),
])  # fmt: skip
def test_parameter_counts(side, channels, depth, widen, total):
    """Would catch a layer, a bias or a width that differs from the authors' Wide-ResNet."""
    settings = {"side": side, "channels": channels, "depth": depth, "widen": widen}
    counts = models.GeoTrans(**settings).parameter_counts()
    assert authors_count(side, channels, depth, widen) == total
    assert counts == {"classifier": total, "transformations": 0}


def test_other_sides_are_refused():
    """Would catch windows of the last map that do not fit."""
    with pytest.raises(ValueError, match="sees 48 px; allowed are multiples of 32"):
        models.GeoTrans(side=48)
    with pytest.raises(ValueError, match="depth=12: allowed are 10, 16"):
        models.GeoTrans(depth=12)


# ---- transformations -----------------------------------------------------------------------


def plain_copies(image, shift):
    """The authors' 72 copies of an array `(S, S)`, in their order."""
    copies = []
    for mirrored in (False, True):
        for tx in (0, -shift, shift):
            for ty in (0, -shift, shift):
                for quarters in range(4):
                    x = np.fliplr(image) if mirrored else image
                    x = ndimage.affine_transform(x, np.eye(2), (tx, ty), order=1, mode="reflect")
                    copies.append(np.rot90(x, quarters))
    return np.stack(copies)


def test_copies_are_the_authors():
    """Would catch an order of operations, a direction or a border that differs from theirs."""
    x, copies = images(channels=3, n=2), Transformations(32, 8)
    found = copies.copies(x, slice(0, 72)).view(2, 72, 3, 32, 32)
    for i in range(2):
        for channel in range(3):
            wanted = plain_copies(x[i, channel].numpy(), 8)
            np.testing.assert_allclose(found[i, :, channel], wanted, atol=1e-12)
    which = torch.tensor([71, 30])
    assert torch.equal(copies(x, which), found[[0, 1], which])
    assert len(found[0].flatten(1).unique(dim=0)) == 72


# ---- one step ------------------------------------------------------------------------------


def same(x, kernel, stride):
    """Convolution with TensorFlow's padding `same`."""
    missing = max(kernel.shape[-1] - (stride if x.shape[-1] % stride == 0 else 1), 0)
    before = missing // 2
    return F.conv2d(F.pad(x, (before, missing - before) * 2), kernel, None, stride)


def plain_network(w, x):
    """The authors' network of depth 10 in training mode, of weights by name."""

    def norm(x, name):
        return F.relu(F.batch_norm(x, None, None, w[f"{name}.weight"], w[f"{name}.bias"], True))

    x = same(x, w["stem.weight"], 1)
    for k, stride in enumerate((1, 2, 2)):
        normed = norm(x, f"blocks.{k}.norms.0")
        inner = same(normed, w[f"blocks.{k}.first.weight"], stride)
        inner = same(norm(inner, f"blocks.{k}.norms.1"), w[f"blocks.{k}.second.weight"], 1)
        x = inner + same(normed, w[f"blocks.{k}.skip.weight"], stride)
    x = F.avg_pool2d(norm(x, "norm"), 8).flatten(1)
    return x @ w["dense.weight"].T + w["dense.bias"]


def test_step_is_the_authors():
    """Would catch another padding, order of layers, loss, decay or optimiser."""
    detector = prepared()
    network = detector.networks["classifier"]
    w = {k: p.detach().clone().requires_grad_() for k, p in network.named_parameters()}
    which = torch.randint(72, (N,), generator=generator(5))
    x = torch.stack([
        torch.from_numpy(plain_copies(image[0].numpy(), 8)[k].copy())[None]
        for image, k in zip(images(), which, strict=True)
    ])  # fmt: skip
    logits = plain_network(w, x)
    loss = -logits.log_softmax(1)[range(N), which].mean()
    loss.backward()
    logged = detector.training_step(images, detector.optimizers(), generator(5))
    torch.testing.assert_close(logged["loss"], loss)
    for name, p in network.named_parameters():
        slope = w[name].grad + 2 * 0.5 * 0.0005 * w[name]  # of their l2(0.5 * 0.0005)
        wanted = w[name] - 1e-3 * slope / (slope.abs() + 1e-7)  # Adam's first step
        torch.testing.assert_close(p, wanted, rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize("side", [32, 64])
def test_local_logits_average_to_the_logits(side):
    """Would catch a window's weights at the wrong places of the map."""
    network = prepared(side=side).networks["classifier"].eval()
    x = images(side=side)
    with torch.no_grad():
        torch.testing.assert_close(network.local(x).mean((2, 3)), network(x))


# ---- Dirichlet and score -------------------------------------------------------------------


def test_dirichlet_is_the_maximum_of_the_likelihood():
    """Would catch a wrong start, fixed point or inverse of the digamma function."""
    wanted = np.array([[0.3, 1.0, 4.0], [20.0, 7.0, 90.0]])
    rng = np.random.default_rng(0)
    p = torch.from_numpy(np.stack([rng.dirichlet(row, 20_000) for row in wanted]))
    logs = p.log().mean(1)
    alpha = dirichlet(p.mean(1), logs).numpy()
    slope = special.digamma(alpha.sum(1, keepdims=True)) - special.digamma(alpha) + logs.numpy()
    np.testing.assert_allclose(slope, 0, atol=1e-6)
    np.testing.assert_allclose(alpha, wanted, rtol=0.03)


def test_probabilities_that_do_not_vary_are_refused():
    """Would catch infinite parameters, and scores, of training images that are all alike."""
    p = torch.tensor([[0.25, 0.25, 0.5]], dtype=torch.float64)
    with pytest.raises(ValueError, match="probabilities that do not vary"):
        dirichlet(p, p.log())


def plain_probabilities(detector, x):
    """Probabilities `(n, 72, 72)` of every copy of float images, one image at a time."""
    network = detector.networks["classifier"].eval()
    with torch.no_grad():
        return torch.stack([
            network(torch.from_numpy(plain_copies(image[0].numpy(), 8)[:, None])).softmax(1)
            for image in x
        ])  # fmt: skip


def test_score_is_the_paper_s():
    """Would catch a sign, a copy held against another's parameters, or a sum over the copies."""
    detector = prepared()
    alpha = torch.rand(72, 72, generator=generator(1), dtype=torch.float64) * 5
    detector.networks["transformations"].alpha.copy_(alpha)
    p = plain_probabilities(detector, images())
    wanted = -sum(((alpha[k] - 1) * p[:, k].log()).sum(1) for k in range(72)) / 72
    with torch.no_grad():
        torch.testing.assert_close(detector.score_inputs(images()), wanted)


def test_an_unfitted_score_is_the_log_probability_of_the_right_transformation():
    """Would catch scores that mean nothing before the parameters are fitted."""
    detector = prepared()
    p = plain_probabilities(detector, images())
    with torch.no_grad():
        found = detector.score_inputs(images())
    torch.testing.assert_close(found, -p.diagonal(dim1=1, dim2=2).log().mean(1))


def test_parameters_are_fitted_to_the_training_images(tmp_path):
    """Would catch parameters of other images or of weights before the end, also in a snapshot."""
    split = data.one_class(data.load("synthetic", "object"), seed=0)
    split = replace(split, train=split.train[:8])
    detector = models.GeoTrans(**TINY)
    budget = Budget(2, 4, "float32", snapshots=2)
    detector.fit(split, budget, device="cpu", folder=tmp_path)
    x = augment.to_float(split.pixels("train", 32, 1))
    found = detector.networks["transformations"].alpha
    p = plain_probabilities(detector, x)[:, ::10].double()
    wanted = dirichlet(p.mean(0), p.log().mean(0)).float()
    torch.testing.assert_close(found[::10], wanted, rtol=1e-2, atol=1e-2)
    kept = [models.load(path) for path in sorted((tmp_path / "snapshots").iterdir())]
    alphas = [one.networks["transformations"].alpha for one in kept]
    assert torch.equal(alphas[1], found) and not torch.equal(alphas[0], found)
