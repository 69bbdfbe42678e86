"""Pictures of numbers."""

import numpy as np
import pytest

from wss import charts
from wss.data.datasets.spec import pascal_palette
from wss.panels import IGNORED_COLOUR

NAMES = ("ground", "cat", "très long name of a class")
PALETTE = np.array([[10, 0, 0], [0, 200, 0], [0, 0, 250]], np.uint8)


def count(image, colour):
    return int((image[0] == np.array(colour, np.uint8)).all(-1).sum())


def test_legend_has_every_colour():
    image = charts.legend(NAMES, PALETTE)
    assert image.dtype == np.uint8 and image.ndim == 4
    for colour in (*PALETTE, IGNORED_COLOUR):
        assert count(image, colour) > 80


def test_bars_are_as_long_as_the_iou():
    iou = np.array([1.0, 0.5, np.nan])
    image = charts.iou_bars(iou, 0.75, NAMES, PALETTE)
    whole, half, none = (count(image, colour) for colour in PALETTE)
    assert half / whole == pytest.approx(0.5, abs=0.02) and none == 0


def test_confusion_shows_the_share_of_the_row():
    confusion = np.array([[4, 0, 0], [0, 5, 5], [0, 0, 0]])
    image = charts.confusion_matrix(confusion, NAMES)
    full = count(image, (8, 64, 160))
    assert 300 < full < 30 * 30  # One cell, but for its border and its number.
    assert count(image, (132, 160, 208)) > 600  # Two halves.


@pytest.mark.parametrize("classes", [2, 21, 150])
def test_any_number_of_classes(classes):
    names = [f"class {number}" for number in range(classes)]
    palette = pascal_palette(classes)
    confusion = charts.confusion_matrix(np.eye(classes, dtype=int), names)
    legend = charts.legend(names, palette)
    assert max(*confusion.shape, *legend.shape) < 1700
    assert charts.iou_bars(np.ones(classes), 1.0, names, palette).shape[0] == 1
