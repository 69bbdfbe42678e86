"""Masks whose files go into the records as they are, because they decode the same."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data_prep import folder
from data_prep.pictures import images, masks
from data_prep.sources import pairing
from data_prep.writing import examples
from tests.data_prep import trees
from wss.data import keys
from wss.data.datasets.spec import DatasetSpec

MASK = np.array([[0, 1, 2, 255], [3, 3, 0, 1]], np.uint8)


def read(path, labels=masks.AS_THEY_ARE):
    return masks.read_mask_and_png(str(path), 4, 255, labels)


def test_plain_grey_masks_stay(tmp_path):
    path = tmp_path / "mask.png"
    trees.save_mask(path, MASK)
    mask, png = read(path)
    assert png == path.read_bytes()
    np.testing.assert_array_equal(mask, MASK)
    np.testing.assert_array_equal(tf.io.decode_png(png, channels=1)[..., 0], MASK)


def with_transparency(path):
    Image.fromarray(MASK).save(path, transparency=0)


def with_orientation(path):
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(MASK).save(path, exif=exif)


def damaged(path):
    """A PNG whose checksum of the pixels is wrong, which PIL reads over."""
    trees.save_mask(path, MASK)
    content = bytearray(path.read_bytes())
    end = content.rindex(b"IEND") - 4
    content[end - 1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "save",
    [
        lambda path: trees.save_mask(path, MASK, palette=True),
        lambda path: Image.fromarray(MASK.astype(np.uint16)).save(path),
        lambda path: Image.fromarray(np.stack(3 * [MASK], -1)).save(path),
        lambda path: Image.fromarray(MASK).save(path, "BMP"),
        with_transparency,
        with_orientation,
        damaged,
    ],
)
def test_other_masks_do_not(tmp_path, save):
    save(tmp_path / "mask.png")
    mask, png = read(tmp_path / "mask.png")
    assert png is None
    expected = MASK[::-1, ::-1] if save is with_orientation else MASK
    np.testing.assert_array_equal(mask, expected)


def test_changed_labels_are_encoded_anew(tmp_path):
    trees.save_mask(tmp_path / "mask.png", MASK)
    mask, png = read(tmp_path / "mask.png", masks.Labels(changes=((3, 3, 0),)))
    assert png is None
    np.testing.assert_array_equal(mask, np.where(MASK == 3, 0, MASK))


def test_records_hold_the_file_unless_the_image_shrinks(tmp_path):
    trees.save_image(tmp_path / "a.jpg", 2, 4)
    trees.save_mask(tmp_path / "a.png", MASK)
    item = pairing.Item("a", str(tmp_path / "a.jpg"), str(tmp_path / "a.png"))
    spec = DatasetSpec("toy", ("a", "b", "c", "d"))
    file = (tmp_path / "a.png").read_bytes()
    for max_side, kept in ((None, True), (2, False)):
        record = tf.train.Example.FromString(
            examples.serialize(folder.read(item, spec, max_side=max_side))
        )
        (png,) = record.features.feature[keys.LABEL_ENCODED].bytes_list.value
        assert (png == file) == kept
        assert Image.open(io.BytesIO(png)).size == ((4, 2) if kept else (2, 1))
    assert images.read_example("a", item.image, MASK).mask_png is None
