"""Encodes image files that Pillow cannot write: few bits, many bits, odd headers."""

import struct
import zlib
from collections.abc import Sequence
from typing import Optional

import numpy as np

_PNG_KINDS = {1: 0, 2: 4, 3: 2, 4: 6}  # By number of channels.
_SHORT, _LONG = 3, 4


def png(pixels: np.ndarray, bits: int, palette: Sequence[int] = ()) -> bytes:
    """A PNG of [height, width] or [height, width, channels] numbers of some bits."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    height, width = pixels.shape[:2]
    kind = _PNG_KINDS[pixels.shape[2] if pixels.ndim == 3 else 1]
    kind = 3 if palette else kind
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    lines = b"".join(b"\0" + line for line in _packed(pixels, bits, ">"))
    chunks = [(b"IHDR", header), (b"PLTE", bytes(palette))][: 1 + bool(palette)]
    chunks += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def tiff(
    pixels: np.ndarray,
    bits: int,
    order: str = "<",
    deflated: bool = False,
    white_is_zero: bool = False,
    photometric: Optional[int] = None,
    sample_format: int = 1,
) -> bytes:
    """A TIFF with one strip; `order` is the byte order."""
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    data = b"".join(_packed(pixels, bits, order))
    data = zlib.compress(data) if deflated else data
    if photometric is None:
        photometric = 2 if channels > 1 else 0 if white_is_zero else 1
    tags = [
        *((256, _SHORT, [width]), (257, _SHORT, [height])),
        *((258, _SHORT, [bits] * channels), (259, _SHORT, [8 if deflated else 1])),
        (262, _SHORT, [photometric]),
        *((273, _LONG, [8]), (277, _SHORT, [channels]), (278, _SHORT, [height])),
        (279, _LONG, [len(data)]),
    ]
    if channels == 4:
        tags.append((338, _SHORT, [2]))
    if sample_format != 1:
        tags.append((339, _SHORT, [sample_format] * channels))
    data += b"\0" * (len(data) % 2)
    more_at = 8 + len(data) + 2 + 12 * len(tags) + 4
    entries, more = b"", b""
    for tag, kind, values in tags:
        packed = struct.pack(
            f"{order}{len(values)}{'H' if kind == _SHORT else 'I'}", *values
        )
        if len(packed) > 4:
            place, more = struct.pack(f"{order}I", more_at + len(more)), more + packed
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + place
    head = b"II*\0" if order == "<" else b"MM\0*"
    head += struct.pack(f"{order}I", 8 + len(data))
    count = struct.pack(f"{order}H", len(tags))
    return head + data + count + entries + struct.pack(f"{order}I", 0) + more


def pnm(pixels: np.ndarray, largest: int, as_text: bool = False) -> bytes:
    """A PGM or PPM file with its largest number."""
    kind = 2 + (pixels.ndim == 3) + 3 * (not as_text)
    head = f"P{kind}\n# by hand\n{pixels.shape[1]} {pixels.shape[0]}\n{largest}\n"
    if as_text:
        return (head + " ".join(map(str, pixels.ravel().tolist()))).encode()
    return head.encode() + pixels.astype(">u2" if largest > 255 else "u1").tobytes()


def _packed(pixels: np.ndarray, bits: int, order: str) -> list[bytes]:
    """The lines of an image; numbers with fewer than 8 bits are packed."""
    lines = pixels.reshape(len(pixels), -1)
    if bits >= 8:
        return [line.astype(f"{order}u{bits // 8}").tobytes() for line in lines]
    return [
        np.packbits(
            (line[:, np.newaxis] >> np.arange(bits - 1, -1, -1) & 1).astype(np.uint8)
        ).tobytes()
        for line in lines
    ]
