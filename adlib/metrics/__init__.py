"""Metrics: NumPy in, numbers out, in float64. These conventions hold for every function.

- `labels` are (N,) 0 (normal) and 1 (abnormal); `scores` are (N,) finite numbers, and a higher
  score is more anomalous.
- An image counts as abnormal when ``score >= threshold``. A threshold is in units of the scores;
  it may be infinite but not NaN.
- A metric is a float. It is *oracle* when it picks its threshold by the very labels that it is
  computed from, and *deployable* when it takes a threshold that was fixed beforehand on held-out
  images. The docstring of each says which of the two it is; `auroc`, `average_precision` and the
  pixel metrics need no threshold.
- A ValueError says what is wrong: unequal lengths, no value, NaN or infinite scores, labels other
  than 0 and 1, one class only, a NaN threshold.
"""

from adlib.metrics.image import (
    accuracy_at,
    auroc,
    average_precision,
    balanced_accuracy_at,
    best_accuracy,
    best_f1,
    check_bounds,
    f1_at,
    false_alarm_rate_at,
    max_balanced_accuracy,
    miss_rate_at,
    threshold_at_fpr,
    zfn_accuracy,
)
from adlib.metrics.intervals import bootstrap_interval, interval, interval_over_seeds
from adlib.metrics.pixel import (
    aupimo,
    aupimo_of_images,
    aupro,
    lowest_fpr,
    pixel_auroc,
    pixel_average_precision,
)

__all__ = [
    "accuracy_at", "aupimo", "aupimo_of_images", "aupro", "auroc", "average_precision",
    "balanced_accuracy_at", "best_accuracy", "best_f1", "bootstrap_interval", "check_bounds",
    "f1_at", "false_alarm_rate_at", "interval", "interval_over_seeds", "lowest_fpr",
    "max_balanced_accuracy", "miss_rate_at", "pixel_auroc", "pixel_average_precision",
    "threshold_at_fpr", "zfn_accuracy",
]  # fmt: skip
