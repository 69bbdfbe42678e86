"""What the command lines of all readers share."""

import argparse
import sys
from typing import Any, Callable, Optional

from data_prep import records
from wss import command_line


def parser(description: str) -> argparse.ArgumentParser:
    """A parser whose help is the reader's module docstring, as written."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_output(arguments: argparse.ArgumentParser, **options: Any) -> None:
    """Adds the flags about the folder of shards; `options` belong to --output_dir."""
    arguments.add_argument("--output_dir", metavar="DIR", **options)
    arguments.add_argument(
        "--overwrite", action="store_true", help="replace splits that are there already"
    )


def writer(
    flags: argparse.Namespace, output_dir: Optional[str] = None
) -> records.Writer:
    """The writer that the flags of `add_output` ask for.

    Args:
      flags: the parsed command line.
      output_dir: takes the place of --output_dir.
    """
    return records.Writer(output_dir or flags.output_dir, overwrite=flags.overwrite)


def run(main: Callable[[], None]) -> None:
    """Runs a reader and ends the program; a user's mistake is one line and status 2."""
    sys.exit(command_line.run(main))
