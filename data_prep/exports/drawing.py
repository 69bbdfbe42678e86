"""Draws the shapes of labeling tools, as labelme does, with Pillow."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

# In pixels.
_LINE_WIDTH, _POINT_SIZE = 10, 5
_ELLIPSE_CORNERS = 90
# Larger numbers, in pixels, cannot be coordinates; Pillow takes minutes to draw them.
_FARTHEST = 1e5


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
      ValueError: there is no such kind, it has too few points or one that is not a
        number or far away, or it is outside the photo.
    """
    if not (abs(np.array(points, np.float64)) <= _FARTHEST).all():
        raise ValueError("a point is not a number, or far from the photo")
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
    if canvas.getbbox() is None:
        raise ValueError(f"it is outside the photo of {width} x {height} pixels")
    return np.asarray(canvas)


def ellipse(
    x: float, y: float, radius_x: float, radius_y: float
) -> list[tuple[float, float]]:
    """The corners of an ellipse as a polygon."""
    angles = np.linspace(0, 2 * math.pi, _ELLIPSE_CORNERS, endpoint=False)
    return [(x + radius_x * math.cos(a), y + radius_y * math.sin(a)) for a in angles]


def rotated(
    points: Sequence[tuple[float, float]],
    degrees: float,
    center: tuple[float, float],
) -> list[tuple[float, float]]:
    """The points after a clockwise rotation, as seen on the photo."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    turned = (np.array(points) - center) @ [[cos, sin], [-sin, cos]] + center
    return [(x, y) for x, y in turned.tolist()]


def _disk(pen: ImageDraw.ImageDraw, center: tuple[float, float], radius: float) -> None:
    x, y = center
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1, outline=1)
