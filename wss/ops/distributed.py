"""Values that the replicas compute together.

The global batch of a step is divided into parts: one per replica or, with gradient
accumulation, several micro-batches per replica. Each part computes its own losses and
gradients; training averages them. This module computes the few values that depend on
all parts.
"""

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import tensorflow as tf

from wss.ops.scoped import Scoped


class Ratio(NamedTuple):
    """Sums over a part of the batch, to be divided after adding those of all parts.

    Attributes:
      total: scalar or [classes], float32.
      count: the divisor, of the same shape.
    """

    total: tf.Tensor
    count: tf.Tensor

    def result(self) -> tf.Tensor:
        """Mean of total / count over the entries with a count, scalar float32."""
        counted = tf.cast(self.count > 0, tf.float32)
        ratios = tf.math.divide_no_nan(self.total, self.count)
        return tf.math.divide_no_nan(tf.reduce_sum(ratios), tf.reduce_sum(counted))


def mean(values: Any) -> Any:
    """The mean over the replicas of each tensor of a structure, with gradients.

    All replicas must call it, in the same order.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1 or not tf.nest.flatten(values):
        return values
    return context.all_reduce("MEAN", values)


def gather(values: Any) -> Any:
    """Concatenates each tensor [parts, ...] of a structure over the replicas.

    All replicas must call it, in the same order.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    return context.all_gather(values, axis=0)


_synchronizes = Scoped(False)
_shares_counts = Scoped(False)


def synchronized(enabled: bool) -> AbstractContextManager[bool]:
    """Context in which `batch_mean` averages over all replicas, if `enabled`."""
    return _synchronizes.set_to(enabled)


def shared_counts(enabled: bool) -> AbstractContextManager[bool]:
    """Context in which `mean_count` averages over all replicas, if `enabled`."""
    return _shares_counts.set_to(enabled)


def _several() -> bool:
    return tf.distribute.get_strategy().num_replicas_in_sync > 1


def is_synchronized() -> bool:
    """Whether batch statistics are those of all replicas together."""
    return _synchronizes.value and _several()


def batch_mean(values: Any) -> Any:
    """The mean over the batch of a value of this replica.

    As in the original, the batch is that of one replica; inside `synchronized` it is
    that of all replicas.
    """
    return mean(values) if is_synchronized() else values


def mean_count(count: tf.Tensor) -> tf.Tensor:
    """The mean over the replicas of the number of pixels of a loss, scalar.

    If each replica divides by it, the mean of the replicas' losses is the loss of the
    global batch. Outside `shared_counts` it is this replica's count.
    """
    return mean(count) if _shares_counts.value and _several() else count
