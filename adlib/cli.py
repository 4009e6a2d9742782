"""Train a detector on your own images, judge folders with it, export it.

Exit codes: 0 fine; 1 some files could not be read (the CSV names them); 2 nothing could be done.
"""

import argparse
import sys
from pathlib import Path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m adlib", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    score = commands.add_parser("score", help="judge all images of a folder")
    score.add_argument("model", type=Path, help="file that `train` wrote")
    score.add_argument("folder", type=Path, help="images, also in folders below; or one image")
    score.add_argument(
        "--csv", type=Path, default=Path("decisions.csv"), help="default: %(default)s"
    )
    score.add_argument("--gallery", type=Path, help="PNG of the most anomalous images")
    score.add_argument("--batch", type=int, default=16, help="images at once; default: %(default)s")
    score.set_defaults(run=_score)

    train = commands.add_parser("train", help="train on normal images and set the threshold")
    train.add_argument("normal", type=Path, help="folder of normal images")
    train.add_argument("--abnormal", type=Path, help="folder of abnormal images")
    train.add_argument("--method", default="PatchCore", help="a detector; default: %(default)s")
    train.add_argument(
        "--target",
        default="fpr 0.05",
        help="'fpr RATE' or 'miss RATE', if need be with 'confidence SHARE'; default: %(default)s",
    )
    train.add_argument("--side", type=int, help="side in pixels that images get")
    train.add_argument("--steps", type=int, default=2000, help="default: %(default)s")
    train.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    train.add_argument("--out", type=Path, required=True, help="file to write (.safetensors)")
    train.set_defaults(run=_train)

    export = commands.add_parser("export", help="write the scorer as an ONNX file")
    export.add_argument("model", type=Path, help="file that `train` wrote")
    export.add_argument("file", type=Path, help="ends in .onnx")
    export.add_argument("--batch", type=int, default=1, help="images at once; default: %(default)s")
    export.set_defaults(run=_export)

    for command in (score, train):
        command.add_argument("--device", help="cpu, cuda or cuda:N; default: cuda if there is one")
    return parser


# Each command imports what it needs: help and usage errors come without torch's seconds.


def _device(name: str | None) -> object:
    """The device, checked."""
    import torch

    from adlib.host.device import default_device

    if name is None:
        return default_device()
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    allowed = ["cpu", *(["cuda", *cuda] if cuda else [])]
    if name not in allowed:
        raise ValueError(f"device {name!r}: allowed on this machine: {', '.join(allowed)}")
    return torch.device(name)


def _score(options: argparse.Namespace) -> int:
    from adlib.deploy import decisions, own_images

    detector = decisions.load(options.model, _device(options.device))
    found = own_images.score_folder(
        detector, options.folder, options.csv, options.gallery, options.batch
    )
    print(found)
    return int(found.unreadable > 0)


def _train(options: argparse.Namespace) -> int:
    from adlib.deploy import own_images

    settings = {} if options.side is None else {"side": options.side}
    detector = own_images.train(
        options.normal,
        options.abnormal,
        options.method,
        options.target,
        steps=options.steps,
        seed=options.seed,
        device=_device(options.device),
        **settings,
    )
    detector.save(options.out)
    print(f"{detector}; saved as {options.out}")
    return 0


def _export(options: argparse.Namespace) -> int:
    from adlib.deploy import decisions, export

    found = export.to_onnx(decisions.load(options.model), options.file, options.batch)
    print(
        f"{options.file}: scores differ from torch by at most {found['score']:.2g} "
        f"(largest {found['score_scale']:.4g}), maps by {found['map']:.2g}"
    )
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run a command; what cannot be done is one line on stderr and exit code 2."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError, ModuleNotFoundError, ArithmeticError, RuntimeError) as error:
        print(f"adlib {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
