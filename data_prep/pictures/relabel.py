"""A publisher's labels -> class ids."""

import functools
from collections.abc import Mapping, Sequence
from typing import Callable

import numpy as np

from wss.errors import UserError


def look_up(
    values: np.ndarray,
    class_ids: Mapping[int, int],
    source: str,
    show: Callable[[int], str] = "the value {}".format,
) -> np.ndarray:
    """Replaces each value by its class id.

    Args:
      values: [height, width], integers.
      class_ids: {value: class id or ignore label}.
      source: the mask's file, for the message.
      show: what to call a value there.

    Returns:
      [height, width], uint8.

    Raises:
      UserError: a value that is not known.
    """
    known, ids = _columns(tuple(class_ids.items()))
    if values.dtype == np.uint8:
        place = _places(tuple(known.tolist()))[values]
    else:
        place = np.minimum(np.searchsorted(known, values), len(known) - 1)
        place = np.where(known[place] == values, place, -1)
    wrong = place < 0
    if wrong.any():
        raise UserError(
            f"The mask {source} holds {show(values[wrong].min())}, which is no label "
            "of this data set. Take the mask from its publisher's archive."
        )
    return ids[place]


def number(colours: np.ndarray) -> np.ndarray:
    """Numbers of colours [..., 3], 0..255: [...], int32."""
    red, green, blue = np.moveaxis(np.asarray(colours, np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def colour(number_of: int) -> str:
    """What to call a colour, given its number."""
    return f"the colour #{number_of:06x}"


def histogram(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values that occur, in order, and how often."""
    if mask.dtype in (np.uint8, np.uint16):
        counts = np.bincount(mask.ravel())
        values = np.flatnonzero(counts)
        return values, counts[values]
    return np.unique(mask, return_counts=True)


@functools.lru_cache(maxsize=8)
def _columns(class_ids: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    known, ids = zip(*sorted(class_ids))
    return np.array(known), np.array(ids, np.uint8)


@functools.lru_cache(maxsize=8)
def _places(known: Sequence[int]) -> np.ndarray:
    """Where each value 0..255 stands in `known`; -1 where it does not."""
    return np.array([known.index(i) if i in known else -1 for i in range(256)])
