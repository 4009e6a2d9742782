"""What the rule of the verdict can decide, and how its counts move with the margin."""

import io

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from adlib.study.summary import COUNT, Study
from adlib.study.tables import in_words
from adlib.study.verdict import agreement, verdicts

RULE = {
    agreement.AGREES: "our mean lies within the margin of the published value, and the 95 % "
    "prediction interval for one more training run of ours is at most four margins wide.",
    agreement.DIFFERS: "the published value lies outside that prediction interval, and further "
    "from our mean than the margin.",
    agreement.CANNOT_TELL: "neither: from one seed there is no prediction interval, from few a "
    "wide one. The number of seeds that would decide it at the spread seen is given.",
    verdicts.TOY_SCALE: "our runs are smaller than the paper's own: a smaller budget, smaller "
    "images or networks, fewer test images. What is smaller is read off the run records.",
    verdicts.NOT_COMPARABLE: "we have a number, but for another setting than the paper's, a mean "
    "over fewer categories among them, or the published value is no target: the paper quotes it "
    "from elsewhere, or no scores can give it. The reason is given.",
    verdicts.NO_DATA: "no number of ours, and the data set is not on the machine.",
    verdicts.NOT_RUN: "no number of ours although the data could be had: the method is not part "
    "of the study or of the profile, or its cell failed or was not finished.",
}
DIFFERENCES = (0.0, 0.03, 0.05, 0.10, 0.15)
SEEDS = (1, 3, 5, 10)
CURVE = np.round(np.arange(0.005, 0.1001, 0.005), 3)


def facts(study: Study, compared: dict[str, pd.DataFrame]) -> dict:
    """All of it: `spread` and how many `numbers` it is of, `chances`, `moved` and `counted`.

    Args:
        study: the results.
        compared: as for `by_margin`, whose table is `moved`; `counted` numbers are in it.
    """
    spread, numbers = spread_of_trainings(study)
    moved = by_margin(compared)
    margins: dict[float, list[str]] = {}
    for metric, margin in agreement.MARGINS.items():
        margins.setdefault(margin, []).append(in_words(metric))
    return {
        "rule": RULE,
        "margins": margins,
        "spread": spread,
        "numbers": numbers,
        "chances": chances(spread) if numbers else [],
        "moved": moved,
        "counted": int(moved.loc[moved["margin"] == CURVE[0], "numbers"].sum()),
    }


def spread_of_trainings(study: Study) -> tuple[float, int]:
    """Median standard deviation of our auROC over at least three seeds, and of how many numbers.

    (NaN, 0) where no number has three seeds.
    """
    rows = study.summary
    rows = rows[(rows["metric"] == "auroc") & (rows["form"] == "") & (rows["method"] != COUNT)]
    rows = rows[(rows["seeds"] >= 3) & (rows["categories"] == 1)]
    spreads = [np.std(values, ddof=1) for values in rows["values"] if np.ptp(values) > 0]
    return (float(np.median(spreads)), len(spreads)) if spreads else (np.nan, 0)


def chances(spread: float) -> list[dict]:
    """Probability of each outcome by true difference and number of seeds, at a given spread."""
    margin = agreement.MARGINS["auroc"]
    return [
        {"true difference": difference, "seeds": seeds}
        | agreement.probabilities(difference, spread, seeds, margin)
        for difference in DIFFERENCES
        for seeds in SEEDS
    ]


def by_margin(compared: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """How many published numbers agree, differ and stay open at each margin of `CURVE`.

    Args:
        compared: what `verdicts.compare` gives, by profile. Counted are the numbers that the rule
            decides on: those of detectors, made in the paper's own setting.
    """
    rows = verdicts.nearest(compared)
    rows = rows[rows["verdict"].isin(agreement.OUTCOMES) & (rows["method"] != COUNT)]
    rows = rows[rows["evaluation"] == ""]
    counts = []
    for margin in CURVE:
        outcomes = [
            verdicts.decide(row, margin).outcome for row in rows.itertuples()
        ]  # the margin of every metric is moved alike
        counts += [(margin, name, outcomes.count(name)) for name in agreement.OUTCOMES]
    return pd.DataFrame(counts, columns=["margin", "outcome", "numbers"])


def drawn(table: pd.DataFrame) -> bytes:
    """Draw what `by_margin` gives as a PNG, the margin in use marked."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    colors = dict(zip(agreement.OUTCOMES, ("#2a7f3f", "#b3261e", "#7a7a7a"), strict=True))
    sns.lineplot(
        table, x="margin", y="numbers", hue="outcome", style="outcome", palette=colors, ax=axes
    )
    axes.axvline(agreement.MARGINS["auroc"], color="black", lw=0.8, ls=":")
    axes.set(xlabel="margin (dotted: the one in use)", ylabel="published numbers")
    axes.set_ylim(bottom=0)
    content = io.BytesIO()
    figure.savefig(content, dpi=130, format="png")
    return content.getvalue()
