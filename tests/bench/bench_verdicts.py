"""What the rule of the verdict can decide: `python tests/bench/bench_verdicts.py`.

Printed is the probability of each outcome if our method's true mean lies so far below the paper's,
by the number of seeds and by how much trainings vary.
"""

from adlib.study.verdict import agreement
from adlib.study.verdict.deciding import DIFFERENCES, SEEDS

SPREADS = (0.005, 0.01, 0.02, 0.04)  # standard deviation of the auROC over trainings


def main() -> None:
    """Print the table."""
    margin = agreement.MARGINS["auroc"]
    print(f"margin {margin}\nspread difference seeds  {'  '.join(agreement.OUTCOMES)}")
    for spread in SPREADS:
        for difference in DIFFERENCES:
            for seeds in SEEDS:
                chances = agreement.probabilities(difference, spread, seeds, margin)
                shares = "    ".join(f"{chances[name]:.3f}" for name in agreement.OUTCOMES)
                print(f"{spread:6} {difference:10} {seeds:5}   {shares}")


if __name__ == "__main__":
    main()
