"""Loss scaling for float16, whose smallest gradients would otherwise become 0."""

from typing import Annotated

import gin
import tensorflow as tf

from wss.settings import Count, Range


@gin.configurable
class LossScale(tf.Module):
    """A factor on the loss that is as large as the gradients allow.

    A step whose gradients overflow is left out and halves the factor; a series of steps
    that do not doubles it. Source: Micikevicius et al., "Mixed Precision Training"
    (ICLR 2018).

    Args:
      initial: factor of the first step.
      growth_steps: length of the series.
    """

    def __init__(
        self,
        initial: Annotated[float, Range(low=1)] = 2.0**15,
        growth_steps: Count = 2000,
    ):
        super().__init__(name="loss_scale")
        self._growth_steps = growth_steps
        self.value = tf.Variable(float(initial), trainable=False, name="value")
        self._good_steps = tf.Variable(
            0, trainable=False, dtype=tf.int64, name="good_steps"
        )

    def update(self, finite: tf.Tensor) -> None:
        """Notes how a step went; called outside of the replicas.

        Args:
          finite: scalar bool, whether all gradients were.
        """
        good_steps = self._good_steps + 1
        grows = good_steps >= self._growth_steps
        grown = tf.where(grows, 2.0 * self.value, self.value)
        shrunk = tf.maximum(0.5 * self.value, 1.0)
        self.value.assign(tf.where(finite, grown, shrunk))
        self._good_steps.assign(tf.where(finite & ~grows, good_steps, 0))
