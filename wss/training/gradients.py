"""Gradients of a method's losses, one after the other."""

import contextlib
from typing import Any, Callable, Dict, Mapping, Tuple, Union

import tensorflow as tf

from wss.methods.base import Outputs, StepOutput, outputs

Tensors = Dict[str, tf.Tensor]


def differentiate(
    compute: Callable[[], Outputs],
    variables: Mapping[str, tf.Variable],
    factor: Union[float, tf.Tensor],
) -> Tuple[StepOutput, Tensors]:
    """What a step gives, and the gradients of its losses.

    Losses that come one by one are differentiated one by one, and the next pass waits
    for that: what two passes keep for their way back is never in memory together. All
    use the same values of the variables.

    Args:
      compute: returns an output or yields several, as `Method.compute_losses`.
      variables: by name.
      factor: of the losses' sum.

    Returns:
      The outputs as one, and the gradients by the names of the variables that some loss
      depends on.
    """
    learnt, gradients = StepOutput(losses={}), {}
    with contextlib.ExitStack() as stack, tf.GradientTape(persistent=True) as tape:
        for output in outputs(compute()):
            loss = factor * total(output.losses)
            with tape.stop_recording():
                found = tape.gradient(loss, dict(variables))
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
            # The next pass begins after all of them.
            all_found = tf.group(*found.values())
            stack.enter_context(tf.control_dependencies([all_found]))
    return learnt, gradients


def accumulate_gradients(
    compute: Callable[[Any, Tensors], Dict[str, Any]],
    batch: Any,
    counts: Tensors,
    micro_batches: int,
) -> Dict[str, Any]:
    """What a batch gives, computed in micro-batches, one after the other.

    Args:
      compute: takes images and what their losses divide by; gives dicts of tensors.
      batch: structure of tensors [images, ...].
      counts: what the losses of all images divide by.
      micro_batches: how many to divide the images into.

    Returns:
      The mean of what the micro-batches give; "histograms" and "images" of the first,
      and "aux" of each, [micro-batches, ...].
    """
    if micro_batches == 1:
        results = compute(batch, counts)
        kept = {name: value[tf.newaxis] for name, value in results.pop("aux").items()}
        return {**results, "aux": kept}
    counts = {name: count / micro_batches for name, count in counts.items()}
    batch = tf.nest.map_structure(
        lambda x: tf.reshape(
            x, [micro_batches, x.shape[0] // micro_batches, *x.shape[1:]]
        ),
        batch,
    )
    results = compute(tf.nest.map_structure(lambda x: x[0], batch), counts)
    shown = {kind: results.pop(kind) for kind in ("histograms", "images")}
    kept = {
        name: tf.repeat(value[tf.newaxis], micro_batches, axis=0)
        for name, value in results.pop("aux").items()
    }

    def add(index: tf.Tensor, results: Any, kept: Tensors) -> Tuple[Any, ...]:
        more = compute(tf.nest.map_structure(lambda x: x[index], batch), counts)
        results = {
            kind: tf.nest.map_structure(tf.add, results[kind], more[kind])
            for kind in results
        }
        kept = {
            name: _replace(values, index, more["aux"][name])
            for name, values in kept.items()
        }
        return index + 1, results, kept

    _, results, kept = tf.while_loop(
        lambda index, *_: index < micro_batches, add, (1, results, kept)
    )
    means = tf.nest.map_structure(lambda x: x / micro_batches, results)
    return {**means, **shown, "aux": kept}


def _replace(values: tf.Tensor, index: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """`values` [micro-batches, ...] with `value` [...] as the one at `index`."""
    shape = [-1] + [1] * value.shape.rank
    is_there = tf.reshape(tf.range(values.shape[0]) == index, shape)
    return tf.where(is_there, value, values)


def total(losses: Tensors) -> tf.Tensor:
    """The sum, in the order of the losses; scalar float32."""
    # `tf.add_n` begins with an input that nothing else needs any more: here an order
    # that depends on the other threads.
    return tf.reduce_sum(tf.stack(list(losses.values())))
