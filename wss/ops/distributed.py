"""What a replica knows of the others.

The global batch of a step is divided into parts: each replica takes some of the images,
and with gradient accumulation takes them in several portions. A part computes its
losses and gradients by itself; training takes the mean over the parts. The few values
that have to be those of the whole batch come from here.
"""

import contextlib
import threading
from typing import Any, Iterator, NamedTuple

import tensorflow as tf


class Ratio(NamedTuple):
    """Sums of a part of the batch, divided once those of all parts are added.

    Attributes:
      total: scalar, or a vector with an entry for each class, float32.
      count: what to divide it by, of the same shape.
    """

    total: tf.Tensor
    count: tf.Tensor

    def result(self) -> tf.Tensor:
        """total / count, scalar float32: the mean over the entries that count."""
        counted = tf.cast(self.count > 0, tf.float32)
        ratios = tf.math.divide_no_nan(self.total, self.count)
        return tf.math.divide_no_nan(tf.reduce_sum(ratios), tf.reduce_sum(counted))


def mean(values: Any) -> Any:
    """The mean over the replicas of each tensor of a structure, with gradients.

    All replicas have to call it, in the same order.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1 or not tf.nest.flatten(values):
        return values
    return context.all_reduce("MEAN", values)


def gather(values: Any) -> Any:
    """Of each tensor [parts, ...] of a structure those of all replicas, joined.

    All replicas have to call it, in the same order.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    return context.all_gather(values, axis=0)


class _Mode(threading.local):
    """Per thread, for replicas are traced in threads."""

    synchronized = False
    shares_counts = False


_mode = _Mode()


@contextlib.contextmanager
def synchronized(enabled: bool) -> Iterator[None]:
    """Inside, `batch_mean` reaches over all replicas, if `enabled`."""
    outer, _mode.synchronized = _mode.synchronized, enabled
    try:
        yield
    finally:
        _mode.synchronized = outer


@contextlib.contextmanager
def shared_counts(enabled: bool) -> Iterator[None]:
    """Inside, `mean_count` reaches over all replicas, if `enabled`."""
    outer, _mode.shares_counts = _mode.shares_counts, enabled
    try:
        yield
    finally:
        _mode.shares_counts = outer


def _several() -> bool:
    return tf.distribute.get_strategy().num_replicas_in_sync > 1


def is_synchronized() -> bool:
    """Whether what is measured on the batch has to be measured on all replicas'."""
    return _mode.synchronized and _several()


def batch_mean(values: Any) -> Any:
    """The mean over the batch of what was measured on this replica's part of it.

    The original's batch is that of one replica: so it is here, unless `synchronized`.
    """
    return mean(values) if is_synchronized() else values


def mean_count(count: tf.Tensor) -> tf.Tensor:
    """The mean over the replicas of how many pixels a loss counted, scalar.

    Divided by it, the mean of the replicas' losses is the loss of the global batch.
    It is this replica's own count outside of `shared_counts`.
    """
    return mean(count) if _mode.shares_counts and _several() else count
