"""Training views: one of a labeled image, weak and strong ones of an unlabeled image.

The order is the original's (`core/input_preprocess.py`): scale, change the colors of
the strong view, pad and crop, hide parts of the strong view, flip. Here the crop
precedes the padding, which gives the same pixels with less work.
"""

import dataclasses
from collections.abc import Sequence
from typing import Callable

import tensorflow as tf

from wss.data import augmentations, geometry, parsing
from wss.data.geometry import View


@dataclasses.dataclass(frozen=True)
class Canvas:
    """What all views of a run have in common.

    Attributes:
      crop_size: height and width of a view, pixels.
      padding_value: color of the padding, per channel, 0..255.
      ignore_label: label of the padding.
    """

    crop_size: tuple[int, int]
    padding_value: tuple[float, float, float]
    ignore_label: int


def labeled_view(
    image: tf.Tensor, label: tf.Tensor, view: View, canvas: Canvas
) -> dict[str, tf.Tensor]:
    """The training view of a labeled image.

    Args:
      image: [height, width, 3], uint8 or float32, 0..255.
      label: [height, width], int32.
      view: the random draws.
      canvas: size and padding.

    Returns:
      image [*crop_size, 3], float32; label [*crop_size], int32; valid [*crop_size],
      float32, 0 in the padding.
    """
    size = geometry.scaled_size(tf.shape(image)[:2], view.scale)
    image = geometry.scale_and_crop(image, size, view.offset, canvas.crop_size)
    parts = {"image": _pad_image(image, canvas), **_masks(label, size, view, canvas)}
    return {name: geometry.flip(part, view.flipped) for name, part in parts.items()}


def weak_and_strong_views(
    image: tf.Tensor,
    label: tf.Tensor,
    view: View,
    canvas: Canvas,
    distort: Callable[[tf.Tensor], tf.Tensor],
    hidden: tf.Tensor,
    more_distortions: Sequence[Callable[[tf.Tensor], tf.Tensor]] = (),
) -> dict[str, tf.Tensor]:
    """The views of an unlabeled image, aligned with each other.

    Args:
      image: [height, width, 3], uint8 or float32, 0..255.
      label: [height, width], int32; the ignore label where no class is known.
      view: the random draws, shared by all views.
      canvas: size and padding.
      distort: changes the colors of the strong view, [height, width, 3], float32.
      hidden: [*crop_size], bool, hidden pixels of all strong views.
      more_distortions: like `distort`, for further strong views.

    Returns:
      weak, strong, strong_2, ... [*crop_size, 3], float32; label [*crop_size], int32,
      and valid [*crop_size], float32, without the padding and the hidden pixels.
    """
    size = geometry.scaled_size(tf.shape(image)[:2], view.scale)
    image = geometry.scale_image(image, size)

    def crop_and_pad(image):
        image = geometry.crop(image, view.offset, canvas.crop_size)
        return _pad_image(image, canvas)

    strong, label, valid = hide_pixels(
        hidden,
        crop_and_pad(distort(image)),
        **_masks(label, size, view, canvas),
        padding_value=canvas.padding_value,
        ignore_label=canvas.ignore_label,
    )
    weak = crop_and_pad(image)
    views = {"weak": weak, "strong": strong, "label": label, "valid": valid}
    for number, distort in enumerate(more_distortions, 2):
        strong = crop_and_pad(distort(image))
        views[f"strong_{number}"] = _fill(strong, hidden, canvas.padding_value)
    return {name: geometry.flip(part, view.flipped) for name, part in views.items()}


def hide_pixels(
    hidden: tf.Tensor,
    image: tf.Tensor,
    label: tf.Tensor,
    valid: tf.Tensor,
    padding_value: Sequence[float],
    ignore_label: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Fills hidden pixels and removes them from the masks.

    Args:
      hidden: [height, width], bool.
      image: [height, width, channels], float32.
      label: [height, width], int32.
      valid: [height, width], float32.
      padding_value: color of hidden pixels, per channel.
      ignore_label: label of hidden pixels.

    Returns:
      Image, label and valid mask, with the same shapes and dtypes.
    """
    return (
        _fill(image, hidden, padding_value),
        tf.where(hidden, ignore_label, label),
        tf.where(hidden, 0.0, valid),
    )


def distort_colors(
    image: tf.Tensor, chosen: Sequence[augmentations.Policy], seed: tf.Tensor
) -> tf.Tensor:
    """Applies the chosen photometric policies in order.

    Raises:
      tf.errors.InvalidArgumentError: when the image is evaluated; a policy returned
        another size. `parsing.user_errors` turns it into a UserError.
    """
    for policy in chosen:
        if policy.kind != "photometric":
            continue
        changed = policy(image, seed)
        same_size = parsing.ensure(
            tf.reduce_all(tf.shape(changed) == tf.shape(image)),
            f"Strong augmentation {policy.name} changes the size of the image, but it "
            "must not move pixels.",
        )
        with tf.control_dependencies([same_size]):
            image = tf.ensure_shape(tf.identity(changed), [None, None, image.shape[2]])
    return image


def draw_hidden(
    crop_size: tuple[int, int], chosen: Sequence[augmentations.Policy], seed: tf.Tensor
) -> tf.Tensor:
    """The pixels that the chosen occlusion policies hide, [*crop_size], bool."""
    hidden = tf.zeros(crop_size, tf.bool)
    for policy in chosen:
        if policy.kind == "occlusion":
            hidden |= policy(crop_size, seed)
    return hidden


def image_labels(label: tf.Tensor, num_classes: int, ignore_label: int) -> tf.Tensor:
    """[num_classes - 1], float32: 1 for the classes from 1 on that `label` contains.

    Args:
      label: [height, width] or a list of class ids, int32; ids from num_classes on are
        ignored.
      num_classes: number of classes, the background included.
      ignore_label: label that is not a class.
    """
    counts = tf.math.bincount(label, minlength=num_classes, maxlength=num_classes)
    present = (counts > 0) & (tf.range(num_classes) != ignore_label)
    return tf.ensure_shape(tf.cast(present[1:], tf.float32), [num_classes - 1])


def _fill(image: tf.Tensor, hidden: tf.Tensor, value: Sequence[float]) -> tf.Tensor:
    """Sets the hidden pixels, [height, width], bool, to `value`, one per channel."""
    # For a hole in a crop of 513 this takes a fifth of the time of `tf.where`; it is
    # slower only if more than half of the pixels are hidden.
    places = tf.where(hidden)
    values = tf.tile(tf.constant([value], image.dtype), [tf.shape(places)[0], 1])
    return tf.tensor_scatter_nd_update(image, places, values)


def _masks(
    label: tf.Tensor, size: tf.Tensor, view: View, canvas: Canvas
) -> dict[str, tf.Tensor]:
    """Label, int32, and valid mask, float32, of the crop; `size` is the scaled size."""
    label = geometry.scale_and_crop_label(label, size, view.offset, canvas.crop_size)
    label = geometry.pad_label(label, canvas.crop_size, canvas.ignore_label)
    return {
        "label": tf.ensure_shape(label, canvas.crop_size),
        "valid": geometry.valid_mask(size, canvas.crop_size),
    }


def _pad_image(image: tf.Tensor, canvas: Canvas) -> tf.Tensor:
    image = geometry.pad_image(image, canvas.crop_size, canvas.padding_value)
    return tf.ensure_shape(image, [*canvas.crop_size, 3])
