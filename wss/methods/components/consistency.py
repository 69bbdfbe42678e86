"""Consistency of FixMatch and UniMatch: a strong view learns the weak view's classes.

Source: `fixmatch.py` and `unimatch.py` of LiheYoung/UniMatch (Yang et al., CVPR 2023).
"""

from typing import NamedTuple

import tensorflow as tf

from wss.methods.components import cutmix
from wss.ops import losses
from wss.ops.distributed import mean_count


class Target(NamedTuple):
    """The target of a strong view, each [batch, height, width].

    Attributes:
      label: int32, the most probable class of the weak view.
      confidence: float32, its probability.
      valid: float32, 0 in the padding.
    """

    label: tf.Tensor
    confidence: tf.Tensor
    valid: tf.Tensor


def make_target(logits: tf.Tensor, valid: tf.Tensor) -> Target:
    """The target of the strong views, without gradient.

    Args:
      logits: [batch, height, width, classes], float32, of the weak view.
      valid: [batch, height, width], float32, 0 in the padding.
    """
    probabilities = tf.nn.softmax(tf.stop_gradient(logits))
    return Target(
        tf.argmax(probabilities, -1, tf.int32), tf.reduce_max(probabilities, -1), valid
    )


def pasted(boxes: tf.Tensor, target: Target) -> Target:
    """The target of images whose boxes show the next image of the batch (CutMix)."""
    return Target(*(cutmix.paste(boxes, part) for part in target))


def confidence_masked_cross_entropy(
    logits: tf.Tensor, target: Target, threshold: float
) -> tf.Tensor:
    """Cross entropy of the confident pixels, divided by the number of valid pixels.

    Args:
      logits: [batch, height, width, classes], float32, of a strong view.
      target: of the view.
      threshold: least confidence of a pixel that is learned.

    Returns:
      Scalar, float32.
    """
    pixel_losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target.label, logits)
    weights = tf.cast(target.confidence >= threshold, tf.float32) * target.valid
    count = mean_count(tf.reduce_sum(target.valid))
    return losses.divide_or_zero(tf.reduce_sum(pixel_losses * weights), count)
