"""Colors for class ids, errors and scores."""

import numpy as np
import tensorflow as tf

from wss.data.datasets.spec import DatasetSpec

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
