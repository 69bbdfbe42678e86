"""Resizing with the conventions of the original.

`align_corners` aligns the centers of the corner pixels of input and output, so that an
image of `stride * k + 1` pixels and its features of `k + 1` share a grid.
"""

from collections.abc import Sequence
from typing import Union

import tensorflow as tf

# Pixels; a scalar tensor, int32, in a graph of images of all sizes.
Side = Union[int, tf.Tensor]


def sides(tensor: tf.Tensor) -> tuple[Side, Side]:
    """Height and width of a tensor [batch, height, width, ...].

    >>> print(sides(tf.zeros([1, 2, 3, 4])))
    (2, 3)
    """
    return length(tensor, 1), length(tensor, 2)


def length(tensor: tf.Tensor, axis: int) -> Side:
    """The length of an axis.

    >>> print(length(tf.zeros([1, 2, 3, 4]), axis=2))
    3
    """
    known = tensor.shape[axis]
    return tf.shape(tensor)[axis] if known is None else known


def resize_bilinear(tensor: tf.Tensor, size: Sequence[Side]) -> tf.Tensor:
    """Resizes logits, features or CAMs bilinearly, with aligned corners.

    Args:
      tensor: [batch, height, width, channels], float; computed in float32.
      size: height and width of the result.

    Returns:
      [batch, *size, channels], dtype of `tensor`.

    >>> row = tf.constant([[[[0.0], [2.0]]]])
    >>> print(resize_bilinear(row, (1, 5)).numpy().ravel())
    [0.  0.5 1.  1.5 2. ]
    """
    is_static = not any(map(tf.is_tensor, size))
    if is_static and tuple(tensor.shape[1:3]) == tuple(size):
        return tensor
    resized = tf.raw_ops.ResizeBilinear(images=tensor, size=size, align_corners=True)
    return tf.cast(resized, tensor.dtype)


def resize_nearest(
    tensor: tf.Tensor, size: tuple[int, int], *, align_corners: bool
) -> tf.Tensor:
    """Resizes labels or a mask, [batch, height, width], by nearest neighbor.

    The original aligns the corners of labels for a loss at the resolution of the
    logits, but not those of valid masks (or of the labels of its monitors).

    >>> row = tf.constant([[[1, 2]]])
    >>> print(resize_nearest(row, (1, 4), align_corners=False).numpy().ravel())
    [1 1 2 2]
    """
    resized = tf.raw_ops.ResizeNearestNeighbor(
        images=tensor[..., tf.newaxis], size=size, align_corners=align_corners
    )
    return resized[..., 0]
