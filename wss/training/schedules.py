"""Learning rates as functions of the step."""

from typing import Literal

import gin
import tensorflow as tf

from wss.errors import UserError
from wss.settings import Count, Natural, NonNegative, Positive


def polynomial_decay(
    step: tf.Tensor, base: float, end: float, power: float, decay_steps: float
) -> tf.Tensor:
    """(base - end) * (1 - step / decay_steps)^power + end, constant afterwards.

    Args:
      step: scalar, steps since the decay began.
      base: rate at step 0.
      end: rate from `decay_steps` on.
      power: 1 decays linearly.
      decay_steps: length of the decay in steps.

    Returns:
      Scalar float32.

    >>> rate = polynomial_decay(tf.constant(50), 0.1, 0.0, power=1.0, decay_steps=100.0)
    >>> print(f"{rate:.2f}")
    0.05
    """
    share = tf.minimum(tf.cast(step, tf.float32), decay_steps) / decay_steps
    return (base - end) * tf.pow(1.0 - share, power) + end


def staircase_decay(
    step: tf.Tensor, base: float, factor: float, interval: int
) -> tf.Tensor:
    """base * factor^floor(step / interval), scalar float32.

    >>> print(f"{staircase_decay(tf.constant(250), 1.0, 0.1, interval=100):.2f}")
    0.01
    """
    stairs = tf.floor(tf.cast(step, tf.float32) / float(interval))
    return base * tf.pow(tf.constant(factor, tf.float32), stairs)


@gin.configurable(denylist=["step", "total_steps"])
def learning_rate(
    step: tf.Tensor,
    total_steps: int,
    *,
    policy: Literal["poly", "step"] = "poly",
    base: Positive = 0.007,
    end: NonNegative = 0.0,
    power: NonNegative = 0.9,
    decay_steps: NonNegative = 0.0,
    decay_factor: Positive = 0.1,
    decay_interval: Count = 2000,
    slow_start_steps: Natural = 0,
    slow_start_rate: NonNegative = 1e-4,
    slow_start_burn_in: Literal["none", "linear"] = "none",
) -> tf.Tensor:
    """The learning rate of a step (DeepLab's `get_model_learning_rate`).

    Args:
      step: scalar integer, number of steps taken before this one.
      total_steps: length of the training.
      policy: "poly" (`polynomial_decay`) or "step" (`staircase_decay`). The decay
        begins behind the slow start.
      base: rate at which the decay begins.
      end: rate at which "poly" ends.
      power: exponent of "poly".
      decay_steps: length of "poly"; 0 means to the end of the training.
      decay_factor: what "step" multiplies with every `decay_interval` steps.
      decay_interval: steps between two stairs of "step".
      slow_start_steps: length of the slow start; 0 means none.
      slow_start_rate: rate at step 0 of the slow start.
      slow_start_burn_in: "none" keeps `slow_start_rate` during the slow start,
        "linear" raises it to `base`.

    Returns:
      Scalar float32.

    Raises:
      UserError: unknown policy or burn-in.

    >>> print(f"{learning_rate(tf.constant(0), 1000):.3f}")
    0.007
    """
    decaying_step = tf.maximum(step - slow_start_steps, 0)
    if policy == "poly":
        decay_steps = float(decay_steps or total_steps - slow_start_steps)
        rate = polynomial_decay(decaying_step, base, end, power, decay_steps)
    elif policy == "step":
        rate = staircase_decay(decaying_step, base, decay_factor, decay_interval)
    else:
        raise UserError(
            f"learning_rate.policy is {policy!r}; it has to be 'poly' or 'step'."
        )
    if slow_start_burn_in not in ("none", "linear"):
        raise UserError(
            f"learning_rate.slow_start_burn_in is {slow_start_burn_in!r}; it has to be "
            "'none' or 'linear'."
        )
    if not slow_start_steps:
        return rate
    slow_rate = tf.constant(slow_start_rate, tf.float32)
    if slow_start_burn_in == "linear":
        progress = tf.cast(step, tf.float32) / float(slow_start_steps)
        slow_rate += (base - slow_start_rate) * progress
    return tf.where(step < slow_start_steps, slow_rate, rate)
