"""What a network consists of, read off the model itself."""

import torch
from torch import nn

from adlib.models.base import Detector


def outline(network: nn.Module, detector: Detector) -> list[tuple[str, str]]:
    """Inputs and layers of a detector's network in the order they run: (what it is, shape).

    A module with a `resize` attribute (a residual block) counts as one layer.

    Args:
        network: the detector's `encoder`, `generator` or `critic`.
        detector: gives image side, channels and code length.
    """
    s = detector.settings
    image, code = torch.zeros(1, s.channels, s.input_side, s.input_side), torch.zeros(1, s.latent)
    inputs = {
        "encoder": {"image": image},
        "generator": {"code": code},
        "critic": {"image": image, "code": code},
    }[next(name for name, value in detector.networks.items() if value is network)]
    outlined = [(name, _shape(value)) for name, value in inputs.items()]

    def note(module: nn.Module, _: object, output: torch.Tensor) -> None:
        outlined.append((_text(module), _shape(output)))

    blocks = [m for m in network.modules() if hasattr(m, "resize")]
    inside = {m for block in blocks for m in block.modules()}
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    single = [m for m in layers if m not in inside]
    hooks = [module.register_forward_hook(note) for module in (*blocks, *single)]
    try:
        with torch.inference_mode():
            network(*inputs.values())
    finally:
        for hook in hooks:
            hook.remove()
    return outlined


def _shape(x: torch.Tensor) -> str:
    return " x ".join(map(str, x.shape[1:]))


def _text(module: nn.Module) -> str:
    if isinstance(module, nn.Linear):
        return f"Dense {module.out_features}"
    if isinstance(module, nn.Conv2d):
        return f"Conv {module.kernel_size[0]}x{module.kernel_size[1]}, {module.out_channels}"
    change = {"up": ", doubled", "down": ", halved"}.get(module.resize, "")
    return f"Block 3x3, {module.last.out_channels}{change}"
