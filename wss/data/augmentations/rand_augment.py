"""RandAugment (https://arxiv.org/abs/1909.13719) with tensorflow_addons.image.

It has only the photometric operations (FixMatch's pool without rotation, shear and
translation): the strong view has to be aligned with the weak one, whose pseudo label it
learns. Combine it with "cutout", as FixMatch does.
"""

import functools

import tensorflow as tf

from wss.data.augmentations import photometric

NUM_LAYERS = 2


@photometric(requires="tensorflow_addons")
def rand_augment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Applies `NUM_LAYERS` operations, each with a random strength.

    Args:
      image: [height, width, 3], float32, 0..255.
      seed: [2], int.

    Returns:
      [height, width, 3], float32, whole numbers in 0..255.
    """
    image = tf.round(tf.clip_by_value(image, 0.0, 255.0))
    for layer in range(NUM_LAYERS):
        draws = tf.random.stateless_uniform(
            [3], tf.random.experimental.stateless_fold_in(seed, layer)
        )
        index = tf.cast(draws[0] * len(OPERATIONS), tf.int32)
        sign = tf.sign(draws[2] - 0.5)
        image = apply_operation(image, index, draws[1], sign)
    return image


def apply_operation(
    image: tf.Tensor, index: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor
) -> tf.Tensor:
    """Applies one of `OPERATIONS`.

    Args:
      image: [height, width, 3], float32, whole numbers in 0..255.
      index: scalar int32, which operation.
      strength: scalar float32, 0..1.
      sign: scalar float32, 1 or -1: whether a factor is above or below 1.
    """
    factor = 1.0 + 0.9 * sign * strength
    branches = [
        functools.partial(operation, image, strength, factor)
        for operation in OPERATIONS
    ]
    return tf.round(tf.switch_case(index, branches))


def _blend(other: tf.Tensor, image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """`other` at factor 0, `image` at 1, extrapolated above 1."""
    return tf.clip_by_value(other + factor * (image - other), 0.0, 255.0)


def _identity(image, strength, factor):
    return image


def _auto_contrast(image, strength, factor):
    low = tf.reduce_min(image, axis=(0, 1))
    span = tf.reduce_max(image, axis=(0, 1)) - low
    stretched = tf.math.divide_no_nan((image - low) * 255.0, span)
    return tf.where(span > 0, stretched, image)


def _equalize(image, strength, factor):
    return _addons().equalize(image)


def _posterize(image, strength, factor):
    # Keeps 8 to 4 of the 8 bits.
    step = 2.0 ** tf.round(4.0 * strength)
    return image // step * step


def _solarize(image, strength, factor):
    return tf.where(image < 256.0 * (1.0 - strength), image, 255.0 - image)


def _brightness(image, strength, factor):
    return _blend(tf.zeros_like(image), image, factor)


def _color(image, strength, factor):
    gray = tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(image))
    return _blend(gray, image, factor)


def _contrast(image, strength, factor):
    mean = tf.reduce_mean(tf.image.rgb_to_grayscale(image))
    return _blend(tf.fill(tf.shape(image), tf.round(mean)), image, factor)


def _sharpness(image, strength, factor):
    return _addons().sharpness(image, factor)


OPERATIONS = (
    _identity,
    _auto_contrast,
    _equalize,
    _posterize,
    _solarize,
    _brightness,
    _color,
    _contrast,
    _sharpness,
)


def _addons():
    # Imported here: the package exists for Python 3.11 and older only.
    import tensorflow_addons.image

    return tensorflow_addons.image
