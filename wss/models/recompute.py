"""Gradient checkpointing: less memory, more time.

The backward pass of a module needs the activations of its layers. Instead of keeping
them, `recomputed` computes them again from the module's inputs.

Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost" (arXiv:1604.06174).
"""

from typing import Callable, List, Sequence, Tuple

import tensorflow as tf

from wss.models.batch_norm import collect_batch_statistics
from wss.ops import distributed


def recomputed(
    module: Callable[[tf.Tensor], tf.Tensor], inputs: tf.Tensor
) -> tf.Tensor:
    """module(inputs), whose gradient calls the module a second time.

    Args:
      module: depends on its inputs and on variables alone. Batch norm records its
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
    def forget(inputs: tf.Tensor):
        def backward(
            upstream: tf.Tensor, variables: Sequence[tf.Variable] = ()
        ) -> Tuple[tf.Tensor, List[tf.Tensor]]:
            # Not before the gradient is here. Otherwise TensorFlow would find that it
            # has all this already.
            with tf.control_dependencies([upstream]):
                again = tf.identity(inputs)
            with tf.GradientTape() as tape, distributed.synchronized(
                is_synchronized
            ), collect_batch_statistics():
                tape.watch(again)
                outputs = module(again)
            sources = [again, *variables]
            gradient, *gradients = tape.gradient(outputs, sources, upstream)
            return gradient, gradients

        return module(inputs), backward

    return forget(inputs)
