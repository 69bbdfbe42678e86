"""HEIC and AVIF, the formats of phones, which pillow-heif reads.

pip install pillow-heif
"""

import warnings
from typing import Optional

from PIL import Image, features

try:
    import pillow_heif
except ImportError:  # It is missing or does not fit this system.
    pillow_heif = None

ADVICE = (
    "HEIC and AVIF are read where pillow-heif is installed: pip install pillow-heif. "
    "Or save the photos as JPEG."
)
# Extensions of these files, even if they cannot be read here.
ENDINGS = (".heic", ".heif", ".hif", ".avif", ".avifs")

# The first box of a file names its formats: length, "ftyp" and brands.
_BOX_TYPE, _LONGEST_BOX = b"ftyp", 256
_AVIF = (b"avif", b"avis")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def _register() -> tuple[str, ...]:
    """Registers the formats with Pillow; returns the names of the readable ones."""
    if pillow_heif is None:
        return ()
    pillow_heif.register_heif_opener()
    if hasattr(pillow_heif, "register_avif_opener"):  # Before Pillow read AVIF itself.
        pillow_heif.register_avif_opener()
        return ("HEIF", "AVIF")
    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Some versions of Pillow do not know AVIF.
        has_avif = features.check("avif")
    return ("HEIF", "AVIF") if has_avif else ("HEIF",)


FORMATS = _register()
# Those that can be read here.
EXTENSIONS = tuple(
    ending
    for ending in ENDINGS
    if ("AVIF" if ending.startswith(".avif") else "HEIF") in FORMATS
)


def kind(encoded: bytes) -> Optional[str]:
    """The format by the content, "HEIC" or "AVIF"; None for others."""
    if encoded[4:8] != _BOX_TYPE:
        return None
    end = min(int.from_bytes(encoded[:4], "big"), _LONGEST_BOX)
    brands = [encoded[8:12], *(encoded[i : i + 4] for i in range(16, end, 4))]
    if any(brand in _AVIF for brand in brands):
        return "AVIF"
    return "HEIC" if any(brand in _HEIC for brand in brands) else None
