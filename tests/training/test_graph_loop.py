"""Steps in a loop of the graph: the results are those of the last one."""

import numpy as np
import pytest
import tensorflow as tf

from wss.training.graph_loop import repeat


def make_run(where):
    taken = tf.Variable(0)

    @where
    def run(count):
        def take_step():
            step = taken.assign_add(1)
            return {
                "losses": {"a": tf.cast(step, tf.float32), "b": tf.constant(0.5)},
                "images": {"c": tf.fill([2, 3], tf.cast(step, tf.uint8))},
                "none": {},
                "large": tf.cast(step, tf.int64) * 10**12 + 1,
                "even": step % 2 == 0,
            }

        return repeat(take_step, count)

    return run


@pytest.mark.parametrize("where", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_the_last_step_counts(where):
    run = make_run(where)
    for count, last in [(1, 1), (3, 4)]:
        results = run(tf.constant(count))
        assert results["losses"]["a"] == last
        assert results["losses"]["b"] == 0.5
        np.testing.assert_array_equal(results["images"]["c"], np.full([2, 3], last))
        assert results["images"]["c"].dtype == tf.uint8
        assert results["large"] == last * 10**12 + 1
        assert bool(results["even"]) == (last % 2 == 0)
        assert results["none"] == {}


def test_no_step_gives_zeros_and_takes_none():
    run = make_run(tf.function)
    results = run(tf.constant(0))
    assert results["losses"]["b"] == 0.0 and not results["even"]
    np.testing.assert_array_equal(results["images"]["c"], np.zeros([2, 3]))
    assert run(tf.constant(1))["losses"]["a"] == 1.0
    assert run.experimental_get_tracing_count() == 1
