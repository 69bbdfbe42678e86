"""Sizes of the images of a split, from its records."""

import pytest
import tensorflow as tf

from tests.data import records
from wss.data import image_sizes
from wss.errors import UserError


def test_sizes_are_counted(tmp_path):
    sizes = [(30, 40), (30, 40), (20, 10)]
    contents = [records.example(HEIGHT=[h], WIDTH=[w]) for h, w in sizes]
    contents += [b"no example", records.example(FILENAME=b"a")]  # Other tools'.
    with tf.io.TFRecordWriter(str(tmp_path / "val.tfrecord")) as writer:
        for content in contents:
            writer.write(content)
    assert image_sizes.count(str(tmp_path), "val") == {(30, 40): 2, (20, 10): 1}
    assert image_sizes.count(str(tmp_path), "val", most=3) == {(30, 40): 1, (20, 10): 1}
    assert image_sizes.count_images(str(tmp_path), "val") == 5
    with pytest.raises(UserError, match="No TFRecord shards"):
        image_sizes.count(str(tmp_path), "train")
