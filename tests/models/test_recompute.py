"""Recomputed modules give what kept ones give."""

import numpy as np
import pytest
import tensorflow as tf

from wss.models.batch_norm import collect_batch_statistics
from wss.models.deeplab import DeepLabV3Plus
from wss.ops import distributed

VARIANT = "resnet_v1_18_quarter_beta"


def step(recompute, strategy, synchronized=False):
    """Loss, gradients, and moving averages after the step; the traced function."""
    tf.keras.utils.set_random_seed(0)
    with strategy.scope():
        model = DeepLabV3Plus(
            3, VARIANT, aspp_channels=8, decoder_channels=8, recompute=recompute
        )
    images = tf.random.stateless_uniform([2, 33, 33, 3], [1, 2], maxval=255.0)
    weights = model.trainable_variables

    def on_replica():
        part = tf.distribute.get_replica_context().replica_id_in_sync_group
        with tf.GradientTape() as tape, distributed.synchronized(
            synchronized
        ), collect_batch_statistics() as statistics:
            logits = model(images / (1.0 + tf.cast(part, tf.float32)), training=True)
            loss = tf.reduce_mean(tf.square(logits))
        gradients = tape.gradient(loss, weights, unconnected_gradients="zero")
        statistics.apply()
        return loss, gradients

    @tf.function
    def run():
        return strategy.run(on_replica)

    results = [
        value.numpy()
        for result in tf.nest.flatten(run())
        for value in strategy.experimental_local_results(result)
    ]
    averages = [v.numpy() for v in model.non_trainable_variables]
    return [*results, *averages], run.get_concrete_function()


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_recomputed_modules_change_no_number():
    strategy = tf.distribute.get_strategy()
    kept, kept_graph = step(False, strategy)
    recomputed, recomputed_graph = step(True, strategy)
    assert_equal(recomputed, kept)
    convolutions, more = (
        sum(o.type == "Conv2D" for o in graph.graph.get_operations())
        for graph in (kept_graph, recomputed_graph)
    )
    # Six of eight units, 12 convolutions and 2 shortcuts; decoders read from inside
    # the other two.
    assert more - convolutions == 14


@pytest.mark.parametrize("synchronized", [False, True])
def test_on_two_replicas(two_cpus, synchronized):
    kept, _ = step(False, two_cpus, synchronized)
    recomputed, _ = step(True, two_cpus, synchronized)
    assert_equal(recomputed, kept)


def test_eagerly():
    tf.keras.utils.set_random_seed(0)
    model = DeepLabV3Plus(3, VARIANT, recompute=True)
    images = tf.random.stateless_uniform([1, 33, 33, 3], [1, 2], maxval=255.0)
    gradients = []
    for model.backbone.recompute in (False, True):
        with tf.GradientTape() as tape, collect_batch_statistics():
            loss = tf.reduce_mean(tf.square(model(images, training=True)))
        weights = model.backbone.trainable_variables[:5]
        gradients.append(tape.gradient(loss, weights))
    assert_equal(*gradients)
