"""Counting operations against counting by hand."""

import tensorflow as tf

from benchmarks import cost


def trace(function, *shapes):
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    return tf.function(function).get_concrete_function(*specs).graph


def test_convolution_and_its_gradients():
    def step(images, kernel):
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            loss = tf.reduce_sum(tf.nn.conv2d(images, kernel, 2, "SAME") ** 2)
        return tape.gradient(loss, [images, kernel])

    counted = cost.of_graph(trace(step, [2, 8, 8, 3], [3, 3, 3, 5]))
    forward = 2 * (2 * 4 * 4 * 5) * (3 * 3 * 3)
    assert counted == 3 * forward


def test_depthwise_and_matrix_products():
    def forward(images, kernel, weights):
        maps = tf.nn.depthwise_conv2d(images, kernel, [1, 1, 1, 1], "SAME")
        return tf.matmul(tf.reshape(maps, [-1, 6]), weights)

    counted = cost.of_graph(trace(forward, [1, 4, 4, 6], [3, 3, 6, 1], [6, 7]))
    assert counted == 2 * 4 * 4 * 6 * 9 + 2 * 16 * 7 * 6


def test_called_functions_count_at_each_call():
    inner = tf.function(lambda x, w: tf.matmul(x, w))
    counted = cost.of_graph(trace(lambda x, w: inner(inner(x, w), w), [4, 5], [5, 5]))
    assert counted == 2 * (2 * 4 * 5 * 5)


def test_loops_count_as_often_as_told():
    product = 2 * 4 * 5 * 5

    def repeated(x, w):
        x = tf.matmul(x, w)
        for _ in tf.range(tf.cast(x[0, 0], tf.int32)):
            x = tf.matmul(x, w)
        return x

    traced = trace(repeated, [4, 5], [5, 5])
    assert cost.of_graph(traced, repeats=0) == product
    assert cost.of_graph(traced, repeats=3) == 4 * product


def test_one_round_of_the_only_loop():
    def steps(x, w):
        return tf.while_loop(
            lambda i, _: i < 9, lambda i, x: (i + 1, tf.matmul(x, w)), (0, x)
        )

    assert cost.of_round(trace(steps, [4, 5], [5, 5])) == 2 * 4 * 5 * 5
