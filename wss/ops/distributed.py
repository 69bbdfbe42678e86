"""Values that the replicas compute together.

The global batch of a step is divided into parts: one per replica or, with gradient
accumulation, several micro-batches per replica. Each part computes its own losses and
gradients; training averages them. This module computes the few values that depend on
all parts.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import tensorflow as tf


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


class _Mode(threading.local):
    """Per thread, because each replica is traced in a thread."""

    synchronized = False
    shares_counts = False


_mode = _Mode()


@contextlib.contextmanager
def synchronized(enabled: bool) -> Iterator[None]:
    """Context in which `batch_mean` averages over all replicas, if `enabled`."""
    outer, _mode.synchronized = _mode.synchronized, enabled
    try:
        yield
    finally:
        _mode.synchronized = outer


@contextlib.contextmanager
def shared_counts(enabled: bool) -> Iterator[None]:
    """Context in which `mean_count` averages over all replicas, if `enabled`."""
    outer, _mode.shares_counts = _mode.shares_counts, enabled
    try:
        yield
    finally:
        _mode.shares_counts = outer


def _several() -> bool:
    return tf.distribute.get_strategy().num_replicas_in_sync > 1


def is_synchronized() -> bool:
    """Whether batch statistics are those of all replicas together."""
    return _mode.synchronized and _several()


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
    return mean(count) if _mode.shares_counts and _several() else count
