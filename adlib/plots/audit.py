"""Plot of what the choices of an evaluation are worth."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from adlib.plots.numbers import ABNORMAL, NORMAL


def worth_in_points(table: pd.DataFrame) -> Figure:
    """Difference and interval of every choice, one panel a kind, on one scale.

    Orange raises the number, blue lowers it; a filled dot is a difference told from chance. On the
    right stand the numbers without and with the choice. A grey band is what another seed may make.

    Args:
        table: rows in the order they are drawn: `kind`, `label`, `points`, `low`, `high`,
            `told`, `without_trap`, `with_trap`, `seed_low`, `seed_high` (or NaN: no band).
    """
    kinds = list(table.groupby("kind", sort=False))
    heights = [len(rows) + 1 for _, rows in kinds]
    figure, axes = plt.subplots(
        len(kinds), 1, figsize=(10.5, 0.34 * sum(heights) + 1.2), sharex=True, squeeze=False,
        height_ratios=heights, layout="constrained",
    )  # fmt: skip
    for ax, (kind, rows) in zip(axes[:, 0], kinds, strict=True):
        for y, row in enumerate(rows.itertuples()):
            color = ABNORMAL if row.points > 0 else NORMAL if row.points < 0 else "black"
            ax.plot([row.low, row.high], [y, y], color=color, lw=2, solid_capstyle="butt")
            ax.plot(row.points, y, "o", color=color, mfc=color if row.told else "white", mew=1.6)
            ax.text(
                1.01, y, f"{row.without_trap:.3f} → {row.with_trap:.3f}", va="center",
                fontsize="small", transform=ax.get_yaxis_transform(),
            )  # fmt: skip
        if np.isfinite(rows.seed_low).all():
            ax.axvspan(rows.seed_low.iloc[0], rows.seed_high.iloc[0], color="0.88", lw=0, zorder=0)
        ax.axvline(0, color="black", lw=1.2)
        ax.set_yticks(range(len(rows)), rows.label, fontsize="small")
        ax.set(ylim=(len(rows) - 0.4, -0.6))
        ax.set_title(kind, loc="left", fontweight="bold")
        ax.grid(False, axis="y")
    axes[0, 0].set_title("without → with", loc="right", fontsize="small")
    axes[-1, 0].set_xlabel("with - without, points of 100; 95 % interval over test images")
    return figure
