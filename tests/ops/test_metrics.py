"""Metrics against counts made by hand."""

import numpy as np
import pytest
import tensorflow as tf

from wss.ops import metrics


def test_scores_of_absent_and_of_only_predicted_classes():
    matrix = metrics.ConfusionMatrix(num_classes=4, ignore_label=255)
    # Class 2 is predicted and never labeled; class 3 does not occur.
    matrix.update(tf.constant([0, 0, 1, 1, 255]), tf.constant([0, 2, 1, 1, 0]))
    scores = matrix.result()
    np.testing.assert_array_equal(scores.class_iou[:2], [0.5, 1.0])
    assert np.isnan(scores.class_iou[2:]).all()
    assert scores.mean_iou == pytest.approx(0.5)  # (0.5 + 1 + 0) / 3
    assert scores.pixel_accuracy == 0.75
    assert (scores.ignored_pixels, scores.invalid_pixels) == (1, 0)


def test_labels_that_are_no_class_are_counted_apart():
    matrix = metrics.ConfusionMatrix(num_classes=2, ignore_label=255)
    matrix.update(tf.constant([0, 1, 7, 200]), tf.constant([0, 1, 1, 0]))
    scores = matrix.result()
    assert scores.invalid_pixels == 2
    assert scores.mean_iou == 1.0
    np.testing.assert_array_equal(scores.confusion, np.eye(2))


def test_updates_add_up_in_a_graph_and_reset_starts_again():
    random = np.random.RandomState(0)
    labels = random.randint(0, 5, [3, 8, 9]).astype(np.uint8)
    predictions = random.randint(0, 5, [3, 8, 9])
    matrix = metrics.ConfusionMatrix(num_classes=5, ignore_label=255)
    update = tf.function(matrix.update)
    for label, prediction in zip(labels, predictions):
        update(tf.constant(label), tf.constant(prediction))
    expected = np.zeros([5, 5], np.int64)
    np.add.at(expected, (labels.ravel(), predictions.ravel()), 1)
    np.testing.assert_array_equal(matrix.result().confusion, expected)
    matrix.reset()
    assert matrix.result().confusion.sum() == 0


def test_an_ignore_label_below_the_number_of_classes_is_left_out():
    matrix = metrics.ConfusionMatrix(num_classes=3, ignore_label=0)
    matrix.update(tf.constant([0, 1, 2]), tf.constant([1, 1, 2]))
    assert matrix.result().mean_iou == 1.0
    assert matrix.result().ignored_pixels == 1


@pytest.mark.parametrize("jit_compile", [False, True])
def test_balanced_accuracy(jit_compile):
    accuracy = tf.function(
        lambda *args: metrics.balanced_accuracy(*args, num_classes=3).result(),
        jit_compile=jit_compile,
    )
    labels = tf.constant([[[0, 0, 0, 1, 255]]])
    predictions = tf.constant([[[0, 0, 1, 1, 1]]], tf.int64)
    value = accuracy(labels, predictions, labels != 255)
    assert value.numpy() == pytest.approx((2 / 3 + 1) / 2)
    assert accuracy(labels, predictions, labels > 255).numpy() == 0.0
