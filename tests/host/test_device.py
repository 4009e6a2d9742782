"""Where and in which precision detectors compute."""

import warnings
from types import SimpleNamespace

import pytest
import torch

from adlib.host.device import (
    default_device,
    deterministic,
    in_float64,
    mixed_precision,
    named,
    plain_float32,
    resolve_precision,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen", "known"),
    [(0, False, "cpu", "cpu$"), (0, True, "mps", "cpu, mps$"), (1, True, "cuda", "cuda:0, mps$")],
)
def test_the_default_is_the_fastest_there_is(cuda, mps, chosen, known, monkeypatch):
    """Catches a GPU that is passed over, and a device that this machine lacks."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert default_device().type == chosen == named(None).type
    assert named(chosen) == torch.device(chosen)
    with pytest.raises(ValueError, match=f"device 'tpu': allowed on this machine: .*{known}"):
        named("tpu")
    if not mps:
        with pytest.raises(ValueError, match="device 'mps'"):
            named("mps")


def test_mps_gets_what_it_has():
    """Catches bfloat16 by itself, and float64 on the device, which MPS does not have."""
    assert resolve_precision("auto", torch.device("mps")) == "float32"
    on_mps = SimpleNamespace(device=torch.device("mps"), cpu=lambda: torch.ones(2))
    assert in_float64(on_mps).dtype == torch.float64
    assert in_float64(torch.ones(2)).dtype == torch.float64


def state():
    """What decides in which precision, and by which algorithm, a GPU multiplies."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return cudnn.conv.fp32_precision, matmul.fp32_precision, cudnn.deterministic, cudnn.benchmark


@pytest.fixture
def changed():
    """A user's own choices, all other than ours; what was there before comes back afterwards."""
    before = state()
    _set("tf32", "tf32", False, True)
    yield state()
    _set(*before)


def _set(conv, product, deterministic, benchmark):
    cudnn = torch.backends.cudnn
    cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision = conv, product
    cudnn.deterministic, cudnn.benchmark = deterministic, benchmark


@pytest.mark.parametrize("deterministic", [True, False])
def test_float32_is_whole_and_the_users_choices_come_back(changed, deterministic):
    """Catches TF32 in a score, and a setting of the user's that a detector changes for good."""
    with warnings.catch_warnings(action="error"):  # a deprecated call would warn
        with plain_float32(deterministic):
            assert state() == ("ieee", "ieee", deterministic, False)
            with plain_float32(not deterministic):
                assert state() == ("ieee", "ieee", not deterministic, False)
            assert state() == ("ieee", "ieee", deterministic, False)
        assert state() == changed
        with pytest.raises(KeyError), plain_float32():
            raise KeyError
        assert state() == changed


def test_only_float32_training_sets_it(changed):
    """Catches mixed precision without its type, and float32 training that stays in TF32."""
    a = torch.ones(2, 2)
    with mixed_precision(CPU, True):
        assert (a @ a).dtype == torch.bfloat16 and state() == (*changed[:3], False)
    with mixed_precision(CPU, False):
        assert (a @ a).dtype == torch.float32 and state()[:2] == ("ieee", "ieee")


def test_deterministic_algorithms_end_with_their_block(changed):
    """Catches a user's notebook in which operations fail after a deterministic training."""
    with pytest.raises(KeyError), deterministic():
        assert torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.deterministic
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled() and state() == changed
    with deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("precision", ["highest", "high"])
def test_the_old_calls_may_have_been_used_before(precision):
    """Catches torch's error on a mix of its two interfaces where a user's notebook has the old."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = precision == "high"
        with plain_float32():
            assert state()[:2] == ("ieee", "ieee")
        assert torch.get_float32_matmul_precision() == precision
        assert torch.backends.cudnn.allow_tf32 == (precision == "high")
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_computes_in_float32(changed):
    """Catches a setting that torch takes and the GPU's libraries do not follow."""
    rng = torch.Generator("cuda").manual_seed(0)
    x, w = (torch.randn(8, 64, 16, 16, generator=rng, device="cuda") for _ in range(2))
    a = torch.randn(512, 512, generator=rng, device="cuda")
    for function in (lambda *t: torch.conv2d(t[0], t[1][..., :3, :3]), lambda *t: t[2] @ t[2]):
        exact = function(x.double(), w.double(), a.double())
        with plain_float32():
            assert (function(x, w, a) - exact).abs().max() / exact.abs().max() < 1e-5
