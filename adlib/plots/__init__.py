"""Pictures of the study in one style: seaborn, colour-blind safe, readable in a report."""

import matplotlib.pyplot as plt
import seaborn as sns

from adlib.plots.comparisons import (  # fmt: skip
    critical_differences,
    dots,
    forest,
    heat_maps,
    log_bars,
    promises,
    quality_against_cost,
    worth_in_points,
)
from adlib.plots.curves import against_share, curves, curves_on_test, stopping, sweeps
from adlib.plots.images import (  # fmt: skip
    boxes,
    difference,
    false_colours,
    gallery,
    layer_diagram,
    mosaics,
    outlined,
)
from adlib.plots.published import papers_against_ours, published_against_ours
from adlib.plots.scores import (  # fmt: skip
    embedding,
    pixel_differences,
    planes,
    roc_curves,
    score_histograms,
)

__all__ = [
    "against_share", "boxes", "critical_differences", "curves", "curves_on_test", "difference",
    "dots", "embedding", "false_colours", "forest", "gallery", "heat_maps", "layer_diagram",
    "log_bars", "mosaics", "outlined", "papers_against_ours", "pixel_differences", "planes",
    "promises", "published_against_ours", "quality_against_cost", "roc_curves",
    "score_histograms", "stopping", "style", "sweeps", "worth_in_points",
]  # fmt: skip


def style() -> None:
    """Set the one style of all pictures. Notebooks call it once."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")
    plt.rcParams |= {"figure.constrained_layout.use": True, "axes.titlesize": "medium"}
