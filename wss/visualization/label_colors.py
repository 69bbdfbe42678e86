"""Colors for class ids, errors and scores, and image summaries in these colors."""

from typing import Dict, Mapping

import numpy as np
import tensorflow as tf

from wss.data.datasets.spec import DatasetSpec
from wss.methods.base import ImageSummary

# Pixels without a class: light, in contrast to the usual black background.
IGNORED_COLOR = (224, 224, 192)
RIGHT_COLOR, WRONG_COLOR = (255, 255, 255), (213, 43, 30)


def color_labels(labels: tf.Tensor, palette: np.ndarray) -> tf.Tensor:
    """Maps class ids to colors; other values get the color of ignored pixels.

    Args:
      labels: [..., height, width], class ids.
      palette: [classes, 3], uint8.

    Returns:
      [..., height, width, 3], uint8.
    """
    classes = len(palette)
    colors = tf.constant(np.vstack([palette, [IGNORED_COLOR]]), tf.uint8)
    labels = tf.cast(labels, tf.int32)
    is_class = (labels >= 0) & (labels < classes)
    return tf.gather(colors, tf.where(is_class, labels, classes))


def error_map(
    truth: np.ndarray, prediction: np.ndarray, spec: DatasetSpec
) -> np.ndarray:
    """Colors pixels by whether the prediction is right, wrong or not counted.

    Args:
      truth: [height, width], class ids and the ignore label.
      prediction: [height, width], class ids.
      spec: the classes; pixels without a class are not counted.

    Returns:
      [height, width, 3], uint8.
    """
    counted = (truth >= 0) & (truth < spec.num_classes) & (truth != spec.ignore_label)
    colors = np.array([RIGHT_COLOR, WRONG_COLOR, IGNORED_COLOR], np.uint8)
    return colors[np.where(counted, truth != prediction, 2).astype(int)]


def heat_map(values: np.ndarray) -> np.ndarray:
    """Values [...] in 0..1 -> colors [..., 3], uint8, from dark to light (viridis)."""
    import matplotlib  # Slow to import, and training does not need it.

    values = np.asarray(values, np.float32)  # Integers would be color indices.
    return matplotlib.colormaps["viridis"](values, bytes=True)[..., :3]


def render(
    summaries: Mapping[str, ImageSummary], palette: np.ndarray
) -> Dict[str, tf.Tensor]:
    """Converts the image summaries of a step to images for TensorBoard.

    Args:
      summaries: by name.
      palette: [classes, 3], uint8.

    Returns:
      Images [count, height, width, 3], uint8, by name.

    Raises:
      ValueError: the kind of a panel is unknown.
    """
    return {name: _render(one, palette) for name, one in summaries.items()}


def _render(panel: ImageSummary, palette: np.ndarray) -> tf.Tensor:
    if panel.kind == "label":
        return color_labels(panel.tensor, palette)
    if panel.kind == "mask":
        grey = tf.cast(tf.round(255.0 * panel.tensor), tf.uint8)
        return tf.tile(grey[..., tf.newaxis], [1, 1, 1, 3])
    if panel.kind == "rgb":
        return tf.cast(tf.clip_by_value(tf.round(panel.tensor), 0, 255), tf.uint8)
    raise ValueError(f"Unknown kind of panel {panel.kind!r}")
