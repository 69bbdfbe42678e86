"""Random numbers that are the same on every device, with and without XLA."""

from collections.abc import Sequence

import tensorflow as tf

_BITS = 23


def per_example_uniform(shape: Sequence[int], seeds: tf.Tensor) -> tf.Tensor:
    """Uniform random numbers of each example, which depend only on its seed.

    TensorFlow's default generator depends on the device, and XLA makes floats from
    other bits than TensorFlow. Here they are the last 23 bits, as in TensorFlow.

    Args:
      shape: static shape of an example's numbers.
      seeds: [batch, 2], int32, one seed per example.

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
