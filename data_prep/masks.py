"""Reads masks of class ids, and refuses other images."""

import dataclasses
from typing import Optional

import numpy as np
from PIL import Image

from data_prep import binary_masks, relabel
from data_prep.colormaps import Colormap
from wss.errors import UserError
from wss.image_io import bit_depth, decoding

# Modes of PIL whose pixels are one number: palette index, gray, bit, 16 and 32 bits.
_ONE_CHANNEL = ("P", "L", "1", "I;16", "I;16B", "I;16L", "I", "F")
_WITH_COLORS = ("RGB", "P", "L", "1")
_WITH_ALPHA = ("RGBA", "LA", "PA")
_WHITE = 255
# Of TIFF's floats; larger ones, and infinity, are no integers.
_LARGEST_LABEL = 2**31
_ADVICE = "Raise the number of classes, or change it in the mask"
_SAVE = "Save it as a gray or palette PNG whose values are class ids, from 0 on"


@dataclasses.dataclass(frozen=True)
class Labels:
    """How the labels in masks become class ids, step by step.

    Attributes:
      colormap: the labels are colors, and these are their classes.
      binary: of the two values of a mask the one that is not 0 becomes 1.
      changes: (first, last, new): values first..last become new, all at once. NaN
        matches NaN.
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
    """Reads a palette image (its indices, not its colors), a gray one or colors.

    Args:
      path: the file.
      num_classes: number of classes, the background included.
      ignore_label: label of pixels that do not count.
      labels: what the values or colors mean, if not class ids.
      advice: how to correct a value that is not a class.

    Returns:
      [height, width], uint8 class ids.

    Raises:
      UserError: not an image, not lossless, unknown labels, or a value that is neither
        a class nor the ignore label.
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
    """Reads a mask, and its file if it can go into a record unchanged.

    Args:
      path, num_classes, ignore_label, labels, advice: see `read_mask`.
      colors: [num_classes, 3], if the publisher's masks show the classes in these.

    Returns:
      [height, width], uint8 class ids; and the file's content if it is a PNG in which
      every decoder finds just these numbers, else None.

    Raises:
      UserError: as in `read_mask`; or a palette with `colors` in another order.
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
      UserError: a value that is neither a class nor the ignore label.
    """
    if labels.binary:
        mask = binary_masks.from_values(mask, source)
    mask = _whole(relabel.changed(mask, labels.changes), source, advice)
    check_values(mask, num_classes, ignore_label, source, advice)
    return mask.astype(np.uint8)


def read_values(path: str, encoded: Optional[bytes] = None) -> np.ndarray:
    """Reads the values of a mask, whatever they mean.

    RGB with equal channels is read as gray. Transparency that the values show too is
    ignored.

    Args:
      path: the file.
      encoded: the content, if it is not in a file; `path` then only names its origin.

    Returns:
      [height, width], integers.

    Raises:
      UserError: not an image, not lossless, or more than one value per pixel.
    """
    return _whole(_values(_load(path, encoded)[1], path), path)


def read_colors(path: str) -> np.ndarray:
    """Reads the colors that a mask shows; gray ones and palettes have them too.

    Returns:
      [height, width, 3], uint8.

    Raises:
      UserError: not an image, not lossless, or transparency that colors do not show.
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
      num_classes: number of classes, the background included.
      ignore_label: label of pixels that do not count.
      source: the mask's file, for the message.
      advice: how to correct it; {value} is replaced by the value.

    Raises:
      UserError: naming the source, a wrong value, its pixels and what can be done.
    """
    # Nearly all masks are right, and this is ten times faster than a histogram.
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
        f"The mask {source} holds the value {value}{more} in {count} pixels, which is "
        f"neither a class (0..{num_classes - 1}) nor the ignore label "
        f"({ignore_label}). {advice.format(value=value)}."
    )


def _load(
    path: str, encoded: Optional[bytes] = None, binary: bool = False
) -> tuple[bytes, Image.Image]:
    """Opens a mask, and refuses lossy compression.

    Args:
      path: the file.
      encoded: the content, if it is in no file.
      binary: accept lossy compression, as a yes/no mask of 0 and 1.

    Returns:
      The file's content and the image. If it was turned, or Pillow scales its values,
      the image has no format.
    """
    encoded, image = decoding.load(path, "mask", encoded)
    turn = decoding.orientation(image)
    kind = binary_masks.lossy_kind(image)
    if kind:
        if not binary:
            raise UserError(
                f"The mask {path} is a {kind}, whose compression changes class "
                "ids. Save masks as PNG, from their source; yes/no masks of black and "
                "white can be read with data_prep.folder --binary."
            )
        image = binary_masks.thresholded(image, path)
    elif bit_depth.is_scaled(encoded, image):
        if image.mode not in _ONE_CHANNEL:
            raise UserError(
                f"The mask {path} has several channels, and not of 8 bits. {_SAVE}."
            )
        image = Image.fromarray(bit_depth.stored_numbers(encoded, image, path))
    return encoded, image if turn is None else image.transpose(turn)


def _can_stay(encoded: bytes, image: Image.Image) -> bool:
    """Whether TensorFlow decodes the file to the same values as PIL."""
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
                f"The mask {path} holds colors ({image.mode}), not class ids. Say "
                "what they mean with data_prep.folder --colormap=FILE, a line such as "
                f"'{color} CLASS' for each; or save it as a gray or palette PNG whose "
                "values are class ids, from 0 on."
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
                f"The mask {path} holds the value {value}, which is no class id. "
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
            f"The mask {path} has pixels of a kind ({image.mode}) without colors of 8 "
            "bits. Save it as a PNG in RGB."
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
            f"The mask {path} shows pixels of one color that differ in transparency, "
            "which has no meaning here. Save it without alpha channel, each class in "
            "its color."
        )


def _check_palette(
    image: Image.Image,
    indices: np.ndarray,
    num_classes: int,
    ignore_label: int,
    path: str,
) -> None:
    """Refuses a palette mask that may be a gray mask packed by a program.

    Such programs number the values that occur: 0, 2, 5 becomes 0, 1, 2 with a palette
    of these grays. A palette of black and white is a yes/no mask.
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
            "both could be class ids. Save it as a gray PNG, without palette; or say "
            "what the grays mean (data_prep.folder --colormap)."
        )


def _check_order(
    image: Image.Image, indices: np.ndarray, colors: np.ndarray, path: str
) -> None:
    """Refuses a palette in which an index has the color of another class.

    An editor that saves a mask again may put its colors in another order.
    """
    palette = _palette(image)
    for index in relabel.histogram(indices)[0].tolist():
        (classes,) = np.nonzero((colors == palette[index]).all(axis=1))
        if len(classes) and index not in classes:
            raise UserError(
                f"The palette of the mask {path} gives the number {index} the color "
                f"of class {classes[0]}: another program has saved it in an order of "
                "its own. Take the mask from its publisher's archive."
            )


def _palette(image: Image.Image) -> np.ndarray:
    """[256, 3]; black, where the file's own palette is shorter."""
    palette = np.zeros((256, 3), np.int64)
    own = np.array(image.getpalette("RGB")).reshape(-1, 3)
    palette[: len(own)] = own
    return palette
