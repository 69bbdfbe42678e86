"""One step of training: one batch, one gradient, one update, on every replica."""

import contextlib
from typing import Any, Callable, ContextManager, Dict, Mapping

import gin
import tensorflow as tf

from wss.errors import UserError
from wss.training import optimizers, schedules

Tensors = Dict[str, tf.Tensor]


@gin.configurable(allowlist=["weight_decay"])
class TrainingStep:
    """Takes steps as the original does.

    Each replica adds its losses and the weight decay, the gradients of the replicas are
    averaged, some are multiplied, momentum applies them, and the moving averages of
    batch norm follow. The first loss that is not finite is noted on the device.
    """

    def __init__(
        self,
        method: Any,
        variables: Mapping[str, tf.Variable],
        strategy: tf.distribute.Strategy,
        *,
        total_steps: int,
        seed: int = 0,
        weight_decay: float = 4e-5,
        collect_statistics: Callable[[], ContextManager] = contextlib.nullcontext,
        render: Callable[[Mapping[str, Any]], Tensors] = dict,
    ):
        """Creates the optimizer's variables; call it in the strategy's scope.

        Args:
          method: what to train (`wss.methods.base.Method`): `step(batch, step, seed)`
            gives losses, monitors, histograms and panels, `regularized_variables` are
            those that weight decay shrinks. Its variables exist.
          variables: the method's variables by TF1 name.
          strategy: which devices train.
          total_steps: length of the training, for the learning rate.
          seed: of all draws.
          weight_decay: factor of half the sum of the regularized variables' squares.
          collect_statistics: context in which batch norm only notes its statistics; it
            gives an object whose `apply` updates the moving averages.
          render: turns a step's panels into images [count, height, width, 3], uint8.
        """
        self._method = method
        self._strategy = strategy
        self._total_steps = total_steps
        self._seed = seed
        self._weight_decay = weight_decay
        self._collect_statistics = collect_statistics
        self._render = render
        self._variables = dict(variables)
        self._trainable = {
            name: variable for name, variable in variables.items() if variable.trainable
        }
        self._multipliers = optimizers.gradient_multipliers(self._trainable)
        self.optimizer = optimizers.Momentum(self._trainable)
        self.step = tf.Variable(0, trainable=False, dtype=tf.int64, name="step")
        # The first step with a loss that is not finite, and which loss.
        self._bad_step = tf.Variable(-1, trainable=False, dtype=tf.int64)
        self._bad_loss = tf.Variable(0, trainable=False, dtype=tf.int64)

    @tf.function
    def run(self, iterator: Any, count: tf.Tensor) -> Dict[str, Tensors]:
        """Takes `count` steps, scalar int32, at least one.

        Returns:
          Of the last step: "losses" and "monitors", means over the replicas, with
          "total" among the losses; "histograms" and "images" of one replica;
          "learning_rate".
        """
        for _ in tf.range(count - 1):
            self._distributed_step(next(iterator))
        return self._distributed_step(next(iterator))

    def check_finite(self) -> None:
        """Raises a UserError if a loss, the gradient or a variable is not finite."""
        bad_step = int(self._bad_step.numpy())
        if bad_step >= 0:
            name = self._checked[int(self._bad_loss.numpy())]
            what = "gradient" if name == "gradient" else f"loss '{name}'"
            raise UserError(f"The {what} is not finite at step {bad_step}.")
        names = [name for name, v in self._variables.items() if v.dtype.is_floating]
        finite = self._variables_are_finite().numpy()
        for name, is_finite in zip(names, finite):
            if not is_finite:
                step = int(self.step.numpy())
                raise UserError(f"The variable {name} is not finite at step {step}.")

    # A function of its own, so that `run` traces the networks once.
    @tf.function
    def _distributed_step(self, batch: Any) -> Dict[str, Tensors]:
        rate = schedules.learning_rate(self.step, self._total_steps)
        results = self._strategy.run(self._replica_step, args=(batch, self.step, rate))
        for kind in ("losses", "monitors"):
            results[kind] = {
                name: self._strategy.reduce("MEAN", value, axis=None)
                for name, value in results[kind].items()
            }
        for kind in ("histograms", "images"):
            results[kind] = {
                name: self._strategy.experimental_local_results(value)[0]
                for name, value in results[kind].items()
            }
        # The gradient is among the losses only to be checked.
        self._check(results["losses"])
        results["monitors"]["gradient_norm"] = results["losses"].pop("gradient")
        results["learning_rate"] = rate
        self.step.assign_add(1)
        return results

    def _replica_step(
        self, batch: Any, step: tf.Tensor, rate: tf.Tensor
    ) -> Dict[str, Tensors]:
        with tf.GradientTape() as tape:
            with self._collect_statistics() as statistics:
                output = self._method.step(batch, step, self._seed)
            losses = dict(output.losses)
            losses["weight_decay"] = self._weight_decay * tf.add_n(
                [tf.nn.l2_loss(v) for v in self._method.regularized_variables]
            )
            losses["total"] = tf.add_n(list(losses.values()))
            loss = losses["total"] / self._strategy.num_replicas_in_sync
        gradients = self._gradients(tape, loss)
        losses["gradient"] = tf.linalg.global_norm(list(gradients.values()))
        self.optimizer.apply(gradients, rate)
        if statistics is not None:
            statistics.apply()
        return {
            "losses": losses,
            "monitors": dict(output.monitors),
            "histograms": dict(output.histograms),
            "images": self._render(output.panels),
        }

    def _gradients(self, tape: tf.GradientTape, loss: tf.Tensor) -> Tensors:
        """Summed over the replicas, multiplied; none for variables without a part."""
        gradients = tape.gradient(loss, self._trainable)
        gradients = {name: g for name, g in gradients.items() if g is not None}
        names = list(gradients)
        summed = tf.distribute.get_replica_context().all_reduce(
            "SUM", [tf.convert_to_tensor(gradients[name]) for name in names]
        )
        return {
            name: gradient * self._multipliers.get(name, 1.0)
            for name, gradient in zip(names, summed)
        }

    def _check(self, losses: Tensors) -> None:
        """Notes the first loss that is not finite, and keeps what it noted before."""
        self._checked = list(losses)
        bad = ~tf.math.is_finite(tf.stack([losses[name] for name in self._checked]))
        is_first = (self._bad_step < 0) & tf.reduce_any(bad)
        first = tf.argmax(tf.cast(bad, tf.int32))
        self._bad_loss.assign(tf.where(is_first, first, self._bad_loss))
        self._bad_step.assign(tf.where(is_first, self.step, self._bad_step))

    @tf.function
    def _variables_are_finite(self) -> tf.Tensor:
        return tf.stack(
            [
                tf.reduce_all(tf.math.is_finite(variable))
                for variable in self._variables.values()
                if variable.dtype.is_floating
            ]
        )
