"""The interface of an export format: writing it, and reading it for a comparison."""

import abc
from typing import Callable

import numpy as np
import tensorflow as tf

from wss.evaluation.segmenter import Segmenter

# Maps an image [height, width, 3], uint8, or float32 after `Format.seen`, to class ids
# [height, width] and probabilities [height, width, classes].
Reader = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Format(abc.ABC):
    """A kind of file or folder that holds a trained network.

    Attributes:
      file_name: name of the file or folder.
      tolerance: maximum difference of a probability from that of `Predictor`. The
        default allows for float32 rounding, which depends on the order of operations
        and on the device; errors cause far larger differences.
    """

    file_name: str
    tolerance: float = 1e-3

    @abc.abstractmethod
    def write(self, model: Segmenter, path: str, step: int) -> None:
        """Writes the network.

        Args:
          model: the trained network, which predicts whole images.
          path: path of a file or folder that does not exist yet.
          step: training step of the weights.

        Raises:
          UserError: this network cannot be written in this format.
        """

    @abc.abstractmethod
    def read(self, path: str, model: Segmenter) -> Reader:
        """Loads an export as another program would; uses only the description of
        `model`."""

    def seen(self, model: Segmenter, image: np.ndarray) -> np.ndarray:
        """Prepares an image [height, width, 3] for the reader and the predictor."""
        return image

    def note(self, model: Segmenter) -> str:
        """A hint for the user of the export; empty if there is none."""
        return ""


def from_segmenter(model: Segmenter) -> Reader:
    """The reader of a model in Python."""

    def predict(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        predictor = model.predictor
        return predictor.labels(image).numpy(), predictor.probabilities(image).numpy()

    return predict


def keep_variables(model: Segmenter) -> tf.Module:
    """A module with the network's variables by TF1 name, without Keras objects."""
    from wss.models import tf1_checkpoint

    module = tf.Module()
    module.network = tf1_checkpoint.named_variables(model.network)
    return module
