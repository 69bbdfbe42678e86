"""One training step: one batch, one gradient, one update, on every replica."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Optional, Union

import gin
import numpy as np
import tensorflow as tf

from wss.errors import UserError
from wss.experiment import Experiment
from wss.methods.base import Batch, Method
from wss.models import tf1_checkpoint
from wss.models.batch_norm import collect_batch_statistics
from wss.ops import distributed, xla
from wss.ops.distributed import Ratio
from wss.settings import NonNegative
from wss.training import compilation, distribution, optimizers
from wss.training.finiteness import FinitenessCheck
from wss.training.gradients import accumulate_gradients, differentiate, total
from wss.training.graph_loop import repeat

Tensors = dict[str, tf.Tensor]
# The results of a step, see `TrainingStep.run`.
Results = dict[str, Any]


@gin.configurable(
    allowlist=[
        "optimizer",
        "weight_decay",
        "clip_norm",
        "cross_replica_statistics",
        "jit_compile",
    ]
)
class TrainingStep:
    """Takes steps like the original code.

    The global batch is divided into parts (`ops.distributed`). Each part adds up its
    losses and the weight decay. The gradients of the parts are averaged, some are
    multiplied by a factor, the optimizer applies them, and the moving averages of batch
    norm are updated. The first loss that is not finite is recorded on the device.

    Attributes:
      optimizer: updates the weights.
      step: number of steps taken, a scalar int64 variable.
      compiles: whether XLA compiles the step.
    """

    def __init__(
        self,
        method: Method,
        variables: Mapping[str, tf.Variable],
        strategy: tf.distribute.Strategy,
        *,
        total_steps: int,
        palette: np.ndarray,
        seed: int = 0,
        optimizer: type[optimizers.Optimizer] = optimizers.Momentum,
        weight_decay: NonNegative = 4e-5,
        clip_norm: NonNegative = 0.0,
        accumulation_steps: int = 1,
        cross_replica_statistics: bool = False,
        jit_compile: compilation.Choice = "auto",
        scales_loss: bool = False,
        backbone_scope: Optional[str] = None,
    ):
        """Creates the optimizer's variables; call it in the strategy's scope.

        Args:
          method: what to train. Its variables exist.
          variables: the method's variables by TF1 name.
          strategy: the devices to train on.
          total_steps: number of steps of the run, for the learning rate and the
            method's progress.
          palette: colors of the classes in image summaries, [classes, 3], uint8.
          seed: seed of all random numbers.
          optimizer: `@Momentum` or `@AdamW`. The factors of `gradient_multipliers`
            multiply the gradient of Momentum, the learning rate of AdamW.
          weight_decay: of Momentum: factor of half the sum of the kernels' squares, a
            loss. Of AdamW: share by which all variables decay, times the learning rate;
            published: 0.01.
          clip_norm: largest norm of the gradient of the losses, all variables together;
            a longer one is scaled down. 0: no limit.
          accumulation_steps: number of micro-batches into which each replica divides
            its images; their gradients are added up before the weights change.
          cross_replica_statistics: compute batch norm, and all other statistics of the
            batch, over the images of all replicas. (The divisors of the losses are
            always counted over all replicas.)
          jit_compile: compile with XLA; "auto": on GPUs, not on CPUs. TPUs always
            compile.
          scales_loss: scale the loss for float16 (`LossScale`).
          backbone_scope: TF1 scope of the backbone, for its learning rate.

        Raises:
          UserError: the settings contradict each other.
        """
        self.compiles = compilation.is_compiled(jit_compile, strategy)
        _check_settings(
            strategy, accumulation_steps, cross_replica_statistics, self.compiles
        )
        self._method = method
        self._strategy = strategy
        self._total_steps = total_steps
        self._seed = seed
        self._clip_norm = clip_norm
        self._accumulation_steps = accumulation_steps
        self._cross_replica_statistics = cross_replica_statistics
        self._palette = palette
        self._variables = dict(variables)
        self._trainable = {
            name: variable for name, variable in variables.items() if variable.trainable
        }
        factors = optimizers.gradient_multipliers(self._trainable, backbone_scope)
        if optimizer.decouples:
            self.optimizer = optimizer(self._trainable, factors, weight_decay)
            self._regularized, self._multipliers = {}, {}
        else:
            self.optimizer = optimizer(self._trainable)
            regularized = {v.ref() for v in method.regularized_variables}
            self._regularized = {
                name: v for name, v in self._trainable.items() if v.ref() in regularized
            }
            self._multipliers = factors
        self._weight_decay = weight_decay
        self._loss_scale = None
        if scales_loss:
            # An attribute of the optimizer, so that checkpoints contain it.
            self._loss_scale = self.optimizer.loss_scale = optimizers.LossScale()
        self.step = tf.Variable(0, trainable=False, dtype=tf.int64, name="step")
        self._finiteness = FinitenessCheck(self._variables, self.step)
        self._choose_functions()

    def _choose_functions(self) -> None:
        # Replicas cannot communicate inside a nested function.
        self._shares_counts = self._accumulation_steps == 1
        if self._accumulation_steps > 1:
            # Traced once, called for each micro-batch.
            self._compute = tf.function(self._compute, autograph=False)
        if not self.compiles:
            return
        compiled = functools.partial(tf.function, autograph=False, jit_compile=True)
        if self._strategy.num_replicas_in_sync == 1:
            self._replica_step = compiled(self._replica_step)
        else:
            # Communication between replicas stays outside.
            self._shares_counts = False
            self._compute = compiled(self._compute)

    def share(self) -> None:
        """Copies the chief's state to all workers."""
        variables = [
            self.step,
            *self._variables.values(),
            *self._method.other_variables,
            *self.optimizer.variables,
        ]
        distribution.share(self._strategy, variables)

    # AutoGraph would convert every function of the step: 6 of 15 seconds of tracing.
    @tf.function(autograph=False)
    def run(self, iterator: Iterator[Batch], count: tf.Tensor) -> Results:
        """Takes `count` steps, scalar int32, without returning to Python.

        Returns:
          Results of the last step: "losses" and "monitors" of the global batch, with
          "total" among the losses; "classes": the monitors with an entry for each
          class, NaN where nothing was counted; "histograms" and "images" of one part;
          "learning_rate". Zeros if `count` is 0.
        """
        return repeat(lambda: self.distributed_step(next(iterator)), count)

    @tf.function(autograph=False)
    def run_once(self, batch: Batch) -> Results:
        """Takes one step with a batch; returns the same as `run`.

        The step runs in a loop as in `run`: another graph would round differently.
        """
        return repeat(lambda: self.distributed_step(batch), tf.constant(1))

    def check_finite(self) -> None:
        """Raises a NotFiniteError if a loss, the gradient or a weight is not finite."""
        self._finiteness.check()

    @tf.function(autograph=False)
    def weight_norm(self) -> tf.Tensor:
        """Euclidean norm of all trainable variables together, scalar float32."""
        return tf.linalg.global_norm(list(self._trainable.values()))

    def distributed_step(self, batch: Batch) -> Results:
        """Takes one step on all replicas, in a graph; see `run`."""
        step = self.step.read_value()
        rate = optimizers.learning_rate(step, self._total_steps)
        arguments = (batch, step, rate)
        if self._loss_scale is not None:
            arguments += (self._loss_scale.value.read_value(),)
        results = self._combine(self._strategy.run(self._replica_step, args=arguments))
        if self._loss_scale is not None:
            self._adapt_loss_scale(results)
        # The gradient is among the losses only for this check.
        self._finiteness.record(results["losses"])
        results["monitors"]["gradient_norm"] = results["losses"].pop("gradient")
        results["learning_rate"] = rate
        # A step without a batch fails before it is counted.
        with tf.control_dependencies(list(results["losses"].values())):
            self.step.assign_add(1)
        return results

    def _combine(self, results: Results) -> Results:
        """Combines the results of all replicas, see `run`."""
        for kind in ("losses", "monitors"):
            results[kind] = {
                name: self._mean(value) for name, value in results[kind].items()
            }
        results["classes"] = _class_monitors(results["monitors"])
        for kind in ("losses", "monitors"):
            results[kind] = {
                name: value.result() if isinstance(value, Ratio) else value
                for name, value in results[kind].items()
            }
        for kind in ("histograms", "images"):
            results[kind] = {
                name: self._strategy.experimental_local_results(value)[0]
                for name, value in results[kind].items()
            }
        return results

    def _mean(self, value: Union[tf.Tensor, Ratio]) -> Union[tf.Tensor, Ratio]:
        """The mean over the replicas; the sums of a ratio are added up instead."""
        if not isinstance(value, Ratio):
            return self._strategy.reduce("MEAN", value, axis=None)
        sums = [self._strategy.reduce("SUM", part, axis=None) for part in value]
        return Ratio(*sums)

    def _adapt_loss_scale(self, results: Results) -> None:
        """Adapts the loss scale; an overflow that it caused is not an error."""
        scale = self._loss_scale.value.read_value()
        gradient = results["losses"]["gradient"]
        finite = tf.math.is_finite(gradient)
        results["monitors"]["loss_scale"] = scale
        results["losses"]["gradient"] = tf.where(finite | (scale <= 1.0), gradient, 0.0)
        self._loss_scale.update(finite)

    def _replica_step(
        self,
        batch: Any,
        step: tf.Tensor,
        rate: tf.Tensor,
        scale: Optional[tf.Tensor] = None,
    ) -> Results:
        """Computes the gradients of one replica's images and updates the weights."""
        normalizers = distributed.mean(self._method.loss_normalizers(batch))
        results = accumulate_gradients(
            lambda batch, normalizers: self._compute(batch, step, normalizers, scale),
            batch,
            normalizers,
            self._accumulation_steps,
        )
        gradients = self._reduce(results.pop("gradients"), scale)
        norm = tf.linalg.global_norm(list(gradients.values()))
        results["losses"]["gradient"] = norm
        statistics = results.pop("statistics")
        finite = None if scale is None else tf.math.is_finite(norm)
        self.optimizer.apply(gradients, rate, finite)
        # A pass in inference mode must see the moving averages before their update;
        # without this dependency some runs used the new ones.
        with tf.control_dependencies(_tensors(results)):
            self._statistics.apply(statistics, finite)
        self._method.on_update_end(step, results.pop("aux"))
        return results

    def _compute(
        self,
        batch: Any,
        step: tf.Tensor,
        normalizers: Tensors,
        scale: Optional[tf.Tensor],
    ) -> Results:
        """Losses, gradients and all other results of one part of the batch."""
        factor = 1.0 / self._strategy.num_replicas_in_sync
        if scale is not None:
            factor *= scale
        progress = tf.cast(step, tf.float32) / self._total_steps
        with xla.compiled(self.compiles), distributed.synchronized(
            self._cross_replica_statistics
        ), distributed.shared_counts(
            self._shares_counts
        ), collect_batch_statistics() as statistics:
            output, gradients = differentiate(
                lambda: self._method.compute_losses(
                    batch, step, progress, self._seed, normalizers
                ),
                self._trainable,
                factor,
            )
        # Its layers are the same for each part of the batch; only `sums` differs.
        self._statistics = statistics
        losses = dict(output.losses)
        if not self.optimizer.decouples:
            losses["weight_decay"] = self._weight_decay * tf.add_n(
                [tf.nn.l2_loss(v) for v in self._method.regularized_variables]
            )
        losses["total"] = total(losses)
        return {
            "losses": losses,
            "gradients": gradients,
            "statistics": statistics.sums,
            "monitors": dict(output.monitors),
            "histograms": dict(output.histograms),
            "images": {
                name: image.to_rgb(self._palette)
                for name, image in output.images.items()
            },
            "aux": dict(output.aux),
        }

    def _reduce(self, gradients: Tensors, scale: Optional[tf.Tensor]) -> Tensors:
        """Sums gradients over the replicas, removes the scale, clips; adds the decay.

        The gradient of the weight decay is added here: in the losses of each part it
        would need another copy of all weights per part.
        """
        summed = list(gradients.values())
        if self._strategy.num_replicas_in_sync > 1:
            summed = tf.distribute.get_replica_context().all_reduce("SUM", summed)
        if scale is not None:
            summed = [gradient / scale for gradient in summed]
        if self._clip_norm:
            summed, _ = tf.clip_by_global_norm(summed, self._clip_norm)
        gradients = dict(zip(gradients, summed))
        weight_decay = tf.constant(self._weight_decay, tf.float32)
        for name, variable in self._regularized.items():
            # Without this dependency TensorFlow would compute it at the start of the
            # step and keep it in memory.
            wait = [gradients[name]] if name in gradients else []
            with tf.control_dependencies(wait):
                decay = weight_decay * variable
            gradients[name] = gradients[name] + decay if name in gradients else decay
        for name, factor in self._multipliers.items():
            if name in gradients:
                gradients[name] *= factor
        return gradients


def _tensors(results: Results) -> list[tf.Tensor]:
    return [value for value in tf.nest.flatten(results) if tf.is_tensor(value)]


def _class_monitors(monitors: Mapping[str, Union[tf.Tensor, Ratio]]) -> Tensors:
    """The ratios with an entry for each class; NaN where nothing was counted."""
    return {
        name: value.total / value.count
        for name, value in monitors.items()
        if isinstance(value, Ratio) and value.total.shape.rank == 1
    }


def _check_settings(
    strategy: tf.distribute.Strategy,
    accumulation_steps: int,
    cross_replica_statistics: bool,
    compiles: bool,
) -> None:
    if accumulation_steps > 1 and cross_replica_statistics:
        raise UserError(
            f"ACCUMULATION_STEPS = {accumulation_steps} and SYNC_BATCH_NORM = True: "
            "micro-batches that are computed one after the other cannot share the "
            "statistics of batch norm. Choose one of the two."
        )
    if not compiles or strategy.num_replicas_in_sync == 1:
        return
    cpus = [d for d in strategy.extended.worker_devices if "CPU" in d.upper()]
    if len(cpus) > 1:
        raise UserError(
            f"JIT_COMPILE = True with {len(cpus)} replicas on one CPU: XLA cannot "
            "distinguish them. Leave get_strategy.logical_cpus at 1."
        )


def build_training_step(experiment: Experiment, method: Method) -> TrainingStep:
    """Creates the training step of an experiment, with the optimizer's variables."""
    with experiment.strategy.scope():
        return TrainingStep(
            method,
            tf1_checkpoint.named_variables(method),
            experiment.strategy,
            total_steps=experiment.train_steps,
            palette=experiment.spec.palette,
            seed=experiment.seed,
            accumulation_steps=experiment.accumulation_steps,
            scales_loss=experiment.precision == "mixed_float16",
            backbone_scope=method.model.backbone.scope,
        )
