"""Fusion of two predictions into one sharpened soft pseudo label.

Source: section 3.2 of "PseudoSeg" (Zou et al., ICLR 2021) and `_build_pseudo_seg` in
train_wss.py of googleinterns/wss.
"""

import dataclasses
from typing import Literal, Optional

import gin
import tensorflow as tf

from wss.errors import UserError
from wss.ops.distributed import batch_mean
from wss.settings import Positive, Share


@dataclasses.dataclass(frozen=True)
class PseudoLabel:
    """The target of the strong view.

    Attributes:
      probabilities: [batch, h, w, classes], float32; one-hot unless soft.
      average: [batch, h, w, classes], float32, before sharpening.
      confident: [batch, h, w], float32, 1 where the confidence reaches the threshold.
      is_selective: whether the threshold can leave out pixels.
    """

    probabilities: tf.Tensor
    average: tf.Tensor
    confident: tf.Tensor
    is_selective: bool


def normalize_logits(
    decoder: tf.Tensor, attention: tf.Tensor, over: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Scales both logits alike, so that neither softmax dominates.

    Args:
      decoder: [batch, h, w, classes], float32.
      attention: [batch, h, w, classes], float32.
      over: "batch" divides by one scalar, the root mean square of all values of both
        (the original's code); "pixel" divides each pixel by the root of its sum of
        squares (the paper's formula); "none" does not scale.

    Returns:
      The scaled logits.

    Raises:
      UserError: `over` is unknown.

    >>> decoder, attention = tf.constant([[3.0, 0.0]]), tf.constant([[0.0, 4.0]])
    >>> a, b = normalize_logits(decoder, attention, over="pixel")
    >>> print(a.numpy().round(2), b.numpy().round(2))
    [[0.6 0. ]] [[0.  0.8]]
    """
    if over == "none":
        return decoder, attention
    if over == "batch":
        mean_square = 0.5 * (
            tf.reduce_mean(tf.square(decoder)) + tf.reduce_mean(tf.square(attention))
        )
        scale = tf.math.rsqrt(batch_mean(mean_square) + 1e-8)
    elif over == "pixel":
        squares = tf.square(decoder) + tf.square(attention)
        scale = tf.math.rsqrt(tf.reduce_sum(squares, -1, keepdims=True) + 1e-8)
    else:
        raise UserError(
            f"fuse.normalize_over is 'batch', 'pixel' or 'none', not {over!r}"
        )
    return decoder * scale, attention * scale


def sharpen(probabilities: tf.Tensor, temperature: float) -> tf.Tensor:
    """p_i^(1/T) / sum_j p_j^(1/T): closer to one-hot for temperatures below 1.

    >>> print(sharpen(tf.constant([0.75, 0.25]), temperature=0.5).numpy().round(2))
    [0.9 0.1]
    """
    if temperature == 1.0:
        return probabilities
    powers = tf.pow(probabilities, 1.0 / temperature)
    return powers / tf.reduce_sum(powers, axis=-1, keepdims=True)


@gin.configurable(denylist=["decoder_logits", "attention_logits"])
def fuse(
    decoder_logits: tf.Tensor,
    attention_logits: Optional[tf.Tensor],
    *,
    temperature: Positive = 0.5,
    source: Literal["average", "attention"] = "average",
    decoder_weight: Share = 0.5,
    normalize_over: Literal["batch", "pixel", "none"] = "batch",
    soft: bool = True,
    threshold: Share = 0.0,
) -> PseudoLabel:
    """Fuses the decoder's and the attention's predictions for the weak view.

    Args:
      decoder_logits: [batch, h, w, classes], float32.
      attention_logits: [batch, h, w, classes], float32, at the same resolution; None
        to use only the decoder.
      temperature: sharpens soft labels; 1 for no sharpening.
      source: the "average" of both, or only the "attention".
      decoder_weight: weight of the decoder in the average, the paper's gamma.
      normalize_over: "batch", "pixel" or "none": normalization of the logits before the
        average, see `normalize_logits`.
      soft: learn the distribution; otherwise its most probable class.
      threshold: least confidence of a pixel that is learned.

    Returns:
      The pseudo label, without gradient.

    Raises:
      UserError: `source` or `normalize_over` is unknown, or `temperature` is not
        positive.

    >>> decoder = tf.constant([[[[4.0, 0.0]]]])  # Confident: the first class.
    >>> attention = tf.constant([[[[0.0, 1.0]]]])  # Less confident: the second class.
    >>> label = fuse(decoder, attention, temperature=0.5, normalize_over="none")
    >>> print(label.average.numpy().round(2), label.probabilities.numpy().round(2))
    [[[[0.63 0.37]]]] [[[[0.74 0.26]]]]
    """
    if temperature <= 0:
        raise UserError(f"fuse.temperature must be positive, not {temperature}")
    if source not in ("average", "attention"):
        raise UserError(f"fuse.source is 'average' or 'attention', not {source!r}")
    if attention_logits is None:
        average = tf.nn.softmax(decoder_logits)
    elif source == "attention":
        average = tf.nn.softmax(attention_logits)
    else:
        decoder, attention = normalize_logits(
            decoder_logits, attention_logits, normalize_over
        )
        average = decoder_weight * tf.nn.softmax(decoder)
        average += (1.0 - decoder_weight) * tf.nn.softmax(attention)
    probabilities = sharpen(average, temperature) if soft else average
    confidence = tf.reduce_max(probabilities, axis=-1)
    if not soft:
        classes = probabilities.shape[-1]
        probabilities = tf.one_hot(tf.argmax(probabilities, axis=-1), classes)
    return PseudoLabel(
        probabilities=tf.stop_gradient(probabilities),
        average=tf.stop_gradient(average),
        confident=tf.stop_gradient(tf.cast(confidence >= threshold, tf.float32)),
        is_selective=threshold > 0,
    )
