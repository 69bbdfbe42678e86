"""CutMix and ClassMix: parts of an image are replaced with the next image's.

Sources: `obtain_cutmix_box` of LiheYoung/UniMatch (the boxes of FixMatch and UniMatch);
`generate_cutout_mask` and `generate_class_mask` of U2PL's published code.
"""

import tensorflow as tf

from wss.ops.random import per_example_uniform

# Attempts to draw a rectangle inside the image; at least one in ten succeeds.
_TRIES = 64


def draw_boxes(
    seeds: tf.Tensor,
    size: tuple[int, int],
    *,
    probability: float = 0.5,
    min_area: float = 0.02,
    max_area: float = 0.4,
    max_aspect: float = 1 / 0.3,
) -> tf.Tensor:
    """Draws a random rectangle in each image, or none.

    Args:
      seeds: [batch, 2], int32.
      size: height and width of the images.
      probability: share of the images with a rectangle.
      min_area: smallest area, as a share of the image.
      max_area: largest area, as a share of the image.
      max_aspect: height / width is drawn from 1 / max_aspect to max_aspect.

    Returns:
      [batch, *size], bool, True inside the rectangle.

    >>> boxes = draw_boxes(tf.constant([[1, 2], [3, 4]]), (9, 9), probability=1.0)
    >>> print(boxes.shape, boxes.dtype.name)
    (2, 9, 9) bool
    """
    height, width = size
    draws = per_example_uniform([2 + 3 * _TRIES], seeds)
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


def draw_half_boxes(seeds: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Draws in each image a random rectangle of half its area.

    Args:
      seeds: [batch, 2], int32.
      size: height and width of the images.

    Returns:
      [batch, *size], bool, True inside the rectangle.

    >>> boxes = draw_half_boxes(tf.constant([[1, 2]]), (32, 32))
    >>> print(f"{tf.reduce_mean(tf.cast(boxes, tf.float32)):.1f}")
    0.5
    """
    height, width = size
    widths, top, left = tf.unstack(per_example_uniform([3], seeds), axis=1)
    narrowest = width // 2 + 1
    widths = narrowest + tf.floor(widths * (width - narrowest))
    heights = tf.round(height * width / 2 / widths)
    tops = tf.floor(top * (height - heights + 1))
    lefts = tf.floor(left * (width - widths + 1))
    rows = _between(height, tops, tops + heights)[:, :, tf.newaxis]
    return rows & _between(width, lefts, lefts + widths)[:, tf.newaxis]


def draw_half_classes(
    seeds: tf.Tensor, labels: tf.Tensor, num_classes: int
) -> tf.Tensor:
    """Selects the pixels of half of the classes in each image, rounded down.

    Args:
      seeds: [batch, 2], int32.
      labels: [batch, height, width], int32; values that are not a class are ignored.
      num_classes: number of classes.

    Returns:
      [batch, height, width], bool.

    >>> labels = tf.constant([[[0, 0, 1, 2]]])  # One of three classes.
    >>> parts = draw_half_classes(tf.constant([[1, 2]]), labels, num_classes=3)
    >>> print(len(set(labels[parts].numpy())))
    1
    """
    shows = labels[..., tf.newaxis] == tf.range(num_classes)
    present = tf.reduce_any(shows, [1, 2])
    scores = tf.where(present, 1.0 + per_example_uniform([num_classes], seeds), 0.0)
    place = tf.argsort(tf.argsort(scores, direction="DESCENDING"))
    half = tf.reduce_sum(tf.cast(present, tf.int32), 1, keepdims=True) // 2
    chosen = place < half
    return tf.reduce_any(shows & chosen[:, tf.newaxis, tf.newaxis], -1)


def paste(parts: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Replaces a part of each image with that of the next image of the batch.

    Args:
      parts: [batch, height, width], bool.
      images: [batch, height, width] or [batch, height, width, channels], of any dtype.

    >>> images = tf.constant([[[1, 1]], [[2, 2]]])
    >>> parts = tf.constant([[[True, False]], [[False, False]]])
    >>> print(paste(parts, images).numpy().tolist())
    [[[2, 1]], [[2, 2]]]
    """
    if images.shape.rank == 4:
        parts = parts[..., tf.newaxis]
    return tf.where(parts, tf.roll(images, -1, axis=0), images)


def _between(length: int, starts: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """[batch, length], bool: True from each start to its end (exclusive)."""
    places = tf.range(length, dtype=tf.float32)
    return (places >= starts[:, tf.newaxis]) & (places < ends[:, tf.newaxis])
