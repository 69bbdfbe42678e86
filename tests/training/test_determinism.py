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


def test_functions_are_called_without_the_pass_that_saves_memory(chosen):
    determinism.configure()
    options = tf.compat.v1.ConfigProto.FromString(
        context.context().function_call_options.config_proto_serialized
    )
    rewriting = options.graph_options.rewrite_options
    assert rewriting.memory_optimization == rewriting.NO_MEM_OPT
    assert not chosen
    assert tf.function(lambda x: x + 1.0)(tf.constant(1.0)).numpy() == 2.0


def test_deterministic_kernels_on_demand(chosen):
    determinism.configure(deterministic=True)
    assert chosen == [True]
