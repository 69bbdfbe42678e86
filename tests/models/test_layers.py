"""Convolutions' numbers, draws of the dropout."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from wss.models.batch_norm import BatchNorm
from wss.models.layers import Convolution, dropout_mask, truncated_normal

SEEDS = tf.constant([[1, 2], [3, 4], [1, 2]])


def draw(seeds=SEEDS, keep=0.9):
    return dropout_mask([seeds.shape[0], 20, 20, 16], keep, seeds)


def test_share_and_factor_of_what_is_kept():
    values, counts = np.unique(draw(), return_counts=True)
    np.testing.assert_allclose(values, [0.0, 1 / 0.9], rtol=1e-6)
    assert abs(counts[1] / counts.sum() - 0.9) < 0.01


def test_an_example_is_drawn_by_its_own_seed():
    masks = draw().numpy()
    np.testing.assert_array_equal(masks[0], masks[2])
    assert np.mean(masks[0] != masks[1]) > 0.1
    np.testing.assert_array_equal(draw(SEEDS[1:2])[0], masks[1])


def test_xla_draws_the_same():
    compiled = tf.function(draw, jit_compile=True, autograph=False)
    np.testing.assert_array_equal(compiled(), draw())


def depthwise(rate):
    return Convolution(
        f"rate_{rate}_depthwise",
        8,
        None,
        3,
        rate=rate,
        initializer=truncated_normal(0.5),
        batch_norm=functools.partial(BatchNorm, decay=0.9, epsilon=1e-3),
    )


def outputs_and_gradients(convolve, kernel, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = convolve(images)
        loss = tf.reduce_sum(outputs**3)
    return outputs, *tape.gradient(loss, [images, kernel])


@pytest.mark.parametrize(
    "rate, size", [(1, (7, 9)), (2, (7, 9)), (8, (7, 9)), (9, (7, 9)), (18, (9, 9))]
)
def test_atrous_depthwise_convolution(rate, size):
    images = tf.random.stateless_normal([2, *size, 8], [1, 2])
    layer = depthwise(rate)
    kernel = layer.convolution.depthwise_kernel

    def plainly(images):
        outputs = tf.nn.depthwise_conv2d(
            images, kernel, [1, 1, 1, 1], "SAME", dilations=[rate, rate]
        )
        return tf.nn.relu(layer.batch_norm(outputs, training=True))

    expected = outputs_and_gradients(plainly, kernel, images)
    step = functools.partial(
        outputs_and_gradients, functools.partial(layer, training=True), kernel
    )
    for given in (step(images), tf.function(step, autograph=False)(images)):
        for x, y in zip(given, expected):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)


def test_an_atrous_convolution_keeps_its_input_only():
    def cuts(rate):
        layer = depthwise(rate)
        kernel = layer.convolution.depthwise_kernel
        convolve = functools.partial(layer, training=True)
        step = tf.function(
            lambda images: outputs_and_gradients(convolve, kernel, images)
        ).get_concrete_function(tf.TensorSpec([2, 9, 9, 8]))
        operations = [op.type for op in step.graph.get_operations()]
        return operations.count("SpaceToBatchND")

    # In the forward pass, again in the backward pass, and for the gradient.
    assert cuts(rate=6) == 3
    # Only the central weight sees the image.
    assert cuts(rate=9) == 0
