"""Shared parts of the commands: flags, quiet logs, errors in one line."""

import argparse
import contextlib
import functools
import logging
import os
import re
import signal
import sys
from typing import Any, Callable, NoReturn, Optional

import absl.logging

from wss import interrupts, settings
from wss.errors import Stopped, UserError, first_line


def make_parser(module: str, description: str) -> argparse.ArgumentParser:
    """A parser for `python -m <module>` that shows the module's docstring as it is.

    If a flag with several values is repeated, its values are added up.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    # Arguments that start like negative numbers are values: --map -9999=ignore.
    parser._negative_number_matcher = re.compile(r"-(\.?\d|inf)")
    parser.register("action", None, _Store)  # Replaces argparse's own.
    return parser


# The metavars of flags that take paths.
_PATHS = ("DIR", "FILE", "PHOTOS", "latest|best|PATH")


class _Store(argparse.Action):
    """Stores a value, or adds several values to earlier ones of the same flag.

    An empty path, for example from an unset shell variable, is an error.
    """

    def __call__(self, parser, namespace, values, option_string=None):
        given = values if isinstance(values, list) else [values]
        if self.metavar in _PATHS and "" in given:
            raise argparse.ArgumentError(self, "it is empty, a path is needed")
        before = getattr(namespace, self.dest, None)
        if self.nargs == "+" and before is not self.default:
            values = [*before, *values]
        setattr(namespace, self.dest, values)


@functools.cache
def number(kind: Any) -> Callable[[str], Any]:
    """A `type` for argparse: numbers of a type of `wss.settings`, such as `Count`."""

    def read(text: str) -> Any:
        value: Any = text
        for simple in (float, int):
            with contextlib.suppress(ValueError):
                value = simple(text)
        problem = settings.problem(kind, value)
        if problem:
            raise argparse.ArgumentTypeError(f"{text}: {problem}")
        return value

    return read


def add_checkpoint_flag(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that chooses a checkpoint of a run."""
    parser.add_argument(
        "--checkpoint",
        default="latest",
        metavar="latest|best|PATH",
        help="the last checkpoint in --model_dir (default), the one with the highest "
        "mean IoU, or a path",
    )


def add_overwrite_flag(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that lets a command replace files that no command wrote."""
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files in --output_dir that no command of wss wrote, or that were "
        "changed since",
    )


def add_view_flags(group: argparse._ActionsContainer) -> None:
    """Adds the flags for scales, mirroring and windows of prediction."""
    group.add_argument(
        "--scales",
        type=number(settings.Scale),
        nargs="+",
        metavar="FACTOR",
        help="average over scaled images (default: 1.0)",
    )
    group.add_argument(
        "--flip", action="store_true", help="average over mirrored images too"
    )
    group.add_argument(
        "--sliding_window",
        action="store_true",
        help="predict images larger than EVAL_CROP_SIZE in overlapping windows, "
        "instead of shrinking them",
    )


def view_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The flags of `add_view_flags` as settings of `Predictor`."""
    views: dict[str, Any] = {}
    if options.scales:
        views["scales"] = tuple(options.scales)
    if options.flip:
        views["flip"] = True
    if options.sliding_window:
        views["window"] = "sliding"
    return views


def view_bindings(options: argparse.Namespace) -> list[str]:
    """The flags of `add_view_flags` as gin bindings."""
    views = view_settings(options)
    return [f"Predictor.{name} = {value!r}" for name, value in views.items()]


def add_shared_flags(parser: argparse.ArgumentParser, tpu: bool = True) -> None:
    """Adds the flags that the commands have in common.

    Args:
      parser: of a command that works with a configuration.
      tpu: whether it may use a TPU.
    """
    parser.add_argument(
        "--gin_bindings",
        action="append",
        default=[],
        metavar="BINDING",
        help='gin binding such as "BATCH_SIZE = 8"; repeatable, overrides the files',
    )
    if tpu:
        parser.add_argument(
            "--tpu", metavar="NAME", help="name of a TPU; 'local' on a TPU VM"
        )
    parser.add_argument(
        "--verbosity", type=int, choices=(0, 1), default=0, help="1: log details"
    )


def run(
    command: Callable[[], None], verbosity: int = 0, resumable: bool = False
) -> int:
    """Runs a command and returns its exit status.

    Args:
      command: what to run; imports TensorFlow.
      verbosity: 0 for the usual log, 1 for details.
      resumable: whether the same command resumes after an interruption.

    Returns:
      0 after success; 2 with a line `error: ...` for a UserError or a bucket that
      cannot be reached; 130 after Ctrl-C; 143 after SIGTERM and 129 after SIGHUP, if
      the run saved its state. Any other exception is a bug in wss and is raised.
    """
    _configure_logs(verbosity)
    try:
        interrupts.begin()
        command()
    except UserError as error:
        # Keeps the failed objects alive: TensorFlow may hang when it deletes them, see
        # `leave`.
        sys.last_value = error
        # gin appends lines about the call that failed.
        message = str(error).split("\n  In call to configurable")[0]
        print(f"error: {message}", file=sys.stderr)
        return 2
    except Exception as error:
        message = _unreachable(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        name = signal.Signals(stopped.signal).name
        print(
            f"Stopped by {name}. The state is saved; the same command resumes from "
            "there.",
            file=sys.stderr,
        )
        return 128 + stopped.signal
    except KeyboardInterrupt:
        advice = "; the same command resumes from here" if resumable else ""
        print(f"\nStopped{advice}.", file=sys.stderr)
        return 130
    finally:
        interrupts.begin(False)
    return 0


def _configure_logs(verbosity: int) -> None:
    # Quiet: errors in TensorFlow's C++ code become Python exceptions anyway.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.basicConfig(format="%(message)s")
    absl.logging.set_verbosity(verbosity)
    absl.logging.get_absl_logger().addFilter(
        lambda record: "Sharding callback duration" not in record.getMessage()
    )


def _unreachable(error: Exception) -> Optional[str]:
    """A message if TensorFlow could not reach a bucket; None for other errors."""
    unknown = r"(?<=\(file: ')[a-z][a-z0-9]*://[^']+"  # An unknown scheme.
    bucket = r"\b(?!https?:|grpc:)[a-z][a-z0-9]*://[^\s'\")]+"
    path = re.search(unknown, str(error)) or re.search(bucket, str(error))
    if path is None or not type(error).__module__.startswith("tensorflow"):
        return None
    return (
        f"{path.group()} cannot be reached ({first_line(error)}). Check its name, the "
        "network and your permissions, or choose a folder on this machine."
    )


def leave(status: int) -> NoReturn:
    """Ends the process with a status; after a failure without waiting for threads.

    TensorFlow's threads may be waiting for a machine that is gone.
    """
    if status:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
