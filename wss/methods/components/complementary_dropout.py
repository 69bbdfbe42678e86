"""Complementary dropout: two views of an image see different halves of the channels.

Source: `DPT.forward` in `model/semseg/dpt.py` of LiheYoung/UniMatch-V2.
"""

import tensorflow as tf


def factors(in_first: tf.Tensor, is_whole: tf.Tensor) -> tf.Tensor:
    """The factors of all channels of both views.

    A channel is in one of the two views, with the factor 2, and 0 in the other.

    Args:
      in_first: [images, channels], bool, True for the channels of the first view.
      is_whole: [images], bool, True for images whose views keep all channels.

    Returns:
      [2 images, 1, 1, channels], float32: of the first views, then of the second ones.

    >>> both = factors(tf.constant([[True, False]] * 2), tf.constant([False, True]))
    >>> print(both[:, 0, 0].numpy().tolist())
    [[2.0, 0.0], [1.0, 1.0], [0.0, 2.0], [1.0, 1.0]]
    """
    first = 2.0 * tf.cast(in_first, tf.float32)
    first = tf.where(is_whole[:, tf.newaxis], 1.0, first)
    return tf.concat([first, 2.0 - first], 0)[:, tf.newaxis, tf.newaxis]
