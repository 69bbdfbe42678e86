"""Images larger than the network's input: shrunk to fit, or predicted in windows.

The scores of large images take gigabytes, so they come in stripes of rows.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Callable, Optional

import numpy as np
import tensorflow as tf

# Maximum size of a stripe of enlarged scores, in numbers: 256 MiB of float32.
_STRIPE_NUMBERS = 2**26
# Maximum size of the sums of overlapping windows in a block of columns: 1 GiB.
_SUMS_NUMBERS = 2**28


def fitting_size(size: Sequence[int], crop_size: Sequence[int]) -> tf.Tensor:
    """Size of the largest image with this aspect ratio inside the crop: [2], int32.

    >>> print(fitting_size((50, 120), crop_size=(65, 65)).numpy())
    [27 65]
    """
    size, crop_size = tf.convert_to_tensor(size), tf.convert_to_tensor(crop_size)
    sides = size * crop_size[::-1] // size[::-1]
    return tf.clip_by_value(sides, 1, crop_size)


def affordable_size(size: Sequence[int], crop_size: Sequence[int]) -> tuple[int, int]:
    """Size of the largest image with this aspect ratio and at most the crop's pixels.

    >>> print(affordable_size((50, 120), crop_size=(65, 65)))
    (41, 100)
    """
    factor = math.sqrt(math.prod(crop_size) / math.prod(size))
    return tuple(max(1, int(side * factor)) for side in size)


def enlarged(scores: tf.Tensor, size: Sequence[int]) -> Iterator[tf.Tensor]:
    """Enlarges [h, w, classes] to `size`, in stripes of rows from the top.

    >>> stripes = enlarged(tf.zeros([2, 3, 4]), (5, 8))
    >>> print([stripe.shape.as_list() for stripe in stripes])
    [[5, 8, 4]]
    """
    height, width = size
    step = max(1, _STRIPE_NUMBERS // (width * scores.shape[-1]))
    for first in range(0, height, step):
        rows = tf.range(first, min(first + step, height))
        yield enlarged_rows(scores, size, rows)


def enlarged_rows(scores: tf.Tensor, size: Sequence[int], rows: tf.Tensor) -> tf.Tensor:
    """Enlarges [..., h, w, classes] to `size`, only for some rows of the result.

    Bilinear, with the same pixel centers as `geometry.scale_image`.

    >>> column = tf.constant([[[0.0]], [[4.0]]])
    >>> print(enlarged_rows(column, (4, 1), tf.range(3))[:, 0, 0].numpy())
    [0. 1. 3.]
    """
    height = tf.cast(size[0], tf.float64)
    small_height = tf.cast(tf.shape(scores)[-3], tf.float64)
    positions = (tf.cast(rows, tf.float64) + 0.5) * small_height / height - 0.5
    positions = tf.clip_by_value(positions, 0, small_height - 1)
    above = tf.floor(positions)
    below = tf.minimum(above + 1, small_height - 1)
    share = tf.cast(positions - above, tf.float32)[:, tf.newaxis, tf.newaxis]
    result = tf.gather(scores, tf.cast(above, tf.int32), axis=-3) * (1 - share)
    result += tf.gather(scores, tf.cast(below, tf.int32), axis=-3) * share
    # Only the width changes here.
    return tf.image.resize(result, tf.stack([tf.shape(rows)[0], size[1]]))


def column_blocks(
    width: int, crop_size: tuple[int, int], classes: int
) -> list[tuple[int, int]]:
    """Parts of an image that `averaged_windows` averages with bounded memory.

    >>> print(column_blocks(30_000, (641, 641), classes=21))
    [(0, 15000), (15000, 30000)]

    Returns:
      The first column and the end of each part, from the left. The windows at their
      borders are predicted twice, so there are only as many as the memory requires.
    """
    longest = max(crop_size[1], _SUMS_NUMBERS // (crop_size[0] * classes))
    count = -(-width // longest)
    ends = [width * part // count for part in range(count + 1)]
    return list(zip(ends, ends[1:]))


def averaged_windows(
    image: np.ndarray,
    crop_size: tuple[int, int],
    stride: float,
    score: Callable[[np.ndarray], tf.Tensor],
    columns: Optional[tuple[int, int]] = None,
) -> Iterator[tf.Tensor]:
    """Averages the scores of overlapping windows, in stripes of rows from the top.

    Args:
      image: [height, width, 3]; an array, or an object that is read when it is sliced.
      crop_size: height and width of the windows.
      stride: distance between windows as a share of their sides.
      score: maps a window [rows, columns, 3] to scores [rows, columns, classes].
      columns: the first column to average and their end (default: all).

    Yields:
      [rows, columns, classes], float32.

    >>> image, score = np.zeros([4, 7, 3]), lambda window: tf.ones([4, 5, 2])
    >>> stripes = averaged_windows(image, (4, 5), 0.5, score)
    >>> print([stripe.shape.as_list() for stripe in stripes])
    [[4, 7, 2]]
    """
    height, width = image.shape[:2]
    first, end = columns or (0, width)
    rows, side = (min(a, b) for a, b in zip(image.shape, crop_size))
    tops, lefts = window_starts(height, rows, stride), window_starts(
        width, side, stride
    )
    over_rows = _windows_over(height, tops, rows)
    over_columns = _windows_over(width, lefts, side)[first:end]
    lefts = [left for left in lefts if left < end and left + side > first]
    begin, stop = lefts[0], lefts[-1] + side  # Of the columns that are read.
    sums = None  # For the rows top ... top + rows.
    for top, next_top in zip(tops, [*tops[1:], height]):
        stripe = image[top : top + rows, begin:stop]
        for left in (left - begin for left in lefts):
            scores = score(stripe[:, left : left + side])
            if sums is None:
                sums = np.zeros([rows, stop - begin, scores.shape[-1]], np.float32)
            sums[:, left : left + side] += scores.numpy()
        done = next_top - top  # No later window reaches these rows.
        step = max(1, _STRIPE_NUMBERS // sums[0].size)
        for part in (slice(i, min(i + step, done)) for i in range(0, done, step)):
            counts = np.outer(over_rows[top:next_top][part], over_columns)
            counts = counts.astype(np.float32)[..., np.newaxis]
            yield tf.constant(sums[part, first - begin : end - begin] / counts)
        sums[: rows - done] = sums[done:]
        sums[rows - done :] = 0.0


def window_starts(length: int, window: int, stride: float) -> list[int]:
    """First pixels of the windows along a side; the last window ends at its end.

    >>> print(window_starts(2048, window=769, stride=2 / 3))
    [0, 513, 1026, 1279]
    """
    last = length - window
    return [*range(0, last, max(1, round(window * stride))), last]


def _windows_over(length: int, starts: Sequence[int], window: int) -> np.ndarray:
    """Number of windows that cover each pixel of a side: [length]."""
    counts = np.zeros(length, np.int64)
    for start in starts:
        counts[start : start + window] += 1
    return counts
