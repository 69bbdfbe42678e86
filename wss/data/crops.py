"""Sizes of crops that fit the photos of a data set."""

import math
from collections.abc import Mapping

import numpy as np

# {(height, width): number of photos}.
Sizes = Mapping[tuple[int, int], int]

_STRIDE = 16  # Crops are a multiple of it, plus 1.
_SMALL, _LARGE, _LARGEST_EVALUATED = 321, 513, 2049


def training_crop(sizes: Sizes) -> int:
    """CROP_SIZE for photos: about half of their longer side; small photos are whole.

    >>> print(training_crop({(480, 640): 200}), training_crop({(48, 64): 9}))
    321 65
    """
    sides = [max(size) for size, count in sizes.items() for _ in range(count)]
    side = float(np.median(sides))
    if side <= _SMALL:
        return _whole(side)
    return min(max(_SMALL, _whole(side / 2)), _LARGE)


def evaluation_crop(sizes: Sizes) -> int:
    """EVAL_CROP_SIZE for photos: all of them fit, unless they are very large.

    >>> print(evaluation_crop({(480, 640): 40, (480, 320): 9}))
    641
    """
    return min(_whole(max(max(size) for size in sizes)), _LARGEST_EVALUATED)


def _whole(side: float) -> int:
    """The smallest size of a crop that contains a side."""
    return math.ceil((side - 1) / _STRIDE) * _STRIDE + 1
