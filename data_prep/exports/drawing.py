"""Draws the shapes of labeling tools, as labelme does, with Pillow."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

# In pixels.
_LINE_WIDTH, _POINT_SIZE = 10, 5


def covered(
    kind: str, points: Sequence[tuple[float, float]], width: int, height: int
) -> np.ndarray:
    """The pixels that a shape covers.

    Args:
      kind: "polygon"; "rectangle" and "ellipse", by two corners; "circle", by its
        center and a point on it; "line", "linestrip"; or "point".
      points: (x, y) of each, in pixels.
      width, height: of the photo, in pixels.

    Returns:
      [height, width], bool.

    Raises:
      ValueError: there is no such kind, or it has too few points.
    """
    canvas = Image.new("1", (width, height))
    pen = ImageDraw.Draw(canvas)
    if kind == "polygon" and len(points) > 2:
        pen.polygon(points, fill=1, outline=1)
    elif kind in ("rectangle", "ellipse") and len(points) == 2:
        (left, top), (right, bottom) = np.sort(points, axis=0).tolist()
        draw = pen.rectangle if kind == "rectangle" else pen.ellipse
        draw((left, top, right, bottom), fill=1, outline=1)
    elif kind == "circle" and len(points) == 2:
        _disk(pen, points[0], math.dist(*points))
    elif kind in ("line", "linestrip") and len(points) > 1:
        pen.line(points, fill=1, width=_LINE_WIDTH)
    elif kind == "point" and len(points) == 1:
        _disk(pen, points[0], _POINT_SIZE)
    else:
        raise ValueError(f"it is a {kind} with {len(points)} points")
    return np.asarray(canvas)


def _disk(pen: ImageDraw.ImageDraw, center: tuple[float, float], radius: float) -> None:
    x, y = center
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1, outline=1)
