"""Whether what was written predicts what the trained network predicts."""

import dataclasses
from typing import List, Sequence, Tuple

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
    """What a comparison found.

    Attributes:
      images: how many were predicted by both.
      difference: the largest, of a probability.
      equal: share of the pixels of the same class.
      excess: by how much the class that the file gives is less probable than the best,
        at most; 0 where all classes are equal.
    """

    images: int
    difference: float
    equal: float
    excess: float

    def check(self, tolerance: float) -> None:
        """Refuses what differs.

        Raises:
          UserError: a probability differs by more than `tolerance`, or a pixel's class
            by more than that explains.
        """
        # Written so that NaN does not pass.
        if self.difference <= tolerance and self.excess <= 2 * tolerance:
            return
        raise UserError(
            f"it does not predict what the trained network predicts ({self}; allowed "
            f"is a difference of {tolerance:g})."
        )

    def __str__(self) -> str:
        return (
            f"{self.images} images, largest difference of a probability "
            f"{self.difference:.1e}, equal pixels {_percent(self.equal)}"
        )


def compare(
    kind: Format, path: str, model: Segmenter, images: Sequence[np.ndarray]
) -> Comparison:
    """Predicts images with a file and with what it was made of.

    Args:
      kind: format of the file.
      path: of the file.
      model: what was trained.
      images: [height, width, 3], uint8, of any sizes.
    """
    read, original = kind.read(path, model), from_segmenter(model)
    difference, excess, equal, pixels = [], [], 0, 0
    for image in images:
        image = kind.seen(model, image)
        labels, probabilities = read(image)
        expected_labels, expected = original(image)
        if probabilities.shape != expected.shape or labels.shape != image.shape[:2]:
            raise UserError(
                f"of an image {list(image.shape)} it gives a mask {list(labels.shape)} "
                f"and probabilities {list(probabilities.shape)}."
            )
        difference.append(np.abs(probabilities - expected).max())
        chosen = np.take_along_axis(expected, labels[..., np.newaxis].astype(int), -1)
        excess.append((expected.max(-1) - chosen[..., 0]).max())
        equal += np.sum(labels == expected_labels)
        pixels += labels.size
    return Comparison(
        len(images), float(max(difference)), equal / pixels, float(max(excess))
    )


def made_up_images(crop_size: Tuple[int, int]) -> List[np.ndarray]:
    """Blobs of colour: of odd sizes, grey, the crop's size, larger in one way or both.

    Args:
      crop_size: height and width that the network sees.

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
    grey = np.repeat(_blobs((height // 2, width - 1), len(sizes))[..., :1], 3, -1)
    return [*images, grey]


def evaluation_images(experiment: Experiment) -> List[np.ndarray]:
    """The first of the evaluation split; none where the data are not there.

    Raises:
      UserError: they are damaged.
    """
    try:
        check_evaluation(experiment)
    except UserError:
        return []
    with parsing.user_errors():
        batches = evaluation_batches(experiment).take(_EVALUATION_IMAGES)
        return [batch["image"][0].numpy().astype(np.uint8) for batch in batches]


def _blobs(size: Tuple[int, int], seed: int) -> np.ndarray:
    small = np.random.RandomState(seed).randint(0, 256, [8, 8, 3])
    image = tf.image.resize(small.astype(np.float32), size, method="bicubic")
    return np.clip(image.numpy(), 0, 255).astype(np.uint8)


def _percent(share: float) -> str:
    """Rounded down: 100 % is all of them."""
    return f"{np.floor(share * 1e5) / 1e3:.3f} %"
