"""Predicts the class of every pixel of photos of any size.

    python -m wss.predict --model_dir=runs/my_voc --images=photos --output_dir=predicted
    python -m wss.predict --model_dir=runs/my_voc --checkpoint=best \\
        --images="photos/**/*.jpg" more.png list.txt --output_dir=predicted \\
        --probabilities

writes, for photos/street/1.jpg,

    predicted/masks/street/1.png        class ids, shown in the colors of the classes
    predicted/overlays/street/1.jpg     the photo under these colors
    predicted/probabilities/street/1.npy    with --probabilities:
                                        [height, width, classes]
    predicted/classes.json              id, name and color of each class
    predicted/ranking.csv               with --rank: the photos, most uncertain first

Photos are rotated according to their EXIF data, and so are the results. Unreadable
photos and other files in a folder are reported and skipped. Results of an earlier run
are replaced and never used as photos; other files in --output_dir are only replaced
with --overwrite. The masks are those that wss.eval scores. A photo larger than the
run's EVAL_CROP_SIZE is shrunk to it, or predicted in windows with --sliding_window.

--tile is for images that are too large for memory: satellite images, microscopy. They
are predicted in windows and written by parts; overlays are reduced to 4096 pixels. The
mask of a GeoTIFF is a GeoTIFF of the same place, masks/street/1.tif, where rasterio is
installed.
"""

import argparse
import errno
import functools
import os
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Optional

import numpy as np

from wss import cli
from wss.errors import UserError, reason
from wss.files.outputs import OutputFolder

if TYPE_CHECKING:
    from wss.evaluation.segmenter import Segmenter
    from wss.evaluation.uncertainty import Uncertainty

# Folders of results, and the extensions of their files.
_ENDINGS = {"masks": ".png", "overlays": ".jpg", "probabilities": ".npy"}
_RANKING = "ranking.csv"
_PRINTED = 10  # Photos of the ranking.
# Errors that concern the results of one photo, not the whole disk: the name is invalid
# here, or the image is too large for its format.
_OF_ONE_PHOTO = (
    *(errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ENOTDIR),
    *(errno.EEXIST, None),
)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line and returns its exit status."""
    options = _parser().parse_args(arguments)
    return cli.run(lambda: predict(options), options.verbosity)


def predict(options: argparse.Namespace) -> None:
    """Predicts all photos and writes the requested results.

    Raises:
      UserError: there are no photos, none can be read, the run is missing, or the
        folder cannot be written or contains files that must not be replaced.
    """
    from wss.image_io import discovery

    if options.tile and options.rank:
        raise UserError("--rank compares whole photos. Leave out --tile.")
    folder = OutputFolder(options.output_dir, options.overwrite)
    photos, others = discovery.collect(options.images, is_own=folder.has_written)
    for source, left_out in others.items():
        print(discovery.describe_left_out(source, left_out), flush=True)
    kinds = [kind for kind in _ENDINGS if kind == "masks" or getattr(options, kind)]
    results = _plan(photos, kinds, options.tile)
    names = [results[name][kind] for kind in kinds for name in photos]
    folder.check([*names, _RANKING] if options.rank else names, kinds)
    _refuse_photos(map(folder.place, names), photos.values())
    options.sliding_window |= options.tile
    models = _load(options)
    with folder.explained():
        folder.write_checked("classes.json", models[0].spec.text().encode())
        write = functools.partial(_write_whole, models, options.rank, folder)
        if options.tile:
            write = functools.partial(_write_large, models[0], folder)
        found = dict(_write_all(write, photos, results))
    done = len(found)
    files = {os.path.abspath(path) for paths in others.values() for path in paths}
    skipped = len(photos) - done + len(files)
    print(
        f"{done} {'photo' if done == 1 else 'photos'} predicted, {skipped} left out: "
        f"{options.output_dir}"
    )
    if not done:
        raise UserError(
            "None of the photos could be read, or their results written; the warnings "
            "above say why."
        )
    if options.overlays:
        print(f"The photos in the colors of their classes: {folder.place('overlays')}")
    if options.rank:
        _rank({photos[name]: one for name, one in found.items()}, folder)


def _load(options: argparse.Namespace) -> list["Segmenter"]:
    """The networks of the run, or the exported one."""
    # Late, so that --help is quick: importing TensorFlow takes seconds.
    from wss import runs
    from wss.exporters import keras_model

    exported = keras_model.find(options.model_dir)
    if exported:
        of_run = {
            "--checkpoint": options.checkpoint != "latest",
            "--gin_bindings": options.gin_bindings,
            "--tpu": options.tpu,
        }
        given = [flag for flag, value in of_run.items() if value]
        if given:
            raise UserError(
                f"{exported} is an exported network, and {given[0]} belongs to a run. "
                "Leave it out, or give the folder of the run as --model_dir."
            )
        return [keras_model.load(exported, cli.view_settings(options))]
    bindings = [*cli.view_bindings(options), *options.gin_bindings]
    arguments = (options.model_dir, options.checkpoint, bindings, options.tpu)
    return runs.load_all(*arguments) if options.rank else [runs.load(*arguments)]


def _rank(found: Mapping[str, "Uncertainty"], folder: OutputFolder) -> None:
    """Writes the ranking of the photos, by path, and prints its beginning."""
    from wss.evaluation import uncertainty

    ranking = uncertainty.ranked(found)
    with folder.explained():
        folder.write_checked(_RANKING, uncertainty.to_csv(ranking))
    print(f"Most uncertain first; all are in {folder.place(_RANKING)}:")
    for rank, (photo, one) in enumerate(ranking[:_PRINTED], start=1):
        print(f"{rank:>4}  {one.value:.4f}  {photo}")


def _refuse_photos(results: Iterable[str], photos: Iterable[str]) -> None:
    """Raises a UserError if a result would overwrite a photo."""
    there = {_identity(path): path for path in photos if os.path.exists(path)}
    for path in results:
        if os.path.exists(path) and _identity(path) in there:
            raise UserError(
                f"A result would overwrite the photo {path}. Choose another "
                "--output_dir."
            )


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _plan(
    photos: Mapping[str, str], kinds: Sequence[str], tile: bool
) -> dict[str, dict[str, str]]:
    """The names of each photo's results in the output folder, by kind."""
    from wss.image_io import geotiff

    results = {
        name: {kind: f"{kind}/{name}{_ENDINGS[kind]}" for kind in kinds}
        for name in photos
    }
    placed = [name for name in photos if geotiff.has_place(photos[name])]
    if placed and not (tile and geotiff.is_installed()):
        remedy = "--tile keeps it"
        if not geotiff.is_installed():
            remedy += f" where rasterio is installed ({geotiff.ADVICE})"
        print(
            f"note: {len(placed)} of the photos are GeoTIFFs. Their masks are PNGs "
            f"without georeference; {remedy}.",
            flush=True,
        )
        return results
    for name in placed:
        results[name]["masks"] = f"masks/{name}.tif"
    return results


def _write_all(
    write: Callable[[str, Mapping[str, str]], Optional["Uncertainty"]],
    photos: Mapping[str, str],
    results: Mapping[str, Mapping[str, str]],
) -> Iterator[tuple[str, Optional["Uncertainty"]]]:
    """Writes the results of all photos; reports those that cannot be read or written.

    Args:
      write: takes the path of a photo and the names of its results by kind; returns
        the uncertainty if asked.
      photos: paths by name.
      results: names of the results by name and kind.

    Yields:
      The name of each photo whose results are written, and the uncertainty.
    """
    from tqdm import tqdm

    # `disable=None`: no progress bar without a terminal.
    for name, path in tqdm(
        photos.items(), desc="predicting", unit=" photos", disable=None
    ):
        try:
            found = write(path, results[name])
        except UserError as error:
            tqdm.write(f"warning: {error}", file=sys.stderr)
        except OSError as error:
            if error.errno not in _OF_ONE_PHOTO:
                raise
            tqdm.write(
                f"warning: The results of {path} cannot be written ({reason(error)}). "
                "Give the photo another name or size.",
                file=sys.stderr,
            )
        else:
            yield name, found


def _write_whole(
    models: Sequence["Segmenter"],
    ranks: bool,
    folder: OutputFolder,
    path: str,
    names: Mapping[str, str],
) -> Optional["Uncertainty"]:
    """Predicts a photo and writes its results; returns the uncertainty if asked."""
    from wss.evaluation.segmenter import read_image
    from wss.ops.memory import explained_memory

    def advice() -> str:
        height, width = models[0].predictor.crop_size
        return (
            f"{path} needs less memory in windows (--sliding_window) of a smaller "
            f"EVAL_CROP_SIZE (now {height} x {width}), and least with --tile."
        )

    with explained_memory(advice):
        image = read_image(path, models[0].spec.image_bits)
        labels, found = _predicted(models, image, ranks)
        for kind, content in _results(models[0], image, labels, names):
            folder.write(names[kind], content)
    return found


def _write_large(
    model: "Segmenter", folder: OutputFolder, path: str, names: Mapping[str, str]
) -> None:
    """Predicts a photo by parts and writes its results."""
    from wss.evaluation import large_images

    with folder.workplace() as workplace:
        for kind, content in large_images.predict(model, path, names, workplace):
            if isinstance(content, bytes):
                folder.write(names[kind], content)
            else:
                folder.move(content, names[kind])


def _predicted(
    models: Sequence["Segmenter"], image: np.ndarray, ranks: bool
) -> tuple[np.ndarray, Optional["Uncertainty"]]:
    """The class of each pixel, and the uncertainty if asked."""
    from wss.evaluation import uncertainty

    if not ranks:
        return models[0].predict_mask(image), None
    return uncertainty.measure(image, *(model.predictor for model in models))


def _results(
    model: "Segmenter", image: np.ndarray, labels: np.ndarray, kinds: Container[str]
) -> Iterator[tuple[str, bytes]]:
    """The contents of a photo's result files, by kind."""
    from wss.image_io import writing

    if "probabilities" in kinds:
        values = model.predictor.probabilities(image).numpy()
        yield "probabilities", writing.probabilities(values)
    palette = model.spec.palette
    yield "masks", writing.mask(labels, palette)
    if "overlays" in kinds:
        yield "overlays", writing.overlay(image, labels, palette)


def _parser() -> argparse.ArgumentParser:
    parser = cli.make_parser("wss.predict", __doc__)
    parser.add_argument(
        "--model_dir",
        required=True,
        metavar="DIR",
        help="folder of the run; or a model.keras that wss.export wrote",
    )
    parser.add_argument(
        "--images",
        required=True,
        nargs="+",
        metavar="PHOTOS",
        help="photos, folders, quoted patterns, or .txt files with one path per line",
    )
    parser.add_argument("--output_dir", required=True, metavar="DIR")
    cli.add_checkpoint_flag(parser)
    parser.add_argument(
        "--no_overlays",
        dest="overlays",
        action="store_false",
        help="do not write overlays",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="also write the probability of each class (float16, large files)",
    )
    parser.add_argument(
        "--tile",
        action="store_true",
        help="for images too large for memory: --sliding_window with results written "
        "by parts; the mask of a GeoTIFF keeps its place where rasterio is installed",
    )
    parser.add_argument(
        "--rank",
        action="store_true",
        help=f"also list the photos in {_RANKING}, the most uncertain first, to "
        "label next; in a test they were not clearly better to label than random ones, "
        "see docs/prediction.md",
    )
    cli.add_overwrite_flag(parser)
    cli.add_view_flags(parser)
    cli.add_shared_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
