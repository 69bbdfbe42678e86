"""The closed form of Grad-CAM against gradients."""

import numpy as np
import pytest
import tensorflow as tf

from wss.methods.components import refined_grad_cam

BATCH, HEIGHT, WIDTH, DEPTH, CLASSES = 3, 4, 5, 6, 7


def normal(shape, seed):
    return tf.random.stateless_normal(shape, [seed, 0])


@pytest.fixture
def example():
    features = normal([BATCH, HEIGHT, WIDTH, DEPTH], 1)
    kernel = normal([DEPTH, CLASSES], 2)
    image_labels = tf.constant(np.eye(BATCH, CLASSES) + np.eye(BATCH, CLASSES, 2))
    return features, kernel, tf.cast(image_labels, tf.float32)


@pytest.mark.parametrize("dropout", [False, True])
def test_closed_form_equals_tf_gradients(example, dropout):
    features, kernel, image_labels = example
    mask = None
    if dropout:
        kept = tf.random.stateless_uniform([BATCH, 1, 1, DEPTH], [3, 0]) < 0.5
        mask = tf.cast(kept, tf.float32) / 0.5

    @tf.function(autograph=False)
    def by_gradients():
        pooled = tf.reduce_mean(features, axis=(1, 2), keepdims=True)
        pooled = pooled if mask is None else pooled * mask
        logits = tf.einsum("bijd,dc->bc", pooled, kernel)
        return refined_grad_cam.gradient_class_activation_maps(
            features, lambda c: tf.gradients(logits[:, c], features)[0], image_labels
        )

    closed = refined_grad_cam.class_activation_maps(
        features, kernel, image_labels, mask
    )
    np.testing.assert_allclose(closed, by_gradients(), atol=1e-6)
    graph = tf.function(
        refined_grad_cam.class_activation_maps, jit_compile=True, autograph=False
    )
    np.testing.assert_allclose(
        graph(features, kernel, image_labels, mask), closed, atol=1e-6
    )


def test_maps_lie_in_0_to_1_and_absent_classes_are_blank(example):
    maps = refined_grad_cam.class_activation_maps(*example).numpy()
    image_labels = example[2].numpy()
    assert maps.min() >= 0.0 and maps.max() <= 1.0
    peaks = maps.max(axis=(1, 2))
    np.testing.assert_array_equal(peaks[image_labels == 0], 0.0)
    np.testing.assert_allclose(peaks[image_labels == 1], 1.0, rtol=1e-6)


def test_no_gradient_flows_back(example):
    features, kernel, image_labels = example
    with tf.GradientTape() as tape:
        tape.watch([features, kernel])
        total = tf.reduce_sum(
            refined_grad_cam.class_activation_maps(features, kernel, image_labels)
        )
    assert tape.gradient(total, [features, kernel]) == [None, None]


def test_background_is_what_the_strongest_class_leaves():
    maps = tf.constant([[[[0.2, 0.7], [0.0, 0.0]]]])
    np.testing.assert_allclose(
        refined_grad_cam.with_background(maps),
        [[[[0.3, 0.2, 0.7], [1.0, 0.0, 0.0]]]],
        atol=1e-6,
    )
