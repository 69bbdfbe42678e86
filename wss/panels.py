"""Turns the panels of a method into pictures in the classes' colours."""

from typing import Dict, Mapping

import numpy as np
import tensorflow as tf

from wss.methods.base import ImageSummary

# Pixels without a class: light, so that they differ from the usual black background.
IGNORED_COLOUR = (224, 224, 192)


def render(
    panels: Mapping[str, ImageSummary], palette: np.ndarray
) -> Dict[str, tf.Tensor]:
    """Colours panels.

    Args:
      panels: by name.
      palette: [classes, 3], uint8.

    Returns:
      Images [count, height, width, 3], uint8, by name.
    """
    return {name: _render(panel, palette) for name, panel in panels.items()}


def colour_labels(labels: tf.Tensor, palette: np.ndarray) -> tf.Tensor:
    """[..., height, width] of class ids -> [..., height, width, 3], uint8."""
    classes = len(palette)
    colours = tf.constant(np.vstack([palette, [IGNORED_COLOUR]]), tf.uint8)
    labels = tf.cast(labels, tf.int32)
    is_class = (labels >= 0) & (labels < classes)
    return tf.gather(colours, tf.where(is_class, labels, classes))


def _render(panel: ImageSummary, palette: np.ndarray) -> tf.Tensor:
    if panel.kind == "label":
        return colour_labels(panel.tensor, palette)
    if panel.kind == "mask":
        grey = tf.cast(tf.round(255.0 * panel.tensor), tf.uint8)
        return tf.tile(grey[..., tf.newaxis], [1, 1, 1, 3])
    if panel.kind == "rgb":
        return tf.cast(tf.clip_by_value(tf.round(panel.tensor), 0, 255), tf.uint8)
    raise ValueError(f"Unknown kind of panel {panel.kind!r}")
