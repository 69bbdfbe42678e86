"""Gaussian blur of some images, as in SimCLR (https://arxiv.org/abs/2002.05709)."""

import math

import tensorflow as tf

from wss.data.augmentations import photometric

PROBABILITY = 0.5
MIN_SIGMA, MAX_SIGMA = 0.1, 2.0  # Pixels.


@photometric()
def gaussian_blur(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Blurs half of the images with a random standard deviation.

    Args:
      image: [height, width, 3], float32, 0..255.
      seed: [2], int.
    """
    draws = tf.random.stateless_uniform([2], seed)
    sigma = MIN_SIGMA + draws[1] * (MAX_SIGMA - MIN_SIGMA)
    radius = math.ceil(3 * MAX_SIGMA)
    return tf.cond(
        draws[0] < PROBABILITY, lambda: blur(image, sigma, radius), lambda: image
    )


def blur(image: tf.Tensor, sigma: tf.Tensor, radius: int) -> tf.Tensor:
    """Blurs an image; its border is repeated.

    Args:
      image: [height, width, 3], float32.
      sigma: standard deviation, pixels.
      radius: of the kernel, pixels.
    """
    distance = tf.range(-radius, radius + 1, dtype=tf.float32)
    weights = tf.nn.softmax(-0.5 * (distance / sigma) ** 2)
    height, width = tf.unstack(tf.shape(image)[:2])
    for axis, length in ((0, height), (1, width)):
        places = tf.range(-radius, length + radius)
        padded = tf.gather(image, tf.clip_by_value(places, 0, length - 1), axis=axis)
        shape = [1, 1, 1, 1]
        shape[axis] = 2 * radius + 1
        kernel = tf.tile(tf.reshape(weights, shape), [1, 1, 3, 1])
        image = tf.nn.depthwise_conv2d(padded[tf.newaxis], kernel, [1] * 4, "VALID")[0]
    return image
