"""Opens image files of all formats.

The content of a file decides its format, not the name. Every failure of a decoder
becomes one sentence that names the file.
"""

import contextlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from typing import Optional

from PIL import Image, UnidentifiedImageError

from wss.errors import UserError
from wss.image_io import heif

JPEG = ("JPEG", "MPO")  # MPO: several JPEGs in a file, written by cameras.
# Only these, because some decoders of PIL start other programs.
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "PPM", "TIFF", "WEBP", *heif.FORMATS)

_ORIENTATION = 0x0112
# The transpose that turns an image upright, by EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# TIFF's tag NewSubfileType, and its bits for a preview and a mask of another page.
_SUBFILE_TYPE, _NOT_A_PAGE = 254, 0b101
_BITS_PER_SAMPLE = 258

# Bytes that contain a file's header; that of PGM and PPM may have comments.
_HEADER = 4096
_JPEG_BEGINS = b"\xff\xd8"
TIFF_BEGINS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_DEPTH_AT = 24

# JPEG markers: frames that every decoder reads (8 bits, Huffman codes; baseline,
# extended, progressive); segments between scans; start of scan and end of image.
_PLAIN_FRAMES = (0xC0, 0xC1, 0xC2)
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BETWEEN_SCANS = {0xC4, 0xDA, 0xDB, 0xDD, 0xFE}
_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
# In the data of a scan, 0xFF is followed by 0 or a restart marker.
# Matching a single 0xFF makes the search 20 times as fast.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def load(
    path: str, kind: str, encoded: Optional[bytes] = None, any_size: bool = False
) -> tuple[bytes, Image.Image]:
    """Reads and decodes an image file.

    Args:
      path: the file.
      kind: "image" or "mask", for messages.
      encoded: the content, if it is not in a file; `path` is then only for messages.
      any_size: decode it even if it has more pixels than PIL's limit.

    Returns:
      The file's bytes and the image as stored. All data were decoded, but a JPEG's
      pixels are computed on first use.

    Raises:
      UserError: the file is missing, not an image, damaged, too large, or contains
        several images.
    """
    try:
        if encoded is None:
            if os.path.exists(path) and not os.path.isfile(path):
                # Opening a pipe would wait for a writer.
                raise unreadable(kind, path, "it is not a regular file")
            with open(path, "rb") as file:
                encoded = file.read()
    except OSError as error:
        raise unreadable(kind, path, error.strerror) from error
    if not encoded:
        raise unreadable(kind, path, "the file is empty")
    try:
        with _quiet(), _any_size() if any_size else contextlib.nullcontext():
            image = Image.open(io.BytesIO(encoded), formats=FORMATS)
            images = _count_images(image)
            if image.format in JPEG and orientation(image) is None:
                _decode_small(encoded)
            else:
                image.load()
    except UnidentifiedImageError as error:
        if heif.kind(encoded) and not heif.FORMATS:
            inside = f"The {kind} {path} is {heif.kind(encoded)} inside."
            raise UserError(f"{inside} {heif.ADVICE}") from error
        reason = f"it is not one of {', '.join(FORMATS)}, or its header is damaged"
        if encoded.startswith(TIFF_BEGINS):
            reason = (
                "it is a TIFF with unsupported bands, numbers or layout, or damaged; "
                "try to save it as PNG"
            )
        raise unreadable(kind, path, reason) from error
    except Image.DecompressionBombError as error:
        raise UserError(
            f"The {kind} {path} has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels. "
            "Cut it into tiles."
        ) from error
    except MemoryError as error:
        raise unreadable(kind, path, "there is not enough memory") from error
    except Exception as error:
        # Decoders of damaged files fail in many ways: OSError, SyntaxError, ValueError,
        # struct.error, KeyError, ...
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise unreadable(kind, path, reason) from error
    if images > 1:
        raise UserError(
            f"The {kind} {path} contains {images} images (an animation or pages). "
            "Save the right one as a separate file."
        )
    return encoded, image


def peek(path: str) -> Optional[tuple[bytes, Image.Image]]:
    """Opens an image file without decoding it, unless it is a JPEG.

    Returns:
      The beginning of the file and the image, with only mode, size and metadata; None
      for a JPEG, and if `load` has to decide.
    """
    try:
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            beginning = file.read(_HEADER)
        if beginning.startswith(_JPEG_BEGINS):
            return None
        with _quiet(), _any_size(), Image.open(path, formats=FORMATS) as image:
            return beginning, image
    except Exception:  # Any failure, as in `load`.
        return None


def orientation(image: Image.Image) -> Optional[Image.Transpose]:
    """The transpose that turns an image upright by its EXIF data, or None."""
    try:
        with _quiet():
            return _TURNS.get(image.getexif().get(_ORIENTATION))
    except Exception:  # Damaged EXIF data, which viewers ignore too.
        return None


def bits_per_channel(encoded: bytes, image: Image.Image) -> int:
    """8 or less; 16 if a color image stores more bits than PIL shows."""
    if image.format == "PNG":
        return encoded[_PNG_DEPTH_AT]
    if image.format == "TIFF":
        return max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
    return 8


def is_sound(encoded: bytes, image: Image.Image) -> bool:
    """Whether TensorFlow can decode a JPEG or PNG that PIL has decoded.

    PIL reads more kinds of JPEG, and tolerates damage outside the pixels.
    """
    if image.format in JPEG:
        return _is_sound_jpeg(encoded)
    try:
        with _quiet():
            Image.open(io.BytesIO(encoded), formats=("PNG",)).verify()
    except Exception:
        return False
    return _PNG_END in encoded


def _is_sound_jpeg(encoded: bytes) -> bool:
    """Checks the segments of a JPEG, each a marker, its length and its content."""
    position, scans, known_frame = len(b"\xff\xd8"), 0, False
    while True:
        found = _MARKER.match(encoded, position)
        marker = found[1][0] if found else None
        if marker == _END:
            return known_frame and scans > 0
        if marker is None or (scans and marker not in _BETWEEN_SCANS):
            return False
        start = found.end()
        length = int.from_bytes(encoded[start : start + 2], "big")
        if length < 2:
            return False
        position = start + length
        if marker in _FRAMES:
            bits, channels = (
                encoded[start + 2 : start + 3],
                encoded[start + 7 : start + 8],
            )
            known_frame = bits == b"\x08" and channels in (b"\x01", b"\x03")
            if marker not in _PLAIN_FRAMES or not known_frame:
                return False
        elif marker == _SCAN:
            scans += 1
            following = _AFTER_SCAN.search(encoded, position)
            if not following:
                return False
            position = following.start()


def _decode_small(encoded: bytes) -> None:
    """Decodes all data of a JPEG, but computes only every eighth pixel.

    Most JPEGs keep their bytes: their pixels are not needed.
    """
    image = Image.open(io.BytesIO(encoded), formats=("JPEG",))
    image.draft(image.mode, tuple(max(1, side // 8) for side in image.size))
    image.load()


def _count_images(image: Image.Image) -> int:
    """Images in a file, without the previews of cameras and maps."""
    count = 1 if image.format in JPEG else getattr(image, "n_frames", 1)
    if count == 1 or image.format != "TIFF":
        return count
    pages = 0
    for page in range(count):
        image.seek(page)
        pages += not image.tag_v2.get(_SUBFILE_TYPE, 0) & _NOT_A_PAGE
    image.seek(0)
    return pages


def unreadable(kind: str, path: str, reason: Optional[str]) -> UserError:
    return UserError(
        f"The {kind} {path} cannot be read ({reason}). Repair it or leave it out."
    )


@contextlib.contextmanager
def _any_size() -> Iterator[None]:
    """Lifts PIL's limit on the number of pixels."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses PIL's warnings about odd metadata and large images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
