"""How uncertain a run is about photos: which ones to label next."""

import csv
import dataclasses
import io
from collections.abc import Mapping
from typing import Optional

import numpy as np

from wss.evaluation.predictor import Predictor


@dataclasses.dataclass(frozen=True)
class Uncertainty:
    """The uncertainty about one photo.

    Attributes:
      entropy: mean over the pixels of the entropy of the prediction, as a share of the
        largest, log(classes): 0..1.
      disagreement: share of the pixels for which student and teacher predict different
        classes, 0..1; None without a teacher.
    """

    entropy: float
    disagreement: Optional[float] = None

    @property
    def value(self) -> float:
        """The mean of entropy and disagreement, 0..1."""
        if self.disagreement is None:
            return self.entropy
        return 0.5 * (self.entropy + self.disagreement)


def measure(
    image: np.ndarray, predictor: Predictor, student: Optional[Predictor] = None
) -> tuple[np.ndarray, Uncertainty]:
    """Predicts an image and measures how uncertain the prediction is.

    Args:
      image: [height, width, 3] in 0..255.
      predictor: of the run's result: its network, or the teacher.
      student: predictor of the student, if the run has a teacher.

    Returns:
      The class of each pixel, [height, width], uint8, as `Predictor.labels`; and the
      uncertainty.
    """
    labels, entropy = predictor.labels_and_entropy(image)
    labels = labels.numpy().astype(np.uint8)
    disagreement = None
    if student is not None:
        disagreement = float(np.mean(labels != student.labels(image).numpy()))
    return labels, Uncertainty(float(np.mean(entropy)), disagreement)


def ranked(found: Mapping[str, Uncertainty]) -> list[tuple[str, Uncertainty]]:
    """Photos with their uncertainty, the most uncertain first."""
    return sorted(found.items(), key=lambda one: (-one[1].value, one[0]))


def to_csv(ranking: list[tuple[str, Uncertainty]]) -> bytes:
    """A table of the ranking: rank, photo, uncertainty, entropy (, disagreement)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    has_teacher = any(one.disagreement is not None for _, one in ranking)
    measured = ["entropy", "disagreement"] if has_teacher else ["entropy"]
    writer.writerow(["rank", "photo", "uncertainty", *measured])
    for rank, (photo, one) in enumerate(ranking, start=1):
        values = [one.value, *(getattr(one, name) for name in measured)]
        writer.writerow([rank, photo, *(f"{value:.6f}" for value in values)])
    return text.getvalue().encode()
