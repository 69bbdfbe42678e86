"""Masks of instance annotations, and the size of their images."""

import pytest
from PIL import Image

from data_prep import coco_masks
from wss.errors import UserError

_ORIENTATION = 0x0112


@pytest.mark.parametrize(
    "orientation, size, as_stored",
    [
        (1, (30, 20), True),
        (3, (30, 20), True),
        (6, (30, 20), True),
        (6, (20, 30), False),
        (8, (20, 30), False),
        (1, (20, 30), None),
        (3, (20, 30), None),
        (6, (31, 20), None),
    ],
)
def test_annotations_fit_the_stored_or_the_upright_photo(
    tmp_path, orientation, size, as_stored
):
    """A photo that is not rotated has one size only."""
    path = str(tmp_path / "a.jpg")
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    Image.new("RGB", (30, 20)).save(path, exif=exif)
    width, height = size
    if as_stored is None:
        message = f"has 30 x 20 pixels, but {width} x {height} in e.json. Use the im"
        with pytest.raises(UserError, match=message):
            coco_masks.is_as_stored(path, height, width, "e.json")
    else:
        found = coco_masks.is_as_stored(path, height, width, "e.json")
        assert found is as_stored
