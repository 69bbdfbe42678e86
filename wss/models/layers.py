"""Convolutions as in slim: explicit padding, batch norm, activation.

The number of input channels is an argument, so that all variables exist once the
network is constructed. The name of a layer with weights is its full TF1 scope; from it
`wss.models.tf1_checkpoint` derives the TF1 names of its variables.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Callable, Optional

import tensorflow as tf

from wss.models.batch_norm import BatchNorm
from wss.models.recompute import recomputed
from wss.ops import random, xla
from wss.ops.depthwise import depthwise_conv2d

EndPoints = dict[str, tf.Tensor]
Initializer = tf.keras.initializers.Initializer
Activation = Callable[[tf.Tensor], tf.Tensor]

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def truncated_normal(stddev: float) -> Initializer:
    """slim's initializer: a normal truncated at two standard deviations.

    Each layer needs its own: a second use gives the same values.
    """
    return tf.keras.initializers.TruncatedNormal(stddev=stddev)


def build(layer: tf.keras.layers.Layer, channels: int) -> tf.keras.layers.Layer:
    """Creates the layer's variables for inputs of [..., ..., ..., channels]."""
    with tf.name_scope(f"{layer.name}/"):  # The slash makes the scope absolute.
        layer.build(tf.TensorShape([None, None, None, channels]))
    return layer


def dropout_mask(shape: Sequence[int], keep: float, seeds: tf.Tensor) -> tf.Tensor:
    """Draws the factors of dropout: 1 / keep with probability `keep`, else 0; float32.

    Args:
      shape: [batch, ...], static.
      keep: probability.
      seeds: int32 [batch, 2], a seed for each example.
    """
    return (
        tf.cast(random.per_example_uniform(shape[1:], seeds) < keep, tf.float32) / keep
    )


class _DepthwiseConvolution(tf.keras.layers.DepthwiseConv2D):
    """Keras's layer, with fewer operations."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        (rate, _), (_, height, width, _) = self.dilation_rate, inputs.shape
        if xla.compiles():
            return depthwise_conv2d(
                inputs,
                self.depthwise_kernel,
                stride=self.strides[0],
                rate=rate,
                padding=self.padding,
            )
        if rate == 1:
            # Keras would add three constants per convolution to the graph.
            return tf.compat.v1.nn.depthwise_conv2d_native(
                inputs,
                self.depthwise_kernel,
                [1, *self.strides, 1],
                self.padding.upper(),
            )
        if height is not None and width is not None and rate >= max(height, width):
            # All weights but the central one see only padding.
            row, column = (size // 2 for size in self.kernel_size)
            return inputs * self.depthwise_kernel[row, column, :, 0]
        return super().call(inputs)


class Convolution(tf.Module):
    """Convolution, batch norm, activation.

    By default a strided convolution pads both sides with the same number of zeros, for
    every input size (TensorFlow's SAME padding shifts even sizes by a pixel).
    """

    def __init__(
        self,
        scope: str,
        channels: int,
        filters: Optional[int],
        kernel_size: int = 1,
        *,
        stride: int = 1,
        rate: int = 1,
        activation: Optional[Activation] = tf.nn.relu,
        same_padding: bool = False,
        initializer: Initializer,
        batch_norm: Callable[..., BatchNorm],
    ):
        """Creates the layers and their variables.

        Args:
          scope: full TF1 scope.
          channels: of the input.
          filters: channels of the output; None for a depthwise convolution.
          kernel_size: height and width of the kernel, pixels.
          stride: input pixels per output pixel.
          rate: atrous rate.
          activation: follows batch norm; None for no activation.
          same_padding: pad a strided kernel as TensorFlow's SAME does.
          initializer: of the kernel.
          batch_norm: creates the batch norm; takes `name`.
        """
        super().__init__()
        self.scope = scope
        self._activation = activation
        padded_here = stride > 1 and not same_padding
        self._padding = rate * (kernel_size - 1) // 2 if padded_here else 0
        # For an atrous depthwise convolution TensorFlow divides the padded input into
        # rate^2 small images and keeps them, several times the input, for the backward
        # pass.
        self._recompute = filters is None and rate > 1
        arguments = dict(
            kernel_size=kernel_size,
            strides=stride,
            dilation_rate=rate,
            padding="valid" if padded_here else "same",
            use_bias=False,
            name=scope,
        )
        if filters is None:
            self.convolution = _DepthwiseConvolution(
                depthwise_initializer=initializer, **arguments
            )
        else:
            self.convolution = tf.keras.layers.Conv2D(
                filters, kernel_initializer=initializer, **arguments
            )
        build(self.convolution, channels)
        self.batch_norm = build(
            batch_norm(name=f"{scope}/BatchNorm"), filters or channels
        )

    def __call__(
        self, inputs: tf.Tensor, training: bool, end_points: Optional[EndPoints] = None
    ) -> tf.Tensor:
        """Maps [batch, height, width, channels]; adds the output to `end_points`."""
        if self._padding:
            pad = [self._padding, self._padding]
            inputs = tf.pad(inputs, [[0, 0], pad, pad, [0, 0]])
        if self._recompute and training and not xla.compiles():
            outputs = recomputed(self.convolution, inputs)
        else:
            outputs = self.convolution(inputs)
        outputs = self.batch_norm(outputs, training=training)
        if self._activation is not None:
            outputs = self._activation(outputs)
        if end_points is not None:
            end_points[self.scope] = outputs
        return outputs


class SeparableConvolution(tf.Module):
    """A 3x3 depthwise and a 1x1 pointwise convolution, each with batch norm."""

    def __init__(
        self,
        scope: str,
        channels: int,
        filters: int,
        *,
        stride: int = 1,
        rate: int = 1,
        activation: Optional[Activation] = tf.nn.relu,
        initializers: tuple[Initializer, Initializer],
        batch_norm: Callable[..., BatchNorm],
    ):
        """Arguments: see `Convolution`; both have the activation."""
        super().__init__()
        depthwise, pointwise = initializers
        self.depthwise = Convolution(
            f"{scope}_depthwise",
            channels,
            None,
            3,
            stride=stride,
            rate=rate,
            activation=activation,
            initializer=depthwise,
            batch_norm=batch_norm,
        )
        self.pointwise = Convolution(
            f"{scope}_pointwise",
            channels,
            filters,
            activation=activation,
            initializer=pointwise,
            batch_norm=batch_norm,
        )

    def __call__(
        self, inputs: tf.Tensor, training: bool, end_points: Optional[EndPoints] = None
    ) -> tf.Tensor:
        outputs = self.depthwise(inputs, training, end_points)
        return self.pointwise(outputs, training, end_points)


@contextlib.contextmanager
def precision_policy(precision: str) -> Iterator[None]:
    """Layers created inside compute in this precision, one of `PRECISIONS`."""
    outer = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(precision)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(outer)
