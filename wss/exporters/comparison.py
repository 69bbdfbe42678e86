"""Checks that an export predicts the same as the trained network."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from wss.data import parsing
from wss.errors import UserError
from wss.evaluation.evaluator import check_evaluation
from wss.evaluation.segmenter import Segmenter
from wss.experiment import Experiment, evaluation_batches
from wss.exporters.base import Format, from_segmenter

_EVALUATION_IMAGES = 3


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
      images: number of compared images.
      difference: largest difference of a probability.
      equal: share of the pixels with the same class, 0..1.
      excess: largest gap between the original's best probability and its probability
        of the class that the export predicts; 0 if all classes are the same.
    """

    images: int
    difference: float
    equal: float
    excess: float

    def check(self, tolerance: float) -> None:
        """Checks that the differences are small enough.

        Raises:
          UserError: a probability differs by more than `tolerance`, or a class differs
            and this tolerance does not explain it.
        """
        # This form of the condition is false for NaN.
        if self.difference <= tolerance and self.excess <= 2 * tolerance:
            return
        raise UserError(
            f"it does not predict what the trained network predicts ({self}; the "
            f"largest allowed difference is {tolerance:g})."
        )

    def __str__(self) -> str:
        return (
            f"{self.images} images, largest difference of a probability "
            f"{self.difference:.1e}, equal pixels {_percent(self.equal)}"
        )


def compare(
    kind: Format, path: str, model: Segmenter, images: Sequence[np.ndarray]
) -> Comparison:
    """Predicts images with an export and with the trained network.

    Args:
      kind: format of the export.
      path: path of the export.
      model: the trained network.
      images: [height, width, 3], uint8, of any sizes.

    Raises:
      UserError: the shapes of the predictions are wrong.
    """
    read, original = kind.read(path, model), from_segmenter(model)
    difference, excess, equal, pixels = [], [], 0, 0
    for image in images:
        image = kind.seen(model, image)
        labels, probabilities = read(image)
        expected_labels, expected = original(image)
        if probabilities.shape != expected.shape or labels.shape != image.shape[:2]:
            raise UserError(
                f"for an image of shape {list(image.shape)} it returns a mask of shape "
                f"{list(labels.shape)} and probabilities of shape "
                f"{list(probabilities.shape)}."
            )
        difference.append(np.abs(probabilities - expected).max())
        chosen = np.take_along_axis(expected, labels[..., np.newaxis].astype(int), -1)
        excess.append((expected.max(-1) - chosen[..., 0]).max())
        equal += np.sum(labels == expected_labels)
        pixels += labels.size
    return Comparison(
        len(images), float(max(difference)), equal / pixels, float(max(excess))
    )


def made_up_images(crop_size: tuple[int, int]) -> list[np.ndarray]:
    """Synthetic images: of the crop's size, of odd sizes, larger than the crop, gray.

    Args:
      crop_size: height and width of the network's input.

    Returns:
      Images [height, width, 3], uint8.
    """
    height, width = crop_size
    sizes = [
        (height, width),
        (2 * height // 3, width // 2 + 1),
        (height + height // 3, 3 * width // 4),
        (height + 5, 2 * width + 1),
    ]
    images = [_blobs(size, seed) for seed, size in enumerate(sizes)]
    gray = np.repeat(_blobs((height // 2, width - 1), len(sizes))[..., :1], 3, -1)
    return [*images, gray]


def evaluation_images(experiment: Experiment) -> list[np.ndarray]:
    """The first images of the evaluation split; none if the data are not available.

    Returns:
      Images [height, width, 3], uint8.

    Raises:
      UserError: the data are damaged.
    """
    try:
        check_evaluation(experiment)
    except UserError:
        return []
    with parsing.user_errors():
        batches = evaluation_batches(experiment).take(_EVALUATION_IMAGES)
        return [batch["image"][0].numpy().astype(np.uint8) for batch in batches]


def _blobs(size: tuple[int, int], seed: int) -> np.ndarray:
    small = np.random.RandomState(seed).randint(0, 256, [8, 8, 3])
    image = tf.image.resize(small.astype(np.float32), size, method="bicubic")
    return np.clip(image.numpy(), 0, 255).astype(np.uint8)


def _percent(share: float) -> str:
    """The share in percent, rounded down: 100 % means all."""
    return f"{np.floor(share * 1e5) / 1e3:.3f} %"
