"""Trains and evaluates a run that gin files configure.

    python -m wss.train --gin_file=gin_configs/voc_1-16.gin
    python -m wss.train --gin_file=gin_configs/coco_1-32.gin \\
        --gin_bindings="BATCH_SIZE = 8" --gin_bindings="DATA_DIR = '/data/coco'"

The same command resumes from the last checkpoint. SIGTERM, Ctrl-C and closing the
terminal (SIGHUP, not under nohup) end the run after the current steps and a checkpoint,
with status 143, 130 or 129; a second signal ends it at once.

--baseline trains the supervised baseline first, in a folder beside it, with the same
network, crops, batch and steps, and says what the unlabeled images brought.
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
        from wss.report import baseline
        from wss.training import fitting
        from wss.training.profiling import parse_window

        profile_steps = None
        if options.profile_steps:
            profile_steps = parse_window(options.profile_steps)
        *_, path = options.gin_file
        name = config.experiment_name(path)
        model_dir = options.model_dir or os.path.join("runs", name)
        beside = baseline.folder(path, options.model_dir)
        if options.baseline:
            _train_baseline(options, model_dir, beside)
        others = [beside] if options.baseline else []
        choose = fitting.chooser([model_dir, *others], bool(options.tpu))
        config.load(options.gin_file, options.gin_bindings, choose)
        runs.run(options.mode, model_dir, options.tpu, profile_steps)
        sentence = baseline.comparison(model_dir, beside)
        if sentence:
            print(sentence, flush=True)

    return cli.run(command, options.verbosity, resumable=True)


def _train_baseline(options: argparse.Namespace, model_dir: str, beside: str) -> None:
    """Trains the supervised baseline with the macros of the method's run."""
    from wss import config, config_changes, runs
    from wss.report import baseline
    from wss.training import fitting

    *others, path = options.gin_file
    file = baseline.gin_file(path)
    choose = fitting.chooser([model_dir, beside], bool(options.tpu))
    config.load(options.gin_file, options.gin_bindings, choose)
    runs.check(options.mode, model_dir, options.tpu)
    macros = config_changes.macros(config.text())
    # A method's macros, such as UNLABELED_SPLIT, are not the baseline's.
    parameters = [one for one in options.gin_bindings if "." in one.split("=")[0]]
    config.load(
        [*others, file],
        parameters,
        lambda own: {name: macros[name] for name in own if name in macros},
    )
    print(f"The supervised baseline, in {beside}:", flush=True)
    runs.run(options.mode, beside, options.tpu)
    print(f"With the unlabeled images, in {model_dir}:", flush=True)


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
        "--baseline",
        action="store_true",
        help="first train the supervised baseline, in a folder beside it whose name "
        "ends with _supervised, and compare",
    )
    parser.add_argument(
        "--profile_steps",
        metavar="A,B",
        help="run TensorFlow's profiler from the end of step A to the end of step B",
    )
    cli.add_shared_flags(parser)
    return parser


if __name__ == "__main__":
    cli.leave(main())
