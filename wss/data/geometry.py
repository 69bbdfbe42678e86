"""Scale, pad, crop and flip, aligned for image, label and valid mask.

Follows `core/preprocess_utils.py` and `core/input_preprocess.py` of the original. All
random draws are in `draw_view`, from a stateless seed; everything else is a function of
the image and these draws.
"""

from collections.abc import Sequence
from typing import NamedTuple, Optional

import tensorflow as tf

from wss.ops.resize import resize_nearest


class View(NamedTuple):
    """The random scale, crop and flip of an image.

    Attributes:
      scale: scalar float32, factor of height and width.
      offset: [2], int32, first row and column of the crop in the scaled image; 0 for a
        side that is not longer than the crop's.
      flipped: scalar bool, whether the crop is mirrored.
    """

    scale: tf.Tensor
    offset: tf.Tensor
    flipped: tf.Tensor


def draw_view(
    seed: tf.Tensor,
    image_size: tf.Tensor,
    crop_size: tuple[int, int],
    *,
    min_scale: float = 0.5,
    max_scale: float = 2.0,
    scale_step: float = 0.25,
    flip_probability: float = 0.5,
) -> View:
    """Draws a view.

    Args:
      seed: [2], int, decides the view.
      image_size: [2], int32, height and width of the image before scaling.
      crop_size: height and width of the crop.
      min_scale: smallest factor.
      max_scale: largest factor.
      scale_step: distance between the possible factors; 0: any factor in the range.
      flip_probability: share of mirrored views.
    """
    draws = tf.random.stateless_uniform([4], seed)
    if scale_step:
        last = int((max_scale - min_scale) / scale_step)
        steps = tf.floor(draws[0] * (last + 1))
        scale = min_scale + (max_scale - min_scale) * steps / max(last, 1)
    else:
        scale = min_scale + (max_scale - min_scale) * draws[0]
    surplus = tf.maximum(scaled_size(image_size, scale) - crop_size, 0)
    offset = tf.cast(draws[1:3] * tf.cast(surplus + 1, tf.float32), tf.int32)
    return View(scale, offset, draws[3] <= flip_probability)


def scaled_size(image_size: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """[2], int32: height and width times `scale`, rounded down."""
    return tf.cast(tf.cast(image_size, tf.float32) * scale, tf.int32)


def scale_image(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Scales an image [height, width, channels] to `size`; bilinear, antialiased.

    Returns:
      [*size, channels], float32.
    """
    return tf.image.resize(image, size, method="bilinear", antialias=True)


def scale_and_crop(
    image: tf.Tensor, size: tf.Tensor, offset: tf.Tensor, crop_size: tuple[int, int]
) -> tf.Tensor:
    """`crop` of `scale_image`, bit for bit, without computing pixels after the crop.

    A translation would skip the pixels before the crop too, but its rounding moves the
    sampling positions by up to 1e-4 pixels.

    Args:
      image: [height, width, channels], any number type.
      size: [2], int32, height and width of the whole scaled image.
      offset: [2], int32, first row and column of the crop.
      crop_size: height and width of the crop.

    Returns:
      [crop height, crop width, channels], float32; smaller if the scaled image ends.
    """
    source_size = tf.cast(tf.shape(image)[:2], tf.float32)
    scaled = tf.raw_ops.ScaleAndTranslate(
        images=image[tf.newaxis],
        size=tf.minimum(size, tf.add(offset, crop_size)),
        scale=tf.cast(size, tf.float32) / source_size,
        translation=(0.0, 0.0),
        kernel_type="triangle",
        antialias=True,
    )
    return crop(scaled[0], offset, crop_size)


def scale_label(label: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Scales a label [height, width] to `size`: nearest neighbor, aligned corners."""
    return scale_and_crop_label(label, size, (0, 0), size)


def scale_and_crop_label(
    label: tf.Tensor, size: tf.Tensor, offset: Sequence[int], crop_size: Sequence[int]
) -> tf.Tensor:
    """`crop` of `scale_label`, without computing pixels outside the crop.

    Args:
      label: [height, width], any integer type.
      size: [2], int32, height and width of the whole scaled label.
      offset: [2], int32, first row and column of the crop.
      crop_size: height and width of the crop.

    Returns:
      [crop height, crop width], dtype of `label`; smaller if the scaled label ends.
    """
    for axis in range(2):
        # The nearest row is computed once, not for each of its pixels. The transpose
        # exchanges rows and columns for the second axis.
        places = tf.range(tf.shape(label)[0])[tf.newaxis, :, tf.newaxis]
        nearest = resize_nearest(places, (size[axis], 1), align_corners=True)[0, :, 0]
        last = offset[axis] + crop_size[axis]
        label = tf.transpose(tf.gather(label, nearest[offset[axis] : last]))
    return label


def resize_to_range(
    image: tf.Tensor,
    label: tf.Tensor,
    min_size: int,
    max_size: Optional[int] = None,
    factor: Optional[int] = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes the shorter side to `min_size`, the longer to at most `max_size`.

    Bilinear with aligned corners and, unlike `scale_image`, without antialiasing.

    Args:
      image: [height, width, channels].
      label: [height, width], int.
      min_size: length of the shorter side.
      max_size: largest length of the longer side; takes precedence over `min_size`.
      factor: both sides become a multiple of it plus one.

    Returns:
      The image, float32, and the label.
    """
    if max_size and factor:
        max_size -= (max_size - 1) % factor
    size = size_in_range(tf.shape(image)[:2], min_size, max_size, factor)
    resized = tf.raw_ops.ResizeBilinear(
        images=image[tf.newaxis], size=size, align_corners=True
    )
    return resized[0], scale_label(label, size)


def size_in_range(
    image_size: tf.Tensor,
    min_size: int,
    max_size: Optional[int] = None,
    factor: Optional[int] = None,
) -> tf.Tensor:
    """[2], int32: the size of `resize_to_range`; same arguments."""
    sides = tf.cast(image_size, tf.float32)
    size = tf.cast(sides * (min_size / tf.reduce_min(sides)), tf.int32)
    if max_size:
        bounded = tf.cast(sides * (max_size / tf.reduce_max(sides)), tf.int32)
        size = tf.where(tf.reduce_max(size) > max_size, bounded, size)
    if factor:
        size += (factor - (size - 1) % factor) % factor
    return size


def pad_image(
    image: tf.Tensor,
    size: Sequence[int],
    value: Sequence[float],
    offset: Sequence[int] = (0, 0),
) -> tf.Tensor:
    """Pads an image [height, width, channels], float32, to at least `size`.

    Args:
      image: the image.
      size: least height and width; longer sides are unchanged.
      value: of the padding, one number per channel.
      offset: padding above and left of the image, pixels.

    Returns:
      [padded height, padded width, channels], float32.
    """
    height, width, channels = tf.unstack(tf.shape(image))
    value = tf.constant(value, image.dtype)
    # Arithmetic per channel is several times faster on [height, width * channels] than
    # on [height, width, channels].
    paddings = _paddings(image, size, offset) * [[1], [channels]]
    rows = tf.reshape(image, [height, width * channels]) - tf.tile(value, [width])
    rows = tf.pad(rows, paddings)
    padded_width = tf.shape(rows)[1] // channels
    rows += tf.tile(value, [padded_width])
    return tf.reshape(rows, [-1, padded_width, image.shape[2]])


def pad_label(
    label: tf.Tensor,
    size: Sequence[int],
    value: int,
    offset: Sequence[int] = (0, 0),
) -> tf.Tensor:
    """Pads a label [height, width] with `value`; arguments: see `pad_image`."""
    return tf.pad(label, _paddings(label, size, offset), constant_values=value)


def valid_mask(image_size: tf.Tensor, crop_size: tuple[int, int]) -> tf.Tensor:
    """The crop's valid mask, [height, width], float32, 0 in the padding.

    Padding is below and on the right, and the crop of a padded side begins at 0: the
    mask depends only on the image's size before padding.
    """
    rows = tf.range(crop_size[0]) < image_size[0]
    columns = tf.range(crop_size[1]) < image_size[1]
    return tf.cast(rows[:, tf.newaxis] & columns, tf.float32)


def crop(tensor: tf.Tensor, offset: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Crops [height, width, ...] to `size` from `offset`; smaller at the end."""
    return tensor[offset[0] : offset[0] + size[0], offset[1] : offset[1] + size[1]]


def flip(tensor: tf.Tensor, flipped: tf.Tensor) -> tf.Tensor:
    """Mirrors [height, width, ...] horizontally if `flipped`."""
    return tf.cond(flipped, lambda: tf.reverse(tensor, [1]), lambda: tensor)


def _paddings(
    tensor: tf.Tensor, size: Sequence[int], offset: Sequence[int]
) -> tf.Tensor:
    """[2, 2], int32: padding above and below, left and right."""
    before = tf.convert_to_tensor(offset)
    after = tf.maximum(size - before - tf.shape(tensor)[:2], 0)
    return tf.stack([before, after], axis=1)
