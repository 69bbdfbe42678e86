"""The sum of shifted images against TensorFlow's depthwise convolution."""

import numpy as np
import pytest
import tensorflow as tf

from wss.ops.depthwise import depthwise_conv2d

CASES = [
    # height and width, taps, stride, rate, padding
    ((9, 8), (3, 3), 1, 1, "same"),
    ((9, 8), (3, 3), 1, 2, "same"),
    ((9, 8), (3, 3), 1, 6, "same"),
    ((9, 8), (5, 3), 1, 1, "same"),
    ((9, 8), (3, 3), 1, 2, "valid"),
    ((9, 8), (3, 3), 2, 1, "same"),
    ((9, 8), (3, 3), 2, 1, "valid"),
    ((9, 8), (5, 5), 2, 1, "same"),
]


def with_gradients(convolve, inputs, kernel):
    with tf.GradientTape() as tape:
        tape.watch([inputs, kernel])
        outputs = convolve(inputs, kernel)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 3)
    return outputs, *tape.gradient(loss, [inputs, kernel])


@pytest.mark.parametrize("size, taps, stride, rate, padding", CASES)
def test_numbers_are_tensorflows(size, taps, stride, rate, padding):
    random = np.random.default_rng(0)
    inputs = tf.constant(random.normal(size=[2, *size, 5]).astype(np.float32))
    kernel = tf.constant(random.normal(size=[*taps, 5, 1]).astype(np.float32))

    def ours(inputs, kernel):
        return depthwise_conv2d(
            inputs, kernel, stride=stride, rate=rate, padding=padding
        )

    def tensorflows(inputs, kernel):
        return tf.nn.depthwise_conv2d(
            inputs,
            kernel,
            [1, stride, stride, 1],
            padding.upper(),
            dilations=[rate] * 2,
        )

    expected = with_gradients(tensorflows, inputs, kernel)
    graph = tf.function(ours, jit_compile=True, autograph=False)
    for convolve in (ours, graph):
        for found, reference in zip(with_gradients(convolve, inputs, kernel), expected):
            scale = np.abs(reference).max()
            np.testing.assert_allclose(found, reference, rtol=0, atol=1e-6 * scale)


def test_half_precision_adds_up_in_float32():
    """256 + 9 x 1 is 265; bfloat16 alone would stay at 256."""
    inputs = np.ones([1, 3, 3, 1], np.float32)
    kernel = np.ones([3, 3, 1, 1], np.float32)
    kernel[0, 0] = 256.0
    outputs = depthwise_conv2d(
        tf.constant(inputs, tf.bfloat16),
        tf.constant(kernel, tf.bfloat16),
        stride=1,
        rate=1,
        padding="valid",
    )
    assert outputs.dtype == tf.bfloat16
    assert float(outputs[0, 0, 0, 0]) == float(tf.cast(264.0, tf.bfloat16))
