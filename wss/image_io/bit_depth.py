"""The stored numbers of images with more, or fewer, than 8 bits per channel.

Pillow spreads small numbers over 0 to 255 and cuts large ones to their upper 8 bits.
That suits a photo of full range. It changes the class ids of a mask, and turns 12 bits
of a camera or a scanner, stored as 16, into black.
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
# Pillow's names of 16 bits end with the order of their bytes; read in the other order,
# the byte that it keeps is the lower one.
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
# Gray and alpha of 16 bits; four bytes, of which Pillow keeps two.
_GRAY_AND_ALPHA = "LA;16B"

# Kind, width, height and largest number.
_PNM = re.compile(rb"P([2356])" + 3 * rb"(?:\s|#[^\r\n]*[\r\n])+(\d+)" + rb"\s")


def is_deep(encoded: bytes, image: Image.Image) -> bool:
    """Whether a picture's numbers may be larger than 255.

    Args:
      encoded: the file, or as much of it as its header takes.
      image: opened, not necessarily decoded.
    """
    return image.mode[0] in "IF" or (
        image.mode in _COLORS and bits_per_channel(encoded, image) > MIN_BITS
    )


def bits_per_channel(encoded: bytes, image: Image.Image) -> int:
    """Bits that the file has for each number; args: see `is_deep`."""
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
    """The numbers that a file stores, as opposed to those that Pillow makes of them.

    Args:
      encoded: the file.
      image: decoded from it.
      path: the file's name, for messages.

    Returns:
      [height, width] or [height, width, channels], of any type.

    Raises:
      UserError: they are unknown.
    """
    shown = np.asarray(image)
    if not is_scaled(encoded, image):
        return shown
    if _is_white_zero(image):
        raise UserError(
            f"In the file {path}, 0 is white: it stores other numbers than viewers "
            "show. Save it as PNG."
        )
    if _is_signed(image):
        return shown.view(np.int8).astype(np.int32)
    if image.format == "PPM":
        return _pnm_numbers(encoded, path)
    if image.mode in _COLORS:
        return _colors_of_16_bits(encoded, shown, path)
    return shown // (255 // (2 ** bits_per_channel(encoded, image) - 1))


def brightness(encoded: bytes, image: Image.Image, path: str) -> np.ndarray:
    """The numbers of a photo of more than 8 bits.

    Args, returns and errors: see `stored_numbers`.

    PGM and PPM files say which number is white; it becomes 65535.
    """
    numbers = stored_numbers(encoded, image, path)
    if image.format == "PPM" and image.mode != "F":
        white = int(_PNM.match(encoded)[4])
        return (numbers.astype(np.int64) * _LARGEST + white // 2) // white
    return numbers


def to_8_bits(numbers: np.ndarray, bits: Optional[int], path: str) -> np.ndarray:
    """Makes uint8 of larger numbers, by the rule of their data set.

    Args:
      numbers: [height, width] or [height, width, channels]; the fourth is alpha.
      bits: of the numbers in the data set, 8 to 16; the upper 8 are kept. None: not
        given, 16 is assumed.
      path: the file's name, for messages.

    Returns:
      Of the same shape, uint8.

    Raises:
      UserError: a number does not fit, or the bits are not given and the picture would
        be dark.
    """
    lowest, highest = extremes(numbers, path)
    if bits is None and highest <= _LARGEST // 2:
        raise UserError(
            f"The image {path} has more than 8 bits, but no number in it exceeds "
            f"{highest}: nothing says which number is white. Save it with 8 bits."
        )
    bits = bits or MAX_BITS
    check_bits(highest, bits, path)
    scaled = numbers >> (bits - MIN_BITS)
    if numbers.ndim == 3:  # Opaque is 65535, whatever the range of colors.
        scaled[..., _ALPHA:] = numbers[..., _ALPHA:] >> (MAX_BITS - MIN_BITS)
    return scaled.astype(np.uint8)


def check_bits(highest: int, bits: int, path: str) -> None:
    """Refuses an image, whose largest number is given, that has more than `bits` bits.

    Raises:
      UserError: naming the image and the bits that it has.
    """
    if highest >= 2**bits:
        raise UserError(
            f"The image {path} holds numbers up to {highest}, but the images of its "
            f"data set have {bits} bits (0 to {2**bits - 1}). Save it in that range; "
            "or write all splits again, to another --output_dir, with data_prep.folder "
            f"--image_bits={bits_of(highest)}."
        )


def extremes(numbers: np.ndarray, path: str) -> tuple[int, int]:
    """The lowest and the highest number of a picture, alpha not counted.

    Raises:
      UserError: they do not fit 16 bits.
    """
    colors = numbers[..., :_ALPHA] if numbers.ndim == 3 else numbers
    lowest, highest = colors.min(), colors.max()
    if colors.dtype.kind == "f" or lowest < 0 or highest > _LARGEST:
        raise UserError(
            f"The image {path} holds numbers ({lowest:g} to {highest:g}) whose "
            "brightness is not known. Save it with 8 or 16 bits."
        )
    return int(lowest), int(highest)


def bits_of(highest: int) -> int:
    """Number of bits, at least 8, of a data set with this highest number."""
    return max(MIN_BITS, highest.bit_length())


def brightest(path: str) -> Optional[int]:
    """The largest number in an image of more than 8 bits; None for all other images.

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
    """Whether 8 bits of a TIFF are -128 to 127; Pillow shows them as 0 to 255."""
    return (
        image.format == "TIFF"
        and image.mode == "L"
        and max(image.tag_v2.get(_SAMPLE_FORMAT, (1,))) == _SIGNED
    )


def _pnm_numbers(encoded: bytes, path: str) -> np.ndarray:
    """The numbers in a PGM or PPM file."""
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
            f"{path} holds the number {numbers.max()}, but says that {largest} is its "
            "largest (maxval). Save it as PNG, from its source."
        )
    return numbers.astype(np.uint16).reshape(shape)


def _colors_of_16_bits(encoded: bytes, upper: np.ndarray, path: str) -> np.ndarray:
    """All 16 bits, [height, width, channels], where Pillow shows the upper bytes."""
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
                f"The file {path} has colors of 16 bits of a kind ({raw_mode}) that "
                "is not read. Save it with 8 bits, or as a PNG in RGB."
            )
        # Plain tuples in older versions of Pillow.
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
