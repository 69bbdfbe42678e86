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
cannot be read is told and left out, as is what else lies in a folder. What an earlier
run wrote is replaced, and never taken for a photo; what it did not write only with
--overwrite. The masks are those that wss.eval counts. A photo
larger than the EVAL_CROP_SIZE of the training is shrunk to it for the network, or
taken piece by piece with --sliding_window.
"""

import argparse
import errno
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Optional

import numpy as np

from wss import cli
from wss.errors import UserError, reason
from wss.files.outputs import OutputFolder

# Folders of results, and how the names of the files in them end.
_ENDINGS = {"masks": ".png", "overlays": ".jpg", "probabilities": ".npy"}
# What an error says of one photo's results, and not of the whole disk: the name is none
# here, or the picture is too large for its format.
_OF_ONE_PHOTO = (
    *(errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ENOTDIR),
    *(errno.EEXIST, None),
)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line and returns its exit status."""
    options = _parser().parse_args(arguments)
    return cli.run(lambda: predict(options), options.verbosity)


def predict(options: argparse.Namespace) -> None:
    """Predicts all photos and writes what was asked for.

    Raises:
      UserError: no photos, none of them can be read, nothing was trained, or the folder
        can not be written, or holds files that are not to be replaced.
    """
    from wss.image_io import discovery

    folder = OutputFolder(options.output_dir, options.overwrite)
    photos, others = discovery.collect(options.images, is_own=folder.has_written)
    for source, left_out in others.items():
        print(discovery.describe_left_out(source, left_out), flush=True)
    kinds = [kind for kind in _ENDINGS if kind == "masks" or getattr(options, kind)]
    names = [_result(kind, name) for kind in kinds for name in photos]
    folder.check(names, kinds)
    _refuse_photos(map(folder.place, names), photos.values())
    # TensorFlow takes seconds to import: late, so that --help answers at once.
    from wss import runs

    bindings = [*cli.view_bindings(options), *options.gin_bindings]
    model = runs.load(options.model_dir, options.checkpoint, bindings, options.tpu)
    with folder.explained():
        folder.write_checked("classes.json", model.spec.text().encode())
        done = sum(1 for _ in _write_all(model, photos, kinds, folder))
    files = {os.path.abspath(path) for paths in others.values() for path in paths}
    skipped = len(photos) - done + len(files)
    print(
        f"{done} {'photo' if done == 1 else 'photos'} predicted, {skipped} left out: "
        f"{options.output_dir}"
    )
    if not done:
        raise UserError("None of the photos could be read, or its results written.")


def _refuse_photos(results: Iterable[str], photos: Iterable[str]) -> None:
    """Refuses to write a result over the photo that it would be made from."""
    there = {_identity(path): path for path in photos if os.path.exists(path)}
    for path in results:
        if os.path.exists(path) and _identity(path) in there:
            raise UserError(
                f"A result would take the place of the photo {path}. Choose another "
                "--output_dir."
            )


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _result(kind: str, name: str) -> str:
    """A result's name in the folder, of the photo's name."""
    return f"{kind}/{name}{_ENDINGS[kind]}"


def _write_all(
    model, photos: Mapping[str, str], kinds: Sequence[str], folder: OutputFolder
) -> Iterator[str]:
    """Names of the photos whose results were written."""
    from tqdm import tqdm

    # Without a terminal there is nobody to watch a bar.
    for name, image in _read_all(
        tqdm(photos.items(), desc="predicting", unit=" photos", disable=None),
        model.spec.image_bits,
    ):
        try:
            for kind, content in _results(model, image, kinds):
                folder.write(_result(kind, name), content)
        except OSError as error:
            if error.errno not in _OF_ONE_PHOTO:
                raise
            tqdm.write(
                f"warning: The results of {photos[name]} cannot be written "
                f"({reason(error)}). Give the photo another name or size.",
                file=sys.stderr,
            )
        else:
            yield name


def _results(
    model, image: np.ndarray, kinds: Sequence[str]
) -> Iterator[tuple[str, bytes]]:
    """The content of a photo's files, by kind."""
    from wss.image_io import writing

    if "probabilities" in kinds:
        values = model.predictor.probabilities(image).numpy()
        yield "probabilities", writing.probabilities(values)
    labels, palette = model.predict_mask(image), model.spec.palette
    yield "masks", writing.mask(labels, palette)
    if "overlays" in kinds:
        yield "overlays", writing.overlay(image, labels, palette)


def _read_all(
    photos: Iterable[tuple[str, str]], image_bits: Optional[int]
) -> Iterator[tuple[str, np.ndarray]]:
    """Names and pixels of the photos; tells of those that cannot be read."""
    from tqdm import tqdm

    from wss.evaluation.segmenter import read_image

    for name, path in photos:
        try:
            image = read_image(path, image_bits)
        except UserError as error:
            tqdm.write(f"warning: {error}", file=sys.stderr)
        else:
            yield name, image


def _parser() -> argparse.ArgumentParser:
    parser = cli.make_parser("wss.predict", __doc__)
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
    cli.add_checkpoint_flag(parser)
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
    cli.add_overwrite_flag(parser)
    cli.add_view_flags(parser)
    cli.add_shared_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
