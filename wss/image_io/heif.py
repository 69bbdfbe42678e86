"""HEIC and AVIF, as phones write photos: read where pillow-heif is installed.

pip install pillow-heif
"""

import warnings
from typing import Optional

from PIL import Image, features

try:
    import pillow_heif
except ImportError:  # Or one that does not fit this system.
    pillow_heif = None

ADVICE = (
    "HEIC and AVIF are read where pillow-heif is installed: pip install pillow-heif. "
    "Or save the photos as JPEG."
)
# By the endings of files, whether or not they can be read here.
ENDINGS = (".heic", ".heif", ".hif", ".avif", ".avifs")

# The first box of a file says which kinds it is: its length, "ftyp" and brands.
_BOX_TYPE, _LONGEST_BOX = b"ftyp", 256
_AVIF = (b"avif", b"avis")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def _register() -> tuple[str, ...]:
    """Has Pillow open them; the formats' names, none where they cannot be read."""
    if pillow_heif is None:
        return ()
    pillow_heif.register_heif_opener()
    if hasattr(pillow_heif, "register_avif_opener"):  # Before Pillow read AVIF itself.
        pillow_heif.register_avif_opener()
        return ("HEIF", "AVIF")
    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of Pillow that knows no AVIF.
        has_avif = features.check("avif")
    return ("HEIF", "AVIF") if has_avif else ("HEIF",)


FORMATS = _register()
# Those of files that are read here.
EXTENSIONS = tuple(
    ending
    for ending in ENDINGS
    if ("AVIF" if ending.startswith(".avif") else "HEIF") in FORMATS
)


def kind(encoded: bytes) -> Optional[str]:
    """ "HEIC" or "AVIF" of a file that is one, whatever its name says."""
    if encoded[4:8] != _BOX_TYPE:
        return None
    end = min(int.from_bytes(encoded[:4], "big"), _LONGEST_BOX)
    brands = [encoded[8:12], *(encoded[i : i + 4] for i in range(16, end, 4))]
    if any(brand in _AVIF for brand in brands):
        return "AVIF"
    return "HEIC" if any(brand in _HEIC for brand in brands) else None
