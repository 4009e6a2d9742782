"""Train a detector on your own images, run a notebook, build the report, get data, move runs.

Exit codes: 0 fine; 1 a part failed and is named (a file that could not be read, a notebook that
failed, a count or number that differs); 2 a wrong call: nothing was done; 3 a crash on the way.
"""

import argparse
import io
import sys
import traceback
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from adlib.cli import own_images
from adlib.cli.parsing import DEFAULT, DEVICE, command
from adlib.host import paths
from adlib.host.files import expanded

WRONG_CALL = (ValueError, ImportError, FileNotFoundError, NotADirectoryError, PermissionError)
IN_WORDS = (*WRONG_CALL, OSError, ArithmeticError)  # need no traceback beside their message

# Each command imports what it needs: help and usage errors come without torch's seconds.


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="adlib", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    own_images.add(commands)

    run = command(commands, "run", _run, "run a notebook; unknown parameters are errors")
    run.add_argument("notebook", type=expanded)
    run.add_argument("output", type=expanded, help="executed notebook, ends in .ipynb")
    run.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    run.add_argument("--attempt", type=int, default=1, help="2: only if the first was cut off")
    run.add_argument("--quiet", action="store_true", help="the record alone says how it went")

    report = command(commands, "report", _report, "build the report of the results folder")
    report.add_argument("--results", type=expanded, default=paths.results_root(), help=DEFAULT)
    report.add_argument("--profile", help="profile that --collect collects")
    text = "first collect what the cells of --profile have left"
    report.add_argument("--collect", action="store_true", help=text)
    text = "write what the results show into README.md instead"
    report.add_argument("--readme", action="store_true", help=text)

    _add_plan(commands)
    _add_data(commands)
    _add_runs(commands)
    return parser


def _add_plan(commands: argparse._SubParsersAction) -> None:
    text = "list a profile's pending trainings, the most telling first"
    plan = command(commands, "plan", _plan, text)
    text = "train them for some minutes, without notebooks"
    train = command(commands, "train-runs", _train_runs, text)
    for either in (plan, train):
        either.add_argument("--profile", required=True)
        text = f"processes that train side by side; {DEFAULT}"
        either.add_argument("--jobs", type=int, default=1, help=text)
    text = "kind of device to plan for, also of another machine; default: what is here"
    plan.add_argument("--device", choices=("cpu", "cuda"), help=text)
    train.add_argument("--device", help=DEVICE)
    train.add_argument("--minutes", type=float, required=True, help="planning counted in")
    text = "finished runs, ends in .tar or .tar.xz; one that exists is gone on with"
    train.add_argument("--pack", type=expanded, required=True, help=text)


def _add_data(commands: argparse._SubParsersAction) -> None:
    data = commands.add_parser("data", help="list, get, check and pack data sets")
    actions = data.add_subparsers(dest="action", required=True)
    command(actions, "list", _list, "names, categories at hand, licence")
    get = command(actions, "get", _get, "download a data set, or a category of it")
    check = command(actions, "check", _check, "compare the images at hand with published counts")
    text = "write a category's pixels to one file, to train where the images are not"
    pack = command(actions, "pack", _pack_images, text)
    for action in (get, check, pack):
        action.add_argument("name")
        action.add_argument("category", **{} if action is pack else {"nargs": "?"})
        action.add_argument("--root", type=expanded, default=paths.data_root(), help=DEFAULT)

    text = "ends in .images.xz; a folder gets it under the name that a data root needs"
    pack.add_argument("file", type=expanded, help=text)
    pack.add_argument("--side", type=int, help="in pixels; sets of one array keep their own")
    text = f"1 turns colour into grey levels; {DEFAULT}"
    pack.add_argument("--channels", type=int, choices=(1, 3), default=3, help=text)


def _add_runs(commands: argparse._SubParsersAction) -> None:
    runs = commands.add_parser("runs", help="list the runs of the store, pack and unpack them")
    actions = runs.add_subparsers(dest="action", required=True)
    listed = command(actions, "list", _list_runs, "one line a finished run")
    text = "write records, scores, losses and splits to one file"
    pack = command(actions, "pack", _pack, text)
    pack.add_argument("file", type=expanded, help="ends in .tar.xz or .tar")
    pack.add_argument("keys", nargs="*", help="keys of runs; default: all finished ones")
    pack.add_argument("--weights", action="store_true", help="also weights and snapshots")
    text = "compute tables and verdicts anew from scores"
    verify = command(actions, "verify", _verify, text)
    verify.add_argument("--results", type=expanded, default=paths.results_root(), help=DEFAULT)
    text = "write what differs into the tables"
    verify.add_argument("--update", action="store_true", help=text)
    unpack = command(actions, "unpack", _unpack, "check a pack and put its runs into the store")
    unpack.add_argument("file", type=expanded)
    for action in (listed, pack, unpack):
        action.add_argument("--root", type=expanded, default=paths.runs_root(), help=DEFAULT)


def _run(options: argparse.Namespace) -> int:
    from adlib.study.engine import execute

    given = dict(options.p)
    return execute.run(options.notebook, options.output, given, options.attempt, options.quiet)


def _report(options: argparse.Namespace) -> int:
    from filelock import FileLock

    from adlib.study import collect, readme, summary
    from adlib.study.lab import code_links, reading_order
    from adlib.study.site.pages import build
    from adlib.study.verdict import verdict_notebooks

    if options.collect != bool(options.profile):
        raise ValueError("--profile and --collect go together: the one says what the other takes")
    if not options.results.is_dir():
        raise FileNotFoundError(f"{options.results}: no such folder. Run the study first.")
    notebooks = paths.home() / "notebooks"
    with FileLock(options.results / paths.REPORT_LOCK):  # two would take each other's files away
        if options.collect:
            collect.collect(options.profile, options.results)
        if options.readme:
            changed = readme.update(paths.home() / "README.md", summary.read(options.results))
            print(f"README.md: {'written' if changed else 'as it was'}")
            with TemporaryDirectory() as folder:
                executed = verdict_notebooks.run(options.results, notebooks, Path(folder))
                reading_order.write(notebooks, options.results, executed)
            code_links.write(notebooks)
            return 0
        print(f"Report: {build(options.results, notebooks)}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from adlib.study import verify

    if options.update:
        print(f"{verify.update(options.results)} numbers written")
    verified = verify.verify(options.results)
    print(verified)
    return int(len(verified.differences) > 0)


def _plan(options: argparse.Namespace) -> int:
    import torch

    from adlib.study import plan

    device = torch.device(options.device) if options.device else None
    print(plan.text(plan.make(options.profile, device), options.jobs))
    return 0


def _train_runs(options: argparse.Namespace) -> int:
    from adlib.host.device import named
    from adlib.study import train_runs

    device = named(options.device)
    return train_runs.train(options.profile, options.minutes, options.pack, options.jobs, device)


def _list(_: argparse.Namespace) -> int:
    from adlib import data
    from adlib.data import sets

    for name in data.names():
        categories = data.categories(name)
        here = [category for category in categories if sets.at_hand(name, category)]
        at_hand = "all" if here == categories else ", ".join(here) or "none"
        if categories:  # the user's own folders are no list
            print(f"{name:22} at hand: {at_hand} (of {len(categories)}); {data.info(name).licence}")
    return 0


def _get(options: argparse.Namespace) -> int:
    from adlib import data
    from adlib.data.download import download

    print(f"Licence: {data.info(options.name).licence}.")
    print(download(options.name, options.category, options.root))
    return 0


def _check(options: argparse.Namespace) -> int:
    from adlib import data

    about, failed = data.info(options.name), False
    categories = [options.category] if options.category else about.modes
    if not categories:
        raise ValueError(f"{about.name}: name the category, which is the path of a folder")
    for category in categories:
        try:
            images = data.load(about.name, category, options.root)
        except FileNotFoundError as error:
            if options.category:
                raise
            print(f"{about.name}/{category}: {error}")
            failed = True
            continue
        wrong = data.differences(images)
        published = "as published" if category in about.expected else "no counts are published"
        print(f"{images}: {'; '.join(wrong) or published}")
        failed = failed or bool(wrong)
    return int(failed)


def _pack_images(options: argparse.Namespace) -> int:
    from adlib import data
    from adlib.data import image_packs

    about, file = data.info(options.name), options.file
    images = data.load(about.name, options.category, options.root)
    if file.is_dir():
        file = about.packs(file, options.category)[0]
    image_packs.write(about, images, file, options.side, options.channels)
    print(f"{file}: {len(images)} images, {file.stat().st_size:,} bytes")
    print(about.terms)
    return 0


def _list_runs(options: argparse.Namespace) -> int:
    from adlib.study import packs

    table = packs.listed(options.root)
    shown = ["run", "detector", "dataset", "category", "seed", "steps", "commit", "weights"]
    print(table[shown].to_string(index=False) if len(table) else f"{options.root}: no finished run")
    return 0


def _pack(options: argparse.Namespace) -> int:
    from adlib.study import packs

    keys = packs.pack(options.root, options.file, options.keys, options.weights)
    print(f"{options.file}: {len(keys)} runs, {options.file.stat().st_size:,} bytes")
    return 0


def _unpack(options: argparse.Namespace) -> int:
    from adlib.study import packs

    keys = packs.unpack(options.file, options.root)
    print(f"{options.root}: {len(keys)} new runs{': ' if keys else ''}{', '.join(keys)}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run a command and give its exit code; what is wrong is the last line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that it cannot show ends no command
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)

    def warned(message: Warning, *_: object) -> None:
        print(f"adlib {options.command}: warning: {message}", file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = warned
            return options.run(options)
    except Exception as error:
        if not isinstance(error, IN_WORDS):
            traceback.print_exc()
        print(f"adlib {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, WRONG_CALL) else 3
