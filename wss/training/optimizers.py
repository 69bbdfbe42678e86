"""Momentum as in TF1, and the factors on single variables' gradients."""

from typing import Annotated, Dict, Iterable, Mapping, Optional

import gin
import tensorflow as tf

from wss.settings import NonNegative, Range, Several


@gin.configurable(denylist=["variables"])
class Momentum(tf.Module):
    """Momentum with the learning rate outside of the accumulator, as in TF1:

        accumulator = momentum * accumulator + gradient
        variable -= learning_rate * accumulator

    Keras folds the rate into the accumulator, which differs once the rate changes. The
    accumulators are kept by variable name, so that a checkpoint stays readable when the
    order of the variables changes.

    Args:
      variables: trainable variables by name.
      momentum: share of the accumulator that a step keeps.
    """

    def __init__(
        self,
        variables: Mapping[str, tf.Variable],
        momentum: Annotated[float, Range(low=0, below=1)] = 0.9,
    ):
        super().__init__(name="momentum")
        self.momentum = momentum
        self.accumulators: Dict[str, tf.Variable] = {}
        for name, variable in variables.items():
            # Beside its variable: on the same devices, mirrored if it is mirrored.
            with tf.distribute.get_strategy().extended.colocate_vars_with(variable):
                self.accumulators[name] = tf.Variable(
                    tf.zeros(variable.shape, variable.dtype),
                    trainable=False,
                    name=f"{name}/Momentum",
                )
        self._variables = dict(variables)

    def apply(
        self,
        gradients: Mapping[str, tf.Tensor],
        learning_rate: tf.Tensor,
        finite: Optional[tf.Tensor] = None,
    ) -> None:
        """Takes a step; called in replica context with the same values on each replica.

        Args:
          gradients: gradients by variable name, already summed over the replicas.
          learning_rate: scalar float32.
          finite: scalar bool; nothing changes where it is False.
        """
        context = tf.distribute.get_replica_context()
        arguments = (gradients, learning_rate)
        if finite is not None:
            arguments += (finite,)
        context.merge_call(self._apply_everywhere, args=arguments)

    def _apply_everywhere(self, strategy, gradients, learning_rate, *finite):
        # One constant for all: a graph with hundreds of variables has nodes enough.
        momentum = tf.constant(self.momentum)

        def update(variable, accumulator, gradient, rate):
            return tf.raw_ops.ResourceApplyMomentum(
                var=variable.handle,
                accum=accumulator.handle,
                lr=tf.cast(rate, variable.dtype),
                grad=gradient,
                momentum=tf.cast(momentum, variable.dtype),
            )

        def update_if(variable, accumulator, gradient, rate, finite):
            new = self.momentum * accumulator + gradient
            new = accumulator.assign(tf.where(finite, new, accumulator))
            return variable.assign_sub(tf.where(finite, rate * new, 0.0))

        for name, gradient in gradients.items():
            strategy.extended.update(
                self._variables[name],
                update_if if finite else update,
                args=(self.accumulators[name], gradient, learning_rate, *finite),
                group=False,
            )


@gin.configurable(denylist=["names"])
def gradient_multipliers(
    names: Iterable[str],
    *,
    last_layers: Several[str] = ("logits",),
    last_layer_multiplier: NonNegative = 1.0,
    bias_multiplier: NonNegative = 2.0,
) -> Dict[str, float]:
    """Factors on the gradients of single variables (DeepLab's training utilities).

    Args:
      names: TF1 names of the trainable variables; both rules look for substrings, as
        the original does, so `xception_65/logits` is a last layer too.
      last_layers: scopes of the last layers.
      last_layer_multiplier: factor of the last layers.
      bias_multiplier: factor of biases everywhere, on top of their layer's.

    Returns:
      Factor by name, for the names whose factor is not 1.
    """
    multipliers = {}
    for name in names:
        multiplier = bias_multiplier if "biases" in name else 1.0
        if any(layer in name for layer in last_layers):
            multiplier *= last_layer_multiplier
        if multiplier != 1.0:
            multipliers[name] = multiplier
    return multipliers
