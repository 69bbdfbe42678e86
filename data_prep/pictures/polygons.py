"""COCO's polygons and run lengths -> pixels, exactly as pycocotools decodes them.

Written here because the records must not depend on what happens to be installed, and a
general drawing routine sets other pixels along the edges.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

# Edges are followed on a grid this much finer than the pixels.
_SCALE = 5
# Coordinates beyond this are no coordinates, and would cost memory.
_FARTHEST = 1e5


def decode(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Decodes an annotation's `segmentation`: [height, width], bool.

    Args and Raises: as of `draw`.
    """
    columns = np.zeros((width, height), bool)
    draw(columns, segmentation, True)
    return columns.T


def draw(columns: np.ndarray, segmentation: Any, value: int) -> None:
    """Sets the pixels inside an annotation's `segmentation`.

    Args:
      columns: [width, height], contiguous: a mask column by column, drawn on.
      segmentation: a list of polygons [x0, y0, x1, y1, ...], in pixels, whose union
        counts, or run lengths {"counts": ..., "size": [height, width]}, column by
        column, beginning with pixels outside. The counts are a list, or a string of
        the COCO API's compressed form.
      value: for the pixels inside. A polygon of less than three corners has none.

    Raises:
      ValueError: coordinates or run lengths that make no sense, or are of an image of
        another size.
      KeyError, TypeError: something else than a segmentation.
    """
    width, height = columns.shape
    if isinstance(segmentation, dict):
        shapes = [_decode_runs(segmentation, height, width)]
    else:
        shapes = [_crossings(polygon, height, width) for polygon in segmentation]
    pixels = columns.reshape(-1)
    for bounds in shapes:
        if len(bounds):
            # Pixels from bounds[0] on lie inside, from bounds[1] on outside, ...
            inside = np.arange(len(bounds) - 1) % 2 == 0
            inside = np.repeat(inside, np.diff(bounds))
            pixels[bounds[0] : bounds[-1]][inside] = value


def _crossings(polygon: Sequence[float], height: int, width: int) -> np.ndarray:
    """Where a polygon begins and ends: [2 * runs], sorted numbers of pixels, int64.

    Source: `rleFrPoly` of the COCO API. In each column, the pixels inside begin and end
    where the outline, drawn on a finer grid, crosses the column's centre.
    """
    points = np.asarray(polygon, np.float64)
    if points.ndim != 1 or len(points) % 2:
        raise ValueError("a polygon is not a list of x, y, x, y, ...")
    if not (abs(points) <= _FARTHEST).all():
        raise ValueError("a polygon's corner lies far from the image")
    if len(points) < 6:
        return np.zeros(0, np.int64)
    corners = np.trunc(_SCALE * points.reshape(-1, 2) + 0.5).astype(np.int64)
    x, y = _outline(corners)
    # Where the outline steps to another fine column: that column, and the higher point.
    steps = np.flatnonzero(x[1:] != x[:-1])
    column = np.where(x[steps + 1] < x[steps], x[steps + 1], x[steps + 1] - 1)
    column = (column + 0.5) / _SCALE - 0.5
    row = np.minimum(y[steps], y[steps + 1])
    row = np.ceil(np.clip((row + 0.5) / _SCALE - 0.5, 0, height))
    centred = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    bounds = np.sort(column[centred] * height + row[centred]).astype(np.int64)
    # The last run of a polygon that its image cuts ends with the image.
    return bounds if len(bounds) % 2 == 0 else np.append(bounds, height * width)


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
    """Bounds of run lengths, as of `_crossings`."""
    lengths = runs["counts"]
    if isinstance(lengths, str):
        lengths = _decompress(lengths)
    lengths = np.asarray(lengths, np.int64)
    if (
        list(runs["size"]) != [height, width]
        or (lengths < 0).any()
        or lengths.sum() != height * width
    ):
        raise ValueError(f"run lengths do not fill {width} x {height} pixels")
    return np.cumsum(lengths[: len(lengths) // 2 * 2])


def _decompress(counts: str) -> list[int]:
    """Run lengths of a compressed string.

    Source: `rleFrString` of the COCO API. Six bits a character: five of a number, the
    lowest first, and one that says whether it goes on. From the fourth on, the numbers
    are differences to the length before the last.
    """
    lengths = []
    number, shift = 0, 0
    for character in counts.encode("ascii"):
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError("compressed run lengths hold a strange character")
        number |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            number -= 1 << shift
        lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
        number, shift = 0, 0
    if shift:
        raise ValueError("compressed run lengths end too early")
    return lengths
