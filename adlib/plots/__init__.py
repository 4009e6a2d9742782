"""Pictures of the study in one style: seaborn, colour-blind safe, readable in a report."""

import matplotlib.pyplot as plt
import seaborn as sns

from adlib.plots.images import boxes, difference, gallery, layer_diagram, mosaics
from adlib.plots.numbers import (
    curves,
    curves_on_test,
    embedding,
    log_bars,
    metric_bars,
    pixel_differences,
    planes,
    roc_curves,
    score_histograms,
    sweeps,
)  # fmt: skip
from adlib.plots.promises import promises

__all__ = [
    "boxes", "curves", "curves_on_test", "difference", "embedding", "gallery", "layer_diagram",
    "log_bars", "metric_bars", "mosaics", "pixel_differences", "planes", "promises",
    "roc_curves", "score_histograms", "style", "sweeps",
]  # fmt: skip


def style() -> None:
    """Set the one style of all pictures. Notebooks call it once."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")
    plt.rcParams |= {"figure.constrained_layout.use": True, "axes.titlesize": "medium"}
