"""A detector with the threshold that turns its scores into decisions, and the file for both."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from adlib import models
from adlib.data import decode
from adlib.data.decode import Conversion
from adlib.deploy import framing
from adlib.deploy.framing import Framing
from adlib.deploy.outputs import plain
from adlib.deploy.targets import Target
from adlib.host import provenance
from adlib.host.files import atomic, check_output, expanded
from adlib.metrics.curves import finite_vector
from adlib.models.features import FeatureDetector

KEY = "adlib_decision"  # of the metadata in the file
NAMED = 3  # kinds of defects in a detector's line
ROOM = 2**24  # bytes that a disk must have left before a training begins


@dataclass(frozen=True)
class CalibratedDetector:
    """A detector that decides.

    Attributes:
        detector: gives scores and maps.
        threshold: an image is abnormal when its score is at least this.
        target: the rate that the threshold is to keep.
        facts: JSON values: `calibration` (images that set the threshold), `held_out` (counts,
            errors, by kind of defect where kinds are named, and normal scores of all held-out
            images), `decoding` (how files become pixels), `created`, `commit`, `versions` and what
            the caller added.
        pixel_threshold: a pixel is flagged when the anomaly map is at least this there; None where
            none was asked for.
    """

    detector: models.Detector
    threshold: float
    target: Target
    facts: dict[str, object]
    pixel_threshold: float | None = None

    @property
    def convert(self) -> Conversion:
        """How files are converted to images, as those were that set the threshold."""
        limits, page = (self.facts["decoding"][key] for key in ("range", "page"))
        return Conversion(tuple(limits) if limits else None, page)

    @property
    def framing(self) -> Framing:
        """How a picture becomes the detector's images."""
        s = self.detector.settings
        return Framing(s.side, s.channels, self.facts["decoding"]["tiles"])

    def decide(self, images: Tensor, batch: int = 16) -> np.ndarray:
        """Whether each image is abnormal, bool `(N,)`; images as for `Detector.score`.

        With `tiles` they are tiles, and a picture is abnormal when one of its tiles is.
        """
        return self.detector.score(images, batch) >= self.threshold

    def __str__(self) -> str:
        """Method, threshold, target and errors on held-out images, in a line."""
        held, which = self.facts["held_out"], ("normal", "abnormal")[self.target.label]
        errors = f"{held['false_alarms']} of {held['normal']} normal called abnormal"
        if held["abnormal"]:
            errors += f", {held['misses']} of {held['abnormal']} abnormal missed"
            errors += _most_missed(held.get("kinds", {}))
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
        about = {
            "threshold": self.threshold,
            "target": str(self.target),
            "pixel_threshold": self.pixel_threshold,
            **self.facts,
        }
        with atomic(path) as temporary, tempfile.TemporaryDirectory() as folder:
            bare = self.detector.save(Path(folder) / "detector.safetensors")
            with safe_open(bare, framework="pt") as file:
                metadata = file.metadata() | {KEY: json.dumps(about)}
            save_file(load_file(bare), temporary, metadata)
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
    tiles: int = 1,
    **facts: object,
) -> CalibratedDetector:
    """Set the threshold of a detector.

    Args:
        detector: fitted.
        target: a target, or its text.
        normal: scores of held-out normal images, framed as `tiles` says.
        abnormal: scores of held-out abnormal images; needed for a target on misses, else they
            only show what is missed.
        convert: how the images' files were converted, if another way than by default.
        tiles: how pictures become the detector's images, see `adlib.deploy.framing`.
        **facts: JSON values to keep.

    Raises:
        ValueError: too few images (with the number needed), scores that are not finite.
    """
    target = Target.parse(target)
    scores = [np.asarray(part, dtype=np.float64) for part in (normal, abnormal)]
    for part, name in zip(scores, ("normal", "abnormal"), strict=True):
        if part.size:  # the counts of those that set no threshold rest on them too
            finite_vector(part, f"scores of {name} images")
    threshold = target.threshold(scores[target.label])
    s, convert = detector.settings, convert or Conversion()
    said = {"range": convert.range and list(convert.range), "page": convert.page, "tiles": tiles}
    about = {
        "calibration": scores[target.label].size,
        "held_out": {
            "normal": scores[0].size,
            "abnormal": scores[1].size,
            "false_alarms": int((scores[0] >= threshold).sum()),
            "misses": int((scores[1] < threshold).sum()),
            "normal_scores": scores[0].tolist(),
        },
        "decoding": {"rule": _rule(), "side": s.side, "channels": s.channels, **said},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **provenance.commit(),
        "versions": provenance.versions(),
    }
    return CalibratedDetector(detector, threshold, target, about | facts)


def _most_missed(kinds: dict[str, dict[str, int]]) -> str:
    """The kinds with the most misses, in brackets; empty where nothing is missed."""
    missed = {kind: n for kind, n in kinds.items() if n["misses"]}
    most = sorted(missed, key=lambda kind: -missed[kind]["misses"])
    words = [
        f"{plain(kind)} {missed[kind]['misses']} of {missed[kind]['abnormal']}"
        for kind in most[:NAMED]
    ]
    words += [f"{len(most) - NAMED} more"] if len(most) > NAMED else []
    return f" ({', '.join(words)})" if words else ""


def _rule() -> str:
    """The rules by which files become the detector's images."""
    return f"{decode.RULE} {framing.RULE}"


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
            "adlib.deploy.train, or give a trained one its threshold with "
            "adlib.deploy.calibrate"
        )
    try:
        facts = json.loads(metadata[KEY])
        threshold, target = facts.pop("threshold"), Target.parse(facts.pop("target"))
        pixel_threshold, _ = facts.pop("pixel_threshold"), facts["held_out"]["normal_scores"]
        rule, _ = (facts["decoding"][key] for key in ("rule", "tiles"))
        detector = models.load(path)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        lack = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise ValueError(
            f"{path}: this version cannot use the saved detector ({lack}). Train it again."
        ) from error
    if rule != _rule():
        raise ValueError(
            f"{path} was calibrated on images decoded by the rule {rule!r}; this version has "
            f"{_rule()!r}, so its threshold means nothing here. Train it again."
        )
    return CalibratedDetector(detector.to(device), threshold, target, facts, pixel_threshold)
