"""What the commands' parsers share."""

import argparse
from collections.abc import Callable

DEFAULT = "default: %(default)s"
DEVICE = "cpu, cuda, cuda:N or mps; default: cuda or mps if there is one"


def command(
    commands: argparse._SubParsersAction, name: str, run: Callable, text: str
) -> argparse.ArgumentParser:
    """Add a command that the function `run` carries out."""
    parser = commands.add_parser(name, help=text)
    parser.set_defaults(run=run)
    return parser
