"""Predicts the class of each pixel of photos of any size.

    python -m wss.predict --model_dir=runs/my_voc --images=photos --output_dir=predicted
    python -m wss.predict --model_dir=runs/my_voc --checkpoint=best \\
        --images="photos/**/*.jpg" more.png list.txt --output_dir=predicted \\
        --probabilities

writes, for photos/street/1.jpg,

    predicted/masks/street/1.png        class ids, in the classes' colours
    predicted/overlays/street/1.jpg     the photo under these colours
    predicted/probabilities/street/1.npy    if asked for: [height, width, classes]
    predicted/classes.json              which id is which class, in which colour

A photo is turned as its EXIF data say, as viewers do, and so are its results. One that
cannot be read is told and left out. The masks are those that wss.eval counts. A photo
larger than the EVAL_CROP_SIZE of the training is shrunk to it for the network, or
taken piece by piece with --sliding_window.
"""

import argparse
import os
import sys
from typing import Iterable, Iterator, Mapping, Optional, Sequence, Tuple

import numpy as np

from wss import command_line
from wss.errors import UserError


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line and returns its exit status."""
    options = _parser().parse_args(arguments)
    return command_line.run(lambda: predict(options), options.verbosity)


def predict(options: argparse.Namespace) -> None:
    """Predicts all photos and writes what was asked for.

    Raises:
      UserError: no photos, none of them can be read, nothing was trained, or the folder
        can not be written.
    """
    from wss.photos import finding

    photos = finding.collect(options.images)
    # TensorFlow takes seconds to import: late, so that --help answers at once.
    from wss import runs

    bindings = [*command_line.view_bindings(options), *options.gin_bindings]
    model = runs.load(options.model_dir, options.checkpoint, bindings, options.tpu)
    try:
        os.makedirs(options.output_dir, exist_ok=True)
        model.spec.write(os.path.join(options.output_dir, "classes.json"))
        done = sum(1 for _ in _write_all(model, photos, options))
    except OSError as error:
        raise UserError(
            f"Can not write into {options.output_dir} ({error.strerror}). Make room, "
            "or choose another --output_dir."
        ) from error
    skipped = len(photos) - done
    print(
        f"{done} {'photo' if done == 1 else 'photos'} predicted, {skipped} left out: "
        f"{options.output_dir}"
    )
    if not done:
        raise UserError("None of the photos could be read.")


def _write_all(
    model, photos: Mapping[str, str], options: argparse.Namespace
) -> Iterator[str]:
    """Names of the photos whose results were written."""
    from tqdm import tqdm

    from wss.photos import writing

    def path(kind: str, name: str, ending: str) -> str:
        return os.path.join(options.output_dir, kind, *f"{name}{ending}".split("/"))

    # Without a terminal there is nobody to watch a bar.
    for name, image in _read_all(
        tqdm(photos.items(), desc="predicting", unit=" photos", disable=None),
        model.spec.image_bits,
    ):
        if options.probabilities:
            probabilities = model.predictor.probabilities(image).numpy()
            writing.write_probabilities(
                path("probabilities", name, ".npy"), probabilities
            )
        labels = model.predict_mask(image)
        writing.write_mask(path("masks", name, ".png"), labels, model.spec.palette)
        if options.overlays:
            writing.write_overlay(
                path("overlays", name, ".jpg"), image, labels, model.spec.palette
            )
        yield name


def _read_all(
    photos: Iterable[Tuple[str, str]], image_bits: Optional[int]
) -> Iterator[Tuple[str, np.ndarray]]:
    """Names and pixels of the photos; tells of those that cannot be read."""
    from tqdm import tqdm

    from wss.segmenter import read_image

    for name, path in photos:
        try:
            image = read_image(path, image_bits)
        except UserError as error:
            tqdm.write(f"warning: {error}", file=sys.stderr)
        else:
            yield name, image


def _parser() -> argparse.ArgumentParser:
    parser = command_line.make_parser("wss.predict", __doc__)
    parser.add_argument(
        "--model_dir", required=True, metavar="DIR", help="folder of the training"
    )
    parser.add_argument(
        "--images",
        required=True,
        nargs="+",
        metavar="PHOTOS",
        help="photos, folders, patterns in quotes, or .txt files with a path a line",
    )
    parser.add_argument("--output_dir", required=True, metavar="DIR")
    command_line.add_checkpoint_flag(parser)
    parser.add_argument(
        "--no_overlays",
        dest="overlays",
        action="store_false",
        help="write no photos with colours",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="write the probability of each class (float16), too; these are large",
    )
    command_line.add_view_flags(parser)
    command_line.add_shared_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
