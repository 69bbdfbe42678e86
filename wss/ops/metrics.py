"""Metrics from exact counts, accumulated on the device.

Source: `eval.py` of googleinterns/wss.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from wss.ops.distributed import Ratio


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of the predictions, from a confusion matrix.

    Attributes:
      mean_iou: mean over the classes that occur in labels or predictions. A class that
        is predicted but never labeled counts as 0.
      class_iou: [classes], NaN for a class without a labeled pixel.
      pixel_accuracy: share of correct pixels.
      mean_class_accuracy: mean over the labeled classes of their share of correct
        pixels.
      confusion: [classes, classes], int64, row = label, column = prediction.
      ignored_pixels: pixels with the ignore label.
      invalid_pixels: pixels whose label is neither a class nor the ignore label. They
        are not counted either, but are a sign of broken masks.
    """

    mean_iou: float
    class_iou: np.ndarray
    pixel_accuracy: float
    mean_class_accuracy: float
    confusion: np.ndarray
    ignored_pixels: int
    invalid_pixels: int


def scores(confusion: np.ndarray, ignored: int = 0, invalid: int = 0) -> Scores:
    """Computes the scores of a confusion matrix [classes, classes].

    >>> result = scores([[3, 1], [0, 4]])  # Row: label, column: prediction.
    >>> print(f"{result.mean_iou:.3f}", result.class_iou, result.pixel_accuracy)
    0.775 [0.75 0.8 ] 0.875
    """
    confusion = np.asarray(confusion, np.int64)
    hits = np.diag(confusion).astype(np.float64)
    labeled = confusion.sum(axis=1)
    union = labeled + confusion.sum(axis=0) - hits
    with np.errstate(divide="ignore", invalid="ignore"):
        iou = hits / union
        accuracy = hits / labeled
    return Scores(
        mean_iou=_mean(iou[union > 0]),
        class_iou=np.where(labeled > 0, iou, np.nan),
        pixel_accuracy=float(hits.sum() / max(1, confusion.sum())),
        mean_class_accuracy=_mean(accuracy[labeled > 0]),
        confusion=confusion,
        ignored_pixels=int(ignored),
        invalid_pixels=int(invalid),
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else 0.0


class ConfusionMatrix(tf.Module):
    """Counts label-prediction pairs over the pixels that are not ignored.

    >>> matrix = ConfusionMatrix(num_classes=2, ignore_label=255)
    >>> matrix.update(labels=[0, 1, 1, 255], predictions=[0, 1, 0, 0])
    >>> print(matrix.result().confusion.tolist(), matrix.result().ignored_pixels)
    [[1, 0], [1, 1]] 1
    """

    def __init__(self, num_classes: int, ignore_label: int):
        super().__init__(name="confusion_matrix")
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        # Two more rows, for ignored and invalid pixels.
        self._counts = tf.Variable(
            tf.zeros([num_classes + 2, num_classes], tf.int64),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
            name="counts",
        )

    def update(self, labels: tf.Tensor, predictions: tf.Tensor) -> None:
        """Counts the pixels of `labels` and `predictions`, integers of equal shape."""
        classes = self.num_classes
        labels = tf.reshape(tf.cast(labels, tf.int32), [-1])
        predictions = tf.reshape(tf.cast(predictions, tf.int32), [-1])
        is_class = (labels >= 0) & (labels < classes)
        left_out = tf.where(labels == self.ignore_label, classes, classes + 1)
        # The ignore label may be below `classes`.
        is_class &= labels != self.ignore_label
        rows = tf.where(is_class, labels, left_out)
        counts = tf.math.bincount(
            rows * classes + predictions,
            minlength=(classes + 2) * classes,
            maxlength=(classes + 2) * classes,
            dtype=tf.int64,
        )
        self._counts.assign_add(tf.reshape(counts, [classes + 2, classes]))

    def reset(self) -> None:
        """Resets all counts to 0."""
        self._counts.assign(tf.zeros_like(self._counts))

    def result(self) -> Scores:
        """The scores of all pixels since the last reset."""
        counts = self._counts.numpy()
        classes = self.num_classes
        return scores(counts[:classes], counts[classes].sum(), counts[-1].sum())


def multi_label_scores(
    image_labels: np.ndarray, image_logits: np.ndarray
) -> tuple[float, float, float]:
    """Accuracy, precision and recall of "the image shows class c" at probability 0.5.

    Args:
      image_labels: [images, classes - 1], 1 where the image shows the class.
      image_logits: [images, classes - 1], unnormalized.

    >>> scores = multi_label_scores([[1, 0, 1]], [[2.0, 1.0, -1.0]])
    >>> print(np.round(scores, 2))
    [0.33 0.5  0.5 ]
    """
    truth = np.asarray(image_labels) > 0
    # sigmoid(x) >= 0.5 if x >= 0.
    predicted = np.asarray(image_logits) >= 0
    hits = float(np.sum(truth & predicted))
    return (
        float(np.mean(truth == predicted)),
        hits / max(1.0, float(predicted.sum())),
        hits / max(1.0, float(truth.sum())),
    )


def balanced_accuracy(
    labels: tf.Tensor,
    predictions: tf.Tensor,
    counted: tf.Tensor,
    num_classes: int,
) -> Ratio:
    """Mean over the occurring classes of their share of correct pixels.

    It uses only static shapes and matrix products, for the training step.

    Args:
      labels: [batch, h, w], int32.
      predictions: [batch, h, w], integer.
      counted: [batch, h, w], bool, the pixels to count.
      num_classes: number of classes.

    Returns:
      Correct pixels and all pixels, [classes] each; the result is 0 if nothing is
      counted.

    >>> labels, predictions = tf.constant([0, 0, 0, 1]), tf.constant([0, 0, 0, 0])
    >>> right = balanced_accuracy(labels, predictions, labels < 255, num_classes=2)
    >>> print(right.result().numpy())  # All of class 0, none of class 1.
    0.5
    """
    weight = tf.reshape(tf.cast(counted, tf.float32), [-1])
    one_hot = tf.one_hot(tf.reshape(labels, [-1]), num_classes) * weight[:, tf.newaxis]
    right = tf.reshape(
        tf.cast(tf.cast(predictions, tf.int32) == labels, tf.float32), [-1]
    )
    return Ratio(tf.linalg.matvec(one_hot, right, True), tf.reduce_sum(one_hot, axis=0))
