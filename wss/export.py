"""Exports a trained network for other programs, and verifies its predictions.

    python -m wss.export --model_dir=runs/my_voc --output_dir=exported \\
        --formats savedmodel tflite keras tf1

writes

    exported/saved_model/           savedmodel: maps images of any size, uint8, to
                                    masks and probabilities; works without wss
    exported/model.tflite           tflite: the network for one padded image of
                                    EVAL_CROP_SIZE
    exported/model_float16.tflite   tflite_float16: the same with float16 weights
    exported/model.keras            keras: for tf.keras.models.load_model
    exported/tf1/                   tf1: a checkpoint for the original code
    exported/classes.json           id, name and color of each class
    exported/model_card.md          data, method, scores, use and limits, for readers
    exported/metrics.json           the evaluation of these weights
    exported/SHA256SUMS             checksums of these files

Each export is loaded again and predicts synthetic images (odd sizes, gray, larger than
EVAL_CROP_SIZE) and, if the data are available, images of the evaluation split. An
export whose probabilities differ from those of wss.predict is discarded. Exported
networks pad images, also where the run predicts them unpadded.

To publish a model:

    python -m wss.export --model_dir=runs/my_voc --output_dir=release \\
        --formats keras savedmodel --zip --author="Ada" --license=CC-BY-4.0 \\
        --notes=notes.md
"""

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Optional

import absl.logging

from wss import cli, exporters
from wss.errors import UserError
from wss.files import paths
from wss.files.outputs import OutputFolder

if TYPE_CHECKING:
    from wss.evaluation.segmenter import Segmenter
    from wss.experiment import Experiment
    from wss.exporters.model_card import Author, Export


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line and returns its exit status."""
    options = _parser().parse_args(arguments)
    return cli.run(lambda: export(options), options.verbosity)


def export(options: argparse.Namespace) -> None:
    """Writes and verifies all requested formats.

    Raises:
      UserError: the run is missing, the folder cannot be written, or some formats
        were not exported; the others are complete.
    """
    # Late, so that --help is quick: importing TensorFlow takes seconds.
    import tensorflow as tf

    from wss import runs
    from wss.evaluation.predictor import SLIDING
    from wss.exporters import comparison, model_card

    paths.check("--output_dir", options.output_dir)  # Exports are loaded again.
    folder = OutputFolder(options.output_dir, options.overwrite)
    author = model_card.Author.read(options.author, options.license, options.notes)
    _check(folder, options.formats, author)
    # TensorFloat-32 rounds factors to 10 bits, which would dominate the differences.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    # One device: an exported network is not distributed.
    strategy = tf.distribute.get_strategy()
    experiment = runs.reopen(options.model_dir, options.gin_bindings, strategy=strategy)
    model, step = runs.segmenter(experiment, options.checkpoint)
    if model.predictor.window == SLIDING:
        raise UserError(
            "Exported networks predict whole images, but this run uses windows. "
            "Add --gin_bindings=\"Predictor.window = 'whole'\", and for larger images "
            '--gin_bindings="EVAL_CROP_SIZE = (height, width)" with their size.'
        )
    model = _padding(experiment, model)
    images = comparison.made_up_images(model.predictor.crop_size)
    images += comparison.evaluation_images(experiment)
    exported, failures = {}, []
    with folder.explained(tf.errors.OpError), _quiet(options.verbosity):
        folder.write_checked("classes.json", model.spec.text().encode())
        for name in dict.fromkeys(options.formats):
            try:
                path, result = _export(name, model, step, images, folder, options.zip)
            except UserError as error:
                failures.append(f"{name}: {error}")
                continue
            exported[name] = os.path.basename(path)
            print(f"{name}: {path}, {_size(path)}; {result}", flush=True)
            note = exporters.create(name).note(model)
            if note:
                print(f"  {note}", flush=True)
        if exported:
            facts = model_card.Export(
                experiment, model, step, options.checkpoint, exported, author
            )
            _describe(facts, folder)
    if failures:
        raise UserError(f"Not exported: {' '.join(failures)}")


def _padding(experiment: "Experiment", model: "Segmenter") -> "Segmenter":
    """The model, with a predictor that pads images; says so if the run's does not."""
    from wss.evaluation.evaluator import build_predictor
    from wss.evaluation.predictor import UNPADDED, WHOLE
    from wss.evaluation.segmenter import Segmenter

    if model.predictor.window != UNPADDED:
        return model
    padding = build_predictor(experiment, model.network, window=WHOLE)
    print(
        "note: this run predicts images unpadded, each at its own size. Exported "
        "networks take one size, so their predictions differ a little: they see "
        f"{padding.protocol()['text']}.",
        flush=True,
    )
    return Segmenter(padding, model.spec)


def _check(folder: OutputFolder, formats: Sequence[str], author: "Author") -> None:
    """Refuses to replace files that no command wrote.

    Raises:
      UserError: see `OutputFolder.check`.
    """
    from wss.exporters import model_card

    names = [exporters.create(name).file_name for name in formats]
    names += [*(f"{name}.zip" for name in names), *model_card.FILES, *author.files]
    folder.check([file for name in names for file in folder.below(name)])


def _describe(facts: "Export", folder: OutputFolder) -> None:
    """Writes what belongs to the exported files, and prints what it does not say."""
    from wss.exporters import model_card

    files = model_card.files(facts, folder)
    for name, content in files.items():
        folder.write(name, content.encode())
    for name in {*model_card.FILES} - {*files}:  # Of an earlier export.
        with contextlib.suppress(FileNotFoundError):
            os.remove(folder.place(name))
    print(f"about them: {folder.place(model_card.CARD_FILE)}", flush=True)
    missing = model_card.unknown(facts)
    if missing:
        print(f"  it does not say {'; '.join(missing)}", flush=True)


def _export(
    name: str,
    model: "Segmenter",
    step: int,
    images: Sequence,
    folder: OutputFolder,
    packs: bool = False,
) -> tuple[str, str]:
    """Writes one format; returns its path and the result of the comparison.

    Args:
      name: of the format.
      model: the network.
      step: training step of its weights.
      images: to compare predictions with, [height, width, 3].
      folder: the folder of exports.
      packs: pack a folder into a zip file, which takes its place.

    Raises:
      UserError: it cannot be written, or its predictions differ. An earlier export of
        that name stays.
    """
    from wss.exporters import comparison

    kind = exporters.create(name)
    with folder.workplace() as workplace:
        path = os.path.join(workplace, kind.file_name)
        kind.write(model, path, step)
        result = comparison.compare(kind, path, model, images)
        result.check(kind.tolerance)
        if packs and os.path.isdir(path):
            path = shutil.make_archive(path, "zip", workplace, kind.file_name)
        folder.move(path, os.path.basename(path))
    return folder.place(os.path.basename(path)), str(result)


@contextlib.contextmanager
def _quiet(verbosity: int) -> Iterator[None]:
    """Suppresses TensorFlow's messages about each file it reads or writes."""
    before = absl.logging.get_verbosity()
    if not verbosity:
        absl.logging.set_verbosity(absl.logging.WARNING)
    try:
        yield
    finally:
        absl.logging.set_verbosity(before)


def _size(path: str) -> str:
    """The size of a file or a folder, as text."""
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
        "--model_dir", required=True, metavar="DIR", help="folder of the run"
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
    parser.add_argument(
        "--zip",
        action="store_true",
        help="write savedmodel and tf1, which are folders, as one zip file each",
    )
    group = parser.add_argument_group(
        "model card",
        "What the run does not know. model_card.md does not mention what is left out.",
    )
    group.add_argument("--author", metavar="NAME", help="who made the model")
    group.add_argument(
        "--license",
        metavar="NAME|FILE",
        help="license of the model, such as CC-BY-4.0, or a file with its text",
    )
    group.add_argument(
        "--notes",
        metavar="FILE",
        help="Markdown, for example on the origin and the license of the data",
    )
    cli.add_checkpoint_flag(parser)
    cli.add_overwrite_flag(parser)
    cli.add_shared_flags(parser, tpu=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
