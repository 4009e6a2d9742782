"""Wide residual network (Zagoruyko and Komodakis 2016) as GeoTrans' authors build it.

Layer sizes, starting weights and TensorFlow's padding follow their public code,
`izikgo/AnomalyDetectionTransformations`.
"""

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDES = range(32, sys.maxsize, 32)  # of images that the network fits, in pixels
POOL = 8  # side of the windows that the last map is averaged over


class Block(nn.Module):
    """Batch norm, ReLU and 3x3 convolution, twice; beside them the input, or its 1x1 convolution.

    `(N, c, H, W)` to `(N, n, H / stride, W / stride)`.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (inputs, outputs))
        padding = 1 if stride == 1 else 0
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.skip = None
        if inputs != outputs:
            self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        normed = F.relu(self.norms[0](x))
        # TensorFlow pads an even map behind alone where a stride halves it.
        inner = normed if self.stride == 1 else F.pad(normed, (0, 1, 0, 1))
        inner = self.second(F.relu(self.norms[1](self.first(inner))))
        if self.skip is None:
            return inner + x
        # oneDNN's own stride corrupts memory in the backward pass of a narrow 1x1 convolution.
        return inner + self.skip(normed[:, :, :: self.stride, :: self.stride])


class WideResNet(nn.Module):
    """Image `(N, C, S, S)` to logits `(N, classes)`.

    Args:
        side: side S of the image in pixels.
        channels: of the image.
        classes: number of classes.
        depth: 6 n + 4 for n blocks in each of the three groups.
        width: channels of the first convolution.
        widen: how many times as wide the first group is; every group doubles its channels.
    """

    def __init__(
        self, side: int, channels: int, classes: int, depth: int, width: int, widen: int
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        blocks, inputs = [], width
        for group in range(3):
            for k in range((depth - 4) // 6):
                outputs = width * widen * 2**group
                blocks.append(Block(inputs, outputs, 2 if group and k == 0 else 1))
                inputs = outputs
        self.blocks, self.norm = nn.Sequential(*blocks), nn.BatchNorm2d(inputs)
        self.windows = side // 4 // POOL
        self.dense = nn.Linear(inputs * self.windows**2, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.dense.bias)

    def maps(self, x: Tensor) -> Tensor:
        """The last map, `(N, n, S / 4, S / 4)`."""
        return F.relu(self.norm(self.blocks(self.stem(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(F.avg_pool2d(self.maps(x), POOL).flatten(1))

    def local(self, x: Tensor) -> Tensor:
        """Logits at every place of the last map, `(N, classes, S / 4, S / 4)`.

        Their mean over the places is what `forward` gives (class activation map, Zhou et al. 2016).
        """
        w = self.windows
        weight = self.dense.weight.view(len(self.dense.bias), -1, w, w) * w**2
        weight = weight.repeat_interleave(POOL, 2).repeat_interleave(POOL, 3)
        logits = torch.einsum("nfij,cfij->ncij", self.maps(x), weight)
        return logits + self.dense.bias.view(-1, 1, 1)
