"""Checks that the losses, the gradient and the weights stay finite."""

from collections.abc import Mapping

import tensorflow as tf

from wss.errors import NotFiniteError


class FinitenessCheck:
    """Records the first bad loss on the device, so that no step waits for a check.

    Creates variables: call it in the strategy's scope.

    Args:
      variables: all variables of the run by name.
      step: the variable that counts the steps.
    """

    def __init__(self, variables: Mapping[str, tf.Variable], step: tf.Variable):
        self._variables = {
            name: variable
            for name, variable in variables.items()
            if variable.dtype.is_floating
        }
        self._step = step
        # The first step with a loss that is not finite (-1: none), and which loss.
        self._bad_step = tf.Variable(-1, trainable=False, dtype=tf.int64)
        self._bad_loss = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._loss_names: list[str] = []

    def record(self, losses: dict[str, tf.Tensor]) -> None:
        """Records the first loss that is not finite, unless there is an earlier one.

        Call it in the graph of a step, before the step is counted.

        Args:
          losses: scalars by name; "gradient" is the norm of the gradient.
        """
        self._loss_names = list(losses)
        bad = ~tf.math.is_finite(tf.stack(list(losses.values())))
        is_first = (self._bad_step < 0) & tf.reduce_any(bad)
        first = tf.argmax(tf.cast(bad, tf.int32))
        self._bad_loss.assign(tf.where(is_first, first, self._bad_loss))
        self._bad_step.assign(tf.where(is_first, self._step, self._bad_step))

    def check(self) -> None:
        """Raises a NotFiniteError if a loss, the gradient or a weight is not finite."""
        bad_step = int(self._bad_step.numpy())
        if bad_step >= 0:
            name = self._loss_names[int(self._bad_loss.numpy())]
            what = "gradient" if name == "gradient" else f"loss '{name}'"
            raise NotFiniteError(
                f"The {what} is not finite in the step after step {bad_step}.",
                bad_step,
            )
        for name, is_finite in zip(self._variables, self._are_finite().numpy()):
            if not is_finite:
                step = int(self._step.numpy())
                raise NotFiniteError(
                    f"The variable {name} is not finite after step {step}.", step - 1
                )

    @tf.function(autograph=False)
    def _are_finite(self) -> tf.Tensor:
        return tf.stack(
            [
                tf.reduce_all(tf.math.is_finite(variable))
                for variable in self._variables.values()
            ]
        )
