"""The most anomalous images of a folder as a picture."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from adlib.deploy import inference, outputs
from adlib.deploy.decisions import CalibratedDetector
from adlib.deploy.framing import Framing, Picture

Scored = tuple[float, Picture]
LONGEST = 512  # pixels of a picture that are drawn
WIDE = 2  # width by height from which a picture stands above its map, not beside it


def view(
    framing: Framing, picture: Picture, maps: np.ndarray, longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """A picture in its own aspect ratio and its map, to be looked at.

    Args:
        framing: that the picture was cut by.
        picture: to be shown.
        maps: of its tiles, `(t, side, side)`.
        longest: pixels of the longer side, unless the picture has fewer.

    Returns:
        Colours from 0 to 1 `(h, w, 3)` and map values `(h, w)`.
    """
    scale = min(1.0, longest / max(picture.size))
    shown = tuple(max(1, round(scale * length)) for length in picture.size)
    channels = picture.tiles.transpose(1, 0, 2, 3)
    plain = [framing.joined(tiles, picture.size, shown) / 255 for tiles in channels]
    plain = np.broadcast_to(np.stack(plain, 2), (*shown[::-1], 3))
    return plain, framing.joined(maps, picture.size, shown)


def overlay(plain: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A map of values 0 to 1 `(h, w)` laid over a picture of colours 0 to 1 `(h, w, 3)`."""
    return 0.4 * plain + 0.6 * mpl.colormaps["magma"](heat)[..., :3]


def gallery(detector: CalibratedDetector, shown: Sequence[Scored], batch: int = 16) -> Figure:
    """Draw images beside themselves with their anomaly maps laid over, on one scale of colours.

    Args:
        detector: gives the maps.
        shown: score and picture, as in `Summary.shown`; at least one.
        batch: network inputs worked on at once.
    """
    pictures = [picture for _, picture in shown]
    _, maps = inference.judge(detector.detector, pictures, batch)
    views = [view(detector.framing, *each, LONGEST) for each in zip(pictures, maps, strict=True)]
    scale = mpl.colors.Normalize(
        min(heat.min() for _, heat in views), max(heat.max() for _, heat in views)
    )
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(4.4 * columns, 2.6 * lines + 0.3), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, (score, picture), (plain, heat) in zip(axes, shown, views, strict=False):
        wide = plain.shape[1] > WIDE * plain.shape[0]
        ax.imshow(np.concatenate([plain, overlay(plain, scale(heat))], 0 if wide else 1))
        name = outputs.plain(picture.name)
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
