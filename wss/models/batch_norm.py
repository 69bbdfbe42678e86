"""Batch norm with the original's numbers; its moving averages are updated once a step.

A training step of PseudoSeg passes several batches through the same layers. In TF1 the
updates of all passes race. Here a pass only records its statistics; they are applied in
program order at the end of the step:

    with collect_batch_statistics() as statistics:
        model.backbone(labeled, training=True)
        with repeated_updates(2):  # The original makes two equal passes.
            model.backbone(weak, training=True)
    statistics.apply()

Outside such a block a training pass updates the averages at once.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple, Optional

import tensorflow as tf

from wss.ops import distributed, xla
from wss.ops.scoped import Scoped

# What of a layer training leaves as it is; "all": statistics, scale and offset.
Frozen = Literal["none", "statistics", "all"]

# The smallest epsilon that TF1 gave its fused operation, after cuDNN.
FUSED_EPSILON = 1.001e-5


class _Measured(NamedTuple):
    """Statistics of a layer's inputs, and how many equal passes they stand for."""

    mean: tf.Tensor
    variance: tf.Tensor
    repeats: int


class BatchStatistics:
    """The statistics of all passes of a step on one replica, per layer.

    n successive updates `m -= (1 - decay) * (m - b_i)` with the statistics b_1 ... b_n
    equal one update with the decay `decay^n` towards a weighted mean of the b_i. A
    layer needs only `sum_i (1 - decay) * decay^(n - i) * b_i` and n.
    """

    def __init__(self) -> None:
        self._measured: dict[BatchNorm, list[_Measured]] = {}
        # XLA would compile a kernel for each part of a group's vector.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self._grouped = not xla.compiles() or replicas > 1

    def add(
        self, layer: "BatchNorm", mean: tf.Tensor, variance: tf.Tensor, repeats: int
    ) -> None:
        """Records `repeats` equal updates of the layer's averages, [channels] each."""
        measured = _Measured(mean, variance, repeats)
        self._measured.setdefault(layer, []).append(measured)

    def _groups(self) -> dict[tuple[float, tuple[int, ...]], list["BatchNorm"]]:
        """Layers by decay and repeats; the layers of a group had the same passes."""
        # A group is computed as one vector: a network has hundreds of layers, and on a
        # device a small operation costs as much as a large one.
        groups: dict[Any, list[BatchNorm]] = {}
        for layer, measured in self._measured.items():
            repeats = tuple(one.repeats for one in measured)
            key = (layer.decay, repeats, None if self._grouped else layer.name)
            groups.setdefault(key, []).append(layer)
        return groups

    @property
    def sums(self) -> list[tf.Tensor]:
        """Weighted sums of means and variances, a vector for each group of layers."""
        sums = []
        for (decay, repeats, _), layers in self._groups().items():
            summed = tf.zeros([])
            for index, times in enumerate(repeats):
                measured = [self._measured[layer][index] for layer in layers]
                batch = tf.concat([x for one in measured for x in one[:2]], 0)
                summed = decay**times * summed + (1.0 - decay**times) * batch
            sums.append(summed)
        return sums

    def apply(
        self,
        sums: Optional[Sequence[tf.Tensor]] = None,
        finite: Optional[tf.Tensor] = None,
    ) -> None:
        """Updates the moving averages; to be called once, in replica context.

        The averages remain equal on all replicas: each uses the mean of all replicas'
        statistics.

        Args:
          sums: the mean of the `sums` of several blocks with the same passes; replaces
            this block's.
          finite: scalar bool, equal on all replicas; nothing changes if it is False.
        """
        if not self._measured:
            return
        context = tf.distribute.get_replica_context()
        sums = list(self.sums if sums is None else sums)
        if context.num_replicas_in_sync > 1:
            sums = context.all_reduce(tf.distribute.ReduceOp.MEAN, sums)
        averages, changes = [], []
        for ((decay, repeats, _), layers), summed in zip(self._groups().items(), sums):
            of_group = [
                x for one in layers for x in (one.moving_mean, one.moving_variance)
            ]
            weight = 1.0 - decay ** sum(repeats)
            change = weight * tf.concat(of_group, 0) - summed
            if finite is not None:
                change = tf.where(finite, change, 0.0)
            averages += of_group
            changes += tf.split(change, [x.shape[0] for x in of_group])

        def update(strategy: tf.distribute.Strategy, changes: list[Any]) -> None:
            for average, change in zip(averages, changes):
                strategy.extended.update(
                    average, _subtract, args=(change,), group=False
                )

        context.merge_call(update, args=(changes,))


def _subtract(average: tf.Variable, change: tf.Tensor) -> tf.Operation:
    return average.assign_sub(change)


_collection: Scoped[Optional[BatchStatistics]] = Scoped(None)
_repeats = Scoped(1)
_frozen: Scoped[Frozen] = Scoped("none")


def collect_batch_statistics() -> AbstractContextManager[BatchStatistics]:
    """Training passes inside record their statistics; the caller applies them."""
    return _collection.set_to(BatchStatistics())


def repeated_updates(repeats: int) -> AbstractContextManager[int]:
    """Training passes inside update the averages as `repeats` equal passes would."""
    return _repeats.set_to(repeats)


def freezing(frozen: Frozen) -> AbstractContextManager[Frozen]:
    """Training leaves this of the `BatchNorm` layers created inside as it is.

    >>> with freezing("statistics"):
    ...     layer = BatchNorm(0.9, 1e-3)
    >>> print(layer(tf.fill([1, 2, 2, 1], 5.0), training=True).numpy().round(1).max())
    5.0
    """
    return _frozen.set_to(frozen)


class BatchNorm(tf.keras.layers.Layer):
    """Normalizes [batch, height, width, channels] per channel, like slim.batch_norm.

    It uses the fused operation: the batch variance in the moving average has Bessel's
    correction, and an epsilon below 1.001e-5 acts as 1.001e-5. Statistics, averages and
    parameters are float32 under every precision policy.

    Frozen statistics (`freezing`) normalize in training too, and do not change.
    """

    def __init__(
        self,
        decay: float,
        epsilon: float,
        *,
        center: bool = True,
        scale: bool = True,
        name: Optional[str] = None,
        dtype: Optional[str] = None,
    ):
        """Creates the layer.

        Args:
          decay: of the moving averages, per update.
          epsilon: added to the variance.
          center: whether to add a learned `beta`.
          scale: whether to multiply by a learned `gamma`.
          name: the TF1 scope, ".../BatchNorm".
          dtype: of inputs and outputs; default: the precision policy's.
        """
        super().__init__(name=name, dtype=dtype)
        self.decay = decay
        self.epsilon = max(epsilon, FUSED_EPSILON)
        self.center = center
        self.scale = scale
        self.frozen = _frozen.value

    def build(self, input_shape: tf.TensorShape) -> None:
        learns = self.frozen != "all"
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self._weight("gamma", input_shape, "ones", trainable=learns)
        if self.center:
            self.beta = self._weight("beta", input_shape, "zeros", trainable=learns)
        self.moving_mean = self._weight(
            "moving_mean", input_shape, "zeros", trainable=False
        )
        self.moving_variance = self._weight(
            "moving_variance", input_shape, "ones", trainable=False
        )
        super().build(input_shape)

    def _weight(
        self, name: str, input_shape: tf.TensorShape, initializer: str, **kwargs: Any
    ) -> tf.Variable:
        return self.add_weight(
            name,
            shape=[input_shape[-1]],
            dtype=tf.float32,
            initializer=initializer,
            experimental_autocast=False,
            **kwargs,
        )

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: tf.Tensor, training: Optional[bool] = None) -> tf.Tensor:
        channels = inputs.shape[-1:]
        gamma = tf.ones(channels) if self.gamma is None else self.gamma
        beta = tf.zeros(channels) if self.beta is None else self.beta
        training = training and self.frozen == "none"
        if training and distributed.is_synchronized():
            outputs, mean, variance = self._normalize_globally(inputs, gamma, beta)
        else:
            unused = tf.zeros([0]) if training else None
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs,
                gamma,
                beta,
                unused if training else self.moving_mean,
                unused if training else self.moving_variance,
                epsilon=self.epsilon,
                is_training=bool(training),
            )
        if training:
            if _collection.value is not None:
                _collection.value.add(self, mean, variance, _repeats.value)
            else:
                statistics = BatchStatistics()
                statistics.add(self, mean, variance, _repeats.value)
                statistics.apply()
        return outputs

    def _normalize_globally(
        self, inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The fused operation's outputs, with the statistics of all replicas' inputs.

        The variance is the mean squared distance from the mean: the mean of squares
        minus the square of the mean loses digits.
        """
        exact = tf.cast(inputs, tf.float32)
        axes = [0, 1, 2]
        mean = distributed.batch_mean(tf.reduce_mean(exact, axes))
        squares = tf.math.squared_difference(exact, mean)
        variance = distributed.batch_mean(tf.reduce_mean(squares, axes))
        outputs = tf.nn.batch_normalization(
            exact, mean, variance, beta, gamma, self.epsilon
        )
        count = inputs.shape[:3].num_elements()
        count *= tf.distribute.get_strategy().num_replicas_in_sync
        bessel = count / max(1, count - 1)
        return tf.cast(outputs, inputs.dtype), mean, bessel * variance
