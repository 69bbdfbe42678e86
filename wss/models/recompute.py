"""Gradient checkpointing: less memory, more time.

The backward pass of a module needs the activations of its layers. `recomputed` does not
keep them, but computes them again from the module's inputs.

Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost" (arXiv:1604.06174).
"""

from collections.abc import Sequence
from typing import Callable

import tensorflow as tf

from wss.models.batch_norm import collect_batch_statistics
from wss.ops import distributed, xla


def recomputed(
    module: Callable[[tf.Tensor], tf.Tensor], inputs: tf.Tensor
) -> tf.Tensor:
    """Computes module(inputs); its gradient calls the module a second time.

    Args:
      module: depends only on its inputs and on variables. Batch norm records its
        statistics in the first call only.
      inputs: [batch, height, width, channels].

    >>> x = tf.constant([3.0])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = recomputed(lambda x: x * x, x)
    >>> print(y.numpy(), tape.gradient(y, x).numpy())
    [9.] [6.]
    """
    is_synchronized = distributed.is_synchronized()

    @tf.custom_gradient
    def checkpointed(inputs: tf.Tensor):
        def backward(
            upstream: tf.Tensor, variables: Sequence[tf.Variable] = ()
        ) -> tuple[tf.Tensor, list[tf.Tensor]]:
            # Waits for the gradient. Otherwise TensorFlow would reuse the activations
            # of the first call, and so keep them.
            (again,) = xla.after([upstream], [inputs])
            with tf.GradientTape() as tape, distributed.synchronized(
                is_synchronized
            ), collect_batch_statistics():
                tape.watch(again)
                outputs = module(again)
            sources = [again, *variables]
            gradient, *gradients = tape.gradient(outputs, sources, upstream)
            return gradient, gradients

        return module(inputs), backward

    return checkpointed(inputs)
