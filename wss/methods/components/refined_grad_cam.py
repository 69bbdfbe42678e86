"""Grad-CAM: where the image classifier looks for each class.

Source: `compute_cam_v2` in core/train_utils_core.py of googleinterns/wss, after
Selvaraju et al., "Grad-CAM" (ICCV 2017).
"""

from typing import Callable, Optional

import tensorflow as tf

from wss.ops.distributed import batch_mean


def class_activation_maps(
    features: tf.Tensor,
    classifier_kernel: tf.Tensor,
    image_labels: tf.Tensor,
    dropout_mask: Optional[tf.Tensor] = None,
) -> tf.Tensor:
    """Grad-CAM of a linear classifier over globally average-pooled features.

    There the gradient of class c's logit with respect to the features is the same at
    every position, kernel[:, c] / (height * width) (times the dropout's factors), so
    that one matrix product replaces a backward pass per class.

    Args:
      features: [batch, height, width, depth], float32, the classifier's input.
      classifier_kernel: [depth, classes - 1], float32.
      image_labels: [batch, classes - 1], float32, 1 where the image shows the class.
      dropout_mask: [batch, 1, 1, depth] factors that the pooled features are multiplied
        with before the classifier, or None. The original averages gradients over the
        batch, so every image's maps get the batch's mean factors.

    Returns:
      [batch, height, width, classes - 1], float32 in 0..1; no gradient flows back.

    >>> features = tf.constant([[[[0.0, 1.0], [4.0, 1.0]]]])  # One row of two places.
    >>> kernel = tf.constant([[1.0, 0.0], [0.0, 1.0]])  # Of the image classifier.
    >>> maps = class_activation_maps(features, kernel, tf.constant([[1.0, 0.0]]))
    >>> print(maps.numpy()[0, 0])  # The image does not show the second class.
    [[0. 0.]
     [1. 0.]]
    """
    height, width, depth = features.shape[1:]
    weights = tf.cast(classifier_kernel, tf.float32) / float(height * width)
    if dropout_mask is not None:
        factors = tf.reduce_mean(tf.cast(dropout_mask, tf.float32), axis=0)
        factors = batch_mean(factors)
        weights *= tf.reshape(factors, [depth, 1])
    features = tf.cast(features, tf.float32)
    maps = tf.nn.relu(tf.einsum("bhwd,dc->bhwc", features, weights))
    return _normalize(maps, image_labels)


def gradient_class_activation_maps(
    features: tf.Tensor,
    gradients: Callable[[int], tf.Tensor],
    image_labels: tf.Tensor,
) -> tf.Tensor:
    """Grad-CAM of any classifier on any of its layers.

    The channel weights are the gradient's mean over batch and height, as in the
    original, whose `reduce_mean(..., axis=(1, 2))` acts on a list of one gradient and
    therefore one axis further left than it seems.

    Args:
      features: [batch, height, width, depth], float32.
      gradients: gives for class c the gradient of the sum of its logits over the batch
        with respect to `features`, [batch, height, width, depth].
      image_labels: [batch, classes - 1], float32.

    Returns:
      As `class_activation_maps`.

    >>> features = tf.constant([[[[0.0], [4.0]]]])
    >>> gradients = lambda index: tf.ones_like(features)
    >>> maps = gradient_class_activation_maps(features, gradients, tf.ones([1, 1]))
    >>> print(maps.numpy().ravel())
    [0. 1.]
    """
    features = tf.cast(features, tf.float32)
    maps = []
    for index in range(image_labels.shape[1]):
        gradient = tf.cast(gradients(index), tf.float32)
        weights = batch_mean(tf.reduce_mean(gradient, axis=(0, 1)))  # [width, depth]
        maps.append(tf.nn.relu(tf.reduce_sum(weights * features, axis=-1)))
    return _normalize(tf.stack(maps, axis=-1), image_labels)


def _normalize(maps: tf.Tensor, image_labels: tf.Tensor) -> tf.Tensor:
    """Blanks the classes that the image does not show; scales the others to 0..1."""
    maps *= tf.cast(image_labels, tf.float32)[:, tf.newaxis, tf.newaxis, :]
    peak = tf.reduce_max(maps, axis=(1, 2), keepdims=True)
    return tf.stop_gradient(maps / tf.maximum(peak, 1e-5))


def with_background(maps: tf.Tensor) -> tf.Tensor:
    """Puts a background score of 1 - max before the maps: [..., classes].

    >>> print(with_background(tf.constant([[0.25, 0.5]])).numpy())
    [[0.5  0.25 0.5 ]]
    """
    background = 1.0 - tf.reduce_max(maps, axis=-1, keepdims=True)
    return tf.concat([background, maps], axis=-1)
