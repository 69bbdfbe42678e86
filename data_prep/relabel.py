"""Maps labels in masks to class ids, by a publisher's table or by --map."""

import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Callable

import numpy as np

from data_prep import class_names
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError

# A label in --map; "no data" is often negative or NaN.
_NUMBER = r"nan|-?inf|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"


def look_up(
    values: np.ndarray,
    class_ids: Mapping[int, int],
    source: str,
    show: Callable[[int], str] = "the value {}".format,
) -> np.ndarray:
    """Replaces each value with its class id.

    Args:
      values: [height, width], integers.
      class_ids: {value: class id or ignore label}.
      source: the mask's file, for the message.
      show: formats a value for the message.

    Returns:
      [height, width], uint8.

    Raises:
      UserError: a value is not among `class_ids`.
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
            f"The mask {source} has {show(values[wrong].min())}, which is not a label "
            "of this data set. Use the mask from the publisher's archive."
        )
    return ids[place]


def number(colors: np.ndarray) -> np.ndarray:
    """Packs colors [..., 3], 0..255, into one number each: [...], int32."""
    red, green, blue = np.moveaxis(np.asarray(colors, np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def color(number_of: int) -> str:
    """Formats a packed color for messages."""
    return f"the color #{number_of:06x}"


def histogram(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values that occur, in order, and their counts."""
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
    """The index of each value 0..255 in `known`, or -1."""
    return np.array([known.index(i) if i in known else -1 for i in range(256)])


def parse_changes(
    texts: Sequence[str],
    spec: DatasetSpec,
    before: Sequence[tuple[float, float, int]] = (),
) -> tuple[tuple[float, float, int], ...]:
    """Reads changes of labels, `OLD=NEW` or `FIRST-LAST=NEW`, for `masks.Labels`.

    Args:
      texts: what the user wrote.
      spec: the classes.
      before: earlier changes; their labels must not be changed again.

    Raises:
      UserError: a text is malformed, a class is unknown, or a label is repeated.
    """
    changes = []
    for text in texts:
        match = re.fullmatch(f"({_NUMBER})(?:-({_NUMBER}))?=(.+)", text, re.IGNORECASE)
        first = _as_number(match[1]) if match else 1
        last = _as_number(match[2] or match[1]) if match else 0
        if first > last or (math.isnan(first) != math.isnan(last)):
            raise UserError(
                f"--map {text}: write OLD=NEW or FIRST-LAST=NEW, such as 7=road, "
                "20-254=ignore, -9999=ignore or nan=ignore."
            )
        if any(_overlap((first, last), change) for change in [*before, *changes]):
            raise UserError(f"--map {text}: this label is already mapped. Map it once.")
        new = class_names.class_of(match[3], spec, f"--map {text}")
        changes.append((first, last, new))
    return tuple(changes)


def _as_number(text: str) -> float:
    number = float(text)
    return (
        int(text) if math.isfinite(number) and text.lstrip("-").isdecimal() else number
    )


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two ranges, FIRST and LAST, have a label in common."""
    if math.isnan(one[0]):
        return math.isnan(other[0])
    return one[0] <= other[1] and other[0] <= one[1]


def changed(
    mask: np.ndarray, changes: Sequence[tuple[float, float, int]]
) -> np.ndarray:
    if not changes:
        return mask
    has_floats = mask.dtype.kind == "f"
    changed = mask.astype(np.float64 if has_floats else np.int64)
    for first, last, new in changes:
        if has_floats:  # With the file's precision.
            with np.errstate(over="ignore"):
                first, last = mask.dtype.type(first), mask.dtype.type(last)
        is_nan = math.isnan(first)
        found = np.isnan(mask) if is_nan else (mask >= first) & (mask <= last)
        changed[found] = new
    return changed
