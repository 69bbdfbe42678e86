"""The order of sums, and the choice of kernels."""

import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from wss.training import determinism


@pytest.fixture
def chosen(monkeypatch):
    """Calls that chose deterministic kernels; they would stay for all tests."""
    calls = []
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: calls.append(True)
    )
    return calls


def test_functions_are_called_without_the_passes_that_change_the_order(chosen):
    determinism.configure()
    options = tf.compat.v1.ConfigProto.FromString(
        context.context().function_call_options.config_proto_serialized
    )
    rewriting = options.graph_options.rewrite_options
    assert rewriting.memory_optimization == rewriting.NO_MEM_OPT
    assert rewriting.dependency_optimization == rewriting.OFF
    assert not chosen
    assert tf.function(lambda x: x + 1.0)(tf.constant(1.0)).numpy() == 2.0


def test_deterministic_kernels_on_demand(chosen):
    determinism.configure(deterministic=True)
    assert chosen == [True]


def test_what_is_read_before_it_is_written_is_the_old_value():
    determinism.configure()
    weights = [tf.Variable(0.0), tf.Variable(0.0)]
    matrix = tf.ones([500, 500])

    @tf.function
    def step():
        # As late as a network's last layer.
        with tf.control_dependencies([tf.linalg.matmul(matrix, matrix)]):
            last = weights[1].read_value()
        changes = tf.identity_n([2.0 * last, tf.reduce_mean(matrix)])
        for weight, change in zip(weights, changes):
            weight.assign_sub(change)
        return last

    # With the optimizer as it is, one of two or three calls gives -1.
    for _ in range(20):
        weights[1].assign(0.0)
        assert float(step()) == 0.0
