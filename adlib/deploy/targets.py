"""The rate that a threshold is to keep, and the threshold that keeps it.

A target is met with images that the detector has not learnt from and that come from the same source
as the images to come:

- ``fpr 0.05``: of normal images at most 5 in 100 are called abnormal; set on normal images.
- ``miss 0.1``: of abnormal images at most 10 in 100 are called normal; set on abnormal images.

Each holds on average over calibration sets (`thresholds.conformal_threshold`; for false alarms the
same rule on the mirrored scores of normal images). With ``confidence 0.9`` it holds for nine of ten
calibration sets (`thresholds.high_probability_threshold`), which takes more images. Too few images,
with which only "everything is abnormal" would meet the target, are an error.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from adlib.metrics import thresholds


@dataclass(frozen=True)
class Target:
    """The rate that a threshold is to keep.

    Attributes:
        kind: "fpr" (share of normal images called abnormal) or "miss" (of abnormal ones called
            normal).
        rate: the share, between 0 and 1.
        confidence: share of calibration sets for which the rate is kept; None: on average.
    """

    kind: str
    rate: float
    confidence: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no threshold can keep."""
        shares = [self.rate] if self.confidence is None else [self.rate, self.confidence]
        if self.kind not in ("fpr", "miss") or not all(0 < share < 1 for share in shares):
            raise _not_allowed(str(self))

    @classmethod
    def parse(cls, text: "str | Target") -> "Target":
        """Read "fpr 0.05", "miss 0.1", "miss 0.1 confidence 0.9". A ValueError names the forms."""
        number = r"(\d*\.?\d+)"
        pattern = rf"\s*(fpr|miss)\s+{number}(?:\s+confidence\s+{number})?\s*"
        if not (match := re.fullmatch(pattern, str(text))):
            raise _not_allowed(text)
        kind, rate, confidence = match.groups()
        return cls(kind, float(rate), float(confidence) if confidence else None)

    def __str__(self) -> str:
        """The text that `parse` reads."""
        text = f"{self.kind} {_plain(self.rate)}"
        return text if self.confidence is None else f"{text} confidence {_plain(self.confidence)}"

    @property
    def delta(self) -> float | None:
        """Allowed share of misleading calibration sets."""
        return None if self.confidence is None else 1 - self.confidence

    @property
    def label(self) -> int:
        """Label of the images that set the threshold: 0 normal, 1 abnormal."""
        return int(self.kind == "miss")

    def images_needed(self) -> int:
        """How many of these images must be held out."""
        return thresholds.images_needed(self.rate, self.delta)

    def check(self, n: int, about: str = "") -> None:
        """Raise a ValueError if `n` held-out images are too few, with what they can promise.

        `about`, a sentence about the images, ends the message.
        """
        if n >= self.images_needed():
            return
        which = ("normal", "abnormal")[self.label]
        way_out = ""
        if n:
            best = 1 / (n + 1) if self.delta is None else 1 - self.delta ** (1 / n)
            if (best := math.ceil(1000 * best) / 1000) < 1:
                way_out = f" or ask for '{Target(self.kind, best, self.confidence)}'"
        raise ValueError(
            f"'{self}' needs {self.images_needed()} {which} images that the detector has not learnt"
            f" from, and {n} can be held out (at most half of the normal images, or of the "
            f"abnormal ones where the method learns from them). Add {which} images{way_out}.{about}"
        )

    def threshold(self, scores: ArrayLike) -> float:
        """Threshold from scores of held-out images of the label; a ValueError if not finite.

        It lies between two scores (`thresholds.between_scores`), so that an image that set it is
        decided alike in another batch, on another device and by an export.
        """
        scores = np.asarray(scores, dtype=np.float64)
        self.check(scores.size)
        if self.label == 0:
            scores = -scores
        if self.delta is None:
            threshold = thresholds.conformal_threshold(scores, self.rate)
        else:
            threshold = thresholds.high_probability_threshold(scores, self.rate, self.delta)
        threshold = thresholds.between_scores(scores, threshold)
        return threshold if self.label else -threshold


def _plain(share: float) -> str:
    """All digits of a share, never as 5e-05."""
    return np.format_float_positional(share, trim="-")


def _not_allowed(target: str) -> ValueError:
    return ValueError(
        f"target '{target}': allowed are for example 'fpr 0.05' (false alarms among normal "
        "images), 'miss 0.1' (misses among abnormal ones) and 'miss 0.1 confidence 0.9'; "
        "rates and confidence lie between 0 and 1"
    )
