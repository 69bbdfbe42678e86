"""Classes from the values in masks."""

import numpy as np
import pytest
from PIL import Image

from data_prep import mask_values, masks
from tests.data_prep import trees
from wss.errors import UserError


def save(folder, *values):
    """Masks with a row of each of these values; returns their paths."""
    paths = []
    for i, some in enumerate(values):
        paths.append(str(folder / f"{i}.png"))
        trees.save_mask(folder / f"{i}.png", np.array([some] * 2))
    return paths


def test_values_of_all_masks_count(tmp_path):
    found = mask_values.find(save(tmp_path, [0, 2], [0, 255], [1]), 255)
    assert found.names == ["class_0", "class_1", "class_2"]
    assert found.labels == masks.AS_THEY_ARE


@pytest.mark.parametrize("values", [([0, 1], [0, 1, 255]), ([0, 1], [255, 255])])
def test_ignored_pixels_of_two_classes(tmp_path, values):
    assert mask_values.find(save(tmp_path, *values), 255).labels == masks.AS_THEY_ARE


def test_another_ignore_label(tmp_path):
    found = mask_values.find(save(tmp_path, [0, 1, 2]), 2)
    assert found.names == ["class_0", "class_1"]
    assert "2 is ignored" in found.how


def test_far_values_are_numbered(tmp_path):
    found = mask_values.find(save(tmp_path, [0, 100], [200]), 255)
    assert found.names == ["class_0", "class_100", "class_200"]
    assert found.labels.changes == ((0, 0, 0), (100, 100, 1), (200, 200, 2))
    assert found.how.startswith("the values 0, 100, 200 in the masks, numbered")


@pytest.mark.parametrize(
    "values, message",
    [
        ([[7, 7]], "All masks in .* have only the value 7"),
        ([[0, 127, 255]], "0, 127, 255. It is unknown whether 255 is a class"),
        ([[0, 1, 254], [0, 255]], "values near others may come from smoothing"),
        ([[0, 1], [0, 255]], "some have only 0 and 255, others only 0 and 1"),
        ([range(0, 254, 2)], r"127 values \(0 to 252\), which do not look like"),
    ],
)
def test_values_that_are_no_classes(tmp_path, values, message):
    with pytest.raises(UserError, match=message):
        mask_values.find(save(tmp_path, *values), 255)


def test_white_of_16_bits_may_be_ignored(tmp_path):
    path = str(tmp_path / "0.png")
    Image.fromarray(np.array([[0, 1, 65535]], np.uint16)).save(path)
    with pytest.raises(UserError, match="unknown whether 65535 is a class or ignored"):
        mask_values.find([path], 255)


def test_unreadable_masks(tmp_path):
    paths = save(tmp_path, [0, 1], [0, 1])
    (tmp_path / "1.png").write_text("no mask")
    assert mask_values.find(paths, 255).names == ["class_0", "class_1"]
    with pytest.raises(UserError, match="1.png cannot be read"):
        mask_values.find(paths[1:], 255)


@pytest.mark.parametrize(
    "values, expected", [([0, 255], True), ([0, 0], False), ([0, 1, 255], False)]
)
def test_yes_no_masks(tmp_path, values, expected):
    assert mask_values.are_yes_no(save(tmp_path, values)) is expected
