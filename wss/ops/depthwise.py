"""A depthwise convolution as a sum of shifted images.

XLA makes one loop of the sum. The kernels of depthwise convolutions that TensorFlow and
XLA call take many times longer on a GPU (`docs/performance.md`).
"""

from collections.abc import Iterator, Sequence

import tensorflow as tf

# Zeros before and after, along height and width.
_Padding = Sequence[tuple[int, int]]


def depthwise_conv2d(
    inputs: tf.Tensor, kernel: tf.Tensor, *, stride: int, rate: int, padding: str
) -> tf.Tensor:
    """The numbers of `tf.nn.depthwise_conv2d`; sums are float32.

    Args:
      inputs: [batch, height, width, channels], static shape.
      kernel: [rows, columns, channels, 1].
      stride: input pixels per output pixel.
      rate: atrous rate.
      padding: "same" or "valid", as TensorFlow pads.

    Returns:
      [batch, output height, output width, channels], the inputs' dtype.
    """
    zeros = [(0, 0), (0, 0)]
    if padding == "same":
        zeros = [
            _same_padding(size, taps, stride, rate)
            for size, taps in zip(inputs.shape[1:3], kernel.shape[:2])
        ]
    if stride > 1:
        return _correlate(inputs, kernel, zeros, rate, stride)

    # The automatic gradient would add nine images with padding; this one is a
    # convolution again.
    @tf.custom_gradient
    def convolve(inputs: tf.Tensor, kernel: tf.Tensor):
        def backward(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            reach = [rate * (taps - 1) for taps in kernel.shape[:2]]
            opposite = [(r - a, r - b) for r, (a, b) in zip(reach, zeros)]
            turned = tf.reverse(kernel, [0, 1])
            return (
                _correlate(upstream, turned, opposite, rate),
                _kernel_gradient(inputs, upstream, kernel, zeros, rate),
            )

        return _correlate(inputs, kernel, zeros, rate), backward

    return convolve(inputs, tf.convert_to_tensor(kernel))


def _same_padding(size: int, taps: int, stride: int, rate: int) -> tuple[int, int]:
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + rate * (taps - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def _correlate(
    inputs: tf.Tensor, kernel: tf.Tensor, zeros: _Padding, rate: int, stride: int = 1
) -> tf.Tensor:
    weights = tf.cast(kernel[..., 0], tf.float32)
    taps = [tap for row in tf.unstack(weights) for tap in tf.unstack(row)]
    shifts = _shifted(inputs, kernel.shape[:2], zeros, rate, stride)
    outputs = [shift * tap for shift, tap in zip(shifts, taps)]
    # In this order, not as TensorFlow's AddN likes: a step is repeated exactly.
    total = outputs[0]
    for output in outputs[1:]:
        total += output
    return tf.cast(total, inputs.dtype)


def _kernel_gradient(
    inputs: tf.Tensor,
    upstream: tf.Tensor,
    kernel: tf.Tensor,
    zeros: _Padding,
    rate: int,
) -> tf.Tensor:
    upstream = tf.cast(upstream, tf.float32)
    sums = [
        tf.reduce_sum(shift * upstream, [0, 1, 2])
        for shift in _shifted(inputs, kernel.shape[:2], zeros, rate)
    ]
    return tf.cast(tf.reshape(tf.stack(sums), kernel.shape), kernel.dtype)


def _shifted(
    inputs: tf.Tensor,
    taps: Sequence[int],
    zeros: _Padding,
    rate: int,
    stride: int = 1,
) -> Iterator[tf.Tensor]:
    """The inputs as each weight of a kernel sees them, row by row; float32."""
    padded = tf.pad(inputs, [(0, 0), *zeros, (0, 0)])
    height, width = (
        size - rate * (count - 1) for size, count in zip(padded.shape[1:3], taps)
    )
    for row in range(taps[0]):
        for column in range(taps[1]):
            top, left = row * rate, column * rate
            window = padded[
                :, top : top + height : stride, left : left + width : stride
            ]
            yield tf.cast(window, tf.float32)
