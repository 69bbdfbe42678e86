"""The moving average of a network."""

import numpy as np
import pytest
import tensorflow as tf

from wss.models import ema
from wss.models.batch_norm import BatchNorm
from wss.models.layers import Convolution


def network(value):
    module = tf.Module()
    initializer = tf.keras.initializers.Constant(value)
    module.layer = Convolution(
        "layer",
        1,
        1,
        initializer=initializer,
        batch_norm=lambda *args, **kwargs: BatchNorm(0.9, 1e-3, *args, **kwargs),
    )
    return module


@pytest.mark.parametrize("statistics_decay, statistics", [(None, 1.5), (1.0, 1.0)])
def test_follows(statistics_decay, statistics):
    average, model = network(1.0), network(3.0)
    for variable in model.variables:
        variable.assign(tf.fill(variable.shape, 3.0))
    for variable in average.variables:
        variable.assign(tf.fill(variable.shape, 1.0))
    ema.update(average, model, 0.75, statistics_decay)
    for variable in average.variables:
        value = 1.5 if variable.trainable else statistics
        np.testing.assert_allclose(variable, tf.fill(variable.shape, value))
    ema.copy(average, model)
    assert all(np.all(v == 3.0) for v in average.variables)


def test_follows_on_every_replica(two_cpus):
    with two_cpus.scope():
        average, model = network(1.0), network(3.0)

    @tf.function
    def follow(decay):
        arguments = (average, model, decay)
        two_cpus.run(ema.update, args=arguments)

    follow(tf.constant(0.75))
    for kernel in two_cpus.experimental_local_results(average.layer.convolution.kernel):
        np.testing.assert_allclose(kernel, [[[[1.5]]]])


def test_decay_begins_with_the_network_itself():
    decays = [float(ema.decay_at(tf.constant(i), 10, 0.9)) for i in (5, 10, 11, 500)]
    np.testing.assert_allclose(decays, [0.0, 0.0, 0.5, 0.9], rtol=1e-6)
