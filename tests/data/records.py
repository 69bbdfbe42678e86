"""Small made-up shards for the tests of the input."""

import os
from collections.abc import Sequence
from typing import Optional

import numpy as np
import tensorflow as tf

from wss.data import parsing
from wss.data.datasets.spec import DatasetSpec

SPEC = DatasetSpec(name="made_up", class_names=("background", "square", "disc"))


def example(**features) -> bytes:
    """A serialized example; values are bytes or lists of integers.

    Keywords are the names of the keys in `wss.data.parsing`.
    """
    encoded: dict[str, tf.train.Feature] = {}
    for key, value in features.items():
        if isinstance(value, bytes):
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        else:
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=value))
        encoded[getattr(parsing, key)] = feature
    message = tf.train.Example(features=tf.train.Features(feature=encoded))
    return message.SerializeToString()


def png(pixels: np.ndarray) -> bytes:
    return tf.io.encode_png(pixels).numpy()


def image(number: int, height: int = 24, width: int = 30) -> np.ndarray:
    """A reproducible noise image [height, width, 3], uint8."""
    random = np.random.RandomState(number)
    return random.randint(0, 256, (height, width, 3)).astype(np.uint8)


def label(number: int, height: int = 24, width: int = 30) -> np.ndarray:
    """A reproducible mask of three classes and ignored pixels [height, width]."""
    random = np.random.RandomState(1000 + number)
    ids = np.array([0, 0, 1, 2, 255], np.uint8)
    return ids[random.randint(0, 5, (height, width))]


def numbered(number: int, with_mask: bool = True) -> bytes:
    """The example whose name is its number."""
    features = {
        "ENCODED": png(image(number)),
        "FILENAME": str(number).encode(),
    }
    if with_mask:
        features["LABEL_ENCODED"] = png(label(number)[..., np.newaxis])
    return example(**features)


def write_split(
    data_dir,
    split: str,
    shard_sizes: Sequence[int],
    with_mask: bool = True,
    start: int = 0,
    shards: Optional[int] = None,
) -> None:
    """Writes shards of numbered examples; `shards` is the number in their names."""
    number = start
    for index, size in enumerate(shard_sizes):
        name = f"{split}-{index:05d}-of-{shards or len(shard_sizes):05d}.tfrecord"
        with tf.io.TFRecordWriter(os.path.join(data_dir, name)) as writer:
            for _ in range(size):
                writer.write(numbered(number, with_mask))
                number += 1
