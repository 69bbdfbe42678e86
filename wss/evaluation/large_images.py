"""Predicts images that are too large for memory: read, predicted and written by parts.

A GeoTIFF is read by windows where rasterio is installed. Other files are decoded as a
whole, which takes 3 bytes per pixel; nothing else is as large as the image.
"""

import contextlib
import math
import os
from collections.abc import Container, Iterator, Mapping
from typing import NamedTuple, Optional, Union

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from wss.evaluation.predictor import Predictor
from wss.evaluation.segmenter import Segmenter, read_image
from wss.evaluation.tiling import column_blocks
from wss.image_io import geotiff, writing

MAX_OVERLAY_SIDE = 4096

Image = Union[np.ndarray, geotiff.GeoTiff]


class Block(NamedTuple):
    """The prediction of a part of an image.

    Attributes:
      rows, columns: where it is in the image.
      labels: the class of each pixel, [rows, columns], int32.
      probabilities: [rows, columns, classes], float32.
    """

    rows: slice
    columns: slice
    labels: tf.Tensor
    probabilities: tf.Tensor


def predict_blocks(predictor: Predictor, image: Image, classes: int) -> Iterator[Block]:
    """`Predictor.labels` and `Predictor.probabilities` of an image, part by part.

    Args:
      predictor: predicts it in windows, or as a whole if it fits into the crop.
      image: [height, width, 3] in 0..255.
      classes: number of classes.

    Yields:
      The parts, in rows from the top of each block of columns.
    """
    blocks = [(0, image.shape[1])]
    if predictor.slides(image):
        blocks = column_blocks(image.shape[1], predictor.crop_size, classes)
    else:
        image = image[:]
    for first, end in blocks:
        top = 0
        for scores in predictor.scores(image, (first, end)):
            rows = slice(top, top + scores.shape[0])
            labels = tf.argmax(scores, -1, tf.int32)
            probabilities = predictor.as_probabilities(scores, image)
            yield Block(rows, slice(first, end), labels, probabilities)
            top = rows.stop


def predict(
    model: Segmenter, path: str, kinds: Container[str], workplace: str
) -> Iterator[tuple[str, Union[bytes, str]]]:
    """Predicts an image.

    Args:
      model: the network, which predicts in windows.
      path: of the image.
      kinds: of the results: "masks", "overlays", "probabilities".
      workplace: an empty folder for files of the size of the results.

    Yields:
      The kind and the content of each result, or the path of a file with the content:
      a GeoTIFF for the mask of a GeoTIFF, an array of NumPy for `probabilities`.

    Raises:
      UserError: the image cannot be read.
      OSError: the disk is full.
    """
    wanted = {"labels": np.uint8}
    if "probabilities" in kinds:
        wanted["probabilities"] = np.float16
    with _opened(path, model.spec.image_bits) as image:
        stored = _store(model, image, wanted, workplace, os.path.basename(path))
        labels, palette = stored["labels"], model.spec.palette
        if "probabilities" in kinds:
            stored["probabilities"].flush()
            yield "probabilities", stored["probabilities"].filename
        if isinstance(image, geotiff.GeoTiff) and image.place:
            mask = os.path.join(workplace, "mask.tif")
            geotiff.write_labels(mask, labels, palette, image.place)
            yield "masks", mask
        else:
            yield "masks", writing.mask(labels, palette)
        if "overlays" in kinds:
            shown = writing.overlay(image, labels, palette, max_side=MAX_OVERLAY_SIDE)
            yield "overlays", shown


def _store(
    model: Segmenter,
    image: Image,
    wanted: Mapping[str, type],
    workplace: str,
    name: str,
) -> dict[str, np.memmap]:
    """Predicts an image into arrays that are files, by the names of `Block`."""
    size, classes = image.shape[:2], model.spec.num_classes
    shapes = {"labels": size, "probabilities": (*size, classes)}
    stored = {
        field: _create(os.path.join(workplace, f"{field}.npy"), dtype, shapes[field])
        for field, dtype in wanted.items()
    }
    # `disable=None`: no progress bar without a terminal.
    pixels = {"unit": " pixels", "unit_scale": True, "leave": False, "disable": None}
    with tqdm(desc=name, total=math.prod(size), **pixels) as progress:
        for block in predict_blocks(model.predictor, image, classes):
            for field, array in stored.items():
                array[block.rows, block.columns] = getattr(block, field).numpy()
            progress.update(math.prod(block.labels.shape))
    return stored


def _create(path: str, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    """An array that is a file, so that it may be larger than the memory."""
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    # Now: a disk that is full later would end the process without a word.
    with open(path, "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
    return array


@contextlib.contextmanager
def _opened(path: str, image_bits: Optional[int]) -> Iterator[Image]:
    """The image [height, width, 3], uint8, decoded or to be read by windows."""
    if not (geotiff.is_installed() and geotiff.is_tiff(path)):
        yield read_image(path, image_bits, any_size=True)
        return
    with contextlib.closing(geotiff.GeoTiff(path, image_bits)) as image:
        yield image
