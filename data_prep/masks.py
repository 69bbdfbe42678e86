"""Reads masks of class ids, and refuses other images."""

import dataclasses
from typing import Optional

import numpy as np
from PIL import Image

from data_prep import binary_masks, relabel
from data_prep.colormaps import Colormap
from wss.errors import UserError
from wss.image_io import bit_depth, decoding

# PIL's modes with one number per pixel: palette index, gray, bit, 16 and 32 bits.
_ONE_CHANNEL = ("P", "L", "1", "I;16", "I;16B", "I;16L", "I", "F")
_WITH_COLORS = ("RGB", "P", "L", "1")
_WITH_ALPHA = ("RGBA", "LA", "PA")
_WHITE = 255
# For floats in TIFF files; larger ones, and infinity, are not integers.
_LARGEST_LABEL = 2**31
_ADVICE = "Raise the number of classes, or change the value in the mask"
_SAVE = "Save it as a gray or palette PNG whose values are class ids, starting at 0"


@dataclasses.dataclass(frozen=True)
class Labels:
    """How the labels in masks become class ids, step by step.

    Attributes:
      colormap: the labels are colors, and these are their classes.
      binary: masks have two values, and the one that is not 0 becomes 1.
      changes: (first, last, new): values first..last become new, all at the same time.
        NaN matches NaN.
    """

    colormap: Optional[Colormap] = None
    binary: bool = False
    changes: tuple[tuple[float, float, int], ...] = ()

    def keeps(self, value: int) -> bool:
        """Whether a value keeps its meaning."""
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
    """Reads a mask: a palette image (its indices), a gray image, or colors.

    Args:
      path: the file.
      num_classes: number of classes, including the background.
      ignore_label: label of ignored pixels.
      labels: how values or colors become class ids.
      advice: how to correct a value that is not a class.

    Returns:
      [height, width], uint8 class ids.

    Raises:
      UserError: it is not an image or not lossless, has unknown labels, or a value that
        is neither a class nor the ignore label.
    """
    return read_mask_and_png(path, num_classes, ignore_label, labels, advice)[0]


def read_mask_and_png(
    path: str,
    num_classes: int,
    ignore_label: int,
    labels: Labels = AS_THEY_ARE,
    advice: str = _ADVICE,
    colors: Optional[np.ndarray] = None,
) -> tuple[np.ndarray, Optional[bytes]]:
    """Reads a mask, and its file if that can become part of a record unchanged.

    Args:
      path, num_classes, ignore_label, labels, advice: see `read_mask`.
      colors: [num_classes, 3], the classes' colors in the publisher's masks, if known.

    Returns:
      [height, width], uint8 class ids; and the file's content if it is a PNG that every
      decoder reads as these numbers, otherwise None.

    Raises:
      UserError: as in `read_mask`; or a palette has `colors` in another order.
    """
    encoded, image = _load(path, binary=labels.binary)
    if labels.colormap:
        mask = labels.colormap.class_ids(_colors(image, path), path)
    else:
        mask = _values(image, path)
    class_ids = to_class_ids(mask, path, num_classes, ignore_label, labels, advice)
    if labels != AS_THEY_ARE:
        return class_ids, None
    if image.mode == "P":
        _check_palette(image, class_ids, num_classes, ignore_label, path)
        if colors is not None:
            _check_order(image, class_ids, colors, path)
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
      mask: [height, width], integers or floats.
      source: the mask's file, for messages.
      num_classes, ignore_label, labels, advice: see `read_mask`.

    Returns:
      [height, width], uint8 class ids.

    Raises:
      UserError: a value is neither a class nor the ignore label.
    """
    if labels.binary:
        mask = binary_masks.from_values(mask, source)
    mask = _whole(relabel.changed(mask, labels.changes), source, advice)
    check_values(mask, num_classes, ignore_label, source, advice)
    return mask.astype(np.uint8)


def read_values(path: str, encoded: Optional[bytes] = None) -> np.ndarray:
    """Reads the values of a mask as they are.

    RGB with equal channels is read as gray. Transparency is ignored if it adds nothing
    to the values.

    Args:
      path: the file.
      encoded: the content, if it is not in a file; `path` then only names its source.

    Returns:
      [height, width], integers.

    Raises:
      UserError: it is not an image, not lossless, or has several values per pixel.
    """
    return _whole(_values(_load(path, encoded)[1], path), path)


def read_colors(path: str) -> np.ndarray:
    """Reads the colors of a mask, which may be gray or have a palette.

    Returns:
      [height, width, 3], uint8.

    Raises:
      UserError: it is not an image, not lossless, or distinguishes labels only by
        transparency.
    """
    return _colors(_load(path)[1], path)


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
      num_classes: number of classes, including the background.
      ignore_label: label of ignored pixels.
      source: the mask's file, for the message.
      advice: what to do; {value} is replaced by the value.

    Raises:
      UserError: a value is neither; the message names the source, the value, its number
        of pixels and what to do.
    """
    # Nearly all masks are correct, and this is ten times faster than a histogram.
    if ((mask >= 0) & (mask < num_classes) | (mask == ignore_label)).all():
        return
    values, counts = relabel.histogram(mask)
    wrong = ((values < 0) | (values >= num_classes)) & (values != ignore_label)
    if values.tolist() == [0, _WHITE]:
        advice = (
            "It looks like a yes/no mask of 0 and 255: data_prep.folder --binary reads "
            "255 as 1"
        )
    value, count = values[wrong][0].item(), counts[wrong][0].item()
    if value < 0 and advice == _ADVICE:
        advice = _SAVE
    more = f" (and {wrong.sum() - 1} other such values)" if wrong.sum() > 1 else ""
    raise UserError(
        f"The mask {source} has the value {value}{more} in {count} pixels, which is "
        f"neither a class (0..{num_classes - 1}) nor the ignore label "
        f"({ignore_label}). {advice.format(value=value)}."
    )


def _load(
    path: str, encoded: Optional[bytes] = None, binary: bool = False
) -> tuple[bytes, Image.Image]:
    """Opens a mask, and refuses lossy compression.

    Args:
      path: the file.
      encoded: the content, if it is not in a file.
      binary: accept lossy compression, as a yes/no mask of 0 and 1.

    Returns:
      The file's content and the image. If the image was rotated, or Pillow scales its
      values, it has no format.
    """
    encoded, image = decoding.load(path, "mask", encoded)
    turn = decoding.orientation(image)
    kind = binary_masks.lossy_kind(image)
    if kind:
        if not binary:
            raise UserError(
                f"The mask {path} is a {kind}, whose compression changes class "
                "ids. Save masks as PNG, from their source; for yes/no masks in black "
                "and white, use data_prep.folder --binary."
            )
        image = binary_masks.thresholded(image, path)
    elif bit_depth.is_scaled(encoded, image):
        if image.mode not in _ONE_CHANNEL:
            raise UserError(
                f"The mask {path} has several channels with more than 8 bits. {_SAVE}."
            )
        image = Image.fromarray(bit_depth.stored_numbers(encoded, image, path))
    return encoded, image if turn is None else image.transpose(turn)


def _can_stay(encoded: bytes, image: Image.Image) -> bool:
    """Whether TensorFlow decodes the file to the same values as PIL does."""
    return (
        (image.format, image.mode) == ("PNG", "L")
        and "transparency" not in image.info
        and decoding.is_sound(encoded, image)
    )


def _values(image: Image.Image, path: str) -> np.ndarray:
    """[height, width], integers or floats."""
    if image.mode in _ONE_CHANNEL:
        values = np.asarray(image)
    else:
        pixels = _colors(image, path)
        values = pixels[..., 0]
        colored = (pixels != values[..., None]).any(axis=-1)
        if colored.any():
            color = " ".join(map(str, pixels[colored][0].tolist()))
            raise UserError(
                f"The mask {path} has colors ({image.mode}), not class ids. Give each "
                "color its class with data_prep.folder --colormap=FILE, in a line such "
                f"as '{color} CLASS'; or save it as a gray or palette PNG whose values "
                "are class ids, starting at 0."
            )
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    return values


def _whole(values: np.ndarray, path: str, advice: str = _SAVE) -> np.ndarray:
    """Converts the values of a mask to integers, if they are whole numbers."""
    if values.dtype.kind == "u":
        return values
    if values.dtype.kind == "f":
        absent = ~(abs(values) <= _LARGEST_LABEL)
        wrong = absent | (values != np.rint(values))
        if wrong.any():
            value = values[absent if absent.any() else wrong][0].item()
            advice = advice.format(value=value) if absent.any() else _SAVE
            raise UserError(
                f"The mask {path} has the value {value}, which is not a class id. "
                f"{advice}."
            )
    return values.astype(np.int64)


def _colors(image: Image.Image, path: str) -> np.ndarray:
    """[height, width, 3], uint8."""
    if image.mode in _WITH_ALPHA:
        pixels = np.asarray(image.convert("RGBA"))
        _check_alpha(pixels, path)
        return pixels[..., :3]
    if image.mode not in _WITH_COLORS:
        raise UserError(
            f"The mask {path} has pixels ({image.mode}) that are not colors with 8 "
            "bits per channel. Save it as a PNG in RGB."
        )
    return np.asarray(image.convert("RGB"))


def _check_alpha(pixels: np.ndarray, path: str) -> None:
    """Refuses a mask whose labels may be in the alpha channel, [..., 4]."""
    alpha = pixels[..., 3].astype(np.int64)
    if alpha.min() == alpha.max():
        return
    colors = relabel.number(pixels[..., :3])
    if len(np.unique(colors)) < len(np.unique(colors | alpha << 24)):
        raise UserError(
            f"The mask {path} has pixels of one color that differ in transparency, "
            "which is not read. Save it without alpha channel, with one color per "
            "class."
        )


def _check_palette(
    image: Image.Image,
    indices: np.ndarray,
    num_classes: int,
    ignore_label: int,
    path: str,
) -> None:
    """Refuses a palette mask that may be a packed gray mask.

    Some programs number the values that occur: 0, 2, 5 become 0, 1, 2 with a palette of
    these grays. A palette of black and white is a yes/no mask.
    """
    used = relabel.histogram(indices)[0]
    palette = _palette(image)[used]
    grays = palette[:, 0]
    is_gray = (palette == grays[:, None]).all()
    if not is_gray or (grays == used).all() or set(grays.tolist()) <= {0, _WHITE}:
        return
    if ((grays < num_classes) | (grays == ignore_label)).all():
        raise UserError(
            f"The mask {path} has a palette of grays that differ from its indices, and "
            "both could be class ids. Save it as a gray PNG, without palette; or "
            "give each gray its class with data_prep.folder --colormap."
        )


def _check_order(
    image: Image.Image, indices: np.ndarray, colors: np.ndarray, path: str
) -> None:
    """Refuses a palette in which an index has the color of another class.

    An editor may reorder the colors when it saves a mask.
    """
    palette = _palette(image)
    for index in relabel.histogram(indices)[0].tolist():
        (classes,) = np.nonzero((colors == palette[index]).all(axis=1))
        if len(classes) and index not in classes:
            raise UserError(
                f"The palette of the mask {path} gives index {index} the color of "
                f"class {classes[0]}: another program has saved it in another order. "
                "Use the mask from the publisher's archive."
            )


def _palette(image: Image.Image) -> np.ndarray:
    """The palette, [256, 3], padded with black."""
    palette = np.zeros((256, 3), np.int64)
    own = np.array(image.getpalette("RGB")).reshape(-1, 3)
    palette[: len(own)] = own
    return palette
