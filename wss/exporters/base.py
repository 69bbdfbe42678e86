"""What a format is: how it is written, and how it is read for a comparison."""

import abc
from typing import Callable, Tuple

import numpy as np
import tensorflow as tf

from wss.evaluation.segmenter import Segmenter

# Image [height, width, 3], uint8 or, of `Format.seen` ones, float32 -> class of each
# pixel [height, width] and probabilities [height, width, classes].
Reader = Callable[[np.ndarray], Tuple[np.ndarray, np.ndarray]]


class Format(abc.ABC):
    """A kind of file or folder that holds a trained network.

    Attributes:
      file_name: of the file or folder.
      tolerance: largest difference of a probability from `Predictor`'s. The default
        leaves room for float32's rounding through many layers, in another order on
        another device; what is wrong differs by far more.
    """

    file_name: str
    tolerance: float = 1e-3

    @abc.abstractmethod
    def write(self, model: Segmenter, path: str, step: int) -> None:
        """Writes the network.

        Args:
          model: what was trained; it sees whole images.
          path: of a file or folder that does not exist yet.
          step: the training step that it is of.

        Raises:
          UserError: this network can not be written in this format.
        """

    @abc.abstractmethod
    def read(self, path: str, model: Segmenter) -> Reader:
        """What was written, as another program has it: nothing is taken from `model`
        but its description."""

    def seen(self, model: Segmenter, image: np.ndarray) -> np.ndarray:
        """The image as it is given to `read`'s function and to the predictor."""
        return image

    def note(self, model: Segmenter) -> str:
        """What to know before using it; empty where there is nothing."""
        return ""


def from_segmenter(model: Segmenter) -> Reader:
    """The same of a model in Python."""

    def predict(image: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        predictor = model.predictor
        return predictor.labels(image).numpy(), predictor.probabilities(image).numpy()

    return predict


def keep_variables(model: Segmenter) -> tf.Module:
    """A module that holds the network's variables by TF1 name, and nothing of Keras."""
    from wss.models import tf1_checkpoint

    module = tf.Module()
    module.network = tf1_checkpoint.named_variables(model.network)
    return module
