"""The momentum optimizer against arithmetic, on one replica and on two."""

import numpy as np
import tensorflow as tf

from wss.training import optimizers

GRADIENTS = [1.0, -2.0, 0.5]
RATES = [0.1, 0.05, 0.01]


def expected_values(start: float) -> list:
    """accumulator = 0.9 * accumulator + gradient; value -= rate * accumulator."""
    values, accumulator, value = [], 0.0, start
    for gradient, rate in zip(GRADIENTS, RATES):
        accumulator = 0.9 * accumulator + gradient
        value -= rate * accumulator
        values.append(value)
    return values


def train(strategy, run) -> list:
    with strategy.scope():
        variable = tf.Variable([3.0, 5.0])
        optimizer = optimizers.Momentum({"w": variable})

    def step(gradient, rate):
        optimizer.apply({"w": tf.fill([2], gradient)}, rate)

    @run
    def distributed_step(gradient, rate):
        strategy.run(step, args=(gradient, rate))

    values = []
    for gradient, rate in zip(GRADIENTS, RATES):
        distributed_step(tf.constant(gradient), tf.constant(rate))
        values.append(variable.numpy()[0])
    return values


def test_momentum_keeps_the_rate_out_of_the_accumulator():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    for run in (lambda function: function, tf.function):
        np.testing.assert_allclose(train(strategy, run), expected_values(3.0), 1e-6)


def test_momentum_on_two_replicas(two_cpus):
    values = train(two_cpus, tf.function)
    np.testing.assert_allclose(values, expected_values(3.0), 1e-6)


def test_slots_are_restored_by_variable_name(tmp_path):
    first, second = tf.Variable(1.0), tf.Variable(2.0)
    saved = optimizers.Momentum({"a/w": first, "b/w": second})
    saved.accumulators["a/w"].assign(7.0)
    path = tf.train.Checkpoint(optimizer=saved).save(str(tmp_path / "ckpt"))
    other_order = optimizers.Momentum({"b/w": second, "a/w": first})
    tf.train.Checkpoint(optimizer=other_order).restore(path)
    assert other_order.accumulators["a/w"].numpy() == 7.0
    assert other_order.accumulators["b/w"].numpy() == 0.0


def test_multipliers_double_biases():
    names = ["logits/semantic/biases", "logits/semantic/weights", "a/BatchNorm/beta"]
    assert optimizers.gradient_multipliers(names) == {"logits/semantic/biases": 2.0}


def test_multipliers_of_last_layers_and_biases():
    names = ["aspp1/weights", "logits/semantic/biases", "resnet_v1_50/conv1/weights"]
    published = optimizers.gradient_multipliers(
        names,
        last_layers=("aspp", "logits"),
        last_layer_multiplier=10.0,
        bias_multiplier=1.0,
    )
    assert published == {"aspp1/weights": 10.0, "logits/semantic/biases": 10.0}
