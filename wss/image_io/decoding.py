"""Opens image files of all formats.

The content of a file decides its format, not its name. Every failure of a decoder
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

JPEG = ("JPEG", "MPO")  # MPO: a JPEG followed by others, written by cameras.
# Only these: some decoders of PIL start other programs.
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "PPM", "TIFF", "WEBP", *heif.FORMATS)

_ORIENTATION = 0x0112
# What turns an image upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Bits of TIFF's tag NewSubfileType: a smaller copy of another page; its outline.
_SUBFILE_TYPE, _NO_PAGE_OF_ITS_OWN = 254, 0b101
_BITS_PER_SAMPLE = 258

# Where a file's header is: that of PGM and PPM may hold comments.
_HEADER = 4096
_JPEG_BEGINS = b"\xff\xd8"
_TIFF_BEGINS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_DEPTH_AT = 24

# JPEG markers: frames that every decoder knows (8 bits, Huffman codes; baseline,
# extended, progressive); what may stand between scans; start of scan and end of image.
_PLAIN_FRAMES = (0xC0, 0xC1, 0xC2)
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BETWEEN_SCANS = {0xC4, 0xDA, 0xDB, 0xDD, 0xFE}
_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
# In the data of a scan, 0xFF is followed by 0 or a restart marker.
# It begins with one byte and no more than one: such a search is 20 times as fast.
_BEHIND_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def load(
    path: str, kind: str, encoded: Optional[bytes] = None
) -> tuple[bytes, Image.Image]:
    """Reads and decodes an image file.

    Args:
      path: the file.
      kind: what it is to be, for messages: "image" or "mask".
      encoded: the content, if it is in no file; `path` then only says where it is from.

    Returns:
      The file's bytes and the picture, not turned. The whole file was decoded, but a
      JPEG's pixels are computed on first use.

    Raises:
      UserError: no file, no image, damaged, too large, or several pictures in one.
    """
    try:
        if encoded is None:
            if os.path.exists(path) and not os.path.isfile(path):
                # Opening a pipe waits for someone who writes.
                raise _unreadable(kind, path, "it is no regular file")
            with open(path, "rb") as file:
                encoded = file.read()
    except OSError as error:
        raise _unreadable(kind, path, error.strerror) from error
    if not encoded:
        raise _unreadable(kind, path, "the file is empty")
    try:
        with _quiet():
            image = Image.open(io.BytesIO(encoded), formats=FORMATS)
            pictures = _count_pictures(image)
            if image.format in JPEG and orientation(image) is None:
                _decode_small(encoded)
            else:
                image.load()
    except UnidentifiedImageError as error:
        if heif.kind(encoded) and not heif.FORMATS:
            inside = f"The {kind} {path} is {heif.kind(encoded)} inside."
            raise UserError(f"{inside} {heif.ADVICE}") from error
        reason = f"it is none of {', '.join(FORMATS)}, or its beginning is damaged"
        if encoded.startswith(_TIFF_BEGINS):
            reason = (
                "it is a TIFF whose bands, numbers or layout are not read, or damaged; "
                "saved as PNG it can be"
            )
        raise _unreadable(kind, path, reason) from error
    except Image.DecompressionBombError as error:
        raise UserError(
            f"The {kind} {path} has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels. "
            "Cut it into tiles."
        ) from error
    except MemoryError as error:
        raise _unreadable(kind, path, "there is not enough memory") from error
    except Exception as error:
        # Decoders of damaged files fail in many ways: OSError, SyntaxError, ValueError,
        # struct.error, KeyError, ...
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise _unreadable(kind, path, reason) from error
    if pictures > 1:
        raise UserError(
            f"The {kind} {path} holds {pictures} pictures (an animation or pages). "
            "Save the right one as a separate file."
        )
    return encoded, image


def peek(path: str) -> Optional[tuple[bytes, Image.Image]]:
    """Opens an image file without decoding it, unless it is a JPEG.

    Returns:
      The beginning of the file and the picture, of which only mode, size and metadata
      are known; None for a JPEG, and for what `load` has to judge.
    """
    try:
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            beginning = file.read(_HEADER)
        if beginning.startswith(_JPEG_BEGINS):
            return None
        with _quiet(), Image.open(path, formats=FORMATS) as image:
            return beginning, image
    except Exception:  # Any kind of failure, as in `load`.
        return None


def orientation(image: Image.Image) -> Optional[Image.Transpose]:
    """The transpose that turns a picture upright by its EXIF data, or None."""
    try:
        with _quiet():
            return _TURNS.get(image.getexif().get(_ORIENTATION))
    except Exception:  # Damaged EXIF data, which viewers pass over as well.
        return None


def bits_per_channel(encoded: bytes, image: Image.Image) -> int:
    """8 or less, or 16 where a picture in colors had more than its pixels show."""
    if image.format == "PNG":
        return encoded[_PNG_DEPTH_AT]
    if image.format == "TIFF":
        return max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
    return 8


def is_sound(encoded: bytes, image: Image.Image) -> bool:
    """Whether TensorFlow can decode a JPEG or PNG that PIL has decoded.

    PIL knows more kinds of JPEG, and reads over damage of the frame around the pixels.
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
    """Walks the segments of a JPEG, each a marker, its length and its content."""
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
            following = _BEHIND_SCAN.search(encoded, position)
            if not following:
                return False
            position = following.start()


def _decode_small(encoded: bytes) -> None:
    """Decodes all data of a JPEG, but makes only every eighth pixel of them.

    Most JPEG keep their bytes, and nobody looks at their pixels.
    """
    image = Image.open(io.BytesIO(encoded), formats=("JPEG",))
    image.draft(image.mode, tuple(max(1, side // 8) for side in image.size))
    image.load()


def _count_pictures(image: Image.Image) -> int:
    """Pictures in a file, without the previews that cameras and maps add."""
    count = 1 if image.format in JPEG else getattr(image, "n_frames", 1)
    if count == 1 or image.format != "TIFF":
        return count
    pages = 0
    for page in range(count):
        image.seek(page)
        pages += not image.tag_v2.get(_SUBFILE_TYPE, 0) & _NO_PAGE_OF_ITS_OWN
    image.seek(0)
    return pages


def _unreadable(kind: str, path: str, reason: Optional[str]) -> UserError:
    return UserError(
        f"The {kind} {path} cannot be read ({reason}). Repair it or leave it out."
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without PIL's warnings about odd metadata and large pictures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
