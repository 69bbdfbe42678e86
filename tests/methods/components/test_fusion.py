"""Fusion on numbers that can be followed by hand."""

import numpy as np
import pytest
import tensorflow as tf

from wss.methods.components import fusion

SHAPE = [2, 3, 4, 5]


def logits(seed):
    return 3.0 * tf.random.stateless_normal(SHAPE, [seed, 0])


def softmax(x):
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def test_the_default_is_the_formula_of_the_original():
    decoder, attention = logits(1).numpy(), logits(2).numpy()
    values = np.concatenate([decoder, attention])
    scale = 1.0 / np.sqrt(np.mean(values**2) + 1e-8)
    average = (softmax(decoder * scale) + softmax(attention * scale)) / 2
    sharp = average**2 / (average**2).sum(-1, keepdims=True)

    def fuse(*logits):
        label = fusion.fuse(*logits)
        return label.average, label.probabilities, label.confident

    for function in (fuse, tf.function(fuse, jit_compile=True, autograph=False)):
        fused, probabilities, confident = function(decoder, attention)
        np.testing.assert_allclose(fused, average, rtol=1e-5)
        np.testing.assert_allclose(probabilities, sharp, rtol=1e-5)
        np.testing.assert_array_equal(confident, np.ones(SHAPE[:3]))


def test_normalization_per_pixel_is_the_formula_of_the_paper():
    decoder, attention = fusion.normalize_logits(logits(1), logits(2), "pixel")
    squares = np.square(decoder) + np.square(attention)
    np.testing.assert_allclose(squares.sum(-1), np.ones(SHAPE[:3]), rtol=1e-5)


def test_hard_labels_and_threshold():
    label = fusion.fuse(logits(1), None, soft=False, threshold=0.7)
    probabilities = softmax(logits(1).numpy())
    np.testing.assert_array_equal(
        np.argmax(label.probabilities, -1), np.argmax(probabilities, -1)
    )
    np.testing.assert_array_equal(np.sum(label.probabilities, -1), 1.0)
    confident = probabilities.max(-1) >= 0.7
    assert 0 < confident.sum() < confident.size
    np.testing.assert_array_equal(label.confident, confident)


def test_no_gradient_flows_back():
    decoder = logits(1)
    with tf.GradientTape() as tape:
        tape.watch(decoder)
        label = fusion.fuse(decoder, logits(2))
        total = tf.reduce_sum(label.probabilities * label.average)
    assert tape.gradient(total, decoder) is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"source": "decoder"}, "fuse.source is 'average' or 'attention'"),
        ({"normalize_over": "image"}, "fuse.normalize_over is 'batch', 'pixel'"),
        ({"temperature": 0.0}, "fuse.temperature must be positive"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        fusion.fuse(logits(1), logits(2), **options)
