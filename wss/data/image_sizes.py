"""The sizes of the images of a split, from its records.

Without TensorFlow's operations: the devices may not be chosen yet.
"""

import collections
from collections.abc import Iterator

import tensorflow as tf
from google.protobuf.message import DecodeError

from wss.data import keys, tfrecords


def count_images(data_dir: str, split: str) -> int:
    """Number of images of a split; arguments and errors: see `count`."""
    paths = tfrecords.find_shards(data_dir, split)
    return sum(len(tfrecords.find_frames(path).lengths) for path in paths)


def count(data_dir: str, split: str, most: int = 1000) -> dict[tuple[int, int], int]:
    """{(height, width): number of images}, without images whose record does not say.

    Args:
      data_dir: folder of the shards.
      split: name of the split, or several joined by "+".
      most: number of images to look at, evenly spread over a larger split.

    Raises:
      UserError: shards are missing.
      OSError: they cannot be read.
    """
    step = -(-count_images(data_dir, split) // most)
    paths = tfrecords.find_shards(data_dir, split)
    sizes = (size for path in paths for size in _sizes(path, step))
    return dict(collections.Counter(sizes))


def _sizes(path: str, step: int) -> Iterator[tuple[int, int]]:
    """The sizes in every `step`-th record of a shard."""
    for content in tfrecords.contents(path, step):
        try:
            features = tf.train.Example.FromString(content).features.feature
        except DecodeError:  # Reported by the input pipeline.
            continue
        size = [features[key].int64_list.value for key in (keys.HEIGHT, keys.WIDTH)]
        if all(size):
            (height,), (width,) = size
            yield height, width
