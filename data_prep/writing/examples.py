"""Examples, and their serialization to records.

A record is a `tf.train.Example`. Its bytes are assembled here, so that the many worker
processes need not load TensorFlow.
"""

import dataclasses
import io
import struct
import zlib
from collections.abc import Sequence
from typing import Optional, Union

import numpy as np
from PIL import Image

from wss.data import keys
from wss.errors import UserError

# Type of a field in protocol buffers: a length and that many bytes.
_BYTES_FIELD = 2
# Numbers of the fields of `Example`, `Features` and `Feature` and their lists.
_ONLY, _KEY, _VALUE, _BYTES_LIST, _INT64_LIST = 1, 1, 2, 1, 3

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY = 0
_FILTER_UP = 2  # Each line has the differences from the line above.


@dataclasses.dataclass(frozen=True)
class Example:
    """One image and its labels.

    Attributes:
      name: the image's name in its data set, without folder and extension.
      image: the encoded file.
      format: "jpeg" or "png".
      height: in pixels.
      width: in pixels.
      mask: [height, width], uint8 class ids, or None for an unlabeled image.
      class_ids: image-level labels of an image without mask.
      mask_png: `mask` as an 8-bit gray PNG, if available.
    """

    name: str
    image: bytes
    format: str
    height: int
    width: int
    mask: Optional[np.ndarray] = None
    class_ids: Sequence[int] = ()
    mask_png: Optional[bytes] = None


def serialize(example: Example) -> bytes:
    """Serializes an example; equal examples give equal bytes.

    Returns:
      A serialized `tf.train.Example`.

    Raises:
      UserError: image and mask differ in size.
    """
    features: dict[str, Union[bytes, list[int]]] = {
        keys.ENCODED: example.image,
        keys.FILENAME: example.name.encode(),
        keys.FORMAT: example.format.encode(),
        keys.HEIGHT: [example.height],
        keys.WIDTH: [example.width],
        keys.CHANNELS: [3],
    }
    if example.mask is not None:
        if example.mask.shape != (example.height, example.width):
            raise UserError(
                f"The mask of '{example.name}' has {example.mask.shape[1]} x "
                f"{example.mask.shape[0]} pixels, the image {example.width} x "
                f"{example.height}. A mask must have its image's size."
            )
        features[keys.LABEL_ENCODED] = example.mask_png or encode_mask(example.mask)
        features[keys.LABEL_FORMAT] = b"png"
    if len(example.class_ids):
        features[keys.CLASS_IDS] = sorted(map(int, set(example.class_ids)))
    entries = (
        _field(_KEY, key.encode()) + _field(_VALUE, _feature(features[key]))
        for key in sorted(features)
    )
    return _field(_ONLY, b"".join(_field(_ONLY, entry) for entry in entries))


def encode_png(pixels: np.ndarray) -> bytes:
    """Encodes [height, width] or [height, width, 3] uint8 pixels of a photo."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def encode_mask(mask: np.ndarray) -> bytes:
    """Encodes [height, width] uint8 class ids as a gray PNG.

    Much faster than PIL, and no larger: only outlines of objects differ from the line
    above; the rest is runs of zeros.
    """
    height, width = mask.shape
    lines = np.empty((height, 1 + width), np.uint8)
    lines[:, 0] = _FILTER_UP
    lines[0, 1:] = mask[0]
    np.subtract(mask[1:], mask[:-1], out=lines[1:, 1:])
    deflate = zlib.compressobj(strategy=zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 8, _GRAY, 0, 0, 0)
    pixels = deflate.compress(lines.tobytes()) + deflate.flush()
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return _PNG_SIGNATURE + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    )


def _feature(value: Union[bytes, list[int]]) -> bytes:
    if isinstance(value, bytes):
        return _field(_BYTES_LIST, _field(_ONLY, value))
    return _field(_INT64_LIST, _field(_ONLY, b"".join(map(_varint, value))))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | _BYTES_FIELD]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """An integer >= 0 in groups of 7 bits, the lowest first."""
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
