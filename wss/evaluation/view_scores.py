"""The scores of images that a network sees scaled and mirrored."""

import itertools
from collections.abc import Sequence
from typing import Callable, Literal

import tensorflow as tf

from wss.ops.resize import resize_bilinear

PROBABILITIES, LOGITS = "probabilities", "logits"
Average = Literal[PROBABILITIES, LOGITS]


def mean_scores(
    network: tf.Module,
    apply: Callable[[tf.Tensor], tf.Tensor],
    images: tf.Tensor,
    scales: Sequence[float],
    flip: bool,
    average: Average,
    rounds: bool,
) -> tf.Tensor:
    """The mean of the views' probabilities or logits.

    Args:
      network: a `SegmentationNetwork`.
      apply: maps images to the network's logits.
      images: [batch, height, width, 3] in 0..255, float32, of a static size.
      scales: scale factors of the images.
      flip: also mirror the images at each scale.
      average: what is averaged.
      rounds: see `view_logits`.

    Returns:
      [batch, height, width, classes], float32.
    """
    views = []
    for scale, mirrored in itertools.product(scales, (False, True)):
        if mirrored and not flip:
            continue
        scores = view_logits(network, apply, images, scale, mirrored, rounds)
        if average == PROBABILITIES:
            scores = tf.nn.softmax(scores)
        views.append(scores)
    return tf.add_n(views) / len(views)


def view_logits(
    network: tf.Module,
    apply: Callable[[tf.Tensor], tf.Tensor],
    images: tf.Tensor,
    scale: float,
    mirrored: bool,
    rounds: bool,
) -> tf.Tensor:
    """The logits of scaled and mirrored images, resized and mirrored back.

    Args:
      network, apply: see `mean_scores`.
      images: [batch, height, width, 3] in 0..255, float32, of a static size.
      scale: factor of the images' size.
      mirrored: whether the network sees the images mirrored.
      rounds: the size is any, and scaling also rounds it to the nearest size that the
        network takes, as in UniMatch V2; otherwise the network takes it.

    Returns:
      [batch, height, width, classes], float32.
    """
    size = seen = tuple(images.shape[1:3])
    if scale != 1 or rounds:
        seen = network.scaled_size(size, scale)
    if mirrored:
        images = tf.reverse(images, [2])
    logits = apply(resize_bilinear(images, seen))
    if mirrored:
        logits = tf.reverse(logits, [2])
    # Two resizing steps, as in the originals; one gives other numbers.
    if rounds:
        logits = resize_bilinear(logits, seen)
    elif scale < 1:
        logits = resize_bilinear(logits, network.logits_size(size))
    return resize_bilinear(logits, size)
