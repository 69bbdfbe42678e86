"""Reliable and unreliable pixels, split by the teacher's entropy (U2PL).

Source: "Semi-Supervised Semantic Segmentation Using Unreliable Pseudo-Labels" (Wang et
al., CVPR 2022), section 3.2, and `compute_unsupervised_loss` of its published code.
"""

from typing import Union

import tensorflow as tf

from wss.ops.distributed import mean_count
from wss.ops.losses import divide_or_zero

Scalar = Union[float, tf.Tensor]


def entropy(probabilities: tf.Tensor) -> tf.Tensor:
    """Entropy in nats, [...], of distributions [..., classes], float32.

    >>> print(entropy(tf.constant([[0.5, 0.5], [0.8, 0.2]])).numpy().round(4))
    [0.6931 0.5004]
    """
    return -tf.reduce_sum(probabilities * tf.math.log(probabilities + 1e-10), -1)


def unreliable_percent(progress: Scalar, start: float = 20.0) -> tf.Tensor:
    """alpha_t: the percentage of unreliable pixels, float32.

    Args:
      progress: finished share of the run, 0..1.
      start: the percentage at the start; it falls linearly to 0.

    >>> print(f"{unreliable_percent(0.25):.1f}")
    15.0
    """
    return start * (1.0 - tf.cast(progress, tf.float32))


def percentile(values: tf.Tensor, counted: tf.Tensor, percent: Scalar) -> tf.Tensor:
    """The percentile of the selected values, interpolated linearly; scalar.

    Args:
      values: float32, of any shape.
      counted: bool, of the same shape, True for the selected values.
      percent: 0..100.

    Returns:
      `np.percentile(values[counted], percent)`; infinity if nothing is selected.

    >>> values = tf.constant([3.0, 1.0, 99.0, 2.0])
    >>> print(percentile(values, values < 50.0, 75.0).numpy())
    2.5
    """
    ordered = tf.sort(tf.reshape(tf.where(counted, values, float("inf")), [-1]))
    last = tf.reduce_sum(tf.cast(counted, tf.int32)) - 1
    # float32 is not exact for positions among millions of pixels.
    place = tf.cast(percent, tf.float64) / 100.0 * tf.cast(last, tf.float64)
    below = tf.clip_by_value(tf.cast(tf.floor(place), tf.int32), 0, tf.maximum(last, 0))
    above = tf.clip_by_value(below + 1, 0, tf.maximum(last, 0))
    share = tf.cast(place - tf.cast(below, tf.float64), values.dtype)
    low, high = tf.gather(ordered, below), tf.gather(ordered, above)
    # Infinity minus infinity would be NaN.
    return low + tf.where(above > below, share * (high - low), 0.0)


def reliability_weighted_cross_entropy(
    logits: tf.Tensor,
    pseudo_label: tf.Tensor,
    teacher_entropy: tf.Tensor,
    valid: tf.Tensor,
    percent: Scalar,
    ignore_label: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Cross entropy of the reliable pixels, weighted by the inverse of their share.

    The mean over the reliable pixels is multiplied by valid pixels / reliable pixels.

    Args:
      logits: [batch, height, width, classes], float32, of the student.
      pseudo_label: [batch, height, width], int32.
      teacher_entropy: [batch, height, width], float32, of the teacher on the same view.
      valid: [batch, height, width], float32, 0 in the padding. Pixels in CutOut's holes
        are valid, but their label is ignored.
      percent: pixels of lower entropy than this percentile are reliable.
      ignore_label: pseudo label of pixels to ignore.

    Returns:
      The loss, scalar; the reliable pixels, [batch, height, width], bool; the entropy
      threshold, scalar.

    >>> logits, pseudo_label = tf.zeros([1, 1, 4, 2]), tf.zeros([1, 1, 4], tf.int32)
    >>> entropies = tf.constant([[[0.1, 0.2, 0.3, 0.6]]])
    >>> loss, reliable, threshold = reliability_weighted_cross_entropy(
    ...     logits, pseudo_label, entropies, tf.ones([1, 1, 4]), 50.0, ignore_label=255
    ... )
    >>> print(f"{loss:.4f} {threshold:.2f}", reliable.numpy().ravel())
    1.3863 0.25 [ True  True False False]
    """
    known = pseudo_label != ignore_label
    threshold = percentile(teacher_entropy, known, percent)
    reliable = known & (teacher_entropy < threshold)
    weights = tf.cast(reliable, tf.float32)
    losses = weights * tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.where(reliable, pseudo_label, 0), logits
    )
    count = mean_count(tf.reduce_sum(weights))
    weight = divide_or_zero(mean_count(tf.reduce_sum(valid)), count)
    return weight * divide_or_zero(tf.reduce_sum(losses), count), reliable, threshold
