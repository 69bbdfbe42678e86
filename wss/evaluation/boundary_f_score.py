"""Boundary F-score: how well predicted boundaries follow those of the label.

Csurka et al., "What is a good evaluation measure for semantic segmentation?" (BMVC
2013): for each class of an image, the F-score of the boundary pixels that have one of
the other map within 0.75 % of the image's diagonal.
"""

import math
from typing import Optional

import numpy as np
from scipy import spatial

TOLERANCE = 0.0075


class BoundaryScore:
    """Boundary F-scores of classes, averaged over images.

    An image counts for the classes in its label. The paper leaves some choices open:
    here the border of the image is not a boundary, the border of an ignored region is a
    boundary of the label, and a predicted boundary on ignored pixels can be right, but
    not wrong.

    >>> label = np.zeros([8, 8], np.uint8)
    >>> label[:, 4:] = 1
    >>> score = BoundaryScore(num_classes=2, ignore_label=255)
    >>> score.update(label, label)
    >>> score.update(label, np.roll(label, 1, axis=1))
    >>> print(score.result())  # So small an image allows no distance.
    [0.5 0.5]
    """

    def __init__(self, num_classes: int, ignore_label: int):
        self._ignore_label = ignore_label
        self._sums = np.zeros(num_classes)
        self._images = np.zeros(num_classes, np.int64)

    def update(self, label: np.ndarray, prediction: np.ndarray) -> None:
        """Adds an image: two maps of class ids, [height, width]."""
        label, prediction = np.asarray(label), np.asarray(prediction)
        tolerance = TOLERANCE * math.hypot(*label.shape)
        counted = label != self._ignore_label
        truth, predicted = boundary(label), boundary(prediction)
        for number in range(len(self._sums)):
            shown = label == number
            if number == self._ignore_label or not shown.any():
                continue
            score = f_score(
                truth & shown, predicted & (prediction == number), tolerance, counted
            )
            if score is not None:
                self._sums[number] += score
                self._images[number] += 1

    def result(self) -> np.ndarray:
        """[classes], float64: mean over the images; NaN for a class without any."""
        with np.errstate(invalid="ignore"):
            return self._sums / self._images


def boundary(classes: np.ndarray) -> np.ndarray:
    """Pixels next to a pixel of another class; [height, width], bool.

    >>> print(boundary(np.array([[0, 0, 0, 1]])).astype(int))
    [[0 0 1 1]]
    """
    result = np.zeros(classes.shape, bool)
    rows_differ = classes[1:] != classes[:-1]
    result[1:] |= rows_differ
    result[:-1] |= rows_differ
    columns_differ = classes[:, 1:] != classes[:, :-1]
    result[:, 1:] |= columns_differ
    result[:, :-1] |= columns_differ
    return result


def f_score(
    truth: np.ndarray,
    predicted: np.ndarray,
    tolerance: float,
    counted: np.ndarray,
) -> Optional[float]:
    """F-score of two boundaries, [height, width], bool; None if there are none.

    Args:
      truth: the label's boundary.
      predicted: the prediction's.
      tolerance: largest distance of two pixels that match.
      counted: where a predicted boundary pixel can be wrong.

    >>> truth = np.array([[True, False, False, False]])
    >>> predicted = np.array([[False, True, False, True]])
    >>> score = f_score(truth, predicted, tolerance=1.0, counted=np.ones([1, 4], bool))
    >>> print(f"{score:.3f}")  # Precision 1/2, recall 1.
    0.667
    """
    right = near(truth, predicted, tolerance)
    recalled = near(predicted, truth, tolerance)
    counted = right | counted[predicted]
    if not recalled.size and not counted.any():
        return None
    if not right.any():
        return 0.0
    precision, recall = right.sum() / counted.sum(), recalled.mean()
    return float(2 * precision * recall / (precision + recall))


def near(targets: np.ndarray, points: np.ndarray, tolerance: float) -> np.ndarray:
    """Which points have a target within `tolerance`.

    Args:
      targets: [height, width], bool.
      points: [height, width], bool.
      tolerance: Euclidean distance in pixels.

    Returns:
      [points], bool, in the order of `np.nonzero`.

    >>> targets = np.array([[True, False, False, False]])
    >>> points = np.array([[False, True, False, True]])
    >>> print(near(targets, points, tolerance=1.0))
    [ True False]
    """
    # The bound of the tree is exclusive, and only speeds up the search.
    distances, _ = spatial.cKDTree(np.argwhere(targets)).query(
        np.argwhere(points), distance_upper_bound=tolerance + 1
    )
    return distances <= tolerance
