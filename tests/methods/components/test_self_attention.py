"""Self-attention: what may attend to what, and where gradients stop."""

import numpy as np
import pytest
import tensorflow as tf

from wss.methods.components.self_attention import SelfAttention

CLASSES = 4


def make(**options):
    attention = SelfAttention(CLASSES, attention_dim=8, **options)
    attention.build(depth=9, values=CLASSES - 1)
    end_points = [
        tf.random.stateless_normal([2, 5, 6, 4], [1, 0]),
        tf.random.stateless_normal([2, 9, 11, 5], [2, 0]),
    ]
    maps = tf.random.stateless_uniform([2, 5, 6, CLASSES - 1], [3, 0])
    return attention, end_points, maps


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_graph_equals_eager(version, jit_compile):
    attention, end_points, maps = make(version=version)
    valid = tf.ones([2, 17, 21])
    eager = attention(end_points, maps, valid)
    graph = tf.function(attention.__call__, jit_compile=jit_compile, autograph=False)
    np.testing.assert_allclose(
        graph(end_points, maps, valid), eager, rtol=1e-4, atol=1e-4
    )
    assert eager.shape == [2, 5, 6, CLASSES]


def test_valid_pixels_do_not_attend_to_invalid_ones():
    attention, end_points, maps = make(version=1)
    valid = np.ones([2, 5, 6], np.float32)
    valid[:, :, 3:] = 0.0
    changed = maps.numpy()
    changed[:, :, 3:] += 1.0
    before = attention(end_points, maps, tf.constant(valid))
    after = attention(end_points, tf.constant(changed), tf.constant(valid))
    np.testing.assert_allclose(before[:, :, :3], after[:, :, :3], atol=1e-6)
    assert np.abs(before - after).max() > 1e-3


def test_gradients_reach_the_own_variables_only():
    attention, end_points, maps = make()
    with tf.GradientTape() as tape:
        tape.watch([end_points, maps])
        logits = attention(end_points, maps, tf.ones([2, 5, 6]))
        target = tf.reduce_sum(tf.square(logits[..., 0]))
    variables = list(attention.trainable_variables)
    assert len(variables) == 4  # key, query, pixel normalization, its beta.
    gradients = tape.gradient(target, variables + end_points + [maps])
    assert all(g is not None for g in gradients[:4])
    assert gradients[4:] == [None, None, None]


@pytest.mark.parametrize(
    "options", [{"version": 3}, {"downsample_method": "cubic"}], ids=str
)
def test_wrong_options(options):
    with pytest.raises(ValueError, match="not"):
        SelfAttention(CLASSES, **options)
