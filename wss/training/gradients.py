"""Gradients of a method's losses, one after the other."""

import contextlib
from typing import Callable, Dict, Mapping, Tuple, Union

import tensorflow as tf

from wss.step_output import Outputs, StepOutput, outputs

Tensors = Dict[str, tf.Tensor]


def differentiate(
    compute: Callable[[], Outputs],
    variables: Mapping[str, tf.Variable],
    factor: Union[float, tf.Tensor],
) -> Tuple[StepOutput, Tensors]:
    """What a step gives, and the gradients of its losses.

    Losses that come one by one are differentiated one by one, and the next pass waits
    for that: what two passes keep for their way back is never in memory together.

    Args:
      compute: gives an output or yields several, as `Method.step`.
      variables: by name.
      factor: of the losses' sum.

    Returns:
      The outputs as one, and the gradients by the names of the variables that some loss
      depends on.
    """
    learnt, gradients = StepOutput(losses={}), {}
    with contextlib.ExitStack() as behind, tf.GradientTape(persistent=True) as tape:
        for output in outputs(compute()):
            loss = factor * total(output.losses)
            with tape.stop_recording():
                found = tape.gradient(loss, variables)
            tape.reset()
            found = {
                name: tf.convert_to_tensor(gradient)
                for name, gradient in found.items()
                if gradient is not None
            }
            for name, gradient in found.items():
                earlier = gradients.get(name)
                gradients[name] = gradient if earlier is None else earlier + gradient
            learnt.add(output)
            all_found = tf.group(*found.values())
            behind.enter_context(tf.control_dependencies([all_found]))
    return learnt, gradients


def total(losses: Tensors) -> tf.Tensor:
    """The sum, in the order of the losses; scalar float32."""
    # `tf.add_n` begins with an input that nothing else needs any more: here an order
    # that depends on the other threads.
    return tf.reduce_sum(tf.stack(list(losses.values())))
