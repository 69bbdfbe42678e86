"""Draws of the dropout."""

import numpy as np
import tensorflow as tf

from wss.models.layers import dropout_mask

SEEDS = tf.constant([[1, 2], [3, 4], [1, 2]])


def draw(seeds=SEEDS, keep=0.9):
    return dropout_mask([seeds.shape[0], 20, 20, 16], keep, seeds)


def test_share_and_factor_of_what_is_kept():
    values, counts = np.unique(draw(), return_counts=True)
    np.testing.assert_allclose(values, [0.0, 1 / 0.9], rtol=1e-6)
    assert abs(counts[1] / counts.sum() - 0.9) < 0.01


def test_an_example_is_drawn_by_its_own_seed():
    masks = draw().numpy()
    np.testing.assert_array_equal(masks[0], masks[2])
    assert np.mean(masks[0] != masks[1]) > 0.1
    np.testing.assert_array_equal(draw(SEEDS[1:2])[0], masks[1])


def test_xla_draws_the_same():
    compiled = tf.function(draw, jit_compile=True)
    np.testing.assert_array_equal(compiled(), draw())
