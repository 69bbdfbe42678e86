"""Batch norm: the fused operation's constants, and when the averages move."""

import numpy as np
import pytest
import tensorflow as tf

from wss.models.batch_norm import (
    BatchNorm,
    collect_batch_statistics,
    freezing,
    repeated_updates,
)

DECAY = 0.9


def make_layer(channels=3, decay=DECAY, epsilon=1e-3, **kwargs):
    layer = BatchNorm(decay, epsilon, **kwargs)
    layer.build([None, None, None, channels])
    return layer


def make_batch(seed=0, shape=(2, 2, 3, 3)):
    return np.random.RandomState(seed).normal(1.0, 2.0, shape).astype(np.float32)


@pytest.mark.parametrize(
    "wrap",
    [lambda f: f, lambda f: tf.function(f, autograph=False)],
    ids=["eager", "graph"],
)
def test_moving_variance_takes_bessels_correction(wrap):
    layer, x = make_layer(), make_batch()
    wrap(lambda x: layer(x, training=True))(x)
    samples = x.reshape(-1, 3)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * samples.mean(0), rtol=1e-5)
    np.testing.assert_allclose(
        layer.moving_variance, 0.9 + 0.1 * samples.var(0, ddof=1), rtol=1e-5
    )


def test_training_normalises_by_the_uncorrected_variance():
    layer, x = make_layer(), make_batch()
    samples = x.reshape(-1, 3)
    expected = (x - samples.mean(0)) / np.sqrt(samples.var(0) + 1e-3)
    np.testing.assert_allclose(layer(x, training=True), expected, atol=1e-5)


def test_inference_reads_the_averages_and_leaves_them():
    layer, x = make_layer(), make_batch()
    layer.moving_mean.assign([1.0, 2.0, 3.0])
    expected = (x - [1.0, 2.0, 3.0]) / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(layer.moving_mean, [1.0, 2.0, 3.0])


def test_small_epsilon_acts_as_the_fused_one():
    layer = make_layer(epsilon=1e-5)
    layer.moving_variance.assign(np.zeros(3))
    ones = tf.ones([1, 1, 1, 3])
    np.testing.assert_allclose(layer(ones), 1 / np.sqrt(1.001e-5) * ones, rtol=1e-5)


def test_without_scale_and_center():
    layer = make_layer(center=False, scale=False)
    assert [v.name for v in layer.trainable_variables] == []
    np.testing.assert_allclose(
        np.mean(layer(make_batch(), training=True)), 0, atol=1e-6
    )


@pytest.mark.parametrize(
    "wrap",
    [lambda f: f, lambda f: tf.function(f, autograph=False)],
    ids=["eager", "graph"],
)
def test_collected_updates_equal_updates_in_a_row(wrap):
    now, collected = make_layer(), make_layer()
    first, second = make_batch(0), make_batch(1)

    def passes(layer):
        layer(first, training=True)
        with repeated_updates(2):
            layer(second, training=True)

    for x in (first, second, second):
        now(x, training=True)

    @wrap
    def step():
        with collect_batch_statistics() as statistics:
            passes(collected)
            moved = collected.moving_mean - tf.zeros([3])
        statistics.apply()
        return moved

    np.testing.assert_array_equal(step(), np.zeros(3))
    np.testing.assert_allclose(collected.moving_mean, now.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(
        collected.moving_variance, now.moving_variance, rtol=1e-5
    )


def test_collecting_ends_with_its_block():
    layer = make_layer()
    with collect_batch_statistics() as statistics:
        pass
    layer(make_batch(), training=True)
    after = layer.moving_mean.numpy()
    assert np.all(after != 0)
    statistics.apply()
    np.testing.assert_array_equal(layer.moving_mean, after)


def test_replicas_share_the_mean_of_their_statistics(two_cpus):
    with two_cpus.scope():
        layer = make_layer()
    batches = [make_batch(0), make_batch(1)]
    values = two_cpus.experimental_distribute_values_from_function(
        lambda context: tf.constant(batches[context.replica_id_in_sync_group])
    )

    @tf.function(autograph=False)
    def step(values):
        def replica_step(x):
            with collect_batch_statistics() as statistics:
                layer(x, training=True)
            statistics.apply()

        two_cpus.run(replica_step, args=(values,))

    step(values)
    means = [x.reshape(-1, 3).mean(0) for x in batches]
    variances = [x.reshape(-1, 3).var(0, ddof=1) for x in batches]
    for mean, variance in zip(layer.moving_mean.values, layer.moving_variance.values):
        np.testing.assert_allclose(mean, 0.1 * np.mean(means, 0), rtol=1e-5)
        np.testing.assert_allclose(
            variance, 0.9 + 0.1 * np.mean(variances, 0), rtol=1e-5
        )


def test_averages_stay_float32_under_mixed_precision():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        layer = make_layer()
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    outputs = layer(make_batch(), training=True)
    assert outputs.dtype == tf.bfloat16
    assert {v.dtype for v in layer.variables} == {tf.float32}


@pytest.mark.parametrize(
    "frozen, learned", [("statistics", ["gamma", "beta"]), ("all", [])]
)
def test_frozen_averages_normalize_in_training_and_stay(frozen, learned):
    with freezing(frozen):
        layer = make_layer()
    other = make_layer()
    layer.moving_mean.assign([1.0, 2.0, 3.0])
    layer.moving_variance.assign([4.0, 4.0, 4.0])
    before = [v.numpy() for v in layer.variables]
    x = tf.constant(make_batch())
    with collect_batch_statistics() as statistics, tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
    statistics.apply()
    layer(x, training=True)  # Outside of a collection.
    expected = (x - [1.0, 2.0, 3.0]) / np.sqrt(4 + 1e-3)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
    for value, variable in zip(before, layer.variables):
        np.testing.assert_array_equal(variable, value)
    sources = [x, *layer.trainable_variables]
    of_x, *of_weights = tape.gradient(outputs, sources)
    np.testing.assert_allclose(of_x, tf.fill(x.shape, 1 / np.sqrt(4 + 1e-3)), rtol=1e-5)
    sums = [tf.reduce_sum(expected, [0, 1, 2]), tf.fill([3], 12.0)][: len(learned)]
    assert len(of_weights) == len(learned)
    for gradient, summed in zip(of_weights, sums):
        np.testing.assert_allclose(gradient, summed, rtol=1e-4)
    assert [v.name for v in layer.variables if v.trainable] == [
        v.name for v in other.variables if v.name.split(":")[0] in learned
    ]
    assert {v.name for v in layer.variables} == {v.name for v in other.variables}
    assert len(other.trainable_variables) == 2  # Freezing ends with its block.
