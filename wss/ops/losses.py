"""Losses, each a float32 scalar, with the original's rules of normalization.

Training averages the losses of the parts of the global batch (`ops.distributed`). To
make this the mean over all pixels of the batch, a loss divides by the parts' mean
number of pixels: `count` if it is known before the step (`Method.loss_normalizers`),
else `distributed.mean_count`.

Source: `train_utils.add_softmax_cross_entropy_loss_for_each_scale` and `train_wss.py`
of googleinterns/wss.
"""

from typing import Optional

import gin
import tensorflow as tf

from wss.errors import UserError
from wss.ops.distributed import mean_count
from wss.ops.resize import resize_bilinear, resize_nearest
from wss.settings import Natural, NonNegative, PositiveShare, Several, Share


def divide_or_zero(total: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """total / count; 0, with a gradient of 0, where the count is 0."""
    return tf.math.divide_no_nan(total, tf.cast(count, total.dtype))


def count_labeled(labels: tf.Tensor, ignore_label: int) -> tf.Tensor:
    """Number of pixels of `labels` that are not ignored, scalar float32."""
    return tf.reduce_sum(tf.cast(labels != ignore_label, tf.float32))


@gin.configurable(denylist=["logits", "labels", "ignore_label", "step", "count"])
def softmax_cross_entropy(
    logits: tf.Tensor,
    labels: tf.Tensor,
    *,
    ignore_label: int,
    class_weights: Optional[Several[NonNegative]] = None,
    upsample_logits: bool = True,
    top_k_fraction: PositiveShare = 1.0,
    mining_steps: Natural = 0,
    step: Optional[tf.Tensor] = None,
    count: Optional[tf.Tensor] = None,
) -> tf.Tensor:
    """Mean cross entropy over the pixels that are not ignored.

    Args:
      logits: [batch, h, w, classes], float32.
      labels: [batch, height, width], int32; `ignore_label` where no class is known.
      ignore_label: label of pixels to ignore.
      class_weights: factor of each class's pixels. The mean still divides by the number
        of pixels, not by the sum of their weights.
      upsample_logits: resize the logits to the labels; otherwise the labels to the
        logits.
      top_k_fraction: share of all pixels, those of the largest loss, that count.
      mining_steps: steps over which the share falls linearly from 1 to
        `top_k_fraction`.
      step: the training step, needed with `mining_steps`.
      count: the divisor, the mean of `count_labeled` over the parts of the global
        batch. It is computed here if it is None, if the labels are resized, or if only
        the largest losses count.

    Returns:
      Scalar, float32; 0 where every pixel is ignored.

    Raises:
      UserError: the number of class weights is not the number of classes.

    >>> logits = tf.constant([[[[2.0, 0.0], [0.0, 2.0]]]])  # One row of two pixels.
    >>> labels = tf.constant([[[0, 255]]])  # The second is ignored.
    >>> loss = softmax_cross_entropy(logits, labels, ignore_label=255)
    >>> print(f"{loss:.4f}")
    0.1269
    """
    classes = logits.shape[-1]
    if upsample_logits:
        logits = resize_bilinear(logits, tuple(labels.shape[1:3]))
    else:
        labels = resize_nearest(labels, tuple(logits.shape[1:3]), align_corners=True)
    kept = labels != ignore_label
    # Ignored pixels get any class and the weight 0.
    labels = tf.where(kept, labels, 0)
    pixel_losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    weights = tf.cast(kept, tf.float32)
    if class_weights is not None:
        if len(class_weights) != classes:
            raise UserError(
                f"softmax_cross_entropy.class_weights has {len(class_weights)} numbers "
                f"for {classes} classes. Give one for each class, the background "
                "included."
            )
        weights *= tf.gather(tf.constant(class_weights, tf.float32), labels)
    pixel_losses *= weights
    if top_k_fraction < 1.0:
        return _mean_of_largest(pixel_losses, top_k_fraction, mining_steps, step)
    if count is None or not upsample_logits:
        count = mean_count(tf.reduce_sum(tf.cast(kept, tf.float32)))
    return divide_or_zero(tf.reduce_sum(pixel_losses), count)


def _mean_of_largest(
    pixel_losses: tf.Tensor,
    fraction: float,
    mining_steps: int,
    step: Optional[tf.Tensor],
) -> tf.Tensor:
    """Mean of the largest `fraction` of the losses, without those that are 0."""
    pixel_losses = tf.sort(tf.reshape(pixel_losses, [-1]), direction="DESCENDING")
    pixels = pixel_losses.shape[0]
    fraction = tf.constant(fraction, tf.float32)
    if mining_steps:
        progress = tf.minimum(1.0, tf.cast(step, tf.float32) / mining_steps)
        fraction = progress * fraction + (1.0 - progress)
    # The number of pixels may depend on the step, the shape may not.
    top_k = tf.cast(fraction * float(pixels), tf.int32)
    largest = tf.where(tf.range(pixels) < top_k, pixel_losses, 0.0)
    count = mean_count(tf.math.count_nonzero(largest, dtype=tf.float32))
    return divide_or_zero(tf.reduce_sum(largest), count)


@gin.configurable(denylist=["logits", "labels", "ignore_label", "step", "count"])
def ohem_cross_entropy(
    logits: tf.Tensor,
    labels: tf.Tensor,
    *,
    ignore_label: int,
    threshold: Share = 0.7,
    min_kept: Natural = 100000,
    step: Optional[tf.Tensor] = None,
    count: Optional[tf.Tensor] = None,
) -> tf.Tensor:
    """Mean cross entropy of hard pixels (online hard example mining).

    Sources: `OhemCrossEntropy2dTensor` of U2PL's published code and
    `ProbOhemCrossEntropy2d` of UniMatch's, which are the same formula.

    Args:
      logits: [batch, h, w, classes], float32; resized to the labels.
      labels: [batch, height, width], int32.
      ignore_label: label of pixels to ignore.
      threshold: pixels are hard if their class has at most this probability.
      min_kept: least number of pixels to keep on each replica, the hardest ones; all if
        there are fewer.
      step, count: unused arguments of every supervised loss.

    Returns:
      Scalar, float32; 0 where every pixel is ignored.

    >>> logits = tf.constant([[[[9.0, 0.0], [1.0, 0.0], [0.0, 1.0]]]])
    >>> labels = tf.constant([[[0, 0, 0]]])
    >>> loss = ohem_cross_entropy(logits, labels, ignore_label=255, min_kept=1)
    >>> print(f"{loss:.4f}")  # Only the last pixel is hard.
    1.3133
    """
    del step, count
    logits = resize_bilinear(logits, tuple(labels.shape[1:3]))
    labels = tf.reshape(labels, [-1])
    logits = tf.reshape(logits, [-1, logits.shape[-1]])
    known = labels != ignore_label
    pixel_losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.where(known, labels, 0), logits
    )
    probabilities = tf.where(known, tf.exp(-tf.stop_gradient(pixel_losses)), 1.0)
    if min_kept > 0:
        place = min(min_kept, labels.shape[0]) - 1
        threshold = tf.maximum(threshold, tf.sort(probabilities)[place])
    too_few = tf.reduce_sum(tf.cast(known, tf.int32)) < min_kept
    kept = tf.cast(known & (too_few | (probabilities <= threshold)), tf.float32)
    hard = mean_count(tf.reduce_sum(kept))
    return divide_or_zero(tf.reduce_sum(pixel_losses * kept), hard)


def consistency(
    logits: tf.Tensor,
    pseudo_label: tf.Tensor,
    confident: tf.Tensor,
    valid: tf.Tensor,
    count: Optional[tf.Tensor] = None,
) -> tf.Tensor:
    """Cross entropy of the strong view's logits against the pseudo label.

    The sum is over the confident pixels, but the divisor counts all valid ones: fewer
    confident pixels mean a smaller loss.

    Args:
      logits: [batch, h, w, classes], float32, of the strong view.
      pseudo_label: [batch, h, w, classes], float32, probabilities (one-hot where hard).
      confident: [batch, h, w], float32, 1 where the pseudo label is learned.
      valid: [batch, h, w], float32, 0 in the padding and in CutOut's holes.
      count: the mean of the sum of `valid` over the parts of the global batch;
        default: computed here.

    >>> logits = tf.zeros([1, 1, 2, 2])
    >>> pseudo_label = tf.constant([[[[1.0, 0.0], [0.8, 0.2]]]])
    >>> confident = tf.constant([[[1.0, 0.0]]])
    >>> loss = consistency(logits, pseudo_label, confident, tf.ones([1, 1, 2]))
    >>> print(f"{loss:.4f}")  # log 2 for one of two pixels.
    0.3466
    """
    pixel_losses = tf.nn.softmax_cross_entropy_with_logits(
        tf.stop_gradient(pseudo_label), logits
    )
    if count is None:
        count = mean_count(tf.reduce_sum(valid))
    return divide_or_zero(tf.reduce_sum(pixel_losses * confident), count)


def image_label_loss(image_logits: tf.Tensor, image_labels: tf.Tensor) -> tf.Tensor:
    """Mean sigmoid cross entropy of the image-level labels.

    Args:
      image_logits: [batch, classes - 1], float32; no background.
      image_labels: [batch, classes - 1], float32, 1 where the image shows the class.

    >>> loss = image_label_loss(tf.zeros([1, 3]), tf.constant([[1.0, 0.0, 0.0]]))
    >>> print(f"{loss:.4f}")
    0.6931
    """
    return tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(image_labels, image_logits)
    )
