"""Reads masks of class ids, and refuses what is none."""

import os

import numpy as np
from PIL import Image

from wss.errors import UserError

# Modes of PIL whose pixels are one number: palette index, grey, bit, 16 and 32 bits.
_ONE_CHANNEL = ("P", "L", "1", "I;16", "I;16B", "I")


def read_mask(path: str, num_classes: int, ignore_label: int) -> np.ndarray:
    """Reads a palette image (its indices, not its colours) or a grey one.

    Returns:
      [height, width], uint8 class ids.

    Raises:
      UserError: no image, not lossless, not one channel, or a value that is neither a
        class nor the ignore label.
    """
    mask = read_values(path)
    check_values(mask, num_classes, ignore_label, path)
    return mask.astype(np.uint8)


def read_values(path: str) -> np.ndarray:
    """Reads the numbers that a mask holds, whatever they mean.

    Returns:
      [height, width], integers.

    Raises:
      UserError: no image, not lossless or not one channel.
    """
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(
            f"The mask {path} cannot be read ({error}). Repair or remove it."
        ) from error
    if image.format in ("JPEG", "MPO"):
        raise UserError(
            f"The mask {path} is a JPEG, whose compression changes class ids. Save "
            "masks as PNG, from their source."
        )
    if image.mode not in _ONE_CHANNEL:
        raise UserError(
            f"The mask {path} holds colours ({image.mode}), not class ids. Save it as "
            "a grey or palette PNG whose values are the class ids 0, 1, 2, ..."
        )
    return np.asarray(image).astype(np.int32)


def check_values(
    mask: np.ndarray, num_classes: int, ignore_label: int, source: str
) -> None:
    """Checks that each value is a class or the ignore label.

    Raises:
      UserError: naming the source, a wrong value and what can be done.
    """
    values = np.unique(mask)
    wrong = values[
        ((values < 0) | (values >= num_classes)) & (values != ignore_label)
    ].tolist()
    if not wrong:
        return
    if values.tolist() == [0, 255]:
        advice = "It looks like a yes/no mask of 0 and 255: save 255 as 1"
    else:
        advice = (
            "Raise the number of classes, name it with --ignore_label, or change it in "
            "the mask"
        )
    raise UserError(
        f"The mask {source} holds the value {wrong[0]}, which is neither a class "
        f"(0..{num_classes - 1}) nor the ignore label ({ignore_label}). {advice}."
    )


def check_binaries(paths, ignore_label: int) -> None:
    """Refuses a set of masks in which nothing but 0 and 255 occurs, 255 being ignored.

    Such masks pass for background and ignored pixels, and a network trained on them
    predicts nothing at all. Stops at the first mask that shows another value.

    Args:
      paths: files of masks.
      ignore_label: the label of ignored pixels.

    Raises:
      UserError: all masks are 0 and 255.
    """
    seen = set()
    for path in paths:
        seen.update(np.unique(read_values(path)).tolist())
        if not seen <= {0, 255}:
            return
    if ignore_label == 255 and 255 in seen:
        raise UserError(
            f"All masks in {os.path.dirname(path)} hold only 0 and 255: yes/no masks, "
            "whose 255 would be ignored and nothing learned. Save 255 as 1."
        )
