"""What is written in another way where XLA compiles.

TensorFlow computes in the order of the program: a control dependency lets one
computation wait for another. XLA drops control dependencies, merges equal computations
and chooses its own order; there an optimization barrier takes their place.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from wss.ops.scoped import Scoped

_compiles = Scoped(False)


def compiled(enabled: bool) -> AbstractContextManager[bool]:
    """Context in which XLA compiles what is traced, if `enabled`."""
    return _compiles.set_to(enabled)


def compiles() -> bool:
    """Whether XLA compiles what is traced here."""
    return _compiles.value


def after(
    awaited: Sequence[tf.Tensor], tensors: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """The same tensors; what uses them is computed after `awaited`."""
    if compiles():
        both = gen_xla_ops.xla_optimization_barrier([*tensors, *awaited])
        return list(both[: len(tensors)])
    with tf.control_dependencies(awaited):
        return [tf.identity(tensor) for tensor in tensors]


@contextlib.contextmanager
def reads_after(
    awaited: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
) -> Iterator[None]:
    """Context in which what reads the variables is computed after `awaited`."""
    if not compiles():
        with tf.control_dependencies([tf.group(*awaited)]):
            yield
        return
    values = after(awaited, [variable.read_value() for variable in variables])
    for variable, value in zip(variables, values):
        # The operation, as a mirrored variable refuses `assign` on a replica.
        tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)
    yield
