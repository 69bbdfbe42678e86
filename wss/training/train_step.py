"""One step of training: one batch, one gradient, one update, on every replica."""

import functools
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Union

import gin
import numpy as np
import tensorflow as tf

from wss.errors import NotFiniteError, UserError
from wss.experiment import Experiment
from wss.methods.base import Batch, Method
from wss.models import tf1_checkpoint
from wss.models.batch_norm import collect_batch_statistics
from wss.ops import distributed
from wss.ops.distributed import Ratio
from wss.settings import NonNegative
from wss.training import distribution, optimizers
from wss.training.gradients import accumulate_gradients, differentiate, total

Tensors = Dict[str, tf.Tensor]
# What a step gives, see `TrainingStep.run`.
Results = Dict[str, Any]


@gin.configurable(allowlist=["weight_decay", "cross_replica_statistics", "jit_compile"])
class TrainingStep:
    """Takes steps as the original does.

    The global batch is divided into parts (`ops.distributed`). Each adds its losses and
    the weight decay, the gradients of the parts are averaged, some are multiplied,
    momentum applies them, and the moving averages of batch norm follow. The first loss
    that is not finite is noted on the device.
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
        weight_decay: NonNegative = 4e-5,
        accumulation_steps: int = 1,
        cross_replica_statistics: bool = False,
        jit_compile: bool = False,
        scales_loss: bool = False,
    ):
        """Creates the optimizer's variables; call it in the strategy's scope.

        Args:
          method: what to train. Its variables exist.
          variables: the method's variables by TF1 name.
          strategy: which devices train.
          total_steps: number of steps of the run, for the learning rate and the
            method's progress.
          palette: the classes' colours for pictures, [classes, 3], uint8.
          seed: of all draws.
          weight_decay: factor of half the sum of the regularized variables' squares.
          accumulation_steps: micro-batches into which each replica divides its images;
            their gradients are added up before the weights change.
          cross_replica_statistics: batch norm, and whatever else measures the batch,
            measures the images of all replicas together. (The divisors of the losses
            are always counted over all replicas.)
          jit_compile: compile with XLA. A TPU always does.
          scales_loss: scale the loss for float16 (`LossScale`).

        Raises:
          UserError: settings that do not go together.
        """
        _check_settings(
            strategy, accumulation_steps, cross_replica_statistics, jit_compile
        )
        self._method = method
        self._strategy = strategy
        self._total_steps = total_steps
        self._seed = seed
        self._weight_decay = weight_decay
        self._accumulation_steps = accumulation_steps
        self._cross_replica_statistics = cross_replica_statistics
        self._palette = palette
        self._variables = dict(variables)
        self._trainable = {
            name: variable for name, variable in variables.items() if variable.trainable
        }
        regularized = {v.ref() for v in method.regularized_variables}
        self._regularized = [
            name for name, v in self._trainable.items() if v.ref() in regularized
        ]
        self._multipliers = optimizers.gradient_multipliers(self._trainable)
        self.optimizer = optimizers.Momentum(self._trainable)
        self._loss_scale = None
        if scales_loss:
            # A checkpoint holds it with the optimizer.
            self._loss_scale = self.optimizer.loss_scale = optimizers.LossScale()
        self.step = tf.Variable(0, trainable=False, dtype=tf.int64, name="step")
        # The first step with a loss that is not finite, and which loss.
        self._bad_step = tf.Variable(-1, trainable=False, dtype=tf.int64)
        self._bad_loss = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._choose_functions(jit_compile)

    def _choose_functions(self, jit_compile: bool) -> None:
        # Inside of a function of their own replicas cannot exchange anything.
        self._shares_counts = self._accumulation_steps == 1
        if self._accumulation_steps > 1:
            # Traced once, called for each micro-batch.
            self._compute = tf.function(self._compute, autograph=False)
        if not jit_compile or isinstance(self._strategy, tf.distribute.TPUStrategy):
            return
        compiled = functools.partial(tf.function, autograph=False, jit_compile=True)
        if self._strategy.num_replicas_in_sync == 1:
            self._replica_step = compiled(self._replica_step)
        else:
            # What the replicas do together stays outside.
            self._shares_counts = False
            self._compute = compiled(self._compute)

    def share(self) -> None:
        """Has all workers go on from the chief's state."""
        variables = [
            self.step,
            *self._variables.values(),
            *self._method.other_variables,
            *self.optimizer.variables,
        ]
        distribution.share(self._strategy, variables)

    # AutoGraph would translate every function of the step: 6 of 15 seconds of tracing.
    @tf.function(autograph=False)
    def run(self, iterator: Iterator[Batch], count: tf.Tensor) -> Results:
        """Takes `count` steps, scalar int32, without coming back to Python.

        Returns:
          Of the last step: "losses" and "monitors" of the global batch, with "total"
          among the losses; "classes" with the monitors that have an entry for each
          class, NaN where nothing counted; "histograms" and "images" of one part;
          "learning_rate". Zeros if `count` is 0.
        """
        return repeat(lambda: self.distributed_step(next(iterator)), count)

    @tf.function(autograph=False)
    def run_once(self, batch: Batch) -> Results:
        """As `run`, one step with a batch.

        It is a loop of one step: as another graph it would round differently.
        """
        return repeat(lambda: self.distributed_step(batch), tf.constant(1))

    def check_finite(self) -> None:
        """Raises a NotFiniteError if a loss, the gradient or a weight is not finite."""
        bad_step = int(self._bad_step.numpy())
        if bad_step >= 0:
            name = self._checked[int(self._bad_loss.numpy())]
            what = "gradient" if name == "gradient" else f"loss '{name}'"
            raise NotFiniteError(
                f"The {what} is not finite in the step after step {bad_step}.",
                bad_step,
            )
        names = [name for name, v in self._variables.items() if v.dtype.is_floating]
        finite = self._variables_are_finite().numpy()
        for name, is_finite in zip(names, finite):
            if not is_finite:
                step = int(self.step.numpy())
                raise NotFiniteError(
                    f"The variable {name} is not finite after step {step}.", step - 1
                )

    @tf.function
    def weight_norm(self) -> tf.Tensor:
        """Euclidean norm of all trainable variables together, scalar float32."""
        return tf.linalg.global_norm(list(self._trainable.values()))

    def distributed_step(self, batch: Batch) -> Results:
        """Takes one step on all replicas; see `run`, which calls it in a graph."""
        step = self.step.read_value()
        rate = optimizers.learning_rate(step, self._total_steps)
        arguments = (batch, step, rate)
        if self._loss_scale is not None:
            arguments += (self._loss_scale.value.read_value(),)
        results = self._strategy.run(self._replica_step, args=arguments)
        for kind in ("losses", "monitors"):
            results[kind] = {
                name: self._combine(value) for name, value in results[kind].items()
            }
        results["classes"] = _entries(results["monitors"])
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
        if self._loss_scale is not None:
            self._adapt_loss_scale(results)
        # The gradient is among the losses only to be checked.
        self._check(results["losses"])
        results["monitors"]["gradient_norm"] = results["losses"].pop("gradient")
        results["learning_rate"] = rate
        # A step whose batch does not come is none.
        with tf.control_dependencies(list(results["losses"].values())):
            self.step.assign_add(1)
        return results

    def _adapt_loss_scale(self, results: Results) -> None:
        """Adapts the loss scale; a gradient that it made overflow is no fault."""
        scale = self._loss_scale.value.read_value()
        gradient = results["losses"]["gradient"]
        finite = tf.math.is_finite(gradient)
        results["monitors"]["loss_scale"] = scale
        results["losses"]["gradient"] = tf.where(finite | (scale <= 1.0), gradient, 0.0)
        self._loss_scale.update(finite)

    def _combine(self, value: Union[tf.Tensor, Ratio]) -> Union[tf.Tensor, Ratio]:
        """The mean over the replicas; of a ratio the sums."""
        if not isinstance(value, Ratio):
            return self._strategy.reduce("MEAN", value, axis=None)
        sums = [self._strategy.reduce("SUM", part, axis=None) for part in value]
        return Ratio(*sums)

    def _replica_step(
        self,
        batch: Any,
        step: tf.Tensor,
        rate: tf.Tensor,
        scale: Optional[tf.Tensor] = None,
    ) -> Dict[str, Any]:
        """Computes and updates; what is not of one part alone is here."""
        counts = distributed.mean(self._method.loss_normalizers(batch))
        results = accumulate_gradients(
            lambda batch, counts: self._compute(batch, step, counts, scale),
            batch,
            counts,
            self._accumulation_steps,
        )
        gradients = self._reduce(results.pop("gradients"), scale)
        norm = tf.linalg.global_norm(list(gradients.values()))
        results["losses"]["gradient"] = norm
        statistics = results.pop("statistics")
        finite = None if scale is None else tf.math.is_finite(norm)
        self.optimizer.apply(gradients, rate, finite)
        # A pass in inference mode has to see the averages before their update: some
        # runs were seen to use the new ones.
        with tf.control_dependencies(_tensors(results)):
            self._statistics.apply(statistics, finite)
        self._method.on_update_end(step, results.pop("aux"))
        return results

    def _compute(
        self,
        batch: Any,
        step: tf.Tensor,
        counts: Tensors,
        scale: Optional[tf.Tensor],
    ) -> Dict[str, Any]:
        """Losses, gradients and all else that one part of the batch gives."""
        factor = 1.0 / self._strategy.num_replicas_in_sync
        if scale is not None:
            factor *= scale
        progress = tf.cast(step, tf.float32) / self._total_steps
        with distributed.synchronized(
            self._cross_replica_statistics
        ), distributed.shared_counts(
            self._shares_counts
        ), collect_batch_statistics() as statistics:
            output, gradients = differentiate(
                lambda: self._method.compute_losses(
                    batch, step, progress, self._seed, counts
                ),
                self._trainable,
                factor,
            )
        # What it knows of the layers is the same on each part of the batch.
        self._statistics = statistics
        losses = dict(output.losses)
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
        """Sums gradients over the replicas, takes the scale out, multiplies some.

        The weight decay's gradient comes in between: added to each part's losses it
        would cost each part another copy of all weights.
        """
        summed = list(gradients.values())
        if self._strategy.num_replicas_in_sync > 1:
            summed = tf.distribute.get_replica_context().all_reduce("SUM", summed)
        if scale is not None:
            summed = [gradient / scale for gradient in summed]
        gradients = dict(zip(gradients, summed))
        weight_decay = tf.constant(self._weight_decay, tf.float32)
        for name in self._regularized:
            # Without the wait it would be computed, and kept, from the beginning on.
            wait = [gradients[name]] if name in gradients else []
            with tf.control_dependencies(wait):
                decay = weight_decay * self._trainable[name]
            gradients[name] = gradients[name] + decay if name in gradients else decay
        for name, factor in self._multipliers.items():
            if name in gradients:
                gradients[name] *= factor
        return gradients

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


def _tensors(results: Any) -> List[tf.Tensor]:
    return [value for value in tf.nest.flatten(results) if tf.is_tensor(value)]


def _entries(monitors: Mapping[str, Union[tf.Tensor, Ratio]]) -> Tensors:
    """Quotients of the ratios with an entry for each class; NaN: nothing counted."""
    return {
        name: value.total / value.count
        for name, value in monitors.items()
        if isinstance(value, Ratio) and value.total.shape.rank == 1
    }


def _check_settings(
    strategy: tf.distribute.Strategy,
    accumulation_steps: int,
    cross_replica_statistics: bool,
    jit_compile: bool,
) -> None:
    if accumulation_steps > 1 and cross_replica_statistics:
        raise UserError(
            f"ACCUMULATION_STEPS = {accumulation_steps} and SYNC_BATCH_NORM = True: "
            "micro-batches that are computed one after the other cannot share batch "
            "norm's statistics. Choose one of the two."
        )
    if not jit_compile or strategy.num_replicas_in_sync == 1:
        return
    cpus = [d for d in strategy.extended.worker_devices if "CPU" in d.upper()]
    if len(cpus) > 1:
        raise UserError(
            f"JIT_COMPILE = True with {len(cpus)} replicas on one CPU: XLA cannot "
            "tell them apart. Leave get_strategy.logical_cpus at 1."
        )


def build_training_step(experiment: Experiment, method: Method) -> TrainingStep:
    """The step of an experiment's method, with the optimizer's variables."""
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
        )


def repeat(take_step: Callable[[], Results], count: tf.Tensor) -> Results:
    """Takes steps in a loop of the graph.

    What a step gives is known only once it has been traced, and that is in the loop: so
    the results of a step leave it packed. A step before the loop, or a function called
    in it, would be one more copy of the step's graph.

    Args:
      take_step: takes one; gives a structure of tensors of static shapes.
      count: how many, scalar int32.

    Returns:
      What the last step gave; zeros if there was none.
    """
    specs: Results = {}

    def body(index: tf.Tensor, _: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        results = take_step()
        specs.update(tf.nest.map_structure(tf.TensorSpec.from_tensor, results))
        packed = tf.raw_ops.OptionalFromValue(components=tf.nest.flatten(results))
        return index + 1, packed

    _, last = tf.while_loop(
        lambda index, _: index < count, body, (0, tf.raw_ops.OptionalNone())
    )
    flat = tf.nest.flatten(specs)
    tensors = tf.cond(
        tf.raw_ops.OptionalHasValue(optional=last),
        lambda: tf.raw_ops.OptionalGetValue(
            optional=last,
            output_types=[spec.dtype for spec in flat],
            output_shapes=[spec.shape for spec in flat],
        ),
        lambda: [tf.zeros(spec.shape, spec.dtype) for spec in flat],
    )
    return tf.nest.pack_sequence_as(specs, tensors)
