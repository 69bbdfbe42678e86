"""Gradients of a method's losses: pass by pass, and micro-batch by micro-batch."""

import contextlib
from collections.abc import Mapping
from typing import Any, Callable, Union

import tensorflow as tf

from wss.methods.base import Outputs, StepOutput, outputs
from wss.ops import xla

Tensors = dict[str, tf.Tensor]


def differentiate(
    compute: Callable[[], Outputs],
    variables: Mapping[str, tf.Variable],
    factor: Union[float, tf.Tensor],
) -> tuple[StepOutput, Tensors]:
    """Computes losses and their gradients.

    If there are several outputs, the backward pass of each runs before the forward pass
    of the next, so that the activations of two passes are never in memory together. All
    passes use the same values of the variables.

    Args:
      compute: returns one output or yields several, as `Method.compute_losses`.
      variables: variables by name.
      factor: multiplies the sum of the losses.

    Returns:
      The outputs merged into one, and the gradients by variable name, without the
      variables that no loss depends on.
    """
    merged, gradients = StepOutput(losses={}), {}
    with contextlib.ExitStack() as stack, tf.GradientTape(persistent=True) as tape:
        for output in outputs(compute()):
            loss = factor * total(output.losses)
            with tape.stop_recording():
                new = tape.gradient(loss, dict(variables))
            tape.reset()
            new = {
                name: tf.convert_to_tensor(gradient)
                for name, gradient in new.items()
                if gradient is not None
            }
            for name, gradient in new.items():
                earlier = gradients.get(name)
                gradients[name] = gradient if earlier is None else earlier + gradient
            merged.add(output)
            # The next forward pass waits for this backward pass.
            with tape.stop_recording():
                stack.enter_context(
                    xla.reads_after(list(new.values()), list(variables.values()))
                )
    return merged, gradients


def accumulate_gradients(
    compute: Callable[[Any, Tensors], dict[str, Any]],
    batch: Any,
    loss_normalizers: Tensors,
    micro_batches: int,
) -> dict[str, Any]:
    """Divides a batch into micro-batches and computes one after the other.

    Args:
      compute: takes images and the divisors of their losses; returns dicts of tensors.
      batch: structure of tensors [images, ...].
      loss_normalizers: divisors of the losses of all images, by name.
      micro_batches: number of micro-batches.

    Returns:
      The mean of the micro-batches' results, except for "histograms" and "images",
      which are those of the first, and "aux", which has all: [micro-batches, ...].
    """
    if micro_batches == 1:
        results = compute(batch, loss_normalizers)
        aux = {name: value[tf.newaxis] for name, value in results.pop("aux").items()}
        return {**results, "aux": aux}
    loss_normalizers = {
        name: value / micro_batches for name, value in loss_normalizers.items()
    }
    batch = tf.nest.map_structure(
        lambda x: tf.reshape(
            x, [micro_batches, x.shape[0] // micro_batches, *x.shape[1:]]
        ),
        batch,
    )

    def compute_part(index: Union[int, tf.Tensor]) -> dict[str, Any]:
        part = tf.nest.map_structure(lambda x: x[index], batch)
        return compute(part, loss_normalizers)

    results = compute_part(0)
    summaries = {kind: results.pop(kind) for kind in ("histograms", "images")}
    aux = {
        name: tf.repeat(value[tf.newaxis], micro_batches, axis=0)
        for name, value in results.pop("aux").items()
    }

    def add(index: tf.Tensor, results: Any, aux: Tensors) -> tuple[Any, ...]:
        new = compute_part(index)
        results = {
            kind: tf.nest.map_structure(tf.add, results[kind], new[kind])
            for kind in results
        }
        aux = {
            name: _replace(values, index, new["aux"][name])
            for name, values in aux.items()
        }
        return index + 1, results, aux

    _, results, aux = tf.while_loop(
        lambda index, *_: index < micro_batches, add, (1, results, aux)
    )
    means = tf.nest.map_structure(lambda x: x / micro_batches, results)
    return {**means, **summaries, "aux": aux}


def _replace(values: tf.Tensor, index: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Returns `values` [micro-batches, ...] with `value` [...] at `index`."""
    shape = [-1] + [1] * value.shape.rank
    is_index = tf.reshape(tf.range(values.shape[0]) == index, shape)
    return tf.where(is_index, value, values)


def total(losses: Tensors) -> tf.Tensor:
    """The sum of the losses, in their order; scalar float32."""
    # `tf.add_n` starts with whichever input it may overwrite, so that its order would
    # depend on the timing of other threads.
    return tf.reduce_sum(tf.stack(list(losses.values())))
