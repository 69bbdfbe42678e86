"""The contact sheet: colours where the mask says, nothing where there is no mask."""

import numpy as np
import pytest
from PIL import Image

from data_prep.checking import contact_sheet
from data_prep.validation import reading
from data_prep.validation.tally import Tally
from wss.data.datasets.spec import DatasetSpec

PALETTE = ((0, 0, 0), (200, 0, 0), (0, 0, 200))
SPEC = DatasetSpec("toy", ("background", "road", "car"), PALETTE)
GREEN = np.full((40, 60, 3), (0, 200, 0), np.uint8)


def halves(left, right):
    mask = np.full((40, 60), left, np.uint8)
    mask[:, 30:] = right
    return mask


def colours(sheet):
    return set(map(tuple, np.asarray(sheet).reshape(-1, 3).tolist()))


def test_colours_of_classes_ignored_pixels_and_mistakes():
    mask = np.array([[0, 1, 2, 255, 3]], np.uint8)
    assert contact_sheet.colour(mask, SPEC).tolist() == [
        [*map(list, PALETTE), [224, 224, 192], [255, 0, 255]]
    ]


def test_masks_lie_over_the_image_in_grey():
    picture = contact_sheet.Picture("a", GREEN, halves(1, 2))
    sheet = np.asarray(contact_sheet.draw([contact_sheet.Row("x", [picture])], SPEC))
    found = np.argwhere((sheet == (0, 200, 0)).all(axis=-1))
    top, left = found.min(axis=0)
    bottom, right = found.max(axis=0) + 1
    width, height = right - left, bottom - top
    assert width / height == pytest.approx(60 / 40, abs=0.02)
    assert len(found) == width * height
    beside = sheet[top:bottom, right + 2 : right + 2 + width]
    # 0.6 of the class's colour, 0.4 of a grey as light as green: 117.
    for half, colour in (
        (beside[:, :90], (167, 47, 47)),
        (beside[:, -90:], (47, 47, 167)),
    ):
        np.testing.assert_allclose(half, np.broadcast_to(colour, half.shape), atol=1)


def test_images_without_mask_stand_alone():
    plain = contact_sheet.Picture("a", GREEN, None)
    sheet = contact_sheet.draw([contact_sheet.Row("x", [plain] * 8)], SPEC)
    green = (np.asarray(sheet) == (0, 200, 0)).all(axis=-1)
    edges = np.diff(green.astype(int), axis=1)
    assert sorted(set((edges == 1).sum(axis=1).tolist())) == [0, 8]
    both = contact_sheet.Picture("a", GREEN, halves(0, 1))
    pairs = contact_sheet.draw([contact_sheet.Row("x", [both] * 8)], SPEC)
    assert pairs.width == sheet.width  # As wide, in two lines instead of one.
    assert pairs.height - sheet.height == contact_sheet._CELL[1] + contact_sheet._LINE


@pytest.mark.parametrize("height, width", [(1, 1), (5, 900), (900, 5), (400, 400)])
def test_any_size_of_images(height, width):
    image = np.zeros((height, width, 3), np.uint8)
    picture = contact_sheet.Picture("n" * 300, image, image[..., 0])
    contact_sheet.draw([contact_sheet.Row("h" * 900, [picture])], SPEC)


def test_the_legend_names_every_class_in_its_colour():
    spec = DatasetSpec("many", tuple(f"class {i}" for i in range(150)))
    shown = colours(contact_sheet.draw([], spec))
    assert set(map(tuple, spec.palette.tolist())) <= shown
    assert {(224, 224, 192), (255, 0, 255)} <= shown


def test_names_in_any_script():
    spec = DatasetSpec("toy", ("фон", "路", "café"))
    picture = contact_sheet.Picture("写真", GREEN, halves(0, 7))
    contact_sheet.draw([contact_sheet.Row("x", [picture])], spec)


def test_saved_as_png_whatever_the_name(tmp_path):
    path = tmp_path / "sheet"
    contact_sheet.save(contact_sheet.draw([], SPEC), str(path))
    with Image.open(path) as image:
        assert image.format == "PNG"


def test_records_worth_a_look_show_each_class_and_come_from_all_over():
    tally = Tally(SPEC)
    for i in range(100):
        pixels = np.zeros(256, np.int64)
        pixels[[0, 255]] = 100 - i % 2
        pixels[1] = {40: 5, 41: 9}.get(i, 0)
        pixels[2] = 7 * (i == 70)
        record = reading.Record(
            0, i, str(i), (8, 8), 255, (8, 8), True, pixels, np.array([]), i, i
        )
        assert not list(tally.add(record, "shard"))
    assert list(tally.add(reading.Broken(0, 100, "broken"), "shard")) == ["broken"]
    chosen = tally.choose(6)
    assert {0, 41, 70} < set(chosen) and len(chosen) == 6
    assert chosen == sorted(chosen) and max(chosen) < 100
    assert tally.choose(1) == [70]  # The rarest class.
    assert sorted(tally.choose(500)) == list(range(100))
