"""Momentum, learning rates and the loss scale against arithmetic and the original."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.parity import schedules as parity
from wss.errors import UserError
from wss.training import optimizers

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "losses_schedules.npz"

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


def adamw_values(start, factor, decay=0.1):
    """The formula of `AdamW`, in float64."""
    values, first, second, value = [], 0.0, 0.0, start
    for time, (gradient, rate) in enumerate(zip(GRADIENTS, RATES), 1):
        value -= factor * rate * decay * value
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        root = (second / (1 - 0.999**time)) ** 0.5
        value -= factor * rate * first / (1 - 0.9**time) / (root + 1e-8)
        values.append(value)
    return values


def train_adamw(strategy, run, finite=None):
    """AdamW's variables "a" (factor 40) and "b" after each step."""
    with strategy.scope():
        variables = {name: tf.Variable([3.0, 5.0]) for name in "abc"}
        optimizer = optimizers.AdamW(variables, {"a": 40.0}, weight_decay=0.1)

    def step(gradient, rate, finite):
        gradients = {name: tf.fill([2], gradient) for name in "ab"}
        optimizer.apply(gradients, rate, finite)

    @run
    def distributed_step(gradient, rate, finite):
        strategy.run(step, args=(gradient, rate, finite))

    values = []
    for gradient, rate in zip(GRADIENTS, RATES):
        distributed_step(tf.constant(gradient), tf.constant(rate), finite)
        if finite is not None:  # An overflow between two steps.
            distributed_step(tf.constant(np.inf), tf.constant(rate), tf.constant(False))
        values.append([variables[name].numpy()[0] for name in "ab"])
    np.testing.assert_array_equal(variables["c"], [3.0, 5.0])  # No gradient, no decay.
    assert int(optimizer.updates.numpy()) == len(GRADIENTS)
    return np.transpose(values)


@pytest.mark.parametrize("finite", [None, True])
@pytest.mark.parametrize(
    "run",
    [lambda f: f, lambda f: tf.function(f, autograph=False)],
    ids=["eager", "graph"],
)
def test_adamw_has_a_rate_for_each_group_and_decouples_the_decay(run, finite):
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    fast, slow = train_adamw(strategy, run, finite and tf.constant(finite))
    np.testing.assert_allclose(fast, adamw_values(3.0, 40.0), 1e-5)
    np.testing.assert_allclose(slow, adamw_values(3.0, 1.0), 1e-6)


def test_adamw_on_two_replicas_and_compiled(two_cpus):
    for strategy, options in (
        (two_cpus, {}),
        (tf.distribute.OneDeviceStrategy("/cpu:0"), {"jit_compile": True}),
    ):
        _, slow = train_adamw(strategy, tf.function(**options))
        np.testing.assert_allclose(slow, adamw_values(3.0, 1.0), 1e-6)


def test_adamws_slots_are_restored_by_variable_name(tmp_path):
    first, second = tf.Variable(1.0), tf.Variable(2.0)
    saved = optimizers.AdamW({"a/w": first, "b/w": second})
    saved.apply({"a/w": tf.constant(4.0)}, tf.constant(0.1))
    path = tf.train.Checkpoint(optimizer=saved).save(str(tmp_path / "ckpt"))
    other_order = optimizers.AdamW({"b/w": second, "a/w": first})
    status = tf.train.Checkpoint(optimizer=other_order).restore(path)
    status.assert_existing_objects_matched()
    np.testing.assert_allclose(other_order.first_moments["a/w"], 0.4, 1e-6)
    np.testing.assert_allclose(other_order.second_moments["a/w"], 0.016, 1e-4)
    assert int(other_order.updates) == 1


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


def test_the_backbones_rate_is_not_that_of_the_classifier_in_its_scope():
    names = [
        *("net/conv1/weights", "net/conv1/biases", "net/logits/weights"),
        *("net2/conv1/weights", "aspp1/weights", "logits/semantic/biases"),
    ]
    assert optimizers.gradient_multipliers(
        names, "net", backbone_multiplier=0.1, last_layer_multiplier=3.0
    ) == {
        "net/conv1/weights": 0.1,
        "net/conv1/biases": 0.2,
        "net/logits/weights": 3.0,
        "logits/semantic/biases": 6.0,
    }
    assert optimizers.gradient_multipliers(names[:1], "net") == {}


def test_learning_rates_and_multipliers_of_the_original():
    golden = np.load(GOLDEN)
    checks = parity.check_learning_rates(golden, json.loads(str(golden["meta"])))
    assert len(checks) == 10
    assert not [check for check in checks if not check.passed]


@pytest.mark.parametrize(
    "run",
    [lambda f: f, lambda f: tf.function(f, autograph=False)],
    ids=["eager", "graph"],
)
def test_linear_slow_start_meets_the_decay(run):
    @run
    def rate(step):
        return optimizers.learning_rate(
            step,
            1100,
            base=0.01,
            power=1.0,
            slow_start_steps=100,
            slow_start_rate=0.001,
            slow_start_burn_in="linear",
        )

    rates = [float(rate(tf.constant(step, tf.int64))) for step in (0, 50, 100, 600)]
    np.testing.assert_allclose(rates, [0.001, 0.0055, 0.01, 0.005], rtol=1e-5)


@pytest.mark.parametrize("settings", [{"policy": "cos"}, {"slow_start_burn_in": "x"}])
def test_unknown_names_are_user_errors(settings):
    with pytest.raises(UserError, match="has to be"):
        optimizers.learning_rate(tf.constant(0), 10, **settings)


def test_the_loss_scale_is_halved_by_an_overflow():
    scale = optimizers.LossScale(initial=4)
    scale.update(tf.constant(False))
    assert scale.value.numpy() == 2.0
