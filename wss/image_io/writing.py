"""Encodes predictions as the content of files."""

import io

import numpy as np
from PIL import Image

_OVERLAY_QUALITY = 92


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
    image: np.ndarray, labels: np.ndarray, palette: np.ndarray, opacity: float = 0.5
) -> bytes:
    """A photo blended with the colors of its classes, as a JPEG.

    Args:
      image: [height, width, 3], uint8.
      labels: [height, width] of class ids.
      palette: [classes, 3], uint8.
      opacity: of the colors, 0..1.
    """
    colors = np.asarray(palette, np.uint8)[np.asarray(labels)]
    blended = Image.blend(Image.fromarray(image), Image.fromarray(colors), opacity)
    return _encoded(blended, "JPEG", quality=_OVERLAY_QUALITY, subsampling=0)


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
