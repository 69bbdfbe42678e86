"""Losses on cases small enough to compute by hand."""

import numpy as np
import pytest
import tensorflow as tf

from wss.ops import losses

IGNORE = 255


def both_ways(function, *args, **kwargs):
    """The value of an eager call, checked against a graph and XLA."""
    value = function(*args, **kwargs).numpy()
    for jit in (False, True):
        graph = tf.function(
            lambda *a: function(*a, **kwargs), jit_compile=jit, autograph=False
        )
        np.testing.assert_allclose(graph(*args).numpy(), value, rtol=1e-6)
    return value


def test_cross_entropy_averages_over_the_pixels_that_are_not_ignored():
    logits = tf.constant([[[[2.0, 0.0], [0.0, 1.0], [9.0, 0.0]]]])
    labels = tf.constant([[[0, 0, IGNORE]]])
    expected = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(1.0))) / 2
    value = both_ways(losses.softmax_cross_entropy, logits, labels, ignore_label=IGNORE)
    assert value == pytest.approx(expected, rel=1e-6)


def test_all_ignored_gives_zero_loss_and_zero_gradient():
    logits = tf.Variable(tf.random.stateless_normal([2, 3, 3, 4], [1, 2]))
    with tf.GradientTape() as tape:
        loss = losses.softmax_cross_entropy(
            logits, tf.fill([2, 9, 9], IGNORE), ignore_label=IGNORE
        )
    assert loss.numpy() == 0.0
    np.testing.assert_array_equal(tape.gradient(loss, logits), np.zeros([2, 3, 3, 4]))


def test_class_weights_do_not_change_the_divisor():
    logits = tf.zeros([1, 1, 2, 2])
    labels = tf.constant([[[0, 1]]])
    value = both_ways(
        losses.softmax_cross_entropy,
        logits,
        labels,
        ignore_label=IGNORE,
        class_weights=[1.0, 3.0],
    )
    assert value == pytest.approx(2 * np.log(2.0), rel=1e-6)


def test_wrong_number_of_class_weights():
    with pytest.raises(ValueError, match="class_weights has 3 numbers for 2 classes"):
        losses.softmax_cross_entropy(
            tf.zeros([1, 1, 1, 2]),
            tf.zeros([1, 1, 1], tf.int32),
            ignore_label=IGNORE,
            class_weights=[1.0, 1.0, 1.0],
        )


def test_top_k_takes_the_largest_losses():
    logits = tf.constant([[[[0.0, 0.0], [3.0, 0.0], [6.0, 0.0], [0.0, 4.0]]]])
    labels = tf.zeros([1, 1, 4], tf.int32)
    value = both_ways(
        losses.softmax_cross_entropy,
        logits,
        labels,
        ignore_label=IGNORE,
        top_k_fraction=0.5,
    )
    expected = (np.log1p(np.exp(4.0)) + np.log(2.0)) / 2
    assert value == pytest.approx(expected, rel=1e-6)


def test_consistency_divides_by_the_valid_pixels():
    logits = tf.zeros([1, 1, 4, 2])
    pseudo_label = tf.fill([1, 1, 4, 2], 0.5)
    valid = tf.constant([[[1.0, 1.0, 1.0, 0.0]]])
    confident = tf.constant([[[1.0, 0.0, 0.0, 0.0]]])
    value = both_ways(losses.consistency, logits, pseudo_label, confident, valid)
    assert value == pytest.approx(np.log(2.0) / 3, rel=1e-6)


def test_image_label_loss():
    value = both_ways(
        losses.image_label_loss, tf.zeros([2, 3]), tf.constant([[0.0, 1, 0]] * 2)
    )
    assert value == pytest.approx(np.log(2.0), rel=1e-6)


def test_ohem_takes_the_hard_pixels():
    logits = tf.constant([[[[3.0, 0.0], [0.0, 0.0], [-1.0, 0.0], [0.0, 9.0]]]])
    labels = tf.constant([[[0, 1, 0, 255]]])
    hard = [np.log(2.0), np.log(1 + np.exp(1.0))]

    def ohem(**settings):
        return losses.ohem_cross_entropy(logits, labels, ignore_label=255, **settings)

    np.testing.assert_allclose(ohem(min_kept=0), np.mean(hard), rtol=1e-5)
    np.testing.assert_allclose(ohem(min_kept=1, threshold=0.1), hard[1], rtol=1e-5)
    everything = [*hard, np.log(1 + np.exp(-3.0))]
    for min_kept in (3, 4):  # There are fewer than 4.
        loss = ohem(min_kept=min_kept, threshold=0.1)
        np.testing.assert_allclose(loss, np.mean(everything), rtol=1e-5)
