"""Records: the bytes that TensorFlow would make, and masks that it decodes."""

import numpy as np
import pytest
import tensorflow as tf

from data_prep.writing import examples
from wss.errors import UserError


def bytes_feature(value):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def integers_feature(*values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


@pytest.mark.parametrize("size", [(2, 3), (127, 128), (300, 70000)])
def test_records_are_the_bytes_of_a_serialized_example(size):
    mask = np.zeros(size, np.uint8)
    image = bytes(20000)
    example = examples.Example("día/ü", image, "jpeg", *size, mask, [300, 2, 2, 0])
    features = {
        "image/encoded": bytes_feature(image),
        "image/filename": bytes_feature("día/ü".encode()),
        "image/format": bytes_feature(b"jpeg"),
        "image/height": integers_feature(size[0]),
        "image/width": integers_feature(size[1]),
        "image/channels": integers_feature(3),
        "image/segmentation/class/encoded": bytes_feature(examples.encode_mask(mask)),
        "image/segmentation/class/format": bytes_feature(b"png"),
        "image/class/label": integers_feature(0, 2, 300),
    }
    expected = tf.train.Example(features=tf.train.Features(feature=features))
    serialized = examples.serialize(example)
    assert serialized == expected.SerializeToString(deterministic=True)


def test_an_unlabeled_record_has_six_features():
    serialized = examples.serialize(examples.Example("a", b"x", "png", 1, 1))
    assert len(tf.train.Example.FromString(serialized).features.feature) == 6


@pytest.mark.parametrize("size", [(1, 1), (6, 8), (97, 131)])
def test_masks_decode_to_what_they_were(size):
    mask = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    for array in (mask, np.asfortranarray(mask)):
        decoded = tf.io.decode_png(examples.encode_mask(array), channels=1)
        np.testing.assert_array_equal(decoded[..., 0], mask)


def test_masks_of_another_size():
    example = examples.Example("a", b"", "png", 4, 6, np.zeros((6, 4), np.uint8))
    with pytest.raises(UserError, match="mask of 'a' has 4 x 6 .* the image 6 x 4"):
        examples.serialize(example)
