"""Recomputed modules give what kept ones give."""

import numpy as np
import pytest
import tensorflow as tf

from wss.models import resnet
from wss.models.batch_norm import collect_batch_statistics
from wss.models.deeplab import DeepLabV3Plus
from wss.ops import distributed

VARIANT = "resnet_v1_18_quarter_beta"


def make_model(recompute):
    return DeepLabV3Plus(
        3, VARIANT, aspp_channels=8, decoder_channels=8, recompute=recompute
    )


class ShortNetwork(tf.Module):
    """Four units; heads, which are never recomputed, take longer to trace."""

    def __init__(self, recompute):
        super().__init__()
        self.backbone = resnet.ResNet(
            resnet.RESNET_18_QUARTER._replace(units=(1, 1, 1, 1)),
            resnet.SMALL_ROOT,
            resnet.SLIM_BETA._replace(strides_first=True),
            output_stride=16,
        )
        self.backbone.recompute = recompute

    def __call__(self, images, training):
        return self.backbone(images, training)[self.backbone.strides[16]]


def step(make, recompute, strategy, synchronized=False):
    """Loss, gradients, and moving averages after the step; the traced function."""
    tf.keras.utils.set_random_seed(0)
    with strategy.scope():
        model = make(recompute)
    images = tf.random.stateless_uniform([2, 33, 33, 3], [1, 2], maxval=255.0)
    weights = model.trainable_variables

    def on_replica():
        part = tf.distribute.get_replica_context().replica_id_in_sync_group
        with tf.GradientTape() as tape, distributed.synchronized(
            synchronized
        ), collect_batch_statistics() as statistics:
            outputs = model(images / (1.0 + tf.cast(part, tf.float32)), training=True)
            loss = tf.reduce_mean(tf.square(outputs))
        gradients = tape.gradient(loss, weights, unconnected_gradients="zero")
        statistics.apply()
        return loss, gradients

    @tf.function(autograph=False)
    def run():
        return strategy.run(on_replica)

    results = [
        value.numpy()
        for result in tf.nest.flatten(run())
        for value in strategy.experimental_local_results(result)
    ]
    averages = [v.numpy() for v in model.variables if not v.trainable]
    return [*results, *averages], run.get_concrete_function()


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def count_convolutions(function):
    return sum(o.type == "Conv2D" for o in function.graph.get_operations())


def test_recomputed_modules_change_no_number():
    strategy = tf.distribute.get_strategy()
    kept, kept_graph = step(make_model, False, strategy)
    recomputed, recomputed_graph = step(make_model, True, strategy)
    assert_equal(recomputed, kept)
    added = count_convolutions(recomputed_graph) - count_convolutions(kept_graph)
    # Six of eight units, 12 convolutions and 2 shortcuts; decoders read from inside
    # the other two.
    assert added == 14


@pytest.mark.usefixtures("unoptimized")
@pytest.mark.parametrize("synchronized", [False, True])
def test_on_two_replicas(two_cpus, synchronized):
    kept, kept_graph = step(ShortNetwork, False, two_cpus, synchronized)
    recomputed, recomputed_graph = step(ShortNetwork, True, two_cpus, synchronized)
    assert_equal(recomputed, kept)
    assert count_convolutions(recomputed_graph) > count_convolutions(kept_graph)


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
