"""Random numbers that are the same on every device, and whether XLA compiles or not."""

from typing import Sequence

import tensorflow as tf

_BITS = 23


def per_example_uniform(shape: Sequence[int], seeds: tf.Tensor) -> tf.Tensor:
    """Draws for each example of a batch, whichever batch it is in.

    The default generator depends on the device; and XLA makes a float of other bits
    than TensorFlow, which takes the last 23.

    Args:
      shape: of one example's draws, static.
      seeds: int32 [batch, 2], a seed for each example.

    Returns:
      [batch, *shape], float32, at least 0 and less than 1.
    """
    bits = [
        tf.random.stateless_uniform(
            shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
        )
        for seed in tf.unstack(seeds, num=seeds.shape[0])
    ]
    last = tf.cast(tf.bitwise.bitwise_and(tf.stack(bits), 2**_BITS - 1), tf.int32)
    return tf.cast(last, tf.float32) * 2.0**-_BITS
