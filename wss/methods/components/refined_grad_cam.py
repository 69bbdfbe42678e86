"""Refined Grad-CAM: the image classifier's Grad-CAM, spread to similar pixels.

Sources: `compute_cam_v2` in core/train_utils_core.py of googleinterns/wss, after
Selvaraju et al., "Grad-CAM" (ICCV 2017); section 3.2 of "PseudoSeg" (Zou et al., ICLR
2021).
"""

from collections.abc import Sequence
from typing import Callable, Optional

import tensorflow as tf

from wss.errors import UserError
from wss.methods.components.self_attention import SelfAttention
from wss.models.backbone import patch_size
from wss.models.layers import EndPoints
from wss.models.network import SegmentationNetwork
from wss.ops.distributed import batch_mean
from wss.ops.resize import resize_bilinear


class RefinedGradCam:
    """Grad-CAM of a network's image classifier, refined by self-attention.

    A method that uses it has to keep `attention` as an attribute, where training and
    checkpoints find the variables.

    >>> model = DeepLabV3Plus(num_classes=3, variant="resnet_v1_18_quarter_beta")
    >>> grad_cam = RefinedGradCam(model, strides=(15, 16))
    >>> grad_cam.build()
    >>> end_points = model.backbone(tf.zeros([1, 33, 33, 3]))
    >>> maps, logits = grad_cam.compute_upsampled(end_points, None, tf.ones([1, 9, 9]))
    >>> print(maps.shape, logits.shape)
    (1, 9, 9, 3) (1, 9, 9, 3)
    """

    def __init__(self, model: SegmentationNetwork, strides: Sequence[int]):
        """Creates the attention.

        Args:
          model: the network.
          strides: names of the end points that form the hypercolumn, as for
            `SegmentationNetwork.end_point`. Grad-CAM is computed at the largest.

        Raises:
          UserError: the classifier's input does not depend on that end point.
        """
        self.model = model
        # As in the original, the deepest is the first in the concatenation.
        self.strides = sorted(strides, reverse=True)
        # A transformer's earlier end points have been through the final layer norm; the
        # next blocks read them without it.
        if self.strides[0] != 16 and patch_size(model.variant):
            raise UserError(
                f"PseudoSeg.attention_strides = {tuple(strides)}: with {model.variant} "
                "they have to contain 16, the end point that the classifier reads."
            )
        self.attention = SelfAttention(model.num_classes)

    def build(self) -> None:
        """Creates the attention's variables."""
        depth = sum(self.model.end_point_channels(self.strides))
        self.attention.build(depth, self.model.num_classes - 1)

    def compute(
        self,
        end_points: EndPoints,
        image_labels: tf.Tensor,
        valid: tf.Tensor,
        dropout_mask: Optional[tf.Tensor] = None,
        training: bool = True,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes the maps and refines them into logits.

        Args:
          end_points: of the backbone.
          image_labels: [batch, classes - 1], float32, 1 for the classes in the image.
          valid: [batch, height, width], float32, see `SelfAttention`.
          dropout_mask: of the classifier, see `class_activation_maps`.
          training: batch norm uses the statistics of the batch.

        Returns:
          Maps [batch, h, w, classes - 1], float32 in 0..1, and logits [batch, h, w,
          classes], float32, at the resolution of the deepest end point.
        """
        hypercolumn = self._hypercolumn(end_points)
        features = hypercolumn[0]
        if features is self.model.features(end_points):
            maps = class_activation_maps(
                features, self.model.classifier_kernel, image_labels, dropout_mask
            )
        else:
            image_logits = self.model.classify(end_points, dropout_mask)
            maps = gradient_class_activation_maps(
                features,
                lambda c: tf.gradients(image_logits[:, c], features)[0],
                image_labels,
            )
        return maps, self.attention(hypercolumn, maps, valid, training)

    def compute_upsampled(
        self,
        end_points: EndPoints,
        image_labels: Optional[tf.Tensor],
        valid: tf.Tensor,
        training: bool = True,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`compute` with a background map, resized to `valid`.

        Args:
          end_points: of the backbone.
          image_labels: see `compute`; None for the classes to which the classifier
            gives a probability of at least 0.5.
          valid: [batch, h, w], float32, see `SelfAttention`.
          training: see `compute`.

        Returns:
          Maps in 0..1, background first, and logits, each [batch, h, w, classes],
          float32.
        """
        if image_labels is None:
            image_logits = self.model.classify(end_points)
            image_labels = tf.cast(tf.sigmoid(image_logits) >= 0.5, tf.float32)
        maps, logits = self.compute(end_points, image_labels, valid, training=training)
        size = tuple(valid.shape[1:3])
        maps = resize_bilinear(with_background(maps), size)
        return maps, resize_bilinear(logits, size)

    def _hypercolumn(self, end_points: EndPoints) -> list[tf.Tensor]:
        return [self.model.end_point(end_points, stride) for stride in self.strides]


def class_activation_maps(
    features: tf.Tensor,
    classifier_kernel: tf.Tensor,
    image_labels: tf.Tensor,
    dropout_mask: Optional[tf.Tensor] = None,
) -> tf.Tensor:
    """Grad-CAM of a linear classifier over globally average-pooled features.

    The gradient of class c's logit with respect to the features is then the same at
    every position, kernel[:, c] / (height * width) (times the dropout's factors). One
    matrix product replaces a backward pass per class.

    Args:
      features: [batch, height, width, depth], float32, the classifier's input.
      classifier_kernel: [depth, classes - 1], float32.
      image_labels: [batch, classes - 1], float32, 1 where the image shows the class.
      dropout_mask: [batch, 1, 1, depth] factors that the pooled features are multiplied
        with before the classifier, or None. The original averages gradients over the
        batch, so every image's maps get the batch's mean factors.

    Returns:
      [batch, height, width, classes - 1], float32 in 0..1, without gradient.

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
    original: its `reduce_mean(..., axis=(1, 2))` acts on a list of one gradient, which
    adds an axis at the front.

    Args:
      features: [batch, height, width, depth], float32.
      gradients: for class c, returns the gradient of the sum of its logits over the
        batch with respect to `features`, [batch, height, width, depth].
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
    """Scales the maps to 0..1; those of classes that are not in the image are 0."""
    maps *= tf.cast(image_labels, tf.float32)[:, tf.newaxis, tf.newaxis, :]
    peak = tf.reduce_max(maps, axis=(1, 2), keepdims=True)
    return tf.stop_gradient(maps / tf.maximum(peak, 1e-5))


def with_background(maps: tf.Tensor) -> tf.Tensor:
    """Prepends a background score of 1 - max to the maps: [..., classes].

    >>> print(with_background(tf.constant([[0.25, 0.5]])).numpy())
    [[0.5  0.25 0.5 ]]
    """
    background = 1.0 - tf.reduce_max(maps, axis=-1, keepdims=True)
    return tf.concat([background, maps], axis=-1)
