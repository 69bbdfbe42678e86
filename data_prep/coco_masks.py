"""Draws masks from instance annotations in COCO's format."""

import contextlib
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
from PIL import Image

from data_prep import coco_annotations
from wss.errors import UserError
from wss.image_io import decoding

_SIDEWAYS = (
    *(Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE),
    *(Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270),
)


def is_as_stored(path: str, height: int, width: int, annotations: str) -> bool:
    """Whether a mask fits the pixels as stored in the file, not the upright photo.

    COCO's masks fit the stored pixels. If a tool turned the photo upright, the
    annotated size shows it.

    Args:
      path: the photo.
      height, width: in pixels, from the annotations.
      annotations: the annotation file, for the message.

    Raises:
      UserError: the photo has another size.
    """
    size = (width, height)
    stored, upright = _sizes(path) or (size, size)
    if size not in (stored, upright):
        raise UserError(
            f"The image {path} has {stored[0]} x {stored[1]} pixels, but "
            f"{width} x {height} in {annotations}. Use the image that was annotated."
        )
    return stored == size


def _sizes(path: str) -> Optional[tuple[tuple[int, int], tuple[int, int]]]:
    """(width, height) of an image as stored, and upright; None if it is broken."""
    with contextlib.suppress(Exception), Image.open(path) as image:
        turned = decoding.orientation(image) in _SIDEWAYS
        return image.size, image.size[::-1] if turned else image.size
    return None  # Reading it reports what is broken.


def draw(
    objects: Sequence[tuple[int, Any]],
    height: int,
    width: int,
    name: str,
    annotations: str,
) -> np.ndarray:
    """Draws the objects of an image; later ones are on top.

    Args:
      objects: (class id, segmentation) of each.
      height, width: of the image, in pixels.
      name: the image, for messages.
      annotations: the annotation file, for messages.

    Returns:
      [height, width], uint8 class ids.

    Raises:
      UserError: an object's outline is invalid.
    """
    mask = np.zeros((height, width), np.uint8)
    try:
        for class_id, segmentation in objects:
            coco_annotations.draw_outline(mask, segmentation, class_id)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"An annotation of the image {name} in {annotations} cannot be drawn "
            f"({coco_annotations.in_words(error)}). Correct or remove it."
        ) from error
    return mask
