"""Reads image files into examples, and finds them in folders."""

import collections
import io
import os
from collections.abc import Sequence
from typing import Optional

import numpy as np
from PIL import Image, ImageOps

from data_prep.records import Example, encode_png
from wss.errors import UserError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_JPEG = ("JPEG", "MPO")
_ORIENTATION = 0x0112
_UPRIGHT = 1


def read_example(
    name: str,
    path: str,
    mask: Optional[np.ndarray] = None,
    class_ids: Sequence[int] = (),
) -> Example:
    """Reads an image; JPEG and PNG in grey or RGB keep their bytes.

    Anything else becomes RGB, upright: a photo with an EXIF orientation is turned as
    viewers and annotation tools show it.

    Args:
      name: the image's name in its data set.
      path: the file.
      mask: [height, width], uint8 class ids, of the upright image.
      class_ids: image-level labels of an image without mask.

    Raises:
      UserError: the file is no image or is truncated, or its mask has another size.
    """
    try:
        with open(path, "rb") as file:
            encoded = file.read()
        image = Image.open(io.BytesIO(encoded))
        image.load()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(
            f"The image {path} cannot be read ({error}). Repair it, or leave it out."
        ) from error
    image_format = "jpeg" if image.format in _JPEG else "png"
    rotated = image.getexif().get(_ORIENTATION, _UPRIGHT) != _UPRIGHT
    known = image.format in (*_JPEG, "PNG") and image.mode in ("L", "RGB")
    if rotated or not known:
        image = ImageOps.exif_transpose(image).convert("RGB")
        encoded = _encode(image, image_format)
    if mask is not None and mask.shape != (image.height, image.width):
        turned = " (turned upright, as its EXIF data says)" if rotated else ""
        raise UserError(
            f"The image {path} has {image.width} x {image.height} pixels{turned}, its "
            f"mask {mask.shape[1]} x {mask.shape[0]}. Save it in the image's size."
        )
    return Example(
        name, encoded, image_format, image.height, image.width, mask, class_ids
    )


def find(folder: str) -> dict[str, str]:
    """Finds the images in a folder and below.

    Returns:
      {id: path}, sorted; the id is the path below the folder without its ending.

    Raises:
      UserError: no folder, no image in it, or two with one id.
    """
    if not os.path.isdir(folder):
        raise UserError(f"There is no folder {folder}.")
    found = collections.defaultdict(list)
    for where, _, files in os.walk(folder):
        for file in files:
            stem, extension = os.path.splitext(os.path.join(where, file))
            if extension.lower() in EXTENSIONS:
                name = os.path.relpath(stem, folder).replace(os.sep, "/")
                found[name].append(stem + extension)
    if not found:
        raise UserError(f"There is no image in {folder} ({', '.join(EXTENSIONS)}).")
    for name, paths in found.items():
        if len(paths) > 1:
            raise UserError(
                f"Two files have the id '{name}': {' and '.join(sorted(paths))}. "
                "Remove or rename one."
            )
    return {name: found[name][0] for name in sorted(found)}


def read_ids(path: str) -> list[str]:
    """Reads a list of image ids, one a line.

    Raises:
      UserError: no file, nothing in it, or an id twice.
    """
    try:
        with open(path, encoding="utf-8") as file:
            ids = [line.strip() for line in file if line.strip()]
    except OSError as error:
        raise UserError(f"The list {path} cannot be read ({error.strerror}).") from None
    if not ids:
        raise UserError(f"The list {path} is empty.")
    twice = [name for name, count in collections.Counter(ids).items() if count > 1]
    if twice:
        raise UserError(f"The list {path} names '{twice[0]}' more than once.")
    return ids


def refuse_missing(missing: Sequence[str], problem: str, advice: str) -> None:
    """Refuses to go on where files are missing.

    Raises:
      UserError: something is missing; says how many and which comes first.
    """
    if missing:
        raise UserError(
            f"{len(missing)} {problem}; the first is '{missing[0]}'. {advice}"
        )


def _encode(image: Image.Image, image_format: str) -> bytes:
    if image_format == "png":
        return encode_png(np.asarray(image))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
