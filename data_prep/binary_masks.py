"""Yes/no masks: 0 and another value, or inexact black and white."""

from typing import Optional

import numpy as np
from PIL import Image

from data_prep import relabel
from wss.errors import UserError
from wss.image_io import decoding

# Formats, and compressions of TIFF files, that may change values.
_LOSSY = {
    **dict.fromkeys((*decoding.JPEG, "jpeg", "tiff_jpeg"), "JPEG"),
    **dict.fromkeys(("WEBP", "webp"), "WebP"),
    **{"HEIF": "HEIC", "AVIF": "AVIF"},
}

# In a yes/no mask with lossy compression, pixels from this value on are "yes". Some
# pixels along edges are in between; if many are, it is another kind of image.
YES = 128
_MAX_UNSURE = 0.25
# Black and white have equal channels. Compression changes them by at most this much, in
# few pixels.
_MAX_COLOR, _MAX_COLORED = 64, 0.002


def brightest_of_lossy(path: str) -> Optional[int]:
    """The largest gray value of a mask with lossy compression; otherwise None.

    Raises:
      UserError: the file is not an image.
    """
    header = decoding.peek(path)
    if header is not None and not lossy_kind(header[1]):
        return None
    _, image = decoding.load(path, "mask")
    return image.convert("L").getextrema()[1] if lossy_kind(image) else None


def lossy_kind(image: Image.Image) -> Optional[str]:
    """The lossy compression of an image; None if it is lossless."""
    return _LOSSY.get(image.format) or _LOSSY.get(image.info.get("compression"))


def share_unsure(gray: np.ndarray) -> float:
    """Share of gray values, 0..255, that are neither dark nor bright."""
    return float(np.mean((gray >= YES // 2) & (gray < YES + YES // 2)))


def thresholded(image: Image.Image, path: str) -> Image.Image:
    """Turns a mask of inexact black and white into one of 0 and 1.

    Raises:
      UserError: it has colors or many grays.
    """
    pixels = np.asarray(image.convert("RGB")).astype(np.int16)
    colored = np.ptp(pixels, axis=-1) > _MAX_COLOR
    if np.mean(colored) > _MAX_COLORED:
        color = " ".join(map(str, pixels[colored][0].tolist()))
        raise UserError(
            f"The mask {path} is not a yes/no mask: it has colors ({color}), which its "
            "compression has changed. Save it as PNG, from its source, and give each "
            "color its class with --colormap."
        )
    gray = np.asarray(image.convert("L"))
    unsure = share_unsure(gray)
    if unsure > _MAX_UNSURE:
        raise UserError(
            f"The mask {path} is not a yes/no mask: {unsure:.0%} of its pixels are "
            "neither dark nor bright. Save it as PNG, from its source."
        )
    return Image.fromarray((gray >= YES).astype(np.uint8))


def from_values(mask: np.ndarray, path: str) -> np.ndarray:
    """Turns the two values of a mask into 0 and 1, uint8.

    Raises:
      UserError: it has more than two values.
    """
    values = relabel.histogram(mask)[0]
    if (values != 0).sum() > 1:
        raise UserError(
            f"The mask {path} has {len(values)} values ({values[0]} to "
            f"{values[-1]}), so it is not a yes/no mask. Save it without smoothed "
            "edges; or replace --binary by --map, and give each value its class."
        )
    return (mask != 0).astype(np.uint8)
