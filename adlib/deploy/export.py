"""Scorers as ONNX files, for programs without Python or PyTorch.

Needs the packages of the extra `export`; `requirements.txt` holds them too.
"""

import copy
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from adlib import models
from adlib.data import decode
from adlib.deploy import framing
from adlib.deploy.decisions import CalibratedDetector
from adlib.host.files import atomic, check_output, expanded
from adlib.models.features import FeatureDetector
from adlib.networks import augment, backbones

DECODING = (
    "turned as EXIF says; alpha laid on white, unless 0 everywhere; black and white of `range`, or "
    "of the file's bits, become 0 and 255; RGB, or grey as Pillow's L; resized, bilinear with "
    "antialiasing as Pillow does, rounded to uint8, to "
)
SQUEEZED = "side x side"
LETTERBOXED = (
    f"a longer side of `side` pixels, the aspect ratio kept; in the middle of a square of grey "
    f"{framing.GREY}"
)
TILED = (
    "a longer side of side + (tiles - 1) * step pixels, where step = side - side // "
    f"{framing.OVERLAP}, but not beyond the picture's own longer side nor below `side`, the aspect "
    f"ratio kept; in the middle of grey {framing.GREY} where a side is shorter than `side`; cut "
    "along each side into the fewest tiles of `side` pixels, evenly spread, that are at most step "
    "apart; each tile is an image, and the picture's score is the highest of its tiles' scores"
)
# Methods that no ONNX file holds, and what they do.
NOT_EXPORTED = {
    "AnoGAN": "searches a latent code for every image",
    "LSA": "scores in float64, for which ONNX Runtime has no convolutions",
    "NoisyAnoGAN": "searches a latent code for every image",
    "RobustSubspace": "scores images by those that it is given with them",
    "VAEGrad": "searches by gradients for every image",
}
UNTRANSLATED = ("features", "kl_gradient", "combined")  # kinds of scores that ONNX cannot hold
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4  # largest difference to torch, as a share of the scores' size


class _Scorer(nn.Module):
    """A detector as one network: uint8 images to scores and maps."""

    def __init__(self, detector: models.Detector) -> None:
        super().__init__()
        self.detector, self.networks = detector, detector.networks
        if isinstance(detector, FeatureDetector):
            self.backbone = backbones.load(detector.settings.backbone, detector.device)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        side, seen = self.detector.settings.side, self.detector.settings.input_side
        x = augment.to_float(augment.tile(images, seen))
        scores, maps = self.detector.judge_inputs(x)
        maps = augment.untile(maps.unsqueeze(1), side)[:, 0]
        return scores.view(images.shape[0], -1).amax(1), maps


def to_onnx(
    scorer: models.Detector | CalibratedDetector, path: str | Path, batch: int = 1
) -> dict[str, float]:
    """Write a detector's scorer as an ONNX file and compare it with torch.

    The input `images` is uint8 `(batch, C, side, side)`, pictures (of a detector with `tiles` above
    1 their tiles) made as the metadata `decoding` says; the outputs are `score` `(batch,)` and
    `map` `(batch, side, side)`. A calibrated detector's `threshold`, `target` and, where it
    has one, `pixel_threshold` stand in the metadata too.

    Args:
        scorer: a detector, or one with its threshold.
        path: ends in `.onnx`.
        batch: images that the file takes at once, always so many.

    Returns:
        Largest differences between ONNX Runtime and torch over images of noise, `score` and `map`,
        and the largest values of either in torch, `score_scale` and `map_scale`.

    Raises:
        ModuleNotFoundError: the packages for it are not installed.
        ValueError: a method of `NOT_EXPORTED`, or a path where something else stands.
        ArithmeticError: the file computes something else than torch.
    """
    detector = scorer.detector if isinstance(scorer, CalibratedDetector) else scorer
    name = type(detector).__name__
    if name in NOT_EXPORTED:
        others = ", ".join(sorted(set(models.REGISTRY) - set(NOT_EXPORTED)))
        raise ValueError(f"{name} {NOT_EXPORTED[name]}; these can be exported: {others}")
    if (score := getattr(detector.settings, "score", "")) in UNTRANSLATED:
        raise ValueError(f"{name} with score={score!r} cannot be exported; its other scores can")
    if batch < 1 or Path(path).suffix != ".onnx":
        raise ValueError(f"batch={batch}, {path}: at least 1 and a name that ends in .onnx")
    if lacking := [package for package in PACKAGES if find_spec(package) is None]:
        raise ModuleNotFoundError(f"no {', '.join(lacking)}: pip install {' '.join(PACKAGES)}")
    path = expanded(path)
    check_output(path, _is_ours, "an exported scorer")
    s = detector.settings
    decoding = {"rule": decode.RULE, "side": s.side, "channels": s.channels}
    words = SQUEEZED
    about = {"detector": name}
    if isinstance(scorer, CalibratedDetector):
        decoding |= scorer.facts["decoding"]
        words = TILED if scorer.framing.tiles > 1 else LETTERBOXED
        about |= {"threshold": repr(scorer.threshold), "target": str(scorer.target)}
        if scorer.pixel_threshold is not None:
            about["pixel_threshold"] = repr(scorer.pixel_threshold)
    about["decoding"] = json.dumps(decoding | {"in_words": DECODING + words})
    shape = (batch, s.channels, s.side, s.side)
    noise = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    images = torch.from_numpy(noise).to(detector.device)
    detector.networks.eval()
    with atomic(path) as temporary:
        _write(detector, images[0], about, temporary)
        return _compared(detector, images, temporary)


def _is_ours(path: Path) -> bool:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError:
        return False
    return {"detector", "decoding"} <= {entry.key for entry in model.metadata_props}


def _write(detector: models.Detector, images: Tensor, about: dict[str, str], path: Path) -> None:
    """Trace and translate the scorer for images of this shape; `about` becomes its metadata."""
    import onnxscript

    op = onnxscript.opset18

    def distances(a, b, p=2.0, mode=None):  # no types, because the exporter would read them
        """`torch.cdist` by differences, which the exporter does not know."""
        return op.ReduceL2(op.Sub(op.Unsqueeze(a, [-2]), op.Unsqueeze(b, [-3])), [-1], keepdims=0)

    with torch.no_grad():
        program = torch.onnx.export(
            _Scorer(_plain(detector)).eval(),
            (images,),
            input_names=["images"],
            output_names=["score", "map"],
            dynamo=True,
            verbose=False,
            custom_translation_table={torch.ops.aten._cdist_forward.default: distances},
        )
    program.model.metadata_props.update(about)
    program.save(path, external_data=False)


def _plain(detector: models.Detector) -> models.Detector:
    """The detector, with PatchCore's search for candidates replaced by a full one.

    How many candidates there are depends on the data, which a fixed graph cannot follow.
    """
    if not isinstance(detector, models.PatchCore):
        return detector
    bank = detector.networks["memory"].bank

    def nearest(patches: Tensor) -> tuple[Tensor, Tensor]:
        centre = bank.mean(0)  # taken off, because lengths decide the rounding errors
        entries = bank - centre
        products = (patches - centre) @ entries.T
        entry = (entries.square().sum(1) / 2 - products).argmin(2)
        return (patches - bank[entry]).norm(dim=2), entry

    plain = copy.copy(detector)
    plain._distances = nearest
    return plain


def _compared(detector: models.Detector, images: Tensor, path: Path) -> dict[str, float]:
    """Differences over batches of images `(k, batch, C, side, side)`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = [session.run(None, {"images": part.cpu().numpy()}) for part in images]
    wanted = images.flatten(0, 1)
    in_torch = dict(zip(("score", "map"), detector.judge(wanted), strict=True))
    differences = {}
    for (name, expected), parts in zip(in_torch.items(), zip(*outputs, strict=True), strict=True):
        differences[name] = float(np.abs(np.concatenate(parts) - expected).max())
        scale = float(np.abs(expected).max())
        if not differences[name] <= TOLERANCE * max(scale, 1e-6):
            raise ArithmeticError(
                f"the ONNX file's {name} differs from torch by {differences[name]:g} on a scale of "
                f"{scale:g}; it was not kept"
            )
        differences[f"{name}_scale"] = scale
    return differences
