"""Random grayscale, as in SimCLR (https://arxiv.org/abs/2002.05709)."""

import tensorflow as tf

from wss.data.augmentations import photometric

PROBABILITY = 0.2


@photometric()
def grayscale(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Converts a fifth of the images to gray.

    Args:
      image: [height, width, 3], float32, 0..255.
      seed: [2], int.
    """
    gray = tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(image))
    return tf.where(tf.random.stateless_uniform([], seed) < PROBABILITY, gray, image)
