"""Grey images now and then, as in SimCLR (https://arxiv.org/abs/2002.05709)."""

import tensorflow as tf

from wss.data.augmentations import photometric
from wss.settings import Share


@photometric()
def grayscale(image: tf.Tensor, seed: tf.Tensor, probability: Share = 0.2) -> tf.Tensor:
    """Takes the colour out of some images.

    Args:
      image: [height, width, 3], float32, 0..255.
      seed: [2], int.
      probability: share of the images that become grey.
    """
    grey = tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(image))
    return tf.where(tf.random.stateless_uniform([], seed) < probability, grey, image)
