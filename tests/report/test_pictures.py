"""Panels against colours by hand."""

import io

import numpy as np
import pytest
from PIL import Image

from wss.data.datasets.spec import DatasetSpec
from wss.panels import IGNORED_COLOUR
from wss.report import pictures
from wss.report.pictures import RIGHT_COLOUR, WRONG_COLOUR, Panel
from wss.report.trained import Sight

PALETTE = np.array([[0, 0, 0], [200, 0, 0], [0, 0, 250]], np.uint8)
SPEC = DatasetSpec("toy", ("ground", "cat", "dog"), PALETTE)
HIGHEST, LOWEST = pictures.HEAT_COLOURS[-1], pictures.HEAT_COLOURS[0]


def make_sight(**changes):
    """An image of two by three pixels; the method saw half of it as large."""
    scores = np.zeros([1, 3, 3], np.float32)
    scores[0, [0, 1, 2], [0, 1, 2]] = 1.0
    values = dict(
        image=np.full([2, 3, 3], 7, np.uint8),
        truth=np.array([[0, 1, 255], [2, 1, 9]]),
        prediction=np.array([[0, 2, 1], [2, 1, 1]]),
        confidence=np.array([[0.0, 1.0, 0.5], [1.0, 1.0, 1.0]]),
        probabilities=None,
        class_scores={"CAM": scores},
    )
    return Sight(**{**values, **changes})


def test_titles_shapes_and_colours_of_the_panels():
    sight = make_sight()
    shared = pictures.shared_panels(sight, SPEC)
    own = pictures.own_panels(sight, SPEC)
    assert list(shared) == ["image", "truth"]
    assert list(own) == ["prediction", "error", "confidence", "CAM"]
    for panel in [*shared.values(), *own.values()]:
        assert panel.pixels.shape == (2, 3, 3) and panel.pixels.dtype == np.uint8
    truth = [[PALETTE[0], PALETTE[1], IGNORED_COLOUR]]
    truth += [[PALETTE[2], PALETTE[1], IGNORED_COLOUR]]
    np.testing.assert_array_equal(shared["truth"].pixels, truth)
    np.testing.assert_array_equal(own["prediction"].pixels, PALETTE[sight.prediction])
    error = [[RIGHT_COLOUR, WRONG_COLOUR, IGNORED_COLOUR]]
    error += [[RIGHT_COLOUR, RIGHT_COLOUR, IGNORED_COLOUR]]
    np.testing.assert_array_equal(own["error"].pixels, error)
    np.testing.assert_array_equal(own["confidence"].pixels[0, :2], [LOWEST, HIGHEST])
    # The best class of each, at the image's size.
    np.testing.assert_array_equal(own["CAM"].pixels, [PALETTE, PALETTE])


def test_maps_of_chosen_classes():
    probabilities = np.zeros([2, 3, 3], np.float32)
    probabilities[..., 2] = [[1, 0, 0], [0, 0, 1]]
    sight = make_sight(probabilities=probabilities)
    panels = pictures.own_panels(sight, SPEC, classes=[2])
    assert list(panels)[4:] == ["prediction: dog", "CAM: dog"]
    expected = [[HIGHEST, LOWEST, LOWEST], [LOWEST, LOWEST, HIGHEST]]
    np.testing.assert_array_equal(panels["prediction: dog"].pixels, expected)
    assert panels["CAM: dog"].pixels.shape == (2, 3, 3)


def test_an_ignored_label_that_could_be_a_class_is_no_error():
    spec = DatasetSpec("toy", ("ground", "cat"), PALETTE[:2], ignore_label=0)
    error = pictures.error_map(np.array([[0, 1]]), np.array([[1, 1]]), spec)
    np.testing.assert_array_equal(error, [[IGNORED_COLOUR, RIGHT_COLOUR]])


def test_heat_lies_between_its_colours():
    heat = pictures.heat_map(np.array([[0.0, 0.125, 0.25, 1.0]]))[0]
    first, second = np.array(pictures.HEAT_COLOURS[:2])
    np.testing.assert_allclose(heat[1], (first + second) / 2, atol=0.5)
    np.testing.assert_array_equal(heat[[0, 2, 3]], [first, second, HIGHEST])


@pytest.mark.parametrize("is_flat, kind", [(True, "PNG"), (False, "JPEG")])
def test_files_are_bounded(is_flat, kind):
    labels = np.zeros([500, 1000, 3], np.uint8)
    labels[:, 500:] = 200
    encoded = pictures.encode(Panel(labels, is_flat), 320)
    with Image.open(io.BytesIO(encoded)) as image:
        assert (image.format, image.size) == (kind, (320, 160))
        if is_flat:
            assert {colour for _, colour in image.getcolors()} == {
                (0, 0, 0),
                (200, 200, 200),
            }
    small = pictures.encode(Panel(labels[:20, :30], is_flat), 320)
    with Image.open(io.BytesIO(small)) as image:
        assert image.size == (30, 20)


def test_the_sheet_has_a_row_for_each_image():
    rows = [
        [Panel(np.full([10, 20, 3], grey, np.uint8), True) for grey in greys]
        for greys in ((10, 20), (30, 40))
    ]
    sheet = pictures.sheet(rows, ["image", "très long title"], width=40)
    assert sheet.shape == (18 + 2 * (20 + 6), 6 + 2 * (40 + 6), 3)
    assert sheet[18 + 10, 6 + 20, 0] == 10 and sheet[18 + 26 + 10, 6 + 46 + 20, 0] == 40
