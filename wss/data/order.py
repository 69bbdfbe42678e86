"""Which record a step visits: a pure function of the seed and the step.

Epoch e of a stream visits the records in a permutation that (seed, e) decides. What is
drawn for the i-th example of the stream is decided by (seed, i).
"""

from typing import Tuple

import tensorflow as tf

# The streams of records, each with its own draws.
LABELED, UNLABELED = 0, 1


def purpose_seed(seed: tf.Tensor, purpose: tf.Tensor) -> tf.Tensor:
    """[2]: a seed of its own for each purpose, which is an integer."""
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(purpose, tf.int64))


def stream_seeds(seed: int, stream: int) -> Tuple[tf.Tensor, tf.Tensor]:
    """The seeds [2] of a stream's order, and of what is drawn for its examples."""
    with tf.device("/cpu:0"):
        stream_seed = purpose_seed(tf.constant([seed, 0], tf.int64), stream)
        return purpose_seed(stream_seed, 0), purpose_seed(stream_seed, 1)


def visits(size: int, seed: tf.Tensor, start: int) -> tf.data.Dataset:
    """Endless pairs (position in the stream, number of the record), both int64.

    Every epoch is a permutation of the records of its own.

    Args:
      size: number of records.
      seed: [2], the first of `stream_seeds`.
      start: position of the first pair.
    """

    def epoch(number):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(size, dtype=tf.int64), purpose_seed(seed, number)
        )
        return tf.data.Dataset.from_tensor_slices(order)

    epochs = tf.data.Dataset.range(start // size, tf.int64.max)
    return epochs.flat_map(epoch).skip(start % size).enumerate(start)


def own_part(
    pairs: tf.data.Dataset, batch_size: int, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """Keeps of every global batch of `visits` the part of this input pipeline."""
    size = batch_size // context.num_input_pipelines
    first = context.input_pipeline_id * size
    return (
        pairs.batch(batch_size)
        .map(lambda *batch: tuple(part[first : first + size] for part in batch))
        .unbatch()
    )
