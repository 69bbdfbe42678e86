"""The linear probe: which pixels it learns from, and what it learns."""

import numpy as np
import tensorflow as tf

from benchmarks import linear_probe
from wss.evaluation.predictor import Predictor


def test_pixels_without_a_class_and_padding_are_left_out():
    """Features of stride 2 of a photo of 3 x 5 pixels, padded to 5 x 5."""
    image = np.arange(15.0).reshape([1, 3, 5, 1]).repeat(3, -1)
    label = np.zeros([1, 3, 5], np.int32)
    label[0, 2, 4], label[0, 0, 2] = 1, 255
    predictor = Predictor(None, (5, 5), (99.0, 99.0, 99.0))
    batch = {"image": tf.constant(image), "label": tf.constant(label)}
    pixels, labels = linear_probe.collect(
        lambda images: images[:, ::2, ::2, :1], predictor, [batch, batch], 255
    )
    np.testing.assert_array_equal(pixels[:, 0], 2 * [0, 4, 10, 12, 14])
    np.testing.assert_array_equal(labels, 2 * [0, 0, 0, 0, 1])


def test_a_penalty_makes_the_logits_small():
    features = tf.constant([[0.0, 7.0], [1.0, 7.0], [8.0, 7.0], [9.0, 7.0]])
    labels = tf.constant([0, 0, 1, 1])
    free, held = (
        linear_probe.fit(features, labels, 2, penalty)(features).numpy()
        for penalty in (0.0, 1.0)
    )
    np.testing.assert_array_equal(free.argmax(-1), labels)
    np.testing.assert_array_equal(held.argmax(-1), labels)
    assert np.ptp(held) < 0.5 * np.ptp(free)
    # Half of the squared weights: the minimum is where w = -d loss / d w.
    margin = held[:, 1] - held[:, 0]
    share = 1 / (1 + np.exp(-margin))
    z = (features[:, 0] - 4.5) / (np.std(features[:, 0]) + 1e-3)
    weight = (margin[3] - margin[0]) / (z[3] - z[0]) / 2
    assert abs(weight - np.mean((labels.numpy() - share) * z)) < 0.01
