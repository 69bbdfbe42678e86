"""Reads a photo: upright, RGB, as a JPEG or PNG that TensorFlow can decode.

`data_prep` and `wss.predict` both read photos here, so that they get the same pixels.
"""

import dataclasses
import io
from typing import Optional

from PIL import Image

from wss.errors import UserError
from wss.image_io import bit_depth, decoding

_TRANSPARENT_MODES = ("RGBA", "LA", "PA", "RGBa", "La")


@dataclasses.dataclass
class Photo:
    """A decoded photo.

    Attributes:
      image: upright, 8 bits; RGB, or gray if the file's bytes are kept.
      image_format: "jpeg" or "png".
      stored_size: (width, height) in the file, before rotation.
      kept: the file's bytes if TensorFlow decodes them to the same pixels, else None.
    """

    image: Image.Image
    image_format: str
    stored_size: tuple[int, int]
    kept: Optional[bytes]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, upright."""
        return self.image.size

    def encode(self) -> bytes:
        """The photo as a JPEG or PNG in gray or RGB."""
        if self.kept is not None:
            return self.kept
        return _encode(self.image, self.image_format)

    def shrink(self, max_side: int) -> bool:
        """Shrinks a larger photo so that the longer side has `max_side` pixels.

        Returns:
          Whether it was larger.
        """
        if max(self.size) <= max_side:
            return False
        scale = max_side / max(self.size)
        size = tuple(max(1, round(side * scale)) for side in self.size)
        self.image = self.image.resize(size, Image.Resampling.LANCZOS)
        self.kept = None
        return True


def read(
    path: str,
    encoded: Optional[bytes] = None,
    as_stored: bool = False,
    image_bits: Optional[int] = None,
    any_size: bool = False,
) -> Photo:
    """Reads an image; JPEG and PNG in gray or RGB keep their bytes.

    Any other readable image becomes RGB, 8 bits, upright: a photo with an EXIF
    orientation is rotated as viewers and most annotation tools show it. The background
    of transparent pixels is white.

    Args:
      path: the file.
      encoded: the content, if it is not in a file; `path` is then only for messages.
      as_stored: do not rotate the image.
      image_bits: of an image with more than 8 bits, see `bit_depth.to_8_bits`.
      any_size: read it even if it has more pixels than PIL's limit.

    Raises:
      UserError: the file is not an image or is damaged, or its values do not fit the
        bits.
    """
    encoded, image = decoding.load(path, "image", encoded, any_size)
    stored_size = image.size
    image_format = "jpeg" if image.format in decoding.JPEG else "png"
    turn = None if as_stored else decoding.orientation(image)
    keeps_bytes = turn is None and _can_keep_bytes(encoded, image)
    if not keeps_bytes:
        if bit_depth.is_deep(encoded, image):
            numbers = bit_depth.brightness(encoded, image, path)
            image = Image.fromarray(bit_depth.to_8_bits(numbers, image_bits, path))
        image = to_rgb(image, path)
    if turn is not None:
        image = image.transpose(turn)
    return Photo(image, image_format, stored_size, encoded if keeps_bytes else None)


def _can_keep_bytes(encoded: bytes, image: Image.Image) -> bool:
    """Whether TensorFlow decodes the file to the same pixels."""
    return (
        image.format in (*decoding.JPEG, "PNG")
        and image.mode in ("L", "RGB")
        and "transparency" not in image.info
        and not bit_depth.is_deep(encoded, image)
        and decoding.is_sound(encoded, image)
    )


def to_rgb(image: Image.Image, path: str) -> Image.Image:
    """Converts an image of 8 bits; transparent pixels become white."""
    try:
        if image.mode in _TRANSPARENT_MODES or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        return image.convert("RGB")
    except ValueError as error:
        raise UserError(
            f"The image {path} has an unknown pixel format ({image.mode}). Save it as "
            "JPEG or PNG."
        ) from error


def _encode(image: Image.Image, image_format: str) -> bytes:
    buffer = io.BytesIO()
    image.info = {}  # Color profile and transparent color are of the old pixels.
    if image_format == "png":
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
