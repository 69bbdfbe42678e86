"""Reads masks of class ids, and refuses what is none."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Optional

import numpy as np
from PIL import Image

from data_prep.pictures import relabel
from data_prep.pictures.colormaps import Colormap
from wss.errors import UserError
from wss.photos import decoding, heif

# Modes of PIL whose pixels are one number: palette index, grey, bit, 16 and 32 bits.
_ONE_CHANNEL = ("P", "L", "1", "I;16", "I;16B", "I;16L", "I", "F")
_WITH_COLOURS = ("RGB", "P", "L", "1")
_WITH_ALPHA = ("RGBA", "LA", "PA")
# Files, and pictures in TIFF files, whose compression may change values.
_LOSSY_FORMATS = (*decoding.JPEG, "WEBP", *heif.FORMATS)
_LOSSY_COMPRESSIONS = ("jpeg", "tiff_jpeg", "webp")

_CHECKED_BINARIES = 64
_WHITE = 255
# Of TIFF's floats; larger ones, and infinity, are no integers.
_LARGEST_LABEL = 2**31
_ADVICE = "Raise the number of classes, or change it in the mask"
_SAVE = "Save it as a grey or palette PNG whose values are class ids, from 0 on"


@dataclasses.dataclass(frozen=True)
class Labels:
    """How the labels in masks become class ids: one step after the other.

    Attributes:
      colormap: the labels are colours, and these are their classes.
      binary: of the two values of a mask the one that is not 0 becomes 1.
      changes: (first, last, new): values first..last become new, all at once.
    """

    colormap: Optional[Colormap] = None
    binary: bool = False
    changes: tuple[tuple[int, int, int], ...] = ()

    def keeps(self, value: int) -> bool:
        """Whether nothing is said about a value."""
        return not (
            self.colormap
            or self.binary
            or any(first <= value <= last for first, last, _ in self.changes)
        )


AS_THEY_ARE = Labels()


def read_mask(
    path: str,
    num_classes: int,
    ignore_label: int,
    labels: Labels = AS_THEY_ARE,
    advice: str = _ADVICE,
) -> np.ndarray:
    """Reads a palette image (its indices, not its colours), a grey one or colours.

    Args:
      path: the file.
      num_classes: number of classes, the background included.
      ignore_label: label of pixels that do not count.
      labels: what the values or colours mean, if not class ids.
      advice: what can be done about a value that is no class.

    Returns:
      [height, width], uint8 class ids.

    Raises:
      UserError: no image, not lossless, no labels that are known, or a value that is
        neither a class nor the ignore label.
    """
    return read_mask_and_png(path, num_classes, ignore_label, labels, advice)[0]


def read_mask_and_png(
    path: str,
    num_classes: int,
    ignore_label: int,
    labels: Labels = AS_THEY_ARE,
    advice: str = _ADVICE,
) -> tuple[np.ndarray, Optional[bytes]]:
    """Reads a mask whose file need not be encoded anew; arguments as of `read_mask`.

    Returns:
      [height, width], uint8 class ids; and the file's content if it is a PNG in which
      every decoder finds just these numbers, else None.

    Raises:
      UserError: as of `read_mask`.
    """
    encoded, image = _load(path)
    if labels.colormap:
        mask = labels.colormap.class_ids(_colours(image, path), path)
    else:
        mask = _values(image, path)
    class_ids = to_class_ids(mask, path, num_classes, ignore_label, labels, advice)
    if labels != AS_THEY_ARE:
        return class_ids, None
    if image.mode == "P":
        _check_palette(image, class_ids, num_classes, ignore_label, path)
    return class_ids, encoded if _can_stay(encoded, image) else None


def to_class_ids(
    mask: np.ndarray,
    source: str,
    num_classes: int,
    ignore_label: int,
    labels: Labels = AS_THEY_ARE,
    advice: str = _ADVICE,
) -> np.ndarray:
    """Turns the numbers in a mask, [height, width], into class ids.

    Args:
      mask: [height, width], integers.
      source: the mask's file, for messages.
      num_classes, ignore_label, labels, advice: as of `read_mask`.

    Returns:
      [height, width], uint8 class ids.

    Raises:
      UserError: a value that is neither a class nor the ignore label.
    """
    if labels.binary:
        mask = _binary(mask, source)
    mask = _changed(mask, labels.changes)
    check_values(mask, num_classes, ignore_label, source, advice)
    return mask.astype(np.uint8)


def read_values(path: str, encoded: Optional[bytes] = None) -> np.ndarray:
    """Reads the numbers that a mask holds, whatever they mean.

    A mask in RGB whose channels are equal is a grey one. Transparency that the numbers
    show as well is passed over.

    Args:
      path: the file.
      encoded: the content, if it is in no file; `path` then only says where it is from.

    Returns:
      [height, width], integers.

    Raises:
      UserError: no image, not lossless, not one number for each pixel.
    """
    return _values(_load(path, encoded)[1], path)


def read_colours(path: str) -> np.ndarray:
    """Reads the colours that a mask shows; grey ones and palettes have them too.

    Returns:
      [height, width, 3], uint8.

    Raises:
      UserError: no image, not lossless, or transparency that the colours do not show.
    """
    return _colours(_load(path)[1], path)


def check_values(
    mask: np.ndarray,
    num_classes: int,
    ignore_label: int,
    source: str,
    advice: str = _ADVICE,
) -> None:
    """Checks that each value is a class or the ignore label.

    Args:
      mask: [height, width], integers.
      num_classes: number of classes, the background included.
      ignore_label: label of pixels that do not count.
      source: the mask's file, for the message.
      advice: what can be done; {value} stands for the value.

    Raises:
      UserError: naming the source, a wrong value, its pixels and what can be done.
    """
    # Nearly all masks are right: this takes a tenth of the time of a histogram.
    if ((mask >= 0) & (mask < num_classes) | (mask == ignore_label)).all():
        return
    values, counts = _histogram(mask)
    wrong = ((values < 0) | (values >= num_classes)) & (values != ignore_label)
    if values.tolist() == [0, _WHITE]:
        advice = (
            "It looks like a yes/no mask of 0 and 255: data_prep.folder --binary reads "
            "255 as 1"
        )
    value, count = values[wrong][0].item(), counts[wrong][0].item()
    if value < 0:  # No command line can name it.
        advice = _SAVE
    more = f" (and {wrong.sum() - 1} other such values)" if wrong.sum() > 1 else ""
    raise UserError(
        f"The mask {source} holds the value {value}{more} in {count} pixels, which is "
        f"neither a class (0..{num_classes - 1}) nor the ignore label "
        f"({ignore_label}). {advice.format(value=value)}."
    )


def check_binaries(
    paths: Sequence[str], ignore_label: int, labels: Labels = AS_THEY_ARE
) -> None:
    """Refuses a set of masks in which nothing but 0 and 255 occurs, 255 being ignored.

    Such masks pass for background and ignored pixels, and a network trained on them
    predicts nothing at all. Looks at some masks, spread over all of them.

    Args:
      paths: files of masks.
      ignore_label: the label of ignored pixels.
      labels: what the values mean; if they speak of 255, all is well.

    Raises:
      UserError: all masks are 0 and 255.
    """
    if ignore_label != _WHITE or not labels.keeps(_WHITE):
        return
    seen = set()
    for path in paths[:: max(1, -(-len(paths) // _CHECKED_BINARIES))]:
        try:
            seen.update(_histogram(read_values(path))[0].tolist())
        except UserError:
            continue  # Whoever writes the records tells of all broken masks.
        if not seen <= {0, _WHITE}:
            return
    if _WHITE in seen:
        raise UserError(
            f"The masks in {os.path.dirname(path)} hold only 0 and 255: yes/no masks, "
            "whose 255 would be ignored and nothing learned. Add --binary to read 255 "
            "as 1; or --map 255=ignore if that is meant."
        )


def _load(path: str, encoded: Optional[bytes] = None) -> tuple[bytes, Image.Image]:
    """Opens a mask whose numbers or colours are as they were drawn.

    Returns:
      The file's content and the picture. One that was turned is of no format.
    """
    encoded, image = decoding.load(path, "mask", encoded)
    compression = image.info.get("compression")
    if image.format in _LOSSY_FORMATS or compression in _LOSSY_COMPRESSIONS:
        name = "WEBP" if compression == "webp" else image.format
        kind = {"WEBP": "WebP", "HEIF": "HEIC", "AVIF": "AVIF"}.get(name, "JPEG")
        raise UserError(
            f"The mask {path} is a {kind}, whose compression changes class ids. Save "
            "masks as PNG, from their source."
        )
    several = image.mode not in _ONE_CHANNEL
    if several and decoding.bits_per_channel(encoded, image) > 8:
        raise UserError(f"The mask {path} has several channels of 16 bits. {_SAVE}.")
    turn = decoding.orientation(image)
    return encoded, image if turn is None else image.transpose(turn)


def _can_stay(encoded: bytes, image: Image.Image) -> bool:
    """Whether TensorFlow decodes the file to the numbers that PIL has found."""
    return (
        (image.format, image.mode) == ("PNG", "L")
        and decoding.bits_per_channel(encoded, image) == 8
        and "transparency" not in image.info
        and decoding.is_sound(encoded, image)
    )


def _values(image: Image.Image, path: str) -> np.ndarray:
    """[height, width], integers."""
    if image.mode in _ONE_CHANNEL:
        values = np.asarray(image)
    else:
        pixels = _colours(image, path)
        values = pixels[..., 0]
        if (pixels != values[..., None]).any():
            raise UserError(
                f"The mask {path} holds colours ({image.mode}), not class ids. Say "
                "what they mean (data_prep.folder --colormap), or save it as a grey or "
                "palette PNG whose values are class ids, from 0 on."
            )
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind == "f":
        wrong = ~(abs(values) <= _LARGEST_LABEL) | (values != np.rint(values))
        if wrong.any():
            raise UserError(
                f"The mask {path} holds the value {values[wrong][0]:g}, which is no "
                f"class id. {_SAVE}."
            )
    return values if values.dtype.kind == "u" else values.astype(np.int64)


def _colours(image: Image.Image, path: str) -> np.ndarray:
    """[height, width, 3], uint8."""
    if image.mode in _WITH_ALPHA:
        pixels = np.asarray(image.convert("RGBA"))
        _check_alpha(pixels, path)
        return pixels[..., :3]
    if image.mode not in _WITH_COLOURS:
        raise UserError(
            f"The mask {path} has pixels of a kind ({image.mode}) without colours of 8 "
            "bits. Save it as a PNG in RGB."
        )
    return np.asarray(image.convert("RGB"))


def _check_alpha(pixels: np.ndarray, path: str) -> None:
    """Refuses a mask whose labels may lie in the alpha channel, [..., 4]."""
    alpha = pixels[..., 3].astype(np.int64)
    if alpha.min() == alpha.max():
        return
    colours = relabel.number(pixels[..., :3])
    if len(np.unique(colours)) < len(np.unique(colours | alpha << 24)):
        raise UserError(
            f"The mask {path} shows pixels of one colour that differ in transparency, "
            "which has no meaning here. Save it without alpha channel, each class in "
            "its colour."
        )


def _check_palette(
    image: Image.Image,
    indices: np.ndarray,
    num_classes: int,
    ignore_label: int,
    path: str,
) -> None:
    """Refuses a palette mask that may as well be a grey one, packed by a program.

    Such programs number the values that occur: 0, 2, 5 becomes 0, 1, 2 with a palette
    of these greys. A palette of black and white is a yes/no mask.
    """
    used = _histogram(indices)[0]
    palette = np.array(image.getpalette("RGB"), np.int64).reshape(-1, 3)[used]
    greys = palette[:, 0]
    is_grey = (palette == greys[:, None]).all()
    if not is_grey or (greys == used).all() or set(greys.tolist()) <= {0, _WHITE}:
        return
    if ((greys < num_classes) | (greys == ignore_label)).all():
        raise UserError(
            f"The mask {path} has a palette of greys that differ from its indices, and "
            "both could be class ids. Save it as a grey PNG, without palette; or say "
            "what the greys mean (data_prep.folder --colormap)."
        )


def _binary(mask: np.ndarray, path: str) -> np.ndarray:
    values = _histogram(mask)[0]
    if (values != 0).sum() > 1:
        raise UserError(
            f"The mask {path} holds {len(values)} values ({values[0]} to "
            f"{values[-1]}): it is no yes/no mask, and --binary does not fit. Save it "
            "without smoothed edges, or leave --binary out."
        )
    return (mask != 0).astype(np.uint8)


def _changed(mask: np.ndarray, changes: Sequence[tuple[int, int, int]]) -> np.ndarray:
    if not changes:
        return mask
    changed = mask.astype(np.int64)
    for first, last, new in changes:
        changed[(mask >= first) & (mask <= last)] = new
    return changed


def _histogram(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values that occur, in order, and how often."""
    if mask.dtype in (np.uint8, np.uint16):
        counts = np.bincount(mask.ravel())
        values = np.flatnonzero(counts)
        return values, counts[values]
    return np.unique(mask, return_counts=True)
