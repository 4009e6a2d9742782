"""Commands for images of one's own: train, extend, score, watch, export."""

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adlib.cli.parsing import DEFAULT, DEVICE, command
from adlib.host.files import expanded

MASKS = "folder for a PNG an image that shows which pixels are abnormal"


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands to a parser."""
    score = command(commands, "score", _score, "decide on all images of a folder")
    score.add_argument("model", type=expanded, help="file that `train` wrote")
    score.add_argument("folder", type=expanded, help="images, also in folders below; or one image")
    score.add_argument("--csv", type=expanded, default=Path("decisions.csv"), help=DEFAULT)
    score.add_argument("--gallery", type=expanded, help="PNG of the most anomalous images")
    score.add_argument("--masks", type=expanded, help=MASKS)
    score.add_argument("--batch", type=int, default=16, help=f"images at once; {DEFAULT}")

    train = command(commands, "train", _train, "train on normal images and set the threshold")
    train.add_argument("normal", type=expanded, help="folder of normal images")
    train.add_argument("--abnormal", type=expanded, help="folder of abnormal images")
    train.add_argument("--method", default="PatchCore", help=f"a detector; {DEFAULT}")
    text = f"'fpr RATE' or 'miss RATE', if need be with 'confidence SHARE'; {DEFAULT}"
    train.add_argument("--target", default="fpr 0.05", help=text)
    train.add_argument("--side", type=int, help="side in pixels that images get")
    text = f"how many images of that side span a picture's longer side; {DEFAULT}"
    train.add_argument("--tiles", type=int, default=1, help=text)
    train.add_argument("--steps", type=int, default=2000, help=DEFAULT)
    text = "values that are black and white in files of more than 8 bits, for example 0 4095"
    train.add_argument("--range", type=float, nargs=2, metavar=("BLACK", "WHITE"), help=text)
    train.add_argument("--page", type=int, help="page that counts in files of several, from 1")
    text = "'images RATE' or 'pixels RATE' of flagged normal ones, for masks; default: no masks"
    train.add_argument("--pixels", help=text)

    extend = command(
        commands, "extend", _extend, "learn more normal images, set the threshold anew"
    )
    extend.add_argument("model", type=expanded, help="file that `train` wrote")
    extend.add_argument("normal", type=expanded, help="folder of normal images, also the grown one")

    for one in (train, extend):
        text = f"images that count once: auto, folder, none or a CSV of path and group; {DEFAULT}"
        one.add_argument("--seed", type=int, default=0, help=DEFAULT)
        one.add_argument("--groups", default="auto", help=text)
        text = "file to write (.safetensors)"
        one.add_argument("--out", type=expanded, required=True, help=text)

    export = command(commands, "export", _export, "write the scorer as an ONNX file")
    export.add_argument("model", type=expanded, help="file that `train` wrote")
    export.add_argument("file", type=expanded, help="ends in .onnx")
    export.add_argument("--batch", type=int, default=1, help=f"images at once; {DEFAULT}")

    text = "judge the images of a folder as they come; Ctrl-C ends it"
    watch = command(commands, "watch", _watch, text)
    watch.add_argument("model", type=expanded, help="file that `train` wrote")
    watch.add_argument("folder", type=expanded, help="images, also in folders below")
    text = f"gets a JSON line a file, and says after a restart what was judged; {DEFAULT}"
    watch.add_argument("--log", type=expanded, default=Path("decisions.jsonl"), help=text)
    watch.add_argument("--page", type=expanded, help="HTML file of today's decisions, worst first")
    watch.add_argument("--masks", type=expanded, help=MASKS)
    text = f"seconds in which a file must not change before it is judged; {DEFAULT}"
    watch.add_argument("--interval", type=float, default=2.0, help=text)
    watch.add_argument("--once", action="store_true", help="end when what is there is judged")

    for one in (score, train, extend, watch):
        one.add_argument("--device", help=DEVICE)


def _score(options: argparse.Namespace) -> int:
    from adlib import deploy
    from adlib.deploy import decisions
    from adlib.host.device import named

    detector = decisions.load(options.model, named(options.device))
    summary = deploy.score_folder(
        *(detector, options.folder, options.csv, options.gallery, options.batch, options.masks)
    )
    print(summary)
    return int(summary.unreadable > 0)


def _train(options: argparse.Namespace) -> int:
    from adlib import deploy
    from adlib.deploy import decisions, holding_out
    from adlib.host.device import named

    decisions.check_place(options.out)
    settings = {} if options.side is None else {"side": options.side}
    detector = deploy.train(
        options.normal,
        options.abnormal,
        options.method,
        options.target,
        steps=options.steps,
        seed=options.seed,
        device=named(options.device),
        range=options.range and tuple(options.range),
        page=options.page,
        tiles=options.tiles,
        groups=holding_out.named(options.groups),
        pixels=options.pixels,
        **settings,
    )
    print(f"{detector}; saved as {detector.keep(options.out)}")
    return 0


def _extend(options: argparse.Namespace) -> int:
    from adlib import deploy
    from adlib.deploy import decisions, holding_out
    from adlib.host.device import named

    decisions.check_place(options.out)
    before = decisions.load(options.model, named(options.device))
    groups = holding_out.named(options.groups)
    detector = deploy.extend(before, options.normal, groups, options.seed)
    print(f"{detector}; saved as {detector.keep(options.out)}")
    return 0


def _export(options: argparse.Namespace) -> int:
    from adlib.deploy import decisions, export

    largest = export.to_onnx(decisions.load(options.model), options.file, options.batch)
    print(
        f"{options.file}: scores differ from torch by at most {largest['score']:.2g} "
        f"(largest {largest['score_scale']:.4g}), maps by {largest['map']:.2g}"
    )
    return 0


def _watch(options: argparse.Namespace) -> int:
    with _ended_by_signals() as stop:
        from adlib import deploy
        from adlib.deploy import decisions
        from adlib.host.device import named

        counts = deploy.watch(
            decisions.load(options.model, named(options.device)),
            *(options.folder, options.log, options.page, options.masks),
            interval=options.interval,
            once=options.once,
            stop=stop,
        )
    said = ", ".join(f"{counts[decision]} {decision}" for decision in ("normal", "abnormal"))
    print(f"{counts.total()} images: {said}, {counts['']} without a decision; see {options.log}")
    return int(options.once and counts[""] > 0)


@contextmanager
def _ended_by_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C or a request to terminate sets; a second one ends at once."""
    stop = threading.Event()

    def end(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
