"""A trained network that maps photos to masks."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

import numpy as np
import tensorflow as tf

from wss.data import parsing
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.evaluation.predictor import Predictor
from wss.image_io import reading
from wss.models import networks

Photo = Union[str, np.ndarray, tf.Tensor]


class Segmenter(tf.keras.Model):
    """A trained network with its classes, for images of any size.

    >>> model = wss.load("runs/shapes")
    >>> print(model.spec.class_names)
    ('background', 'disk', 'square', 'triangle', 'star')
    >>> print(model(tf.zeros([1, 40, 60, 3])).shape)  # Probabilities.
    (1, 40, 60, 5)

    The predictions are exactly those that `wss.eval` scores.

    Attributes:
      network: the `SegmentationNetwork`.
      predictor: applies the network to whole images or windows, at one or more scales.
      spec: the classes, with `class_names` and `palette`.
    """

    def __init__(self, predictor: Predictor, spec: DatasetSpec):
        """Combines a network with its classes.

        Args:
          predictor: the predictor, which holds the network.
          spec: the classes.
        """
        super().__init__(autocast=False)
        self.predictor = predictor
        self.network = predictor.network
        self.spec = spec
        self.built = True  # Every variable exists.

    def get_config(self) -> dict[str, Any]:
        """The configuration that rebuilds the model, JSON-serializable."""
        predictor = self.predictor
        return {
            "network": self.network.get_config(),
            "predictor": {
                "crop_size": list(predictor.crop_size),
                "padding_value": list(predictor.padding_value),
                "scales": list(predictor.scales),
                "flip": predictor.flip,
                "window": predictor.window,
                "stride": predictor.stride,
                "average": predictor.average,
            },
            "classes": self.spec.to_json(),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Segmenter":
        """Rebuilds a model from the result of `get_config`."""
        network = networks.from_config(config["network"])
        predictor = Predictor(network, **config["predictor"])
        return cls(predictor, DatasetSpec.from_json(config["classes"]))

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """The probability of each class.

        Args:
          images: [batch, height, width, 3] in 0..255.

        Returns:
          [batch, height, width, classes], float32.
        """
        return tf.stack([self.predictor.probabilities(image) for image in images])

    def predict_masks(
        self, images: Union[Photo, Sequence[Photo]]
    ) -> Union[np.ndarray, list[np.ndarray]]:
        """The class of each pixel.

        >>> model = wss.load("runs/shapes")
        >>> (mask,) = model.predict_masks(["street.jpg"])
        >>> shown = [model.spec.class_names[i] for i in np.unique(mask)]
        >>> print(model.predict_masks(np.zeros([2, 40, 60, 3], np.uint8)).shape)
        (2, 40, 60)

        Args:
          images: a list of photos of any sizes, each the path of a file or an array
            [height, width, 3] in 0..255; or an array [batch, height, width, 3].

        Returns:
          Class ids, uint8: a list of [height, width], or an array [batch, height,
          width] if the images are an array.

        Raises:
          UserError: a file is not an image, or an array has another shape.
        """
        if isinstance(images, str):
            raise UserError(
                f"predict_masks takes a list of photos: predict_masks([{images!r}])."
            )
        is_batch = not isinstance(images, (list, tuple))
        masks = [self.predict_mask(image) for image in images]
        return np.stack(masks) if is_batch else masks

    def predict_mask(self, image: Photo) -> np.ndarray:
        """The class of each pixel of one photo, [height, width], uint8.

        >>> print(wss.load("runs/shapes").predict_mask("street.jpg").shape)
        (50, 120)
        """
        if isinstance(image, str):
            image = read_image(image, self.spec.image_bits)
        return self.predictor.labels(image).numpy().astype(np.uint8)


def read_image(
    path: str, image_bits: Optional[int] = None, any_size: bool = False
) -> np.ndarray:
    """Reads a photo as in training: [height, width, 3], uint8, upright.

    >>> print(read_image("street.jpg").shape)
    (50, 120, 3)

    Args:
      path: path of the file.
      image_bits: `image_bits` of the spec, for photos with more than 8 bits.
      any_size: also read a photo that is too large for training.

    Raises:
      UserError: the file is not an image, is damaged, or has values out of range.
    """
    photo = reading.read(path, image_bits=image_bits, any_size=any_size)
    if photo.image_format == "png" or math.prod(photo.size) > parsing.MAX_PIXELS:
        return np.asarray(photo.image.convert("RGB"))
    # Decoders of JPEG round differently.
    with parsing.user_errors():
        return parsing.decode_image(photo.encode(), path).numpy()
