"""Pictures of the study in one style: seaborn, colour-blind safe, readable in a report."""

import matplotlib.pyplot as plt
import seaborn as sns

from adlib.plots.audit import worth_in_points
from adlib.plots.comparison import (  # fmt: skip
    against_share,
    critical_differences,
    dots,
    false_colours,
    heat_maps,
    outlined,
    quality_against_cost,
)
from adlib.plots.images import boxes, difference, gallery, layer_diagram, mosaics
from adlib.plots.numbers import (  # fmt: skip
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
)
from adlib.plots.promises import promises

__all__ = [
    "against_share", "boxes", "critical_differences", "curves", "curves_on_test", "difference",
    "dots", "embedding", "false_colours", "gallery", "heat_maps", "layer_diagram", "log_bars",
    "metric_bars", "mosaics", "outlined", "pixel_differences", "planes", "promises",
    "quality_against_cost", "roc_curves", "score_histograms", "style", "sweeps", "worth_in_points",
]  # fmt: skip


def style() -> None:
    """Set the one style of all pictures. Notebooks call it once."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")
    plt.rcParams |= {"figure.constrained_layout.use": True, "axes.titlesize": "medium"}
