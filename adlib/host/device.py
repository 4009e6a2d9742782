"""Where to compute and in which precision.

Apple's MPS is chosen where torch has it, but no machine with it has run this code yet.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


def default_device() -> torch.device:
    """CUDA where there is one, else Apple's MPS where there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def named(name: str | None) -> torch.device:
    """The device of a name, by default `default_device()`. A ValueError says which there are."""
    if name is None:
        return default_device()
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    allowed = ["cpu", *(["cuda", *cuda] if cuda else []), *mps]
    if name not in allowed:
        raise ValueError(f"device {name!r}: allowed on this machine: {', '.join(allowed)}")
    return torch.device(name)


def current(device: torch.device) -> contextlib.AbstractContextManager:
    """Make `device` the one on which streams and graphs are made, where it is a GPU."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def resolve_precision(precision: str, device: torch.device) -> str:
    """Turn `auto` into `bfloat16` or `float32` by what the device has in hardware.

    On a CPU, oneDNN must agree too: held to fewer instructions (`ONEDNN_MAX_CPU_ISA=AVX2`), it acts
    as on a processor that has no more.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    has = (
        torch.backends.mkldnn.is_available()
        and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
    return "bfloat16" if device.type == "cpu" and has else "float32"


@contextlib.contextmanager
def mixed_precision(device: torch.device, mixed: bool, timed: bool = False) -> Iterator[None]:
    """Mixed precision, or plain float32 without TF32.

    With `timed`, cuDNN tries its algorithms once for every shape and keeps the fastest; they may
    round differently. Autocast keeps casts of weights until its block ends, so after an optimiser's
    step later forward passes of the block would see the old weights: hence no cache.
    """
    if mixed:
        autocast = torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
        with autocast, _set([(torch.backends.cudnn, "benchmark", timed)]):
            yield
    else:
        with plain_float32(timed=timed):
            yield


@contextlib.contextmanager
def plain_float32(deterministic: bool = False, timed: bool = False) -> Iterator[None]:
    """Convolutions and matrix products of a GPU in whole float32, not in TF32's ten bits.

    Nothing changes on a CPU. All is set through torch's `fp32_precision`; `allow_tf32`, which it
    replaces, raises where both have been used.

    Args:
        deterministic: only algorithms of cuDNN that give the same bits each time.
        timed: see `mixed_precision`.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    wanted = (
        (cudnn, "benchmark", timed),
        (cudnn, "deterministic", deterministic),
        (cudnn.conv, "fp32_precision", "ieee"),
        (matmul, "fp32_precision", "ieee"),
    )
    with _set(wanted):
        yield


@contextlib.contextmanager
def deterministic(wanted: bool = True) -> Iterator[None]:
    """Only algorithms that give the same bits each time, also of a GPU; nothing where not wanted.

    Raises:
        RuntimeError: inside, an operation has no such algorithm.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with _set([(torch.backends.cudnn, "deterministic", True)]):
            yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextlib.contextmanager
def _set(wanted: Iterable[tuple[object, str, object]]) -> Iterator[None]:
    """Give attributes other values inside: place, name and value of each."""
    wanted = list(wanted)
    before = [(place, name, getattr(place, name)) for place, name, _ in wanted]
    try:
        for place, name, value in wanted:
            setattr(place, name, value)
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)


def in_float64(x: Tensor) -> Tensor:
    """`x` in float64; on the CPU where its device, MPS, has no such numbers."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def at_least_float32(x: Tensor) -> Tensor:
    """Leave bfloat16, in which losses would lose digits; float64 stays as it is."""
    return x.float() if x.dtype == torch.bfloat16 else x
