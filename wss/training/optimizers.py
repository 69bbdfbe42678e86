"""The optimizers, the learning rate, gradient multipliers and loss scale."""

import abc
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Optional

import gin
import numpy as np
import tensorflow as tf

from wss.errors import UserError
from wss.settings import Count, Natural, NonNegative, Positive, Range, Several


class Optimizer(tf.Module):
    """Updates the trainable variables from their gradients.

    Its slots are stored by variable name: a checkpoint does not depend on their order.
    If it `decouples`, weight decay and factors change the update, not the gradient.

    >>> print(Momentum.decouples, AdamW.decouples)
    False True
    """

    decouples = False

    def __init__(self, name: str, variables: Mapping[str, tf.Variable]):
        super().__init__(name=name)
        self._variables = dict(variables)

    def _slots(self, suffix: str) -> dict[str, tf.Variable]:
        """Zeros for each variable, with TF1's names."""
        slots = {}
        for name, variable in self._variables.items():
            # Like its variable: on the same devices, and mirrored if that is mirrored.
            with tf.distribute.get_strategy().extended.colocate_vars_with(variable):
                slots[name] = tf.Variable(
                    tf.zeros(variable.shape, variable.dtype),
                    trainable=False,
                    name=f"{name}/{suffix}",
                )
        return slots

    @abc.abstractmethod
    def apply(
        self,
        gradients: Mapping[str, tf.Tensor],
        learning_rate: tf.Tensor,
        finite: Optional[tf.Tensor] = None,
    ) -> None:
        """Updates the variables; called in replica context, with equal values on all.

        Args:
          gradients: gradients by variable name, already summed over the replicas.
          learning_rate: scalar float32.
          finite: scalar bool; if it is False, nothing changes.
        """


@gin.configurable(denylist=["variables"])
class Momentum(Optimizer):
    """Momentum with the learning rate outside of the accumulator, as in TF1:

        accumulator = momentum * accumulator + gradient
        variable -= learning_rate * accumulator

    Keras multiplies the rate into the accumulator: a difference once the rate changes.

    Args:
      variables: trainable variables by name.
      momentum: factor of the accumulator in each step.

    >>> weight = tf.Variable(1.0)
    >>> Momentum({"w": weight}).apply({"w": tf.constant(2.0)}, tf.constant(0.5))
    >>> print(weight.numpy())
    0.0
    """

    def __init__(
        self,
        variables: Mapping[str, tf.Variable],
        momentum: Annotated[float, Range(low=0, below=1)] = 0.9,
    ):
        super().__init__("momentum", variables)
        self.momentum = momentum
        self.accumulators = self._slots("Momentum")

    def apply(self, gradients, learning_rate, finite=None):
        """See `Optimizer.apply`."""
        context = tf.distribute.get_replica_context()
        arguments = (gradients, learning_rate)
        if finite is not None:
            arguments += (finite,)
        context.merge_call(self._apply_everywhere, args=arguments)

    def _apply_everywhere(self, strategy, gradients, learning_rate, *finite):
        # One constant for all variables keeps the graph small.
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


@gin.configurable(denylist=["variables", "factors", "weight_decay"])
class AdamW(Optimizer):
    """Adam with decoupled weight decay, as in PyTorch; t counts the updates:

        variable -= rate * weight_decay * variable
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient^2
        variable -= rate * (first / (1 - 0.9^t))
                    / (sqrt(second / (1 - 0.999^t)) + 1e-8)

    Keras adds 1e-8 before it corrects `second`, and has one rate for all variables.
    Source: `torch.optim.AdamW`; Loshchilov and Hutter (ICLR 2019).

    Args:
      variables: trainable variables by name; all of them decay.
      factors: of the learning rate, by variable name; 1 for the others.
      weight_decay: share of a variable that decays, per unit of the rate.

    >>> weight = tf.Variable(1.0)
    >>> AdamW({"w": weight}).apply({"w": tf.constant(2.0)}, tf.constant(0.5))
    >>> print(weight.numpy())
    0.5
    """

    decouples = True
    _betas = (np.float32(0.9), np.float32(0.999))

    def __init__(
        self,
        variables: Mapping[str, tf.Variable],
        factors: Optional[Mapping[str, float]] = None,
        weight_decay: float = 0.0,
    ):
        super().__init__("adamw", variables)
        self._factors = dict(factors or {})
        self._weight_decay = weight_decay
        self.first_moments = self._slots("Adam")
        self.second_moments = self._slots("Adam_1")
        self.updates = tf.Variable(0, trainable=False, dtype=tf.int64, name="updates")

    def apply(self, gradients, learning_rate, finite=None):
        """See `Optimizer.apply`."""
        taken, rate, betas = 1, learning_rate, self._betas
        if finite is not None:  # A rate of 0 and betas of 1 change nothing.
            taken = tf.cast(finite, tf.int64)
            rate = tf.where(finite, rate, 0.0)
            betas = [tf.where(finite, beta, 1.0) for beta in betas]
            gradients = {n: tf.where(finite, g, 0.0) for n, g in gradients.items()}
        time = tf.cast(self.updates + 1, tf.float32)
        # From logarithms: 1 - beta^t loses digits where beta^t is almost 1.
        first, second = (-tf.math.expm1(time * math.log(b)) for b in self._betas)
        root = tf.sqrt(second)
        arguments = (taken, rate, rate * root / first, 1e-8 * root, *betas)
        context = tf.distribute.get_replica_context()
        context.merge_call(self._apply_everywhere, args=(gradients, *arguments))

    def _apply_everywhere(self, strategy, gradients, taken, *shared):
        zero = tf.zeros([])  # The powers of the betas are in rate and epsilon.

        def update(variable, slots, gradient, factor, decay, rate, epsilon, *betas):
            if self._weight_decay:
                variable.assign_sub(factor * self._weight_decay * decay * variable)
            return tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=slots[0].handle,
                v=slots[1].handle,
                beta1_power=zero,
                beta2_power=zero,
                lr=factor * rate,
                beta1=betas[0],
                beta2=betas[1],
                epsilon=epsilon,
                grad=gradient,
            )

        for name, gradient in gradients.items():
            slots = (self.first_moments[name], self.second_moments[name])
            factor = self._factors.get(name, 1.0)
            strategy.extended.update(
                self._variables[name],
                update,
                args=(slots, gradient, factor, *shared),
                group=False,
            )
        strategy.extended.update(
            self.updates, lambda v, n: v.assign_add(n), args=(taken,), group=False
        )


@gin.configurable(denylist=["names", "backbone_scope"])
def gradient_multipliers(
    names: Iterable[str],
    backbone_scope: Optional[str] = None,
    *,
    backbone_multiplier: NonNegative = 1.0,
    last_layers: Several[str] = ("logits",),
    last_layer_multiplier: NonNegative = 1.0,
    bias_multiplier: NonNegative = 2.0,
) -> dict[str, float]:
    """Factors for the gradients of some variables (DeepLab's training utilities).

    Args:
      names: TF1 names of the trainable variables. As in the original, both rules look
        for substrings, so `xception_65/logits` counts as a last layer too.
      backbone_scope: TF1 scope of the backbone.
      backbone_multiplier: factor of the backbone, without the classifier of images.
      last_layers: scopes of the last layers.
      last_layer_multiplier: factor of the last layers.
      bias_multiplier: factor of all biases, multiplied with that of their layer.

    Returns:
      Factors by name, without those that are 1.

    >>> print(gradient_multipliers(["logits/weights", "logits/biases"]))
    {'logits/biases': 2.0}
    """
    multipliers = {}
    for name in names:
        multiplier = bias_multiplier if "biases" in name else 1.0
        # The classifier of images is in the backbone's scope, but begins at random.
        scope, _, rest = name.partition("/")
        if scope == backbone_scope and not rest.startswith("logits/"):
            multiplier *= backbone_multiplier
        if any(layer in name for layer in last_layers):
            multiplier *= last_layer_multiplier
        if multiplier != 1.0:
            multipliers[name] = multiplier
    return multipliers


def polynomial_decay(
    step: tf.Tensor, base: float, end: float, power: float, decay_steps: float
) -> tf.Tensor:
    """(base - end) * (1 - step / decay_steps)^power + end, constant afterwards.

    Args:
      step: scalar, steps since the decay began.
      base: rate at step 0.
      end: rate from step `decay_steps` on.
      power: exponent; 1 decays linearly.
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
      step: number of steps taken before this one, scalar integer.
      total_steps: number of steps of the run.
      policy: "poly" (`polynomial_decay`) or "step" (`staircase_decay`). The decay
        begins after the slow start.
      base: rate at the start of the decay.
      end: rate at the end of "poly".
      power: exponent of "poly".
      decay_steps: length of "poly"; 0: to the end of the run.
      decay_factor: "step" multiplies the rate by it every `decay_interval` steps.
      decay_interval: steps between two reductions of "step".
      slow_start_steps: length of the slow start; 0: none.
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


class LossScale(tf.Module):
    """Dynamic loss scaling for float16.

    Without it small gradients become 0 in float16. If the gradients of a step overflow,
    the step is skipped and the scale is halved; after `growth_steps` steps without an
    overflow it is doubled.

    Source: Micikevicius et al., "Mixed Precision Training" (ICLR 2018).

    Args:
      initial: scale of the first step.
      growth_steps: number of steps without an overflow before the scale is doubled.

    Attributes:
      value: the scale, a scalar float32 variable.

    >>> scale = LossScale(initial=4.0)
    >>> scale.update(finite=tf.constant(False))
    >>> print(scale.value.numpy())
    2.0
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
        """Adapts the scale after a step; called in cross-replica context.

        Args:
          finite: whether all gradients were finite, scalar bool.
        """
        good_steps = self._good_steps + 1
        grows = good_steps >= self._growth_steps
        grown = tf.where(grows, 2.0 * self.value, self.value)
        shrunk = tf.maximum(0.5 * self.value, 1.0)
        self.value.assign(tf.where(finite, grown, shrunk))
        self._good_steps.assign(tf.where(finite & ~grows, good_steps, 0))
