"""The stored numbers of images with more or fewer than 8 bits per channel.

Pillow scales small numbers to 0..255 and cuts large ones to their upper 8 bits. This is
right for a photo of full range. But it changes the class ids of a mask, and makes the
12 bits of a camera or scanner, stored as 16, black.
"""

import io
import re
import sys
from typing import Optional

import numpy as np
from PIL import Image

from wss.errors import UserError
from wss.image_io import decoding

MIN_BITS, MAX_BITS = 8, 16
_LARGEST = 2**MAX_BITS - 1
_COLORS = ("RGB", "RGBA")
_ALPHA = 3

_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_SAMPLE_FORMAT, _SIGNED = 339, 2
# Pillow's modes of 16 bits end with the byte order. In the other order, Pillow keeps
# the lower byte.
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
# Gray and alpha of 16 bits: four bytes, of which Pillow keeps two.
_GRAY_AND_ALPHA = "LA;16B"

# The header: format, width, height and largest number.
_PNM = re.compile(rb"P([2356])" + 3 * rb"(?:\s|#[^\r\n]*[\r\n])+(\d+)" + rb"\s")


def is_deep(encoded: bytes, image: Image.Image) -> bool:
    """Whether an image's numbers may exceed 255.

    Args:
      encoded: the file, or its beginning with the whole header.
      image: opened, not necessarily decoded.
    """
    return image.mode[0] in "IF" or (
        image.mode in _COLORS and bits_per_channel(encoded, image) > MIN_BITS
    )


def bits_per_channel(encoded: bytes, image: Image.Image) -> int:
    """Bits of each number in the file; args: see `is_deep`."""
    if image.format == "PPM":
        header = _PNM.match(encoded)
        return int(header[4]).bit_length() if header else MIN_BITS
    return decoding.bits_per_channel(encoded, image)


def is_scaled(encoded: bytes, image: Image.Image) -> bool:
    """Whether Pillow shows other numbers than the file stores; args: see `is_deep`."""
    if image.mode in _COLORS and is_deep(encoded, image):
        return True
    if image.format == "PPM":
        header = _PNM.match(encoded)
        return bool(header) and int(header[4]) not in (255, _LARGEST)
    if image.mode == "1" or _is_white_zero(image) or _is_signed(image):
        return image.mode != "1"
    return image.mode == "L" and bits_per_channel(encoded, image) < MIN_BITS


def stored_numbers(encoded: bytes, image: Image.Image, path: str) -> np.ndarray:
    """The numbers in a file, which Pillow may have scaled.

    Args:
      encoded: the file.
      image: decoded from it.
      path: the file's name, for messages.

    Returns:
      [height, width] or [height, width, channels], of any dtype.

    Raises:
      UserError: they cannot be determined.
    """
    shown = np.asarray(image)
    if not is_scaled(encoded, image):
        return shown
    if _is_white_zero(image):
        raise UserError(
            f"In the file {path}, 0 is white: the stored numbers are not those that "
            "viewers show. Save it as PNG."
        )
    if _is_signed(image):
        return shown.view(np.int8).astype(np.int32)
    if image.format == "PPM":
        return _pnm_numbers(encoded, path)
    if image.mode in _COLORS:
        return _colors_of_16_bits(encoded, shown, path)
    return shown // (255 // (2 ** bits_per_channel(encoded, image) - 1))


def brightness(encoded: bytes, image: Image.Image, path: str) -> np.ndarray:
    """The numbers of a photo with more than 8 bits.

    The largest number of PGM and PPM files becomes 65535. Args, returns and errors: see
    `stored_numbers`.
    """
    numbers = stored_numbers(encoded, image, path)
    if image.format == "PPM" and image.mode != "F":
        white = int(_PNM.match(encoded)[4])
        return (numbers.astype(np.int64) * _LARGEST + white // 2) // white
    return numbers


def to_8_bits(numbers: np.ndarray, bits: Optional[int], path: str) -> np.ndarray:
    """Converts larger numbers to uint8, by the rule of their data set.

    Args:
      numbers: [height, width] or [height, width, channels]; the fourth is alpha.
      bits, path: see `used_bits`.

    Returns:
      The same shape, uint8.

    Raises:
      UserError: a number does not fit, or the bits are unknown and the image would be
        dark.
    """
    _, highest = extremes(numbers, path)
    return upper_8_bits(numbers, used_bits(highest, bits, path))


def used_bits(highest: int, bits: Optional[int], path: str) -> int:
    """The bits of an image's numbers.

    Args:
      highest: of the image's numbers.
      bits: of the numbers in the data set, 8 to 16. None: unknown, 16 is assumed.
      path: the file's name, for messages.

    Raises:
      UserError: see `to_8_bits`.
    """
    if bits is None and highest <= _LARGEST // 2:
        raise UserError(
            f"The image {path} has more than 8 bits, but no number in it exceeds "
            f"{highest}, so it is unknown which number is white. Save it with 8 bits."
        )
    bits = bits or MAX_BITS
    check_bits(highest, bits, path)
    return bits


def upper_8_bits(numbers: np.ndarray, bits: int) -> np.ndarray:
    """The upper 8 of the bits of numbers, see `to_8_bits`."""
    scaled = numbers >> (bits - MIN_BITS)
    if numbers.ndim == 3:  # Opaque is 65535 for every range of colors.
        scaled[..., _ALPHA:] = numbers[..., _ALPHA:] >> (MAX_BITS - MIN_BITS)
    return scaled.astype(np.uint8)


def check_bits(highest: int, bits: int, path: str) -> None:
    """Refuses an image whose highest number does not fit `bits` bits.

    Raises:
      UserError: it does not fit.
    """
    if highest >= 2**bits:
        raise UserError(
            f"The image {path} has numbers up to {highest}, but the images of its data "
            f"set have {bits} bits (0 to {2**bits - 1}). Save it in that range, or "
            "write all splits again, to another --output_dir, with data_prep.folder "
            f"--image_bits={bits_of(highest)}."
        )


def extremes(numbers: np.ndarray, path: str) -> tuple[int, int]:
    """The lowest and the highest number of an image, without alpha.

    Raises:
      UserError: they do not fit 16 bits.
    """
    colors = numbers[..., :_ALPHA] if numbers.ndim == 3 else numbers
    lowest, highest = colors.min(), colors.max()
    if colors.dtype.kind == "f" or lowest < 0 or highest > _LARGEST:
        raise UserError(
            f"The image {path} has numbers ({lowest:g} to {highest:g}) whose "
            "brightness is unknown. Save it with 8 or 16 bits."
        )
    return int(lowest), int(highest)


def bits_of(highest: int) -> int:
    """The bits, at least 8, that the highest number of a data set needs."""
    return max(MIN_BITS, highest.bit_length())


def brightest(path: str) -> Optional[int]:
    """The highest number of an image with more than 8 bits; None for other images.

    Raises:
      UserError: such an image is damaged.
    """
    header = decoding.peek(path)
    if header is None or not is_deep(*header):
        return None
    encoded, image = decoding.load(path, "image")
    return extremes(brightness(encoded, image, path), path)[1]


def _is_white_zero(image: Image.Image) -> bool:
    return image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _is_signed(image: Image.Image) -> bool:
    """Whether 8 bits of a TIFF are -128..127; Pillow shows them as 0..255."""
    return (
        image.format == "TIFF"
        and image.mode == "L"
        and max(image.tag_v2.get(_SAMPLE_FORMAT, (1,))) == _SIGNED
    )


def _pnm_numbers(encoded: bytes, path: str) -> np.ndarray:
    """The numbers of a PGM or PPM file."""
    header = _PNM.match(encoded)
    kind, width, height, largest = map(int, header.groups())
    shape = (height, width, 3) if kind in (3, 6) else (height, width)
    count = int(np.prod(shape))
    if kind in (2, 3):  # As text.
        text = re.sub(rb"#[^\r\n]*", b" ", encoded[header.end() - 1 :])
        numbers = np.array([int(word) for word in text.split(maxsplit=count)[:count]])
    else:
        dtype = np.dtype(">u2" if largest > 255 else "u1")
        numbers = np.frombuffer(encoded, dtype, count, header.end())
    if numbers.max() > largest:
        raise UserError(
            f"{path} contains the number {numbers.max()}, but its header says that "
            f"{largest} is the largest (maxval). Save it as PNG, from its source."
        )
    return numbers.astype(np.uint16).reshape(shape)


def _colors_of_16_bits(encoded: bytes, upper: np.ndarray, path: str) -> np.ndarray:
    """All 16 bits, [height, width, channels]; `upper` are the bytes of Pillow."""
    image = Image.open(io.BytesIO(encoded), formats=decoding.FORMATS)
    tiles, raw_mode = [], ""
    for tile in image.tile:
        *place, args = tile
        raw_mode, *rest = (args,) if isinstance(args, str) else args
        kind, _, order = raw_mode.rpartition("16")
        if raw_mode == _GRAY_AND_ALPHA:
            other = "RGBA"
        elif kind in ("RGB;", "RGBA;", "RGBX;"):
            other = f"{kind}16{_OTHER_ORDER[order]}"
        else:
            raise UserError(
                f"The file {path} has colors of 16 bits in an unsupported format "
                f"({raw_mode}). Save it with 8 bits, or as a PNG in RGB."
            )
        # In older versions of Pillow, tiles are plain tuples.
        make = getattr(tile, "_make", tuple)
        tiles.append(make((*place, (other, *rest) if rest else other)))
    image.tile = tiles
    image.load()
    lower = np.asarray(image)
    if raw_mode == _GRAY_AND_ALPHA:
        gray, alpha = (lower[..., i : i + 2].astype(np.uint16) for i in (0, 2))
        gray, alpha = (each[..., 0] << 8 | each[..., 1] for each in (gray, alpha))
        return np.stack([gray, gray, gray, alpha], axis=-1)
    return upper.astype(np.uint16) << 8 | lower
