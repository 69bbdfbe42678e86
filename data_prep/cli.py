"""Flags that the commands share; runs a command and reports its errors."""

import argparse
import importlib
import sys
from typing import Annotated, Any, Callable, Optional

from data_prep.writer import MAX_SHARDS, Writer
from wss import cli
from wss.errors import UserError
from wss.settings import Natural, Range

parser = cli.make_parser


def add_output(arguments: argparse.ArgumentParser, **options: Any) -> None:
    """Adds the flags for writing shards; `options` are argparse's for --output_dir."""
    arguments.add_argument("--output_dir", metavar="DIR", **options)
    arguments.add_argument(
        "--overwrite", action="store_true", help="replace existing splits"
    )
    arguments.add_argument(
        "--skip_broken",
        action="store_true",
        help="leave out images that cannot be read, and record which (default: do not "
        "write their split)",
    )
    arguments.add_argument(
        "--num_shards",
        type=cli.number(Annotated[int, Range(low=1, high=MAX_SHARDS)]),
        metavar="N",
        help="files per split (default: one per 1000 images)",
    )
    arguments.add_argument(
        "--workers",
        type=cli.number(Natural),
        default=0,
        metavar="N",
        help="processes that read images (default: one per core)",
    )
    arguments.add_argument(
        "--runner",
        default="",
        metavar="NAME",
        help="write with this Apache Beam runner, such as DataflowRunner; needs: "
        "pip install -e '.[beam]'",
    )
    arguments.add_argument(
        "--runner_option",
        action="append",
        default=[],
        metavar="OPTION",
        help='option of the Beam pipeline, such as "project=mine"; repeatable',
    )


def add_class_flags(arguments: argparse.ArgumentParser, required: bool = False) -> None:
    """Adds the flags for the classes and for the mapping of labels in masks."""
    classes = arguments.add_mutually_exclusive_group(required=required)
    classes.add_argument(
        "--num_classes",
        type=cli.number(Annotated[int, Range(low=2, high=255)]),
        metavar="N",
        help="number of classes, including the background",
    )
    classes.add_argument(
        "--class_names",
        metavar="FILE|NAME",
        help="file of class names, one per line; or a known data set",
    )
    add_ignore_label(arguments)
    arguments.add_argument(
        "--map",
        nargs="+",
        default=[],
        metavar="OLD=NEW",
        help="class, or 'ignore', for labels in masks that are not class ids",
    )


def add_ignore_label(arguments: argparse.ArgumentParser) -> None:
    """Adds the flag for the label of ignored pixels."""
    arguments.add_argument(
        "--ignore_label",
        type=cli.number(Annotated[int, Range(low=0, high=255)]),
        default=255,
        metavar="N",
        help="label of ignored pixels in masks (default: 255)",
    )


def writer(flags: argparse.Namespace, output_dir: Optional[str] = None) -> Writer:
    """Creates the writer from the flags of `add_output`.

    Args:
      flags: the parsed command line.
      output_dir: instead of --output_dir.

    Raises:
      UserError: there are options of a runner, but no runner.
    """
    if flags.runner_option and not flags.runner:
        raise UserError("--runner_option needs the name of a Beam --runner.")
    return Writer(
        output_dir or flags.output_dir,
        overwrite=flags.overwrite,
        workers=flags.workers,
        num_shards=flags.num_shards,
        skip_broken=flags.skip_broken,
        runner=flags.runner,
        runner_options=tuple(flags.runner_option),
    )


def run(main: Callable[[], None], resumable: bool = True) -> None:
    """Runs a command and exits; a user's mistake gives one line and status 2.

    Args:
      main: the command.
      resumable: whether the same command resumes after an interruption.
    """
    spec = sys.modules["__main__"].__spec__
    if main.__module__ == "__main__" and spec:
        # Other processes and machines can import a module, but not __main__.
        main = getattr(importlib.import_module(spec.name), main.__name__)
    sys.exit(cli.run(main, resumable=resumable))
