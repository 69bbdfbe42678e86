"""Order of computations, with and without XLA."""

import pytest
import tensorflow as tf

from wss.ops import xla


def test_the_mode_ends_with_its_context():
    assert not xla.compiles()
    with xla.compiled(True):
        assert xla.compiles()
        with xla.compiled(False):
            assert not xla.compiles()
        assert xla.compiles()
    assert not xla.compiles()


@pytest.mark.parametrize("jit", [False, True])
def test_values_stay(jit):
    weight = tf.Variable(3.0)

    @tf.function(jit_compile=jit, autograph=False)
    def compute(x):
        with xla.compiled(jit):
            first = x * weight
            (again,) = xla.after([first], [x])
            with xla.reads_after([first], [weight]):
                return first, again * weight

    first, second = compute(tf.constant(2.0))
    assert (float(first), float(second), float(weight)) == (6.0, 6.0, 3.0)


def test_xla_gets_a_barrier_and_tensorflow_a_dependency():
    weight = tf.Variable(3.0)

    def trace(compiled):
        @tf.function(autograph=False)
        def compute(x):
            with xla.compiled(compiled):
                first = x * 2.0
                with xla.reads_after([first], [weight]):
                    return x * weight

        graph = compute.get_concrete_function(tf.constant(2.0)).graph
        kinds = {operation.type for operation in graph.get_operations()}
        reads = [o for o in graph.get_operations() if o.type == "ReadVariableOp"]
        return kinds, reads[-1]

    kinds, _ = trace(compiled=True)
    assert "XlaOptimizationBarrier" in kinds
    kinds, read = trace(compiled=False)
    assert "XlaOptimizationBarrier" not in kinds
    (group,) = read.control_inputs
    assert [o.type for o in group.control_inputs] == ["Mul"]
