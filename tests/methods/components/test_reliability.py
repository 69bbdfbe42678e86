"""Entropy, percentiles and the loss of reliable pixels; more in `tests.parity`."""

import numpy as np
import pytest
import tensorflow as tf

from wss.methods.components import reliability


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("percent", [0.0, 13.7, 50.0, 100.0])
def test_percentile_is_numpys(percent, jit_compile):
    random = np.random.RandomState(0)
    values = random.uniform(size=[3, 41, 7]).astype(np.float32)
    counted = random.uniform(size=values.shape) < 0.4
    percentile = tf.function(
        reliability.percentile, jit_compile=jit_compile, autograph=False
    )
    np.testing.assert_allclose(
        percentile(tf.constant(values), tf.constant(counted), tf.constant(percent)),
        np.percentile(values[counted], percent),
        rtol=1e-6,
    )


def test_percentile_of_nothing():
    nothing = tf.zeros([4], tf.bool)
    assert reliability.percentile(tf.zeros([4]), nothing, 50.0) == np.inf
    one = tf.constant([False, True, False, False])
    assert reliability.percentile(tf.range(4.0), one, 50.0) == 1.0


def test_entropy():
    probabilities = tf.constant([[1.0, 0.0], [0.5, 0.5]])
    np.testing.assert_allclose(
        reliability.entropy(probabilities), [0.0, np.log(2)], atol=1e-6
    )


def test_the_unsure_do_not_count_and_all_ignored_is_zero():
    logits = tf.constant([[[[2.0, 0.0], [0.0, 0.0]], [[0.0, 5.0], [9.0, 9.0]]]])
    pseudo_label = tf.constant([[[0, 1], [1, 255]]])
    entropy = tf.constant([[[0.1, 0.9], [0.2, 0.0]]])
    valid = tf.ones([1, 2, 2])
    loss, reliable, _ = reliability.reliability_weighted_cross_entropy(
        logits, pseudo_label, entropy, valid, 80.0, ignore_label=255
    )
    assert reliable.numpy().tolist() == [[[True, False], [True, False]]]
    mean = np.mean([np.log(1 + np.exp(-2)), np.log(1 + np.exp(-5))])
    np.testing.assert_allclose(loss, 4 / 2 * mean, rtol=1e-5)
    ignored = tf.fill([1, 2, 2], 255)
    loss, _, _ = reliability.reliability_weighted_cross_entropy(
        logits, ignored, entropy, valid, 80.0, ignore_label=255
    )
    assert loss == 0


def test_the_weight_counts_what_cutout_removed_and_not_the_padding():
    """Of 100 pixels, 24 are padding; 16 in a hole are valid but have no label."""
    pixels = np.arange(100).reshape(1, 10, 10)
    valid = tf.constant(pixels >= 24, tf.float32)
    # Without a hole slightly over 1.25, as when the published code starts training.
    for unknown, reliable_pixels in ((40, 48), (24, 60)):
        loss, reliable, _ = reliability.reliability_weighted_cross_entropy(
            tf.zeros([1, 10, 10, 2]),
            tf.constant(np.where(pixels < unknown, 255, 1), tf.int32),
            tf.constant(pixels, tf.float32),
            valid,
            80.0,
            ignore_label=255,
        )
        assert np.count_nonzero(reliable) == reliable_pixels
        np.testing.assert_allclose(loss, 76 / reliable_pixels * np.log(2), rtol=1e-6)
