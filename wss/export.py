"""Exports a trained network for other programs, and proves that it is the same.

    python -m wss.export --model_dir=runs/my_voc --output_dir=exported \\
        --formats savedmodel tflite keras tf1

writes

    exported/saved_model/           savedmodel: takes images of any size, uint8, and
                                    gives masks and probabilities; needs no wss
    exported/model.tflite           tflite: the network for one padded image of
                                    EVAL_CROP_SIZE
    exported/model_float16.tflite   tflite_float16: the same with weights of half size
    exported/model.keras            keras: for tf.keras.models.load_model
    exported/tf1/                   tf1: a checkpoint for the original code
    exported/classes.json           which id is which class, in which colour

Each of them is read again and predicts images: some that are made up, of odd sizes,
grey, and larger than EVAL_CROP_SIZE, and some of the evaluation split, where the data
are there. Only what gives the probabilities of wss.predict gets its name.
"""

import argparse
import contextlib
import os
import sys
from typing import Iterator, Optional, Sequence, Tuple

import absl.logging

from wss import cli, exporters
from wss.errors import UserError
from wss.files import paths
from wss.files.outputs import OutputFolder


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line and returns its exit status."""
    options = _parser().parse_args(arguments)
    return cli.run(lambda: export(options), options.verbosity)


def export(options: argparse.Namespace) -> None:
    """Writes and compares all formats that were asked for.

    Raises:
      UserError: nothing was trained, the folder can not be written, or some formats
        were not exported; the others are there.
    """
    # TensorFlow takes seconds to import: late, so that --help answers at once.
    import tensorflow as tf

    from wss import runs
    from wss.exporters import comparison

    paths.check("--output_dir", options.output_dir)  # What is written is read again.
    folder = OutputFolder(options.output_dir, options.overwrite)
    names = [exporters.create(name).file_name for name in options.formats]
    folder.check([file for name in names for file in folder.below(name)])
    # Else GPUs round what they multiply to 10 bits, each program in another order.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    # One device: an exported network knows no others.
    strategy = tf.distribute.get_strategy()
    experiment = runs.reopen(options.model_dir, options.gin_bindings, strategy=strategy)
    model, step = runs.segmenter(experiment, options.checkpoint)
    if model.predictor.window != "whole":
        raise UserError(
            "Exported networks see whole images, and this one is evaluated by windows. "
            "Add --gin_bindings=\"Predictor.window = 'whole'\", and for larger images "
            '--gin_bindings="EVAL_CROP_SIZE = (height, width)" with their size.'
        )
    images = comparison.made_up_images(model.predictor.crop_size)
    images += comparison.evaluation_images(experiment)
    failures = []
    with folder.explained(tf.errors.OpError), _quiet(options.verbosity):
        folder.write_checked("classes.json", model.spec.text().encode())
        for name in dict.fromkeys(options.formats):
            try:
                path, result = _export(name, model, step, images, folder)
            except UserError as error:
                failures.append(f"{name}: {error}")
                continue
            print(f"{name}: {path}, {_size(path)}; {result}", flush=True)
            note = exporters.create(name).note(model)
            if note:
                print(f"  {note}", flush=True)
    if failures:
        raise UserError(f"Not exported: {' '.join(failures)}")


def _export(
    name: str, model, step: int, images: Sequence, folder: OutputFolder
) -> Tuple[str, str]:
    """Writes one format; returns its path and what the comparison found.

    Raises:
      UserError: it can not be written, or differs. Nothing has its name then, but what
        had it before.
    """
    from wss.exporters import comparison

    kind = exporters.create(name)
    with folder.workplace() as workplace:
        path = os.path.join(workplace, kind.file_name)
        kind.write(model, path, step)
        result = comparison.compare(kind, path, model, images)
        result.check(kind.tolerance)
        folder.move(path, kind.file_name)
    return folder.place(kind.file_name), str(result)


@contextlib.contextmanager
def _quiet(verbosity: int) -> Iterator[None]:
    """Drops what TensorFlow tells of each file that is written and read."""
    before = absl.logging.get_verbosity()
    if not verbosity:
        absl.logging.set_verbosity(absl.logging.WARNING)
    try:
        yield
    finally:
        absl.logging.set_verbosity(before)


def _size(path: str) -> str:
    """How much a file or a folder holds."""
    files = [path]
    if os.path.isdir(path):
        files = [
            os.path.join(folder, name)
            for folder, _, names in os.walk(path)
            for name in names
        ]
    return f"{sum(map(os.path.getsize, files)) / 2**20:.1f} MiB"


def _parser() -> argparse.ArgumentParser:
    parser = cli.make_parser("wss.export", __doc__)
    parser.add_argument(
        "--model_dir", required=True, metavar="DIR", help="folder of the training"
    )
    parser.add_argument("--output_dir", required=True, metavar="DIR")
    parser.add_argument(
        "--formats",
        nargs="+",
        default=["savedmodel"],
        choices=exporters.NAMES,
        metavar="FORMAT",
        help=f"some of: {', '.join(exporters.NAMES)} (default: savedmodel)",
    )
    cli.add_checkpoint_flag(parser)
    cli.add_overwrite_flag(parser)
    cli.add_shared_flags(parser, tpu=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
