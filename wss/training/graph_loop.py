"""A loop of steps inside a TensorFlow graph."""

from typing import Any, Callable

import tensorflow as tf


def repeat(take_step: Callable[[], dict[str, Any]], count: tf.Tensor) -> dict[str, Any]:
    """Takes `count` steps and returns the results of the last one.

    The loop needs a value to start from, but the structure of the results is known
    only after the step was traced, inside the loop. So the loop carries the results
    packed into one optional. Tracing a step before the loop, or calling a function in
    it, would add another copy of the step's graph.

    Args:
      take_step: takes one step; returns a structure of tensors of static shapes.
      count: number of steps, scalar int32.

    Returns:
      The results of the last step; zeros if `count` is 0.
    """
    specs: dict[str, Any] = {}

    def body(index: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        results = take_step()
        specs.update(tf.nest.map_structure(tf.TensorSpec.from_tensor, results))
        packed = tf.raw_ops.OptionalFromValue(components=tf.nest.flatten(results))
        return index + 1, packed

    _, last = tf.while_loop(
        lambda index, _: index < count, body, (0, tf.raw_ops.OptionalNone())
    )
    flat = tf.nest.flatten(specs)
    tensors = tf.cond(
        tf.raw_ops.OptionalHasValue(optional=last),
        lambda: tf.raw_ops.OptionalGetValue(
            optional=last,
            output_types=[spec.dtype for spec in flat],
            output_shapes=[spec.shape for spec in flat],
        ),
        lambda: [tf.zeros(spec.shape, spec.dtype) for spec in flat],
    )
    return tf.nest.pack_sequence_as(specs, tensors)
