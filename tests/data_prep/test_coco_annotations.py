"""Outlines of COCO's annotations: what pycocotools draws, and what is refused."""

import numpy as np
import pytest

from data_prep import coco_annotations
from wss.errors import UserError


def draw(segmentation, height, width):
    """[height, width], bool."""
    mask = np.zeros((height, width), np.uint8)
    coco_annotations.draw_outline(mask, segmentation, 1)
    return mask > 0


def picture(*rows):
    return np.array([[character == "1" for character in row] for row in rows])


def test_a_triangle():
    drawn = draw([[0.5, 0.5, 6.5, 1.0, 2.0, 4.7]], 5, 7)
    expected = picture("0000000", "0111110", "0111100", "0010000", "0000000")
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize(
    "segmentation",
    [[0, 0, 2, 0, 2, 2, 0, 2], [[0, 0, 2, 0, 2, 1, 0, 1], [0, 1, 2, 1, 2, 2, 0, 2]]],
    ids=["one by itself", "a union"],
)
def test_polygons(segmentation):
    drawn = draw(segmentation, 3, 4)
    np.testing.assert_array_equal(drawn, picture("1100", "1100", "0000"))


def test_polygons_across_the_border():
    drawn = draw([[-5, -5, 2, -5, 2, 2, -5, 2]], 3, 4)
    np.testing.assert_array_equal(drawn, picture("1100", "1100", "0000"))
    assert draw([[-5, -5, 50, -5, 50, 50, -5, 50]], 3, 4).all()


def test_run_lengths_go_down_the_columns():
    drawn = draw({"counts": [1, 2, 2, 1], "size": [3, 2]}, 3, 2)
    np.testing.assert_array_equal(drawn, picture("00", "10", "11"))


def test_compressed_run_lengths():
    runs = {"size": [20, 30], "counts": "c2<80000GK35MK35MK35MK3560000000000000000U6"}
    expected = np.zeros((20, 30), bool)
    expected[3:15, 4:20] = True
    expected[6:9, 7:11] = False
    np.testing.assert_array_equal(draw(runs, 20, 30), expected)


def test_drawing_keeps_the_pixels_outside():
    mask = np.full((3, 4), 7, np.uint8)
    coco_annotations.draw_outline(mask, [[1, 0, 3, 0, 3, 2, 1, 2]], 9)
    assert mask.tolist() == [[7, 9, 9, 7], [7, 9, 9, 7], [7, 7, 7, 7]]


@pytest.mark.parametrize(
    "segmentation",
    [
        [[]],
        [[1, 1]],
        [[0, 0, 3, 3]],
        [[0, 0, 3, 3], [1, 1, 1, 1, 1, 1]],
        [[10, 10, 20, 10, 20, 20]],
        {"counts": [9, 0], "size": [3, 3]},
        {"counts": "9", "size": [3, 3]},
    ],
)
def test_nothing_inside(segmentation):
    assert not draw(segmentation, 3, 3).any()


@pytest.mark.parametrize(
    "segmentation, message",
    [
        ({"counts": [1, 2], "size": [3, 1]}, "do not fill 3 x 3"),
        ({"counts": [1, 7], "size": [3, 3]}, "do not fill 3 x 3"),
        ({"counts": [9], "size": [1, 9]}, "do not fill 3 x 3"),
        ({"counts": [10, -1], "size": [3, 3]}, "do not fill 3 x 3"),
        ({"counts": "8", "size": [3, 3]}, "do not fill 3 x 3"),
        ({"counts": "17", "size": [3, 3]}, "do not fill 3 x 3"),
        ({"counts": ":", "size": [3, 3]}, "Invalid RLE"),
        ({"counts": "9~", "size": [3, 3]}, "Invalid RLE"),
        ([[0, 0, 3, 0, 3]], "not a list of x, y"),
        ([[[0, 0], [3, 0], [3, 3]]], "not a list of x, y"),
        ([[0, 0, 3, 0, 3, float("nan")]], "far from the image"),
        ([[0, 0, 3, 0, 3, 1e9]], "far from the image"),
        ("polygon", "could not convert"),
    ],
)
def test_outlines_that_make_no_sense(segmentation, message):
    with pytest.raises(ValueError, match=message):
        draw(segmentation, 3, 3)


@pytest.mark.parametrize("segmentation", [None, 7, {}, {"counts": [9]}])
def test_no_outline_at_all(segmentation):
    with pytest.raises((TypeError, KeyError)):
        draw(segmentation, 3, 3)


def test_a_category_id_of_two_names_is_refused(tmp_path):
    path = tmp_path / "export.json"
    image = '{"id": 1, "file_name": "a.jpg", "height": 4, "width": 4}'
    outline = '{"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 2, 0, 2, 2]]}'
    categories = '{"id": 1, "name": "road"}, {"id": 1, "name": "water"}'
    path.write_text(
        f'{{"images": [{image}], "annotations": [{outline}], '
        f'"categories": [{categories}]}}'
    )
    with pytest.raises(UserError, match="'road' and 'water' both have the id 1"):
        coco_annotations.load(str(path))
