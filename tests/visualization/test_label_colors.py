"""Colors of labels, errors and scores against colors by hand."""

import numpy as np

from wss.data.datasets.spec import DatasetSpec
from wss.visualization import label_colors
from wss.visualization.label_colors import IGNORED_COLOR, RIGHT_COLOR, WRONG_COLOR

PALETTE = np.array([[0, 0, 0], [255, 0, 0]], np.uint8)


def test_errors_of_counted_pixels():
    spec = DatasetSpec("toy", ("ground", "cat"), PALETTE)
    truth = np.array([[0, 1, 255], [1, 7, 0]])
    error = label_colors.error_map(truth, np.array([[0, 0, 1], [1, 1, 1]]), spec)
    expected = [[RIGHT_COLOR, WRONG_COLOR, IGNORED_COLOR]]
    expected += [[RIGHT_COLOR, IGNORED_COLOR, WRONG_COLOR]]
    np.testing.assert_array_equal(error, expected)


def test_an_ignored_label_that_could_be_a_class_is_no_error():
    spec = DatasetSpec("toy", ("ground", "cat"), PALETTE, ignore_label=0)
    error = label_colors.error_map(np.array([[0, 1]]), np.array([[1, 1]]), spec)
    np.testing.assert_array_equal(error, [[IGNORED_COLOR, RIGHT_COLOR]])


def test_heat_goes_from_dark_to_light():
    heat = label_colors.heat_map(np.array([[0.0, 0.5, 1.0]], np.float32))
    # The ends and the middle of viridis.
    np.testing.assert_array_equal(heat, [[(68, 1, 84), (32, 144, 140), (253, 231, 36)]])
    assert heat.dtype == np.uint8
