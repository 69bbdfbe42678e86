"""Resizing with the conventions of the original.

`align_corners` aligns the centers of the corner pixels of input and output, so that an
image of `stride * k + 1` pixels and its features of `k + 1` share a grid.
"""

import tensorflow as tf


def resize_bilinear(tensor: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
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
    if tuple(tensor.shape[1:3]) == tuple(size):
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
