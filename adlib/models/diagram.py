"""What a network consists of, read off the model itself."""

import torch
from torch import nn

from adlib.models.base import Detector


def outline(network: nn.Module, detector: Detector) -> list[tuple[str, str]]:
    """Layers of one of a detector's networks in the order they run: (what it is, output shape).

    A module with a `resize` attribute (a residual block) counts as one layer.

    Args:
        network: takes images, codes (`settings.latent` values) or both, in that order.
        detector: gives image side, channels and code length.
    """
    seen: list[tuple[str, str]] = []

    def note(module: nn.Module, _: object, output: torch.Tensor) -> None:
        shape = " x ".join(str(n) for n in output.shape[1:])
        seen.append((_text(module), shape))

    blocks = [m for m in network.modules() if hasattr(m, "resize")]
    inside = {id(m) for block in blocks for m in block.modules()}
    single = [
        m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear) and id(m) not in inside
    ]
    hooks = [module.register_forward_hook(note) for module in (*blocks, *single)]
    s = detector.settings
    image = torch.zeros(1, s.channels, s.input_side, s.input_side)
    code = torch.zeros(1, s.latent)
    inputs = {"encoder": (image,), "generator": (code,), "critic": (image, code)}
    name = next(key for key, value in detector.networks.items() if value is network)
    try:
        with torch.inference_mode():
            network(*inputs[name])
    finally:
        for hook in hooks:
            hook.remove()
    given = [
        ("image" if i.ndim == 4 else "code", " x ".join(map(str, i.shape[1:])))
        for i in inputs[name]
    ]
    return given + seen


def _text(module: nn.Module) -> str:
    if isinstance(module, nn.Linear):
        return f"Dense {module.out_features}"
    if isinstance(module, nn.Conv2d):
        return f"Conv {module.kernel_size[0]}x{module.kernel_size[1]}, {module.out_channels}"
    change = {"up": ", doubled", "down": ", halved"}.get(module.resize, "")
    return f"Block 3x3, {module.last.out_channels}{change}"
