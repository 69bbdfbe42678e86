"""Color jitter: PseudoSeg's photometric distortion.

Follows `color_jitter` in `core/preprocess_utils.py` of the original: brightness,
contrast, saturation and hue in random order, clipped to [0, 1] after each.
"""

from typing import NamedTuple

import tensorflow as tf

from wss.data.augmentations import photometric
from wss.settings import Share


class Jitter(NamedTuple):
    """The random draws for one image.

    Attributes:
      brightness: scalar, added to all channels (1 is white).
      contrast: scalar, factor of the distance from the channel's mean.
      saturation: scalar factor.
      hue: scalar, rotation of the hue (1 is a full turn).
      order: [4], int32, the order in which these four are applied.
    """

    brightness: tf.Tensor
    contrast: tf.Tensor
    saturation: tf.Tensor
    hue: tf.Tensor
    order: tf.Tensor


@photometric()
def color_jitter(
    image: tf.Tensor,
    seed: tf.Tensor,
    brightness: Share = 0.5,
    contrast: Share = 0.5,
    saturation: Share = 0.5,
    hue: Share = 0.25,
) -> tf.Tensor:
    """Jitters the colors of an image; a strength of 0 does not change a property.

    Args:
      image: [height, width, 3], float32, 0..255.
      seed: [2], int.
      brightness: largest change of brightness, a share of the range.
      contrast: factors are drawn from 1 - contrast to 1 + contrast.
      saturation: the same for saturation.
      hue: largest rotation of the hue, in turns.
    """
    draws = tf.random.stateless_uniform([4], seed, minval=-1.0)
    jitter = Jitter(
        brightness=brightness * draws[0],
        contrast=1.0 + contrast * draws[1],
        saturation=1.0 + saturation * draws[2],
        hue=hue * draws[3],
        order=tf.random.experimental.stateless_shuffle(tf.range(4), seed),
    )
    return apply_jitter(image, jitter)


def apply_jitter(image: tf.Tensor, jitter: Jitter) -> tf.Tensor:
    """Applies a drawn jitter to an image [height, width, 3], float32, 0..255."""
    image = image / 255.0
    for position in range(4):
        image = tf.switch_case(
            jitter.order[position],
            [
                lambda image=image: tf.image.adjust_brightness(
                    image, jitter.brightness
                ),
                lambda image=image: tf.image.adjust_contrast(image, jitter.contrast),
                lambda image=image: tf.image.adjust_saturation(
                    image, jitter.saturation
                ),
                lambda image=image: tf.image.adjust_hue(image, jitter.hue),
            ],
        )
        image = tf.clip_by_value(image, 0.0, 1.0)
    return image * 255.0
