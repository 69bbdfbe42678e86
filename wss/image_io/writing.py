"""Encodes predictions as the content of files."""

import io
from typing import Optional

import numpy as np
from PIL import Image

_OVERLAY_QUALITY = 92
_ROWS = 1024  # Of an overlay that are blended at once.


def mask(labels: np.ndarray, palette: np.ndarray) -> bytes:
    """Class ids as a PNG that viewers show in the classes' colors.

    Args:
      labels: [height, width] of class ids, 0..255.
      palette: [classes, 3], uint8.
    """
    image = Image.fromarray(np.asarray(labels, np.uint8))
    image.putpalette(np.asarray(palette, np.uint8).tobytes())
    return _encoded(image, "PNG")


def overlay(
    image: np.ndarray,
    labels: np.ndarray,
    palette: np.ndarray,
    opacity: float = 0.5,
    max_side: Optional[int] = None,
) -> bytes:
    """A photo blended with the colors of its classes, as a JPEG.

    Args:
      image: [height, width, 3], uint8; an array, or an object that is read when it is
        sliced.
      labels: [height, width] of class ids.
      palette: [classes, 3], uint8.
      opacity: of the colors, 0..1.
      max_side: the longer side of the result in pixels; larger photos are reduced by a
        whole factor (default: any).
    """
    height, width = labels.shape
    factor = -(-max(height, width) // (max_side or max(height, width)))
    whole = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = factor * -(-_ROWS // factor)
    for top in range(0, height, rows):
        colors = np.asarray(palette, np.uint8)[labels[top : top + rows]]
        part = Image.fromarray(image[top : top + rows])
        part = Image.blend(part, Image.fromarray(colors), opacity)
        whole.paste(part.reduce(factor), (0, top // factor))
    return _encoded(whole, "JPEG", quality=_OVERLAY_QUALITY, subsampling=0)


def picture(pixels: np.ndarray) -> bytes:
    """[height, width, 3], uint8, as a PNG."""
    return _encoded(Image.fromarray(pixels), "PNG")


def probabilities(values: np.ndarray) -> bytes:
    """[height, width, classes] as a float16 array for `numpy.load`."""
    file = io.BytesIO()
    np.save(file, np.asarray(values, np.float16))
    return file.getvalue()


def _encoded(image: Image.Image, image_format: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()
