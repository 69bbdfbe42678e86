"""Trains and evaluates a run that gin files configure.

    python -m wss.train --gin_file=gin_configs/voc_1-16.gin
    python -m wss.train --gin_file=gin_configs/coco_1-32.gin \\
        --gin_bindings="BATCH_SIZE = 8" --gin_bindings="DATA_DIR = '/data/coco'"

The same command resumes from the last checkpoint. SIGTERM, Ctrl-C and closing the
terminal (SIGHUP, not under nohup) end the run after the current steps and a checkpoint,
with status 143, 130 or 129; a second signal ends it at once.
"""

import argparse
import os
from collections.abc import Sequence
from typing import Optional

from wss import cli

MODES = ("train", "eval", "train_and_eval")


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line and returns its exit status."""
    options = _parser().parse_args(arguments)

    def command() -> None:
        # Late, so that --help is quick: importing TensorFlow takes seconds.
        from wss import config, runs
        from wss.training.profiling import parse_window

        profile_steps = None
        if options.profile_steps:
            profile_steps = parse_window(options.profile_steps)
        config.load(options.gin_file, options.gin_bindings)
        name = config.experiment_name(options.gin_file[-1])
        model_dir = options.model_dir or os.path.join("runs", name)
        runs.run(options.mode, model_dir, options.tpu, profile_steps)

    return cli.run(command, options.verbosity, resumable=True)


def _parser() -> argparse.ArgumentParser:
    parser = cli.make_parser("wss.train", __doc__)
    parser.add_argument(
        "--gin_file",
        action="append",
        required=True,
        metavar="FILE",
        help="gin file; repeatable, later files override earlier ones",
    )
    parser.add_argument(
        "--model_dir",
        metavar="DIR",
        help="output folder of the run (default: named after the last gin file; "
        "runs/voc_1-16 for gin_configs/voc_1-16.gin, runs/voc_1-16_unimatch for "
        "gin_configs/unimatch/voc_1-16.gin)",
    )
    parser.add_argument("--mode", choices=MODES, default="train_and_eval")
    parser.add_argument(
        "--profile_steps",
        metavar="A,B",
        help="run TensorFlow's profiler from the end of step A to the end of step B",
    )
    cli.add_shared_flags(parser)
    return parser


if __name__ == "__main__":
    cli.leave(main())
