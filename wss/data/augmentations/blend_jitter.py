"""Colour jitter by blending, as torchvision's `ColorJitter` does it.

FixMatch and UniMatch for segmentation use it. `color_jitter`, PseudoSeg's, adds to the
brightness where this multiplies, and takes the contrast channel by channel.
"""

import tensorflow as tf

from wss.data.augmentations import photometric
from wss.settings import Share


@photometric()
def blend_jitter(
    image: tf.Tensor,
    seed: tf.Tensor,
    probability: Share = 0.8,
    brightness: Share = 0.5,
    contrast: Share = 0.5,
    saturation: Share = 0.5,
    hue: Share = 0.25,
) -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue in random order.

    Args:
      image: [height, width, 3], float32, 0..255.
      seed: [2], int.
      probability: share of the images that are changed.
      brightness: factors are drawn from 1 - brightness to 1 + brightness.
      contrast: the same for the distance from the mean grey of the image.
      saturation: the same for the distance from the pixel's grey.
      hue: largest rotation of the hue, in turns.
    """
    draws = tf.random.stateless_uniform([5], seed, minval=-1.0)
    order = tf.random.experimental.stateless_shuffle(tf.range(4), seed)

    def jittered():
        changed = image / 255.0
        for position in range(4):
            changed = tf.switch_case(
                order[position],
                [
                    lambda x=changed: blend(x, 0.0, 1.0 + brightness * draws[0]),
                    lambda x=changed: blend(
                        x, tf.reduce_mean(_grey(x)), 1.0 + contrast * draws[1]
                    ),
                    lambda x=changed: blend(x, _grey(x), 1.0 + saturation * draws[2]),
                    lambda x=changed: tf.image.adjust_hue(x, hue * draws[3]),
                ],
            )
        return changed * 255.0

    return tf.cond(0.5 * (draws[4] + 1.0) < probability, jittered, lambda: image)


def blend(image: tf.Tensor, other: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """other + factor * (image - other), clipped to 0..1."""
    return tf.clip_by_value(other + factor * (image - other), 0.0, 1.0)


def _grey(image: tf.Tensor) -> tf.Tensor:
    return tf.image.rgb_to_grayscale(image)
