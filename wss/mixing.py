"""Mixing the images of a batch: rectangles that show another image (CutMix).

Source of FixMatch's rectangle: `obtain_cutmix_box` of LiheYoung/UniMatch.
"""

from typing import Tuple

import tensorflow as tf

from wss.draws import uniform

# Rectangles to draw until one lies inside the image; the smallest fits one time in ten.
_TRIES = 64


def draw_boxes(
    seeds: tf.Tensor,
    size: Tuple[int, int],
    *,
    probability: float = 0.5,
    min_area: float = 0.02,
    max_area: float = 0.4,
    max_aspect: float = 1 / 0.3,
) -> tf.Tensor:
    """A rectangle at a random place of each image, or none.

    Args:
      seeds: [batch, 2], int32.
      size: height and width of the images.
      probability: how many images get one.
      min_area: smallest share of the image that it covers.
      max_area: largest.
      max_aspect: height / width is drawn from 1 / max_aspect to max_aspect.

    Returns:
      [batch, *size], bool, True inside the rectangle.
    """
    height, width = size
    draws = uniform([2 + 3 * _TRIES], seeds)
    is_drawn = draws[:, 0] < probability
    area = (min_area + draws[:, 1:2] * (max_area - min_area)) * height * width
    aspect, top, left = tf.split(draws[:, 2:], 3, axis=1)
    aspect = 1 / max_aspect + aspect * (max_aspect - 1 / max_aspect)
    tops, lefts = tf.floor(top * height), tf.floor(left * width)
    bottoms = tops + tf.floor(tf.sqrt(area * aspect))
    rights = lefts + tf.floor(tf.sqrt(area / aspect))
    fits = (bottoms <= height) & (rights <= width)
    first = tf.argmax(tf.cast(fits, tf.int32), axis=1)
    tops, bottoms, lefts, rights, fits = (
        tf.gather(x, first, batch_dims=1) for x in (tops, bottoms, lefts, rights, fits)
    )
    rows = _between(height, tops, bottoms)[:, :, tf.newaxis]
    columns = _between(width, lefts, rights)[:, tf.newaxis]
    return rows & columns & (is_drawn & fits)[:, tf.newaxis, tf.newaxis]


def paste(boxes: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Shows in each image's rectangle what the next image of the batch has there.

    Args:
      boxes: [batch, height, width], bool.
      images: [batch, height, width] or [batch, height, width, channels], of any dtype.
    """
    if images.shape.rank == 4:
        boxes = boxes[..., tf.newaxis]
    return tf.where(boxes, tf.roll(images, -1, axis=0), images)


def _between(length: int, starts: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """[batch, length], bool: the places from each start up to its end, excluded."""
    places = tf.range(length, dtype=tf.float32)
    return (places >= starts[:, tf.newaxis]) & (places < ends[:, tf.newaxis])
