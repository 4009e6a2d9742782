"""`python -m adlib.study.site`: build the report and print its path."""

import argparse
import sys
from pathlib import Path

from adlib.host import paths
from adlib.study.site.pages import build


def main(arguments: list[str] | None = None) -> int:
    """Build the site; return 0, or 1 with a message where there is nothing valid to build from."""
    parser = argparse.ArgumentParser(prog="python -m adlib.study.site", description=__doc__)
    parser.add_argument(
        "--results", type=Path, default=paths.results_root(), help="default: %(default)s"
    )
    parser.add_argument("--profile", help="profile that stands first on every page")
    options = parser.parse_args(arguments)
    try:
        index = build(options.results, paths.home() / "notebooks", options.profile)
    except (FileNotFoundError, ValueError) as error:
        print(f"No report: {error}", file=sys.stderr)
        return 1
    print(f"Report: {index}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
