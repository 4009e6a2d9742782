"""The training loop: budget, resume after a kill, divergence, running average."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from adlib import models
from adlib.models import training
from adlib.models.training import Budget, TrainingDivergedError, train
from adlib.networks import augment

SETTINGS = {"side": 32, "channels": 1, "width": 2}


@pytest.fixture(scope="module")
def pixels():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (10, 1, 32, 32), generator=generator, dtype=torch.uint8)


def weights(detector):
    return torch.cat([v.flatten() for v in detector.networks.state_dict().values()])


def change_batches(monkeypatch, change):
    """Let `change` see, and replace, every training batch."""
    draw = augment.draw_batch
    monkeypatch.setattr(augment, "draw_batch", lambda *arguments: change(draw(*arguments)))


def test_budget_refuses_nonsense():
    """Would catch a mistyped precision or an empty budget that trains nothing in silence."""
    with pytest.raises(ValueError, match="allowed are 'auto', 'float32', 'bfloat16'"):
        Budget(1, precision="half")
    with pytest.raises(ValueError, match="steps=0: allowed is at least 1"):
        Budget(0)


def test_auto_asks_what_onednn_may_use():
    """Would catch bfloat16 where oneDNN is held to kernels that have none: very slow, and other
    numbers than on a processor that lacks it."""
    code = (
        "import torch; from adlib.host.device import resolve_precision\n"
        "print(resolve_precision('auto', torch.device('cpu')))"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "float32"


def test_history_has_a_row_for_every_step(pixels):
    """Would catch losses that are lost between two looks, or logged in the wrong place."""
    steps = training.LOG_EVERY + 3
    history = train(models.CBiGAN(**SETTINGS), pixels, Budget(steps, 2, "float32"), device="cpu")
    assert history["step"].tolist() == list(range(1, steps + 1))
    expected = {"critic", "penalty", "players", "consistency_image", "consistency_latent", "loss"}
    assert expected <= set(history.columns)
    alpha = 1e-4
    consistency = history.consistency_image + history.consistency_latent
    np.testing.assert_allclose(
        history.loss, (1 - alpha) * history.players + alpha * consistency, rtol=1e-4
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_training_ends_in_the_same_weights(pixels, tmp_path, precision, monkeypatch):
    """Would catch optimiser, average, step or random state that a checkpoint forgets."""
    budget = Budget(12, 4, precision, snapshots=3)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    whole = models.CBiGAN(**SETTINGS)
    history = train(whole, pixels, budget, seed=3, device="cpu", folder=tmp_path / "whole")

    class Killed(Exception):
        pass

    calls = []

    def killer(batch):
        calls.append(1)
        if len(calls) == 2 * 8:  # two batches a step: during step 8
            raise Killed
        return batch

    broken = models.CBiGAN(**SETTINGS)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        change_batches(patch, killer)
        train(broken, pixels, budget, 3, "cpu", tmp_path / "broken")
    again = models.CBiGAN(**SETTINGS)
    resumed = train(again, pixels, budget, 3, "cpu", tmp_path / "broken")
    assert torch.equal(weights(again), weights(whole))
    assert resumed.equals(history)
    for name in ("step0000004", "step0000008", "step0000012"):
        a, b = (
            models.load(tmp_path / f / "snapshots" / f"{name}.safetensors")
            for f in ("whole", "broken")
        )
        assert torch.equal(weights(a), weights(b))


@pytest.mark.parametrize("length", [0, 1000])
def test_a_cut_checkpoint_is_named_and_not_used(pixels, tmp_path, length):
    """Would catch a run that fails for ever, because a full disk once cut its checkpoint."""
    budget, folder = Budget(2, 4, "float32"), tmp_path / "run"
    whole, again = models.CBiGAN(**SETTINGS), models.CBiGAN(**SETTINGS)
    train(whole, pixels, budget, 3, "cpu")
    folder.mkdir()
    torch.save({"step": 1, "networks": whole.networks.state_dict()}, folder / "checkpoint.pt")
    content = (folder / "checkpoint.pt").read_bytes()
    (folder / "checkpoint.pt").write_bytes(content[:length])
    with pytest.warns(UserWarning, match=r"checkpoint\.pt is damaged"):
        train(again, pixels, budget, 3, "cpu", folder)
    assert torch.equal(weights(again), weights(whole))


def test_a_training_that_is_asked_to_stop_goes_on_where_it_stopped(pixels, tmp_path, monkeypatch):
    """Would catch steps that are lost, or done twice, when the time given is over."""
    budget = Budget(6, 4, "float32")
    whole, broken = models.CBiGAN(**SETTINGS), models.CBiGAN(**SETTINGS)
    history = train(whole, pixels, budget, 3, "cpu")
    calls = []

    def stopper(batch):
        calls.append(1)
        if len(calls) == 2 * 4:  # two batches a step: during step 4
            training.stop.set()
        return batch

    monkeypatch.setattr(training, "stop", type(training.stop)())
    with monkeypatch.context() as patch:
        change_batches(patch, stopper)
        with pytest.raises(training.TrainingStopped, match="CBiGAN stopped after step 4"):
            train(broken, pixels, budget, 3, "cpu", tmp_path)
    training.stop.clear()
    assert train(broken, pixels, budget, 3, "cpu", tmp_path).equals(history)
    assert torch.equal(weights(broken), weights(whole))


def test_a_killed_process_leaves_a_whole_checkpoint(tmp_path):
    """Would catch a checkpoint written in place: SIGKILL must always leave a readable one."""
    code = (
        "import sys, torch\nfrom adlib import models\n"
        "from adlib.models import training\n"
        "training.CHECKPOINT_SECONDS = 0\n"
        "torch.set_num_threads(1)\n"
        "x = torch.zeros(4, 1, 32, 32, dtype=torch.uint8)\n"
        "d = models.CBiGAN(side=32, channels=1, width=2)\n"
        "budget = training.Budget(100000, 2, 'float32')\n"
        "training.train(d, x, budget, folder=sys.argv[1], device='cpu')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL
    )
    checkpoint = tmp_path / "checkpoint.pt"
    while not checkpoint.is_file():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    step = torch.load(checkpoint, weights_only=True)["step"]
    assert step >= 1
    detector = models.CBiGAN(**SETTINGS)
    budget = Budget(step + 2, 2, "float32")
    history = train(
        detector, torch.zeros(4, 1, 32, 32, dtype=torch.uint8), budget, 0, "cpu", tmp_path
    )
    assert len(history) == step + 2


def test_divergence_stops_with_step_losses_and_settings(pixels, monkeypatch):
    """Would catch NaN weights that are scored as if nothing had happened."""
    calls = []

    def poison(batch):
        calls.append(1)
        return batch * float("nan") if len(calls) > 6 else batch

    change_batches(monkeypatch, poison)
    message = r"step 4: critic=nan.*settings CBiGANSettings\(side=32"
    with pytest.raises(TrainingDivergedError, match=message):
        train(models.CBiGAN(**SETTINGS), pixels, Budget(9, 2, "float32"), device="cpu")


def test_average_follows_its_formula():
    """Would catch an average that is never applied, or applied to the wrong networks."""
    detector = models.CBiGAN(**SETTINGS, ema=0.5, ema_every=2)
    average = training._Average(detector)
    name, p = next(iter(detector.networks["encoder"].named_parameters()))
    critic = detector.networks["critic"].output.weight.clone()
    expected, updates = p.detach().clone(), 0
    for step in range(1, 7):
        with torch.no_grad():
            p += 1
        average.update(step)
        if step % 2 == 0:
            decay = min(0.5, (1 + updates) / (10 + updates))
            expected, updates = expected * decay + p.detach() * (1 - decay), updates + 1
    average.apply(detector.networks)
    torch.testing.assert_close(
        dict(detector.networks["encoder"].named_parameters())[name], expected
    )
    assert torch.equal(detector.networks["critic"].output.weight, critic)


def test_frozen_networks_get_no_gradient(pixels):
    """Would catch a critic that also learns from the players' loss, and the reverse."""
    detector = models.CBiGAN(**SETTINGS)
    training.initialise(detector, 0)
    rng = torch.Generator().manual_seed(0)
    x = augment.draw_batch(pixels, 4, 0, (0, 0), rng)
    optimizers = detector.optimizers()
    critic = {k: v.clone() for k, v in detector.networks["critic"].state_dict().items()}
    detector._players_update(x, optimizers["players"], rng)
    assert all(
        torch.equal(v, critic[k]) for k, v in detector.networks["critic"].state_dict().items()
    )
    assert all(p.grad is None for p in detector.networks["critic"].parameters())
    players = {k: v.clone() for k, v in detector.networks["encoder"].state_dict().items()}
    detector._critic_update(x, optimizers["critic"], rng)
    assert all(
        torch.equal(v, players[k]) for k, v in detector.networks["encoder"].state_dict().items()
    )


@pytest.mark.numeric
def test_consistency_loss_makes_an_autoencoder(pixels):
    """Would catch alpha read the wrong way round: alpha=1 must reconstruct better than alpha=0.

    Flat images of any grey are easy to reconstruct: the error fell to 0.2 and 0.3 of the other
    with two seeds, where noise gave 0.2 and 0.5.
    """
    flat = torch.linspace(0, 255, 10).view(-1, 1, 1, 1).expand_as(pixels).to(torch.uint8)
    error = {}
    for alpha in (0.0, 1.0):
        detector = models.CBiGAN(**SETTINGS, alpha=alpha, learning_rate=5e-3, ema=0.0)
        train(detector, flat, Budget(60, 8, "float32"), device="cpu")
        error[alpha] = (detector.reconstruct(flat).float() - flat.float()).abs().mean()
    assert error[1.0] < 0.5 * error[0.0]
