"""COCO's polygons and run lengths -> pixels, exactly as pycocotools decodes them.

Written here because the records must not depend on what happens to be installed, and a
general drawing routine sets other pixels along the edges.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

# Edges are followed on a grid this much finer than the pixels.
_SCALE = 5


def decode(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Decodes an annotation's `segmentation`.

    Args:
      segmentation: a list of polygons [x0, y0, x1, y1, ...], whose union counts, or run
        lengths {"counts": [...], "size": [height, width]}, column by column, beginning
        with pixels outside.
      height: of the image, in pixels.
      width: of the image, in pixels.

    Returns:
      [height, width], bool.

    Raises:
      TypeError: compressed run lengths, which COCO's own files do not hold.
      ValueError: run lengths of an image of another size.
    """
    if isinstance(segmentation, dict):
        return _decode_runs(segmentation, height, width)
    inside = np.zeros((height, width), bool)
    for polygon in segmentation:
        inside |= fill(polygon, height, width)
    return inside


def fill(polygon: Sequence[float], height: int, width: int) -> np.ndarray:
    """Fills one polygon: [height, width], bool.

    Source: `rleFrPoly` of the COCO API. In each column, the pixels inside begin and end
    where the outline, drawn on a finer grid, crosses the column's centre.
    """
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    x, y = _outline(np.trunc(_SCALE * points + 0.5).astype(np.int64))
    # Where the outline steps to another fine column: that column, and the higher point.
    steps = np.flatnonzero(x[1:] != x[:-1])
    column = np.where(x[steps + 1] < x[steps], x[steps + 1], x[steps + 1] - 1)
    column = (column + 0.5) / _SCALE - 0.5
    row = np.minimum(y[steps], y[steps + 1])
    row = np.ceil(np.clip((row + 0.5) / _SCALE - 0.5, 0, height))
    centred = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    crossings = np.sort(column[centred] * height + row[centred]).astype(np.int64)
    lengths = np.diff(crossings, prepend=0, append=height * width)
    return _expand(lengths, height, width)


def _outline(corners: np.ndarray) -> tuple:
    """All grid points on a closed polygon's edges, in order.

    Args:
      corners: [corners, 2], int64.

    Returns:
      x, y: [points], int64.
    """
    start, end = corners, np.roll(corners, -1, axis=0)
    reach = abs(end - start)
    flat = reach[:, 0] >= reach[:, 1]
    length = reach.max(axis=1)
    # An edge is drawn from its lower coordinate to the higher, so that two polygons
    # that share an edge share its points.
    along = np.where(flat, 0, 1)
    edge = np.arange(len(corners))
    backwards = start[edge, along] > end[edge, along]
    low = np.where(backwards[:, np.newaxis], end, start)
    high = np.where(backwards[:, np.newaxis], start, end)
    rise = (high - low)[edge, 1 - along] / np.maximum(length, 1)

    edges = np.repeat(edge, length + 1)
    first = np.cumsum(length + 1) - (length + 1)
    t = np.arange(len(edges)) - first[edges]
    t = np.where(backwards[edges], length[edges] - t, t)
    along_value = low[edge, along][edges] + t
    across_value = low[edge, 1 - along][edges] + rise[edges] * t + 0.5
    across_value = np.trunc(across_value).astype(np.int64)
    is_flat = flat[edges]
    return (
        np.where(is_flat, along_value, across_value),
        np.where(is_flat, across_value, along_value),
    )


def _decode_runs(runs: Any, height: int, width: int) -> np.ndarray:
    lengths = runs["counts"]
    if isinstance(lengths, str):
        raise TypeError("compressed run lengths are not supported")
    if sum(lengths) != height * width:
        raise ValueError(f"run lengths do not fill {width} x {height} pixels")
    return _expand(lengths, height, width)


def _expand(lengths: Sequence[int], height: int, width: int) -> np.ndarray:
    """Runs outside, inside, outside, ..., column by column: [height, width], bool."""
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(width, height).T
