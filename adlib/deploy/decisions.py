"""A detector with the threshold that turns its scores into decisions, and its target rate.

A target is met with images that the detector has not learnt from and that come from the same source
as the images to come:

- ``fpr 0.05``: of normal images at most 5 in 100 are called abnormal; set on normal images.
- ``miss 0.1``: of abnormal images at most 10 in 100 are called normal; set on abnormal images.

Each holds on average over calibration sets (`thresholds.conformal_threshold`; for false alarms the
same rule on the mirrored scores of normal images). With ``confidence 0.9`` it holds for nine of ten
calibration sets (`thresholds.high_probability_threshold`), which takes more images. Too few images,
with which only "everything is abnormal" would meet the target, are an error.
"""

import json
import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from adlib import models
from adlib.data import decode
from adlib.data.decode import Conversion
from adlib.host import provenance
from adlib.host.files import atomic, check_output, expanded
from adlib.metrics import thresholds
from adlib.models.features import FeatureDetector

KEY = "adlib_decision"  # of the metadata in the file
ROOM = 2**24  # bytes that a disk must have left before a training begins


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
        """Threshold from scores of held-out images of the label; a ValueError if not finite."""
        scores = np.asarray(scores, dtype=np.float64)
        self.check(scores.size)
        if self.label == 0:
            scores = -scores
        if self.delta is None:
            threshold = thresholds.conformal_threshold(scores, self.rate)
        else:
            threshold = thresholds.high_probability_threshold(scores, self.rate, self.delta)
        # The normal image at the threshold stays normal, as the abnormal one stays abnormal.
        return threshold if self.label else float(np.nextafter(-threshold, np.inf))


def _plain(share: float) -> str:
    """All digits of a share, never as 5e-05."""
    return np.format_float_positional(share, trim="-")


def _not_allowed(target: str) -> ValueError:
    return ValueError(
        f"target '{target}': allowed are for example 'fpr 0.05' (false alarms among normal "
        "images), 'miss 0.1' (misses among abnormal ones) and 'miss 0.1 confidence 0.9'; "
        "rates and confidence lie between 0 and 1"
    )


@dataclass(frozen=True)
class CalibratedDetector:
    """A detector that decides.

    Attributes:
        detector: gives scores and maps.
        threshold: an image is abnormal when its score is at least this.
        target: the rate that the threshold is to keep.
        facts: JSON values: `calibration` (images that set the threshold), `held_out` (counts and
            errors on all held-out images), `decoding` (how files become pixels), `created`,
            `commit`, `versions` and what the caller added.
    """

    detector: models.Detector
    threshold: float
    target: Target
    facts: dict[str, object]

    @property
    def convert(self) -> Conversion:
        """How files are converted to images, as those were that set the threshold."""
        limits, page = (self.facts["decoding"][key] for key in ("range", "page"))
        return Conversion(tuple(limits) if limits else None, page)

    def decide(self, images: Tensor, batch: int = 16) -> np.ndarray:
        """Whether each image is abnormal, bool `(N,)`; images as for `Detector.score`."""
        return self.detector.score(images, batch) >= self.threshold

    def __str__(self) -> str:
        """Method, threshold, target and errors on held-out images, in a line."""
        held, which = self.facts["held_out"], ("normal", "abnormal")[self.target.label]
        errors = f"{held['false_alarms']} of {held['normal']} normal called abnormal"
        if held["abnormal"]:
            errors += f", {held['misses']} of {held['abnormal']} abnormal missed"
        name = type(self.detector).__name__
        if isinstance(self.detector, FeatureDetector):
            name += f" ({self.detector.settings.backbone})"
        return (
            f"{name}: threshold {self.threshold:.6g} for '{self.target}', "
            f"set on {self.facts['calibration']} {which} images; held-out images: {errors}"
        )

    def save(self, path: str | Path) -> Path:
        """Write all to one safetensors file, which `adlib.models.load` reads too.

        Of what is there, nothing but a saved detector is replaced: else a ValueError.
        """
        path = expanded(path)
        check_place(path)
        about = {"threshold": self.threshold, "target": str(self.target), **self.facts}
        with atomic(path) as temporary, tempfile.TemporaryDirectory() as folder:
            plain = self.detector.save(Path(folder) / "detector.safetensors")
            with safe_open(plain, framework="pt") as file:
                metadata = file.metadata() | {KEY: json.dumps(about)}
            save_file(load_file(plain), temporary, metadata)
        return path

    def keep(self, path: str | Path) -> Path:
        """`save`; where that fails, into the folder for temporary files, which the error names."""
        try:
            return self.save(path)
        except (OSError, ValueError, SafetensorError) as error:
            kept = self.save(Path(tempfile.mkdtemp(prefix="adlib-")) / Path(path).name)
            raise OSError(f"{error}; the trained detector is kept as {kept}") from error


def calibrate(
    detector: models.Detector,
    target: str | Target,
    normal: Sequence[float],
    abnormal: Sequence[float] = (),
    convert: Conversion | None = None,
    **facts: object,
) -> CalibratedDetector:
    """Set the threshold of a detector.

    Args:
        detector: fitted.
        target: a target, or its text.
        normal: scores of held-out normal images.
        abnormal: scores of held-out abnormal images; needed for a target on misses, else they
            only show what is missed.
        convert: how the images' files were converted, if another way than by default.
        **facts: JSON values to keep.

    Raises:
        ValueError: too few images (with the number needed), scores that are not finite.
    """
    target = Target.parse(target)
    scores = [np.asarray(part, dtype=np.float64) for part in (normal, abnormal)]
    threshold = target.threshold(scores[target.label])
    s, convert = detector.settings, convert or Conversion()
    said = {"range": convert.range and list(convert.range), "page": convert.page}
    about = {
        "calibration": scores[target.label].size,
        "held_out": {
            "normal": scores[0].size,
            "abnormal": scores[1].size,
            "false_alarms": int((scores[0] >= threshold).sum()),
            "misses": int((scores[1] < threshold).sum()),
        },
        "decoding": {"rule": decode.RULE, "side": s.side, "channels": s.channels, **said},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **provenance.commit(),
        "versions": provenance.versions(),
    }
    return CalibratedDetector(detector, threshold, target, about | facts)


def check_place(path: str | Path) -> None:
    """Raise a ValueError unless a detector can be saved at `path`: before a training, not after."""
    check_output(expanded(path), _is_detector, "a saved detector", ROOM)


def _is_detector(path: Path) -> bool:
    try:
        with safe_open(path, framework="pt") as file:
            return "adlib" in (file.metadata() or {})
    except SafetensorError:
        return False


def load(path: str | Path, device: str | torch.device = "cpu") -> CalibratedDetector:
    """Load a calibrated detector that `save` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, a detector without a threshold, one with settings or
            weights that this version does not know, or one whose scores were made from files
            decoded by other rules than this version's.
    """
    path = expanded(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a saved detector ({error})") from error
    if KEY not in metadata:
        raise ValueError(
            f"{path} holds no detector with a threshold; train one with "
            "adlib.deploy.own_images.train, or give a trained one its threshold with "
            "adlib.deploy.decisions.calibrate"
        )
    try:
        facts = json.loads(metadata[KEY])
        threshold, target = facts.pop("threshold"), Target.parse(facts.pop("target"))
        rule = facts["decoding"]["rule"]
        detector = models.load(path)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        lack = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise ValueError(
            f"{path}: this version cannot use the saved detector ({lack}). Train it again."
        ) from error
    if rule != decode.RULE:
        raise ValueError(
            f"{path} was calibrated on images decoded by the rule {rule!r}; this version has "
            f"{decode.RULE!r}, so its threshold means nothing here. Train it again."
        )
    return CalibratedDetector(detector.to(device), threshold, target, facts)
