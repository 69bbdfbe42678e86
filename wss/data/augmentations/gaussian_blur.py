"""Gaussian blur now and then, as in SimCLR (https://arxiv.org/abs/2002.05709)."""

import math
from typing import Annotated

import tensorflow as tf

from wss.data.augmentations import photometric
from wss.settings import Positive, Range, Share


@photometric()
def gaussian_blur(
    image: tf.Tensor,
    seed: tf.Tensor,
    probability: Share = 0.5,
    min_sigma: Positive = 0.1,
    max_sigma: Annotated[float, Range(low="min_sigma", high=100)] = 2.0,
) -> tf.Tensor:
    """Blurs some images.

    Args:
      image: [height, width, 3], float32, 0..255.
      seed: [2], int.
      probability: share of the images that are blurred.
      min_sigma: smallest standard deviation, pixels.
      max_sigma: largest.
    """
    draws = tf.random.stateless_uniform([2], seed)
    sigma = min_sigma + draws[1] * (max_sigma - min_sigma)
    radius = math.ceil(3 * max_sigma)
    return tf.cond(
        draws[0] < probability, lambda: blur(image, sigma, radius), lambda: image
    )


def blur(image: tf.Tensor, sigma: tf.Tensor, radius: int) -> tf.Tensor:
    """Blurs an image [height, width, 3], float32; beyond its border the edge goes on.

    Args:
      image: what to blur.
      sigma: standard deviation, pixels.
      radius: where the bell is cut off, pixels.
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
