"""The consistency loss of FixMatch and UniMatch."""

import numpy as np
import tensorflow as tf

from wss.methods.components.consistency import Target, confidence_masked_cross_entropy


def test_loss_sums_confident_pixels_and_divides_by_all_valid_ones():
    logits = tf.constant([[[[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]]]])
    target = Target(
        label=tf.constant([[[0, 0, 1]]]),
        confidence=tf.constant([[[0.95, 0.94, 0.99]]]),
        valid=tf.constant([[[1.0, 1.0, 0.0]]]),
    )
    loss = confidence_masked_cross_entropy(logits, target, threshold=0.95)
    np.testing.assert_allclose(loss, np.log(1 + np.exp(-2.0)) / 2, rtol=1e-6)
