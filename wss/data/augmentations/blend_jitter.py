"""Color jitter by blending, like torchvision's `ColorJitter`.

FixMatch and UniMatch for segmentation use it with these strengths. PseudoSeg's
`color_jitter` adds to the brightness instead of multiplying it, and changes the
contrast of each channel separately.
"""

import tensorflow as tf

from wss.data.augmentations import photometric

PROBABILITY = 0.8
BRIGHTNESS = 0.5  # Factors are drawn from 1 - BRIGHTNESS to 1 + BRIGHTNESS.
CONTRAST = 0.5  # The same for the distance from the mean gray of the image.
SATURATION = 0.5  # The same for the distance from the pixel's gray.
HUE = 0.25  # Largest rotation, in turns.


@photometric()
def blend_jitter(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue of most images in random order.

    Args:
      image: [height, width, 3], float32, 0..255.
      seed: [2], int.
    """
    draws = tf.random.stateless_uniform([5], seed, minval=-1.0)
    order = tf.random.experimental.stateless_shuffle(tf.range(4), seed)

    def jittered():
        changed = image / 255.0
        for position in range(4):
            changed = tf.switch_case(
                order[position],
                [
                    lambda x=changed: blend(x, 0.0, 1.0 + BRIGHTNESS * draws[0]),
                    lambda x=changed: blend(
                        x, tf.reduce_mean(_gray(x)), 1.0 + CONTRAST * draws[1]
                    ),
                    lambda x=changed: blend(x, _gray(x), 1.0 + SATURATION * draws[2]),
                    lambda x=changed: tf.image.adjust_hue(x, HUE * draws[3]),
                ],
            )
        return changed * 255.0

    return tf.cond(0.5 * (draws[4] + 1.0) < PROBABILITY, jittered, lambda: image)


def blend(image: tf.Tensor, other: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """other + factor * (image - other), clipped to 0..1."""
    return tf.clip_by_value(other + factor * (image - other), 0.0, 1.0)


def _gray(image: tf.Tensor) -> tf.Tensor:
    return tf.image.rgb_to_grayscale(image)
