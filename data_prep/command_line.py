"""What the command lines of all readers share."""

import argparse
import sys
from typing import Any, Callable

from wss.errors import UserError


def parser(description: str) -> argparse.ArgumentParser:
    """A parser whose help is the reader's module docstring, as written."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_output(arguments: argparse.ArgumentParser, **options: Any) -> None:
    """Adds the flags about the folder of shards; `options` are those of --output_dir."""
    arguments.add_argument("--output_dir", metavar="DIR", **options)
    arguments.add_argument(
        "--overwrite", action="store_true", help="replace splits that are there already"
    )


def run(main: Callable[[], None]) -> None:
    """Runs a command line; a user's mistake is one line and exit status 2."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit("Stopped; the same command goes on from here.")
