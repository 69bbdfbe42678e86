"""Pictures of numbers for TensorBoard: legend, confusion matrix, bars of IoU."""

from typing import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wss.panels import IGNORED_COLOUR

_FONT = ImageFont.load_default()
_LINE = 16  # Pixels from one line of text to the next.
_MARGIN = 6
_INK, _PAPER, _FAINT = (32, 32, 32), (255, 255, 255), (225, 225, 225)
_BLUE = (8, 64, 160)
_MAX_CLASSES_WITH_NUMBERS = 40


def legend(class_names: Sequence[str], palette: np.ndarray) -> np.ndarray:
    """What the colours of the panels mean.

    Args:
      class_names: by class id.
      palette: [classes, 3], uint8.

    Returns:
      [1, height, width, 3], uint8.
    """
    names = [*class_names, "ignored"]
    colours = [*map(tuple, np.asarray(palette).tolist()), IGNORED_COLOUR]
    rows = min(len(names), 24)
    columns = -(-len(names) // rows)
    column = _widest(names) + _LINE + 3 * _MARGIN
    image, draw = _canvas(columns * column + _MARGIN, rows * _LINE + 2 * _MARGIN)
    for number, (name, colour) in enumerate(zip(names, colours)):
        left = _MARGIN + number // rows * column
        top = _MARGIN + number % rows * _LINE
        draw.rectangle(
            (left, top + 1, left + _LINE - 3, top + _LINE - 2), colour, outline=_INK
        )
        _text(draw, left + _LINE + _MARGIN, top, name)
    return _array(image)


def confusion_matrix(confusion: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Each row a labeled class: which share of its pixels was predicted as what.

    Args:
      confusion: [classes, classes], row = label, column = prediction, counts.
      class_names: by class id.

    Returns:
      [1, height, width, 3], uint8; percents in the cells while they fit.
    """
    confusion = np.asarray(confusion, np.float64)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1.0)
    classes = len(class_names)
    numbered = classes <= _MAX_CLASSES_WITH_NUMBERS
    cell = 30 if numbered else 8
    left = _widest(class_names) + 2 * _MARGIN if numbered else _MARGIN
    top = _LINE + 2 * _MARGIN + (_LINE if numbered else 0)
    side = classes * cell
    image, draw = _canvas(max(left + side, 260) + _MARGIN, top + side + _MARGIN)
    _text(draw, _MARGIN, _MARGIN, "row: label, column: prediction, % of the row")
    for row in range(classes):
        if numbered:
            _text(draw, _MARGIN, top + row * cell + 8, class_names[row])
            _text(draw, left + row * cell + 2, top - _LINE, class_names[row][:4])
        for column in range(classes):
            share = shares[row, column]
            x, y = left + column * cell, top + row * cell
            colour = tuple(
                round(paper + share * (blue - paper))
                for paper, blue in zip(_PAPER, _BLUE)
            )
            draw.rectangle((x, y, x + cell - 1, y + cell - 1), colour, _FAINT)
            if numbered and share >= 0.005:
                ink = _PAPER if share > 0.5 else _INK
                _text(draw, x + 5, y + 8, f"{100 * share:.0f}", ink)
    return _array(image)


def iou_bars(
    class_iou: np.ndarray,
    mean_iou: float,
    class_names: Sequence[str],
    palette: np.ndarray,
) -> np.ndarray:
    """A bar for each class in its colour, and the mean.

    Args:
      class_iou: [classes], NaN for a class without a labeled pixel.
      mean_iou: their mean.
      class_names: by class id.
      palette: [classes, 3], uint8.

    Returns:
      [1, height, width, 3], uint8.
    """
    names = ["mean", *class_names]
    values = [mean_iou, *class_iou]
    colours = [_INK, *map(tuple, np.asarray(palette).tolist())]
    left, length = _widest(names) + 2 * _MARGIN, 300
    image, draw = _canvas(left + length + 50, len(names) * _LINE + 2 * _MARGIN)
    for row, (name, value, colour) in enumerate(zip(names, values, colours)):
        top = _MARGIN + row * _LINE
        _text(draw, _MARGIN, top, name)
        draw.rectangle((left, top + 2, left + length, top + _LINE - 3), _FAINT)
        known = not np.isnan(value)
        if known:
            end = left + round(length * value)
            draw.rectangle((left, top + 2, end, top + _LINE - 3), colour, outline=_INK)
        _text(
            draw,
            left + length + _MARGIN,
            top,
            f"{100 * value:.1f}" if known else "no label",
        )
    return _array(image)


def _canvas(width: int, height: int):
    image = Image.new("RGB", (width, height), _PAPER)
    return image, ImageDraw.Draw(image)


def _widest(texts: Sequence[str]) -> int:
    """Pixels that the longest of the texts needs."""
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    return int(max(draw.textlength(_drawable(text), font=_FONT) for text in texts)) + 1


def _text(draw: ImageDraw.ImageDraw, x: int, y: int, text: str, ink=_INK) -> None:
    draw.text((x, y), _drawable(text), fill=ink, font=_FONT)


def _drawable(text: str) -> str:
    """Without the letters that Pillow's smallest font does not have."""
    return text.encode("latin-1", "replace").decode("latin-1")


def _array(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.uint8)[np.newaxis]
