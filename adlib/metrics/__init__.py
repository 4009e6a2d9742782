"""Metrics: NumPy in, numbers out. Labels are 0 (normal) and 1 (abnormal)."""

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
from adlib.metrics.intervals import (
    bootstrap_interval,
    interval_over_seeds,
)
from adlib.metrics.pixel import (
    aupro,
    pixel_auroc,
)

__all__ = [
    "accuracy_at",
    "aupro",
    "auroc",
    "average_precision",
    "balanced_accuracy_at",
    "best_accuracy",
    "best_f1",
    "bootstrap_interval",
    "check_bounds",
    "f1_at",
    "false_alarm_rate_at",
    "interval_over_seeds",
    "max_balanced_accuracy",
    "miss_rate_at",
    "pixel_auroc",
    "threshold_at_fpr",
    "zfn_accuracy",
]
