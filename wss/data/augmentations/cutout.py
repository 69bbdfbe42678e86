"""CutOut (https://arxiv.org/abs/1708.04552): a square hole at a random place."""

from typing import Annotated

import tensorflow as tf

from wss.data.augmentations import occlusion
from wss.settings import Range


@occlusion()
def cutout(
    size: tuple[int, int],
    seed: tf.Tensor,
    half_size: Annotated[int, Range(low=0, high=10000)] = 50,
) -> tf.Tensor:
    """Draws a hole of (2 * half_size)^2 pixels, clipped at the border.

    Args:
      size: height and width of the crop.
      seed: [2], int.
      half_size: half of the hole's side, pixels (the original's `pad_size`).

    Returns:
      [height, width], bool, True in the hole.
    """
    draws = tf.random.stateless_uniform([2], seed)
    center = tf.cast(draws * tf.constant(size, tf.float32), tf.int32)
    return hole(size, center, half_size)


def hole(size: tuple[int, int], center: tf.Tensor, half_size: int) -> tf.Tensor:
    """[height, width], bool: True in the square around `center` (row, column).

    As in the original, the hole begins `half_size` before the center and ends
    `half_size - 1` after it.
    """
    inside = [
        (tf.range(length) >= middle - half_size)
        & (tf.range(length) < middle + half_size)
        for length, middle in zip(size, tf.unstack(center))
    ]
    return inside[0][:, tf.newaxis] & inside[1]
