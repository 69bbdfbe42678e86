"""Reading each weight once in a step, however many passes use it.

A step of PseudoSeg passes through the network four times, and every pass would read
every weight again. That changes no number, but to a graph it is hundreds of operations
more, which have to be traced, optimised and kept in memory.
"""

import contextlib
import threading
from typing import Any, Iterable, Iterator, Mapping, Tuple, Union

import tensorflow as tf


class _Read(threading.local):
    """Per thread, for replicas are traced in threads."""

    values: Mapping[Any, tf.Tensor] = {}


_read = _Read()


@contextlib.contextmanager
def read(values: Iterable[Tuple[tf.Variable, tf.Tensor]] = ()) -> Iterator[None]:
    """Inside, `value` gives these tensors for these variables.

    Without any, each use reads its variable: where TensorFlow has to notice which
    variables a computation uses.
    """
    outer, _read.values = _read.values, {v.ref(): value for v, value in values}
    try:
        yield
    finally:
        _read.values = outer


def value(variable: tf.Variable) -> Union[tf.Tensor, tf.Variable]:
    """What was read of the variable, or itself."""
    return _read.values.get(variable.ref(), variable)
