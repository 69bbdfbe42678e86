"""Evaluates a trained model with the configuration that it was trained with.

    python -m wss.eval --model_dir=runs/voc_1-16
    python -m wss.eval --model_dir=runs/voc_1-16 --checkpoint=best \\
        --gin_bindings="EVAL_SPLIT = 'train'"

Beside a training with --mode=train, which may start later:

    python -m wss.eval --model_dir=runs/voc_1-16 --continuous
"""

import argparse
import sys
from typing import Optional, Sequence

from wss import command_line


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line and returns its exit status."""
    options = _parser().parse_args(arguments)

    def command() -> None:
        # TensorFlow takes seconds to import: late, so that --help answers at once.
        from wss import following, runs
        from wss.experiment import Experiment

        def open_trained() -> Experiment:
            return runs.open_trained(
                options.model_dir, options.gin_bindings, options.tpu
            )

        if options.continuous:
            following.follow(open_trained, options.model_dir, options.timeout)
        else:
            open_trained().evaluate(options.checkpoint)

    return command_line.run(command, options.verbosity)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.make_parser("wss.eval", __doc__)
    parser.add_argument(
        "--model_dir", required=True, metavar="DIR", help="folder of the training"
    )
    command_line.add_checkpoint_flag(parser)
    parser.add_argument(
        "--continuous",
        action="store_true",
        help="evaluate each new checkpoint until the training's last",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="with --continuous: give up after so long without a new checkpoint "
        "(default: never)",
    )
    command_line.add_shared_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
