"""Panels: what a training sees in an image, as pictures."""

import io
from typing import Dict, List, NamedTuple, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wss.data.datasets.spec import DatasetSpec
from wss.panels import IGNORED_COLOUR, colour_labels
from wss.report.trained import Sight

RIGHT_COLOUR, WRONG_COLOUR = (255, 255, 255), (213, 43, 30)
# 0 to 1, dark to light, in steps of equal distance: matplotlib's viridis.
HEAT_COLOURS = (
    (68, 1, 84),
    (59, 82, 139),
    (33, 145, 140),
    (94, 201, 98),
    (253, 231, 37),
)


class Panel(NamedTuple):
    """A picture.

    Attributes:
      pixels: [height, width, 3], uint8.
      is_flat: it has areas of one colour, as class ids give them.
    """

    pixels: np.ndarray
    is_flat: bool


def shared_panels(sight: Sight, spec: DatasetSpec) -> Dict[str, Panel]:
    """What is the same for every training, by title: the image and its truth."""
    return {
        "image": Panel(sight.image, is_flat=False),
        "truth": _labels(sight.truth, spec),
    }


def own_panels(
    sight: Sight, spec: DatasetSpec, classes: Sequence[int] = ()
) -> Dict[str, Panel]:
    """What one training makes of an image.

    Args:
      sight: what it sees.
      spec: the classes.
      classes: ids of those to show a map of each score of; `sight` then has the
        probabilities.

    Returns:
      By title, panels of the image's size: prediction, error and confidence; of each
      of the method's scores the best class; then the maps.
    """
    panels = {
        "prediction": _labels(sight.prediction, spec),
        "error": Panel(error_map(sight.truth, sight.prediction, spec), is_flat=True),
        "confidence": Panel(heat_map(sight.confidence), is_flat=False),
    }
    size = sight.truth.shape
    for title, scores in sight.class_scores.items():
        best = _labels(np.argmax(scores, -1), spec)
        panels[title] = _resized(best, size)
    if not classes:
        return panels
    maps = {"prediction": sight.probabilities, **sight.class_scores}
    for number in classes:
        for title, scores in maps.items():
            heat = Panel(heat_map(scores[..., number]), is_flat=False)
            panels[f"{title}: {spec.class_names[number]}"] = _resized(heat, size)
    return panels


def error_map(
    truth: np.ndarray, prediction: np.ndarray, spec: DatasetSpec
) -> np.ndarray:
    """Where the prediction is wrong, [height, width, 3], uint8.

    Args:
      truth: [height, width] of class ids and the ignore label.
      prediction: [height, width] of class ids.
      spec: the classes; a pixel without one has the colour of the ignored.
    """
    counted = (truth >= 0) & (truth < spec.num_classes) & (truth != spec.ignore_label)
    colours = np.array([RIGHT_COLOUR, WRONG_COLOUR, IGNORED_COLOUR], np.uint8)
    return colours[np.where(counted, truth != prediction, 2).astype(int)]


def heat_map(values: np.ndarray) -> np.ndarray:
    """[height, width] in 0..1 -> [height, width, 3], uint8, in the heat colours."""
    stops = np.linspace(0.0, 1.0, len(HEAT_COLOURS))
    channels = [
        np.interp(values, stops, channel) for channel in np.transpose(HEAT_COLOURS)
    ]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)


def encode(panel: Panel, max_side: int) -> bytes:
    """A file of a panel, shrunk to a longest side: PNG where flat, else JPEG."""
    image = _fitted(panel, max_side)
    file = io.BytesIO()
    if panel.is_flat:
        image.save(file, "PNG", optimize=True)
    else:
        image.save(file, "JPEG", quality=88)
    return file.getvalue()


def sheet(
    rows: Sequence[Sequence[Panel]], titles: Sequence[str], width: int = 240
) -> np.ndarray:
    """Panels in rows and columns, as papers show them.

    Args:
      rows: of panels, one for each column.
      titles: of the columns.
      width: of a column, in pixels; smaller pictures are enlarged.

    Returns:
      [height, width, 3], uint8.
    """
    gap, line = 6, 18
    cells: List[List[Image.Image]] = [
        [_of_width(panel, width) for panel in row] for row in rows
    ]
    heights = [max(cell.height for cell in row) for row in cells]
    size = (len(titles) * (width + gap) + gap, line + sum(heights) + gap * len(rows))
    canvas = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default()
    for column, title in enumerate(titles):
        # Pillow's smallest font has no other letters.
        text = title.encode("latin-1", "replace").decode("latin-1")
        draw.text((gap + column * (width + gap), 3), text, fill="black", font=font)
    top = line
    for row, height in zip(cells, heights):
        for column, cell in enumerate(row):
            canvas.paste(cell, (gap + column * (width + gap), top))
        top += height + gap
    return np.asarray(canvas)


def _labels(labels: np.ndarray, spec: DatasetSpec) -> Panel:
    return Panel(colour_labels(labels, spec.palette).numpy(), is_flat=True)


def _resized(panel: Panel, size: Sequence[int]) -> Panel:
    if panel.pixels.shape[:2] == tuple(size):
        return panel
    image = _scaled(panel, (size[1], size[0]))
    return Panel(np.asarray(image), panel.is_flat)


def _fitted(panel: Panel, max_side: int) -> Image.Image:
    height, width = panel.pixels.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    return _scaled(panel, (max(1, round(width * scale)), max(1, round(height * scale))))


def _of_width(panel: Panel, width: int) -> Image.Image:
    height = panel.pixels.shape[0] * width / panel.pixels.shape[1]
    return _scaled(panel, (width, max(1, round(height))))


def _scaled(panel: Panel, size: Sequence[int]) -> Image.Image:
    """Of a width and height; flat colours are not mixed."""
    flat = Image.Resampling.NEAREST
    sampling = flat if panel.is_flat else Image.Resampling.BICUBIC
    return Image.fromarray(panel.pixels).resize(tuple(size), sampling)
