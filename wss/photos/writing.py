"""Writes what a network sees in a photo, each file whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

_OVERLAY_QUALITY = 92


def write_mask(path: str, labels: np.ndarray, palette: np.ndarray) -> None:
    """Writes class ids as a PNG that viewers show in the classes' colours.

    Args:
      path: of the file; folders on the way are made.
      labels: [height, width] of class ids, 0..255.
      palette: [classes, 3], uint8.
    """
    mask = Image.fromarray(np.asarray(labels, np.uint8))
    mask.putpalette(np.asarray(palette, np.uint8).tobytes())
    with whole(path) as file:
        mask.save(file, "PNG")


def write_overlay(
    path: str,
    image: np.ndarray,
    labels: np.ndarray,
    palette: np.ndarray,
    opacity: float = 0.5,
) -> None:
    """Writes a photo under the colours of its classes, as a JPEG.

    Args:
      path: of the file; folders on the way are made.
      image: [height, width, 3], uint8.
      labels: [height, width] of class ids.
      palette: [classes, 3], uint8.
      opacity: of the colours, 0..1.
    """
    colours = np.asarray(palette, np.uint8)[np.asarray(labels)]
    overlay = Image.blend(Image.fromarray(image), Image.fromarray(colours), opacity)
    with whole(path) as file:
        overlay.save(file, "JPEG", quality=_OVERLAY_QUALITY, subsampling=0)


def write_picture(path: str, pixels: np.ndarray) -> None:
    """Writes [height, width, 3], uint8, as a PNG; folders on the way are made."""
    with whole(path) as file:
        Image.fromarray(pixels).save(file, "PNG")


def write_probabilities(path: str, probabilities: np.ndarray) -> None:
    """Writes [height, width, classes] as a float16 array for `numpy.load`."""
    with whole(path) as file:
        np.save(file, np.asarray(probabilities, np.float16))


@contextlib.contextmanager
def whole(path: str) -> Iterator[BinaryIO]:
    """A file that appears under its name when it is complete."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    # The name may be as long as a name can be: nothing is put behind it.
    handle, temporary = tempfile.mkstemp(prefix=".", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
