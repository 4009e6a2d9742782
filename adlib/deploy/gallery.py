"""The most anomalous images of a folder as a picture."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from adlib.deploy import outputs
from adlib.deploy.decisions import CalibratedDetector

Scored = tuple[float, str, Tensor]  # score, name and pixels of an image, uint8 (C, S, S)


def gallery(detector: CalibratedDetector, shown: Sequence[Scored], batch: int = 16) -> Figure:
    """Draw images beside themselves with their anomaly maps laid over, on one scale of colours.

    Args:
        detector: gives the maps.
        shown: score, name and pixels of each, as in `Summary.shown`; at least one.
        batch: network inputs worked on at once.
    """
    images = torch.stack([image for _, _, image in shown])
    maps = detector.detector.anomaly_map(images, batch)
    scale = mpl.colors.Normalize(maps.min(), maps.max())
    heat = mpl.colormaps["magma"](scale(maps))[..., :3]
    plain = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy() / 255
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(4.4 * columns, 2.6 * lines + 0.3), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    both = np.concatenate([plain, 0.4 * plain + 0.6 * heat], 2)
    for ax, (score, name, _), pair in zip(axes, shown, both, strict=False):
        ax.imshow(pair)
        name = outputs.plain(name)
        label = name if len(name) <= 40 else f"...{name[-37:]}"
        abnormal = score >= detector.threshold
        text = f"{label}\nscore {score:.4g}, {'abnormal' if abnormal else 'normal'}"
        colour = "firebrick" if abnormal else "0.2"
        # A dollar in a file's name is a dollar.
        ax.set_title(text, fontsize=9, color=colour, parse_math=False)
    colours = mpl.cm.ScalarMappable(scale, "magma")
    figure.colorbar(colours, ax=list(axes), shrink=0.8).set_label("anomaly map")
    figure.suptitle(f"Most anomalous images; threshold {detector.threshold:.4g}", fontsize=11)
    return figure
