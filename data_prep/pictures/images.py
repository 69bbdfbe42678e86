"""Reads image files into examples, and finds them in folders."""

import collections
import io
import os
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

import numpy as np
from PIL import Image

from data_prep.pictures import decoding
from data_prep.writing.examples import Example
from wss.errors import UserError

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif"),
    *(".tiff", ".ppm", ".pgm"),
)
_TRANSPARENT_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
_MAX_8_BITS, _MAX_16_BITS = 255, 65535


class Found(NamedTuple):
    """The files of a folder and below.

    Attributes:
      paths: {id: path} of the images, sorted; the id is the path below the folder
        without suffix and ending.
      left_out: the other files: hidden, or no images by their names.
    """

    paths: dict[str, str]
    left_out: list[str]


def read_example(
    name: str,
    path: str,
    mask: Optional[np.ndarray] = None,
    class_ids: Sequence[int] = (),
    max_side: Optional[int] = None,
    encoded: Optional[bytes] = None,
    mask_png: Optional[bytes] = None,
    as_stored: bool = False,
) -> Example:
    """Reads an image; JPEG and PNG in grey or RGB keep their bytes.

    Anything else that can be decoded becomes RGB, 8 bits, upright: a photo with an EXIF
    orientation is turned as viewers and most annotation tools show it. Transparent
    pixels are shown on white.

    Args:
      name: the image's name in its data set.
      path: the file.
      mask: [height, width], uint8 class ids, of the upright image.
      class_ids: image-level labels of an image without mask.
      max_side: if given, larger images and their masks are made smaller, so that the
        longer side has this many pixels.
      encoded: the content, if it is in no file; `path` then only says where it is from.
      mask_png: the mask as a grey PNG, if it is there.
      as_stored: do not turn the image: its mask is that of the pixels as they lie in
        the file, as publishers' tools made it.

    Raises:
      UserError: the file is no image or is damaged, or its mask has another size.
    """
    encoded, image = decoding.load(path, "image", encoded)
    stored_size = image.size
    image_format = "jpeg" if image.format in decoding.JPEG else "png"
    turn = None if as_stored else decoding.orientation(image)
    stays = turn is None and _can_stay(encoded, image)
    if not stays:
        image = _to_rgb(image, path)
    if turn is not None:
        image = image.transpose(turn)
    if mask is not None:
        _check_size(mask, image.size, stored_size, path)
    if max_side is not None and max(image.size) > max_side:
        stays, mask_png = False, None
        image, mask = _shrink(image, mask, max_side)
    if not stays:
        encoded = _encode(image, image_format)
    width, height = image.size
    return Example(
        name, encoded, image_format, height, width, mask, class_ids, mask_png
    )


def scan(folder: str, suffix: str = "") -> Found:
    """Finds the images in a folder and below; links are followed.

    Args:
      folder: where to look.
      suffix: what the names of the images end with, before the dot; others are none.

    Raises:
      UserError: no folder, no image in it, two with one id, a name that is no text.
    """
    if not os.path.isdir(folder):
        raise UserError(f"There is no folder {folder}.")
    found = collections.defaultdict(list)
    left_out = []
    for path in _walk(folder):
        stem, extension = os.path.splitext(path)
        is_image = (
            extension.lower() in EXTENSIONS
            and os.path.basename(stem)[1:].endswith(suffix)
            and not _is_hidden(os.path.relpath(path, folder))
        )
        if is_image:
            stem = stem[: len(stem) - len(suffix)]
            found[_name(os.path.relpath(stem, folder), path)].append(path)
        else:
            left_out.append(path)
    if not found:
        ending = f" with names that end in '{suffix}'" if suffix else ""
        raise UserError(
            f"There is no image{ending} in {folder} ({', '.join(EXTENSIONS)})."
        )
    for name, paths in found.items():
        if len(paths) > 1:
            raise UserError(
                f"Two files have the id '{name}': {' and '.join(sorted(paths))}. "
                "Remove or rename one."
            )
    return Found({name: found[name][0] for name in sorted(found)}, sorted(left_out))


def find(folder: str) -> dict[str, str]:
    """The images in a folder and below, {id: path}; errors as of `scan`."""
    return scan(folder).paths


def describe_left_out(folder: str, left_out: Sequence[str]) -> str:
    """A sentence about the files that `scan` left out."""
    kinds = collections.Counter(_kind(path, folder) for path in left_out)
    shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
    more = ", ..." if len(kinds) > 5 else ""
    files = "file" if len(left_out) == 1 else "files"
    return (
        f"{folder}: {len(left_out)} {files} left out ({shown}{more}); the first is "
        f"{left_out[0]}."
    )


def read_ids(path: str) -> list[str]:
    """Reads a list of image ids, one a line.

    Raises:
      UserError: no file, no text, nothing in it, or an id twice.
    """
    ids = [line for _, line in read_lines(path)]
    refuse_repeated(ids, path)
    return ids


def read_lines(path: str) -> list[tuple[int, str]]:
    """Reads a text file of any system: its numbered lines, without the blank ones.

    Raises:
      UserError: no file, no text or nothing in it.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise UserError(f"The list {path} cannot be read ({error.strerror}).") from None
    is_utf_16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = content.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"The list {path} is no text. Save it as UTF-8.") from None
    text = unicodedata.normalize("NFC", text)
    lines = [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise UserError(f"The list {path} is empty.")
    return lines


def refuse_repeated(ids: Sequence[str], source: str) -> None:
    """Refuses a list in which an id stands twice.

    Raises:
      UserError: naming the first such id.
    """
    if len(set(ids)) < len(ids):
        twice = next(name for name, n in collections.Counter(ids).items() if n > 1)
        raise UserError(f"The list {source} names '{twice}' more than once.")


def refuse_missing(missing: Sequence[str], problem: str, advice: str) -> None:
    """Refuses to go on where files are missing.

    Raises:
      UserError: something is missing; says how many and which comes first.
    """
    if missing:
        raise UserError(
            f"{len(missing)} {problem}; the first is '{missing[0]}'. {advice}"
        )


def _walk(folder: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """The files in a folder and below. Links are followed, but not in circles."""
    here = os.path.realpath(folder)
    if here in above:
        return
    try:
        with os.scandir(folder) as entries:
            entries = list(entries)
    except OSError as error:
        raise UserError(
            f"The folder {folder} cannot be read ({error.strerror})."
        ) from error
    for entry in entries:
        if _is_folder(entry):
            yield from _walk(entry.path, (*above, here))
        else:
            yield entry.path


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link that leads to itself: whoever reads it tells of it.
        return False


def _is_hidden(path: str) -> bool:
    parts = path.split(os.sep)
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _kind(path: str, folder: str) -> str:
    if _is_hidden(os.path.relpath(path, folder)):
        return "hidden"
    return os.path.splitext(path)[1] or "without ending"


def _name(stem: str, path: str) -> str:
    """The id of a file; one for the same name in the spellings of all systems."""
    try:
        stem.encode()
    except UnicodeEncodeError:
        raise UserError(f"The file name {path!a} is not UTF-8. Rename it.") from None
    return unicodedata.normalize("NFC", stem.replace(os.sep, "/"))


def _check_size(
    mask: np.ndarray, size: tuple[int, int], stored_size: tuple[int, int], path: str
) -> None:
    """Compares a mask with its image; sizes are (width, height)."""
    mask_size = mask.shape[::-1]
    if mask_size == size:
        return
    sizes = "{} x {} pixels, its mask {} x {}".format(*size, *mask_size)
    if mask_size == stored_size:
        raise UserError(
            f"The image {path}, turned upright as its EXIF data say, has {sizes}: the "
            "mask was drawn without turning. Take the orientation out of the photo "
            "(exiftool -Orientation= FILE), or turn the mask."
        )
    turned = ", turned upright as its EXIF data say," if size != stored_size else ""
    raise UserError(
        f"The image {path}{turned} has {sizes}. Save the mask in the image's size."
    )


def _can_stay(encoded: bytes, image: Image.Image) -> bool:
    """Whether TensorFlow decodes the file to the same pixels."""
    return (
        image.format in (*decoding.JPEG, "PNG")
        and image.mode in ("L", "RGB")
        and "transparency" not in image.info
        and decoding.is_sound(encoded, image)
    )


def _to_rgb(image: Image.Image, path: str) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bits(np.asarray(image), path))
    try:
        if image.mode in _TRANSPARENT_MODES or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        return image.convert("RGB")
    except ValueError as error:
        raise UserError(
            f"The image {path} has pixels of an unknown kind ({image.mode}). Save it "
            "as JPEG or PNG."
        ) from error


def _to_8_bits(values: np.ndarray, path: str) -> np.ndarray:
    """Makes uint8 grey of 16-bit grey; numbers that fit into 8 bits stay."""
    whole = np.issubdtype(values.dtype, np.integer)
    if not whole or values.min() < 0 or values.max() > _MAX_16_BITS:
        raise UserError(
            f"The image {path} holds numbers ({values.min():g} to {values.max():g}) "
            "whose brightness is not known. Save it with 8 or 16 bits."
        )
    if values.max() > _MAX_8_BITS:
        values = values >> 8
    return values.astype(np.uint8)


def _shrink(
    image: Image.Image, mask: Optional[np.ndarray], max_side: int
) -> tuple[Image.Image, Optional[np.ndarray]]:
    scale = max_side / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    if mask is not None:
        mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return image.resize(size, Image.Resampling.LANCZOS), mask


def _encode(image: Image.Image, image_format: str) -> bytes:
    buffer = io.BytesIO()
    image.info = {}  # What was true of the pixels before: profile, transparent colour.
    if image_format == "png":
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
