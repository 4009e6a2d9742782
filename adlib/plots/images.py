"""Pictures of images: galleries, mosaics, maps in false colours, diagrams of networks.

Only the functions that make tensors import torch: plots of rows, which the report makes, need none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

if TYPE_CHECKING:
    from torch import Tensor


def gallery(
    columns: dict[str, Tensor | np.ndarray],
    rows: Sequence[str] = (),
    marks: Sequence[tuple[int, int, int, int]] = (),
) -> Figure:
    """Grid of pictures, one column an entry, one row an image.

    Args:
        columns: title to uint8 images `(N, C, H, W)`, or to difference maps `(N, H, W)` in 0 to
            255, drawn in false colours on one scale. Places of a shorter column stay empty.
        rows: label of every row.
        marks: rectangle in pixels drawn on the first column of every row.
    """
    n = max(map(len, columns.values()))
    if n == 0:
        raise ValueError("no images to show")
    size = 1.7 * len(columns) + 0.9, 1.7 * n + 0.3
    figure, axes = plt.subplots(n, len(columns), figsize=size, squeeze=False)
    for line, (title, images) in zip(axes.T, columns.items(), strict=True):
        line[0].set_title(title)
        for ax, image in zip(line, images, strict=False):
            _show(ax, image)
        for ax in line[len(images) :]:
            ax.set_visible(False)
    for ax, label in zip(axes[:, 0], rows, strict=False):
        ax.set_ylabel(label, fontsize="small")
    for ax, (x, y, width, height) in zip(axes[:, 0], marks, strict=False):
        corner = x - 1, y - 1
        ax.add_patch(Rectangle(corner, width + 1, height + 1, fill=False, ec="red", lw=1.5))
    if any(np.asarray(images).ndim == 3 for images in columns.values()):
        scale = plt.cm.ScalarMappable(plt.Normalize(0, 255), "magma")
        bar = figure.colorbar(scale, ax=axes, shrink=0.9 if n == 1 else 0.6)
        bar.set_label("difference\n(grey levels)", fontsize="small")
    return figure


def _show(ax: plt.Axes, image: Tensor | np.ndarray) -> None:
    image = np.asarray(image)
    if image.ndim == 2:
        ax.imshow(image, cmap="magma", vmin=0, vmax=255)
    else:
        ax.imshow(image.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=255)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)


def mosaics(panels: dict[str, Tensor], framed: Sequence[bool] = (), columns: int = 3) -> Figure:
    """Images in a grid a panel, the panels side by side in the same order of images.

    Args:
        panels: title to uint8 images `(N, C, H, W)`.
        framed: which images get a red frame (the abnormal ones).
        columns: images in a line.
    """
    n = len(next(iter(panels.values())))
    lines = -(-n // columns)
    figure = plt.figure(figsize=(1.15 * columns * len(panels) + 0.4, 1.15 * lines + 0.5))
    parts = np.atleast_1d(figure.subfigures(1, len(panels), wspace=0.06))
    for part, (title, images) in zip(parts, panels.items(), strict=True):
        part.suptitle(title)
        for i, ax in enumerate(part.subplots(lines, columns, squeeze=False).flat):
            if i < n:
                _show(ax, images[i])
            ax.set(xticks=[], yticks=[])
            marked = i < len(framed) and bool(framed[i])
            for spine in ax.spines.values():
                spine.set(visible=marked, color="red", linewidth=2.5)
    return figure


def layer_diagram(networks: dict[str, list[tuple[str, str]]]) -> Figure:
    """Draw networks as columns of boxes, given as layers, each (what it is, output shape)."""
    rows = max(len(layers) for layers in networks.values())
    figure, axes = plt.subplots(1, len(networks), figsize=(3.6 * len(networks), 0.52 * rows + 0.6))
    for ax, (name, layers) in zip(np.atleast_1d(axes), networks.items(), strict=True):
        for i, (text, shape) in enumerate(layers):
            color = "#c9d9e8" if text[:1].isupper() else "white"  # what has weights
            ax.add_patch(Rectangle((0, -i - 0.36), 1, 0.72, fc=color, ec="0.35"))
            ax.text(0.03, -i, text, va="center", fontsize=8.5)
            ax.text(0.97, -i, shape, va="center", ha="right", fontsize=8, color="0.3")
        ax.set(title=name, xlim=(-0.02, 1.02), ylim=(-rows + 0.4, 0.6))
        ax.axis("off")
    return figure


def difference(a: Tensor, b: Tensor) -> np.ndarray:
    """Mean absolute difference over channels of uint8 images, `(N, H, W)`, 0 to 255."""
    return (a.float() - b.float()).abs().mean(1).numpy()


def boxes(masks: Tensor) -> list[tuple[int, int, int, int]]:
    """Smallest (left, top, width, height) in pixels around each mask `(N, H, W)`."""

    def around(mask: np.ndarray) -> tuple[int, int, int, int]:
        if not mask.any():
            return 0, 0, 0, 0
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1

    return [around(mask) for mask in masks.numpy()]


def false_colours(maps: np.ndarray, top: float = 0.999) -> Tensor:
    """Anomaly maps in false colours on one scale, from the lowest value to a high quantile.

    Args:
        maps: (N, H, W) of one method.
        top: quantile of all values from which on a pixel has the brightest colour.

    Returns:
        uint8 `(N, 3, H, W)`.
    """
    import torch

    low, high = float(maps.min()), float(np.quantile(maps, top))
    shares = ((maps - low) / max(high - low, 1e-12)).clip(0, 1)
    colours = mpl.colormaps["magma"](shares, bytes=True)[..., :3]
    return torch.from_numpy(colours.transpose(0, 3, 1, 2).copy())


def outlined(images: Tensor, masks: Tensor) -> Tensor:
    """Draw a red line around each mask on its image; the masked pixels stay visible.

    Takes uint8 `(N, C, H, W)` and bool `(N, H, W)` and gives uint8 `(N, 3, H, W)`.
    """
    import torch

    width = max(1, round(images.shape[-1] / 128))
    grown = torch.nn.functional.max_pool2d(masks.float().unsqueeze(1), 1 + 2 * width, 1, width)
    edge = (grown > 0) & ~masks.unsqueeze(1)
    red = torch.tensor([230, 30, 30], dtype=torch.uint8).view(1, 3, 1, 1)
    return torch.where(edge, red, images.expand(-1, 3, -1, -1))
