"""Pixels of polygons and run lengths."""

import numpy as np
import pytest

from data_prep import polygons


def test_a_rectangle_covers_its_pixels():
    inside = polygons.fill([2, 1, 5, 1, 5, 3, 2, 3], 4, 7)
    expected = np.zeros((4, 7), bool)
    expected[1:3, 2:5] = True
    np.testing.assert_array_equal(inside, expected)


def test_a_triangle():
    # As decoded by pycocotools 2.0.11.
    inside = polygons.fill([0.5, 0.5, 6.5, 1.0, 2.0, 4.7], 5, 7)
    rows = ["0000000", "0111110", "0111100", "0010000", "0000000"]
    expected = np.array([[c == "1" for c in row] for row in rows])
    np.testing.assert_array_equal(inside, expected)


def test_several_polygons_are_united():
    one, two = [0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 3, 1, 3, 3, 1, 3]
    inside = polygons.decode([one, two], 4, 4)
    np.testing.assert_array_equal(
        inside, polygons.fill(one, 4, 4) | polygons.fill(two, 4, 4)
    )
    assert inside.sum() == 7


def test_run_lengths_go_down_the_columns():
    inside = polygons.decode({"counts": [1, 2, 2, 1], "size": [3, 2]}, 3, 2)
    np.testing.assert_array_equal(inside, [[False, False], [True, False], [True, True]])


def test_run_lengths_of_another_size():
    with pytest.raises(ValueError, match="do not fill 3 x 3"):
        polygons.decode({"counts": [1, 2], "size": [3, 1]}, 3, 3)
    with pytest.raises(TypeError, match="compressed"):
        polygons.decode({"counts": "abc", "size": [3, 1]}, 3, 3)


def test_every_pixel_is_that_of_pycocotools():
    reference = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for _ in range(300):
        height, width = rng.integers(1, 90, 2).tolist()
        corners = rng.uniform(-3, [width + 3, height + 3], (rng.integers(3, 20), 2))
        corners = np.round(corners, rng.integers(0, 3)).ravel().tolist()
        expected = reference.decode(reference.frPyObjects([corners], height, width))
        np.testing.assert_array_equal(
            polygons.fill(corners, height, width), expected[..., 0] > 0
        )
