"""Networks trained on ImageNet, frozen, as sources of features.

EfficientNet-Lite0 comes with a package that `pip` installs, so it is always there; the others are
torchvision's, whose weights torch fetches once into its hub cache and checks by their hash.
"""

import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from adlib.networks.efficientnet_lite import EfficientNetLite0

FALLBACK = "efficientnet_lite0"
PROBE_S = 5.0  # seconds to wait for the weights' server


@dataclass(frozen=True)
class _Source:
    """What to know of a backbone.

    Attributes:
        title: its name in words.
        side: side in pixels of the images it was trained on.
        mean: what was subtracted from its training images, of values 0 to 255.
        std: what they were divided by.
        weights: name of torchvision's weights; empty for the package's.
    """

    title: str
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: str = ""


_IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# The statistics of EfficientNet-Lite are those of its training code, not ImageNet's.
_SOURCES = {
    "efficientnet_lite0": _Source("EfficientNet-Lite0", 224, (127.0,) * 3, (128.0,) * 3),
    "resnet18": _Source("ResNet-18", 224, *_IMAGENET, "ResNet18_Weights.IMAGENET1K_V1"),
    "wide_resnet50_2": _Source(
        "Wide-ResNet-50-2", 224, *_IMAGENET, "Wide_ResNet50_2_Weights.IMAGENET1K_V1"
    ),
    "inception_v3": _Source(
        "Inception-v3", 299, (127.5,) * 3, (127.5,) * 3, "Inception_V3_Weights.IMAGENET1K_V1"
    ),
}
TITLES = {name: source.title for name, source in _SOURCES.items()}
# Backbones with maps; Inception-v3 pads nothing, so its maps do not lie on the image's grid.
WITH_MAPS = tuple(name for name in _SOURCES if name != "inception_v3")


class Backbone(nn.Module):
    """A frozen network that takes images `(n, 1 or 3, S, S)` in [-1, 1] as they are."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.source, self.network = name, _SOURCES[name], _folded(_network(name))
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (self.source.mean, self.source.std))
        # (127.5 (x + 1) - mean) / std
        self.register_buffer("scale", 127.5 / std)
        self.register_buffer("shift", (127.5 - mean) / std)
        self.requires_grad_(False).eval()

    def maps(self, x: Tensor) -> list[Tensor]:
        """Feature maps at a quarter, an eighth and a sixteenth of the side, `(n, c, h, w)` each.

        Raises:
            ValueError: a backbone without such maps.
        """
        if self.name not in WITH_MAPS:
            raise ValueError(f"{self.name} gives no maps; {', '.join(WITH_MAPS)} do")
        x = self._normalised(x)
        if self.name == FALLBACK:
            return self.network.maps(x)
        net, found = self.network, []  # a residual network
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        for stage in (net.layer1, net.layer2, net.layer3):
            x = stage(x)
            found.append(x)
        return found

    def pooled(self, x: Tensor) -> Tensor:
        """Globally pooled last features `(n, d)` of the images at the side of its training."""
        side = self.source.side
        if x.shape[-1] != side:
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
        x = self._normalised(x)
        return self.network.pooled(x) if self.name == FALLBACK else self.network(x)

    def _normalised(self, x: Tensor) -> Tensor:
        return x.expand(-1, 3, -1, -1) * self.scale + self.shift  # grey is repeated


def _network(name: str) -> nn.Module:
    """The network in evaluation mode with its ImageNet weights."""
    if name == FALLBACK:
        return EfficientNetLite0.pretrained().eval()
    import torchvision  # here and below: it takes as long to import as torch itself

    enum = torchvision.models.get_weight(_SOURCES[name].weights)
    state = enum.get_state_dict(progress=False, check_hash=True)
    # Inception-v3 gets the input its layers expect: torchvision's other scaling is not needed.
    own = {"transform_input": False, "init_weights": False} if name == "inception_v3" else {}
    network = torchvision.models.get_model(name, weights=None, **own)
    network.load_state_dict(state)
    network.fc = nn.Identity()  # what the head takes is what is wanted
    return network.eval()


def _folded(network: nn.Module) -> nn.Module:
    """Put every batch norm into the convolution before it: frozen, the two are one affine map."""
    for module in list(network.modules()):
        children = list(module.named_children())
        for (name, conv), (after, norm) in zip(children, children[1:], strict=False):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                setattr(module, after, nn.Identity())
    return network


@cache
def load(name: str, device: str | torch.device) -> Backbone:
    """The backbone, frozen, in float32 and evaluation mode; one a process and device.

    Raises:
        ValueError: unknown name.
        OSError: the weights are not on this machine and cannot be fetched.
    """
    _check(name)
    with torch.inference_mode(False):  # whoever asks first decides nothing
        return Backbone(name).to(device, memory_format=torch.channels_last)


@cache
def resolve(name: str, preferred: str) -> str:
    """`name`, or for "auto" the preferred backbone as far as its weights can be had.

    Without them (no cached file, no connection) it is EfficientNet-Lite0, with a warning. Asked
    once a process, so that all its runs agree.

    Raises:
        ValueError: unknown name.
    """
    if name != "auto":
        _check(name)
        return name
    _check(preferred)
    if preferred == FALLBACK or _at_hand(_SOURCES[preferred].weights):
        return preferred
    warnings.warn(
        f"no weights of {TITLES[preferred]} on this machine and no way to fetch them: "
        f"{TITLES[FALLBACK]} takes its place",
        stacklevel=2,
    )
    return FALLBACK


def _check(name: str) -> None:
    if name not in _SOURCES:
        raise ValueError(f"no backbone {name!r}; there are {', '.join(_SOURCES)}")


def _at_hand(weights: str) -> bool:
    """Whether torchvision's weights are in the hub's cache or their server answers."""
    import requests
    import torchvision

    url = torchvision.models.get_weight(weights).url
    if (Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]).is_file():
        return True
    try:
        return requests.head(url, timeout=PROBE_S, allow_redirects=True).ok
    except requests.RequestException:  # the answer to "can it be fetched?" is no
        return False
