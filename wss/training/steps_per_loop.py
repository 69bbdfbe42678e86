"""Several steps in one call, without coming back to Python."""

from typing import Any, Callable, Dict, Tuple

import tensorflow as tf

Results = Dict[str, Any]


def repeat(take_step: Callable[[], Results], count: tf.Tensor) -> Results:
    """Takes steps in a loop of the graph.

    What a step gives is known only once it has been traced, and that is in the loop: so
    the results of a step leave it packed. A step before the loop, or a function called
    in it, would be one more copy of the step's graph.

    Args:
      take_step: takes one; gives a structure of tensors of static shapes.
      count: how many, scalar int32.

    Returns:
      What the last step gave; zeros if there was none.
    """
    specs: Results = {}

    def body(index: tf.Tensor, _: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
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
