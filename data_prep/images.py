"""Reads image files into examples."""

from collections.abc import Sequence
from typing import Optional

import numpy as np
from PIL import Image

from data_prep.writing.examples import Example
from wss.errors import UserError
from wss.image_io import reading


def read_example(
    name: str,
    path: str,
    mask: Optional[np.ndarray] = None,
    class_ids: Sequence[int] = (),
    max_side: Optional[int] = None,
    encoded: Optional[bytes] = None,
    mask_png: Optional[bytes] = None,
    as_stored: bool = False,
    image_bits: Optional[int] = None,
) -> Example:
    """Reads an image with `wss.image_io.reading.read`.

    Args:
      name: the image's name in its data set.
      path: the file.
      mask: [height, width], uint8 class ids, of the upright image.
      class_ids: image-level labels of an image without mask.
      max_side: larger images and their masks are shrunk to this many pixels on the
        longer side.
      encoded: the content, if it is not in a file; `path` then only names its source.
      mask_png: the mask as a gray PNG, if there is one.
      as_stored: do not rotate the image upright, because its mask fits the stored
        pixels, as the masks of publishers do.
      image_bits: bits in use of images with more than 8 bits, see
        `bit_depth.to_8_bits`.

    Raises:
      UserError: the file is not an image or is damaged, or its mask has another size.
    """
    photo = reading.read(path, encoded, as_stored, image_bits)
    if mask is not None:
        _check_size(mask, photo.size, photo.stored_size, path)
    if max_side is not None and photo.shrink(max_side):
        mask_png = None
        if mask is not None:
            nearest = Image.Resampling.NEAREST
            mask = np.asarray(Image.fromarray(mask).resize(photo.size, nearest))
    encoded = photo.encode()
    width, height = photo.size
    return Example(
        name, encoded, photo.image_format, height, width, mask, class_ids, mask_png
    )


def _check_size(
    mask: np.ndarray, size: tuple[int, int], stored_size: tuple[int, int], path: str
) -> None:
    """Compares a mask with its image; sizes are (width, height)."""
    mask_size = mask.shape[::-1]
    if mask_size == size:
        return
    sizes = "{} x {} pixels, its mask {} x {}".format(*size, *mask_size)
    if mask_size == stored_size:
        raise UserError(
            f"The image {path}, rotated upright according to its EXIF data, has "
            f"{sizes}: the mask was drawn on the photo as stored. Remove the "
            "orientation from the photo (exiftool -Orientation= FILE), or rotate the "
            "mask."
        )
    turned = ""
    if size != stored_size:
        turned = ", rotated upright according to its EXIF data,"
    raise UserError(
        f"The image {path}{turned} has {sizes}. Save the mask at the image's size."
    )
