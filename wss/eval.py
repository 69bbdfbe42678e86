"""Evaluates a run with the configuration that it was trained with.

    python -m wss.eval --model_dir=runs/voc_1-16
    python -m wss.eval --model_dir=runs/voc_1-16 --checkpoint=best \\
        --gin_bindings="EVAL_SPLIT = 'train'"

With multi-scale testing, as in papers:

    python -m wss.eval --model_dir=runs/voc_1-16 --flip \\
        --scales 0.5 0.75 1.0 1.25 1.5 1.75

While another process trains with --mode=train; it may start later:

    python -m wss.eval --model_dir=runs/voc_1-16 --continuous
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Optional

from wss import cli
from wss.settings import NonNegative


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line and returns its exit status."""
    options = _parser().parse_args(arguments)

    def command() -> None:
        # Late, so that --help is quick: importing TensorFlow takes seconds.
        from wss import runs
        from wss.evaluation import following, restoring

        if options.continuous:
            following.wait_for_first(options.model_dir, options.timeout)
        bindings = [*_protocol(options), *options.gin_bindings]
        experiment = runs.open_trained(options.model_dir, bindings, options.tpu)
        if options.continuous:
            following.follow(experiment, options.timeout)
        else:
            restoring.evaluate_checkpoint(experiment, options.checkpoint)

    return cli.run(command, options.verbosity)


def _protocol(options: argparse.Namespace) -> list[str]:
    """The flags of the protocol as gin bindings."""
    bindings = cli.view_bindings(options)
    if options.boundary:
        bindings.append("Evaluator.boundary = True")
    if options.image_labels:
        bindings.append("Evaluator.image_labels = True")
    return bindings


def _parser() -> argparse.ArgumentParser:
    parser = cli.make_parser("wss.eval", __doc__)
    parser.add_argument(
        "--model_dir", required=True, metavar="DIR", help="folder of the run"
    )
    cli.add_checkpoint_flag(parser)
    _add_protocol(parser)
    parser.add_argument(
        "--continuous",
        action="store_true",
        help="evaluate each new checkpoint until the run's last",
    )
    parser.add_argument(
        "--timeout",
        type=cli.number(NonNegative),
        metavar="SECONDS",
        help="with --continuous: give up after SECONDS without a new checkpoint "
        "(default: never)",
    )
    cli.add_shared_flags(parser)
    return parser


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the evaluation protocol."""
    group = parser.add_argument_group(
        "protocol",
        "The default is the run's: mostly whole images, one scale, not mirrored. "
        "docs/evaluation.md says what each flag costs.",
    )
    cli.add_view_flags(group)
    group.add_argument(
        "--boundary",
        action="store_true",
        help="also measure the quality of the boundaries (boundary F-score)",
    )
    group.add_argument(
        "--image_labels",
        action="store_true",
        help="also measure the classifier of whole images",
    )


if __name__ == "__main__":
    sys.exit(main())
