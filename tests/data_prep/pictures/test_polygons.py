"""Pixels of polygons and run lengths."""

import numpy as np
import pytest

from data_prep.pictures import polygons


def fill(polygon, height, width):
    return polygons.decode([polygon], height, width)


def test_a_rectangle_covers_its_pixels():
    inside = fill([2, 1, 5, 1, 5, 3, 2, 3], 4, 7)
    expected = np.zeros((4, 7), bool)
    expected[1:3, 2:5] = True
    np.testing.assert_array_equal(inside, expected)


def test_a_triangle():
    # As decoded by pycocotools 2.0.11.
    inside = fill([0.5, 0.5, 6.5, 1.0, 2.0, 4.7], 5, 7)
    rows = ["0000000", "0111110", "0111100", "0010000", "0000000"]
    expected = np.array([[c == "1" for c in row] for row in rows])
    np.testing.assert_array_equal(inside, expected)


def test_several_polygons_are_united():
    one, two = [0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 3, 1, 3, 3, 1, 3]
    inside = polygons.decode([one, two], 4, 4)
    np.testing.assert_array_equal(inside, fill(one, 4, 4) | fill(two, 4, 4))
    assert inside.sum() == 7


def test_run_lengths_go_down_the_columns():
    inside = polygons.decode({"counts": [1, 2, 2, 1], "size": [3, 2]}, 3, 2)
    np.testing.assert_array_equal(inside, [[False, False], [True, False], [True, True]])


def test_drawing_keeps_what_lies_outside():
    columns = np.full((4, 3), 7, np.uint8)
    polygons.draw(columns, [[1, 0, 3, 0, 3, 2, 1, 2]], 9)
    np.testing.assert_array_equal(columns.T, [[7, 9, 9, 7], [7, 9, 9, 7], [7, 7, 7, 7]])


def test_a_polygon_across_the_border():
    inside = fill([-5, -5, 2, -5, 2, 2, -5, 2], 3, 4)
    assert inside.sum() == 4 and inside[:2, :2].all()
    assert fill([-5, -5, 50, -5, 50, 50, -5, 50], 3, 4).all()
    assert not fill([10, 10, 20, 10, 20, 20], 3, 4).any()


@pytest.mark.parametrize(
    "segmentation",
    [
        [],
        [[]],
        [[1, 1]],
        [[0, 0, 3, 3]],
        [[1, 1, 1, 1, 1, 1]],
        {"counts": [9], "size": [3, 3]},
        {"counts": [9, 0], "size": [3, 3]},
        {"counts": "9", "size": [3, 3]},
    ],
)
def test_nothing_inside(segmentation):
    assert not polygons.decode(segmentation, 3, 3).any()


def test_run_lengths_to_the_last_pixel():
    inside = polygons.decode({"counts": [1, 2, 3, 3], "size": [3, 3]}, 3, 3)
    assert inside.T.ravel().tolist() == [c == "1" for c in "011000111"]


def test_compressed_run_lengths():
    # As compressed by pycocotools 2.0.11.
    runs = {"size": [20, 30], "counts": "c2<80000GK35MK35MK35MK3560000000000000000U6"}
    expected = np.zeros((20, 30), bool)
    expected[3:15, 4:20] = True
    expected[6:9, 7:11] = False
    np.testing.assert_array_equal(polygons.decode(runs, 20, 30), expected)


@pytest.mark.parametrize(
    "segmentation, message",
    [
        ({"counts": [1, 2], "size": [3, 1]}, "do not fill 3 x 3"),
        ({"counts": [1, 7], "size": [3, 3]}, "do not fill 3 x 3"),
        ({"counts": [9], "size": [1, 9]}, "do not fill 3 x 3"),
        ({"counts": [10, -1], "size": [3, 3]}, "do not fill 3 x 3"),
        ({"counts": "9~", "size": [3, 3]}, "strange character"),
        ({"counts": "9P", "size": [3, 3]}, "end too early"),
        ([[0, 0, 3, 0, 3]], "not a list of x, y"),
        ([0, 0, 3, 0, 3, 3], "not a list of x, y"),
        ([[0, 0, 3, 0, 3, float("nan")]], "far from the image"),
        ([[0, 0, 3, 0, 3, 1e9]], "far from the image"),
        ("polygon", "could not convert"),
    ],
)
def test_what_makes_no_sense(segmentation, message):
    with pytest.raises(ValueError, match=message):
        polygons.decode(segmentation, 3, 3)


@pytest.mark.parametrize("segmentation", [None, 7, {}, {"counts": [9]}])
def test_what_is_no_segmentation(segmentation):
    with pytest.raises((TypeError, KeyError)):
        polygons.decode(segmentation, 3, 3)


def test_every_pixel_is_that_of_pycocotools():
    reference = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for _ in range(300):
        height, width = rng.integers(1, 90, 2).tolist()
        corners = rng.uniform(-3, [width + 3, height + 3], (rng.integers(3, 20), 2))
        corners = np.round(corners, rng.integers(0, 3)).ravel().tolist()
        expected = reference.decode(reference.frPyObjects([corners], height, width))
        np.testing.assert_array_equal(
            fill(corners, height, width), expected[..., 0] > 0
        )


def test_compressed_run_lengths_as_of_pycocotools():
    reference = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for _ in range(100):
        height, width = rng.integers(1, 90, 2).tolist()
        mask = rng.random((height, width)) < rng.random()
        mask = np.kron(mask, np.ones((1, 7)))[:, :width].astype(np.uint8)
        runs = reference.encode(np.asfortranarray(mask))
        runs["counts"] = runs["counts"].decode()
        np.testing.assert_array_equal(polygons.decode(runs, height, width), mask > 0)
