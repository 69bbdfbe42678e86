"""Predicts whole images of any size, for evaluation and prediction.

Sources: `predict_labels_multi_scale` in research/deeplab/model.py of tensorflow/models
for scales and mirrored images, `evaluate` in supervised.py of LiheYoung/UniMatch for
the sliding window and of LiheYoung/UniMatch-V2 for unpadded images,
`scale_crop_process` in eval.py of Haochen-Wang409/U2PL for the mean of logits.
"""

import functools
import math
from collections.abc import Iterator
from typing import Any, Callable, Literal, Optional

import gin
import numpy as np
import tensorflow as tf

from wss import settings
from wss.data import geometry
from wss.errors import UserError
from wss.evaluation.tiling import (
    affordable_size,
    averaged_windows,
    enlarged,
    enlarged_rows,
    fitting_size,
)
from wss.evaluation.view_scores import LOGITS, PROBABILITIES, Average, Views
from wss.ops.resize import resize_bilinear
from wss.settings import PositiveShare, Scale, Several

WHOLE, UNPADDED, SLIDING = "whole", "unpadded", "sliding"
Window = Literal[WHOLE, UNPADDED, SLIDING]
# No AutoGraph: it would convert every function of the network, each time it is traced.
_graph = functools.partial(
    tf.function,
    input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)],
    autograph=False,
)


@gin.configurable(denylist=["network", "crop_size", "padding_value"])
class Predictor(tf.Module):
    """Applies a network to images of any size.

    The input of the network has the size `crop_size`: smaller images are padded to it,
    as in the original's evaluation; larger ones are shrunk to fit, keeping their aspect
    ratio, or predicted in windows at their own resolution. Unpadded, it has the size of
    the image, rounded to one that the network takes.

    Attributes:
      crop_size: height and width of the network's input at scale 1; unpadded images may
        have as many pixels.
      padding_value: value of the padding, per channel.
      scales, flip, window, stride, average: see the arguments.

    >>> network = DeepLabV3Plus(num_classes=3, variant="resnet_v1_18_quarter_beta")
    >>> predictor = Predictor(network, crop_size=(65, 65), padding_value=(0, 0, 0))
    >>> photo = np.zeros([50, 120, 3], np.uint8)
    >>> print(predictor.labels(photo).shape, predictor.probabilities(photo).shape)
    (50, 120) (50, 120, 3)
    >>> labels, confidence = predictor.labels_and_confidence(photo)
    >>> print(predictor.shrinks(photo), predictor.protocol()["text"])
    True whole images padded to 65 x 65
    """

    def __init__(
        self,
        network: tf.Module,
        crop_size: tuple[int, int],
        padding_value: tuple[float, float, float],
        scales: Several[Scale] = (1.0,),
        flip: bool = False,
        window: Window = WHOLE,
        stride: PositiveShare = 2 / 3,
        average: Average = PROBABILITIES,
    ):
        """Creates a predictor.

        Args:
          network: a `SegmentationNetwork`; or, for padded images or windows at one
            scale, a function from images [1, height, width, 3] in 0..255 to logits
            [1, h, w, classes].
          crop_size: height and width of the network's input.
          padding_value: value of the padding, 0..255 (the network's mean pixel).
          scales: scale factors of the crop; predictions at all scales are averaged.
          flip: also average over the mirrored image.
          window: "whole" pads images to the crop and shrinks larger ones to it;
            "unpadded" scales each to the nearest size that the network takes (the
            nearest multiple of a transformer's patch), and shrinks those with more
            pixels than the crop; "sliding" moves a window of the crop's size over
            larger ones and averages where windows overlap.
          stride: distance between windows as a share of the window's side; rounded to
            pixels.
          average: what is averaged: "probabilities" or "logits".

        Raises:
          UserError: a setting is invalid.
        """
        super().__init__(name="predictor")
        _check("scales", Several[Scale], scales)
        _check("window", Window, window)
        _check("stride", PositiveShare, stride)
        _check("average", Average, average)
        self.crop_size = tuple(crop_size)
        self.scales = tuple(map(float, scales))
        self.flip = bool(flip)
        self.window = window
        self.stride = stride
        self.average = average
        self.network = network
        self.padding_value = padding_value
        # Without views, labels come from the logits: no rounding in the softmax.
        self._has_views = self.scales != (1.0,) or self.flip

    def protocol(self) -> dict[str, Any]:
        """The evaluation protocol, for metrics.json."""
        crop = "{} x {}".format(*self.crop_size)
        slides = self.window == SLIDING
        text = {
            WHOLE: f"whole images padded to {crop}",
            UNPADDED: f"whole images unpadded, up to {crop} pixels",
            SLIDING: f"windows of {crop}, stride {self.stride:.4g}",
        }[self.window]
        if self.scales != (1.0,):
            text += f", scales {' '.join(f'{scale:g}' for scale in self.scales)}"
        if self.flip:
            text += ", mirrored too"
        if self._averages_logits:
            text += ", logits averaged"
        return {
            "text": text,
            "window": self.window,
            "stride": self.stride if slides else None,
            "average": self.average if slides or self._has_views else None,
            "crop_size": list(self.crop_size),
            "scales": list(self.scales),
            "flip": self.flip,
        }

    def fits(self, image: np.ndarray) -> bool:
        """Whether an image [height, width, 3] fits into the crop unchanged."""
        return all(a <= b for a, b in zip(image.shape[:2], self.crop_size))

    def shrinks(self, image: np.ndarray) -> bool:
        """Whether the image is shrunk for the network."""
        if self.window == UNPADDED:
            return math.prod(image.shape[:2]) > math.prod(self.crop_size)
        return self.window == WHOLE and not self.fits(image)

    @property
    def variations(self) -> list[str]:
        """Differences from the original's protocol, as words for a file name."""
        applied = {
            self.window: self.window != WHOLE,
            "scales": self.scales != (1.0,),
            "flip": self.flip,
            LOGITS: self._averages_logits,
        }
        return [name for name, differs in applied.items() if differs]

    @property
    def _averages_logits(self) -> bool:
        averages = self._has_views or self.window == SLIDING
        return averages and self.average == LOGITS

    def labels(self, image: np.ndarray) -> tf.Tensor:
        """The most probable class of each pixel.

        Args:
          image: [height, width, 3] in 0..255, any number type.

        Returns:
          [height, width], int32.
        """
        rows = self.scores(_check_image(image))
        return tf.concat([_best(scores) for scores in rows], 0)

    def labels_and_confidence(self, image: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """`labels`, and the probability of that class, float32 [height, width]."""
        return self._labels_and(image, lambda rows: tf.reduce_max(rows, -1))

    def labels_and_entropy(self, image: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """`labels`, and the entropy of the prediction, float32 [height, width].

        The entropy is divided by the largest, log(classes): 0..1.
        """
        return self._labels_and(image, _entropy)

    def _labels_and(
        self, image: np.ndarray, measure: Callable[[tf.Tensor], tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`labels`, and a measure of the probabilities [rows, width, classes]."""
        image = _check_image(image)
        labels, measured = [], []
        for rows in self.scores(image):
            labels.append(_best(rows))
            measured.append(measure(self.as_probabilities(rows, image)))
        return tf.concat(labels, 0), tf.concat(measured, 0)

    def probabilities(self, image: np.ndarray) -> tf.Tensor:
        """The probability of each class: [height, width, classes], float32.

        For a large photo and many classes this takes gigabytes; `labels` needs little.
        """
        image = _check_image(image)
        rows = [self.as_probabilities(rows, image) for rows in self.scores(image)]
        return tf.concat(rows, 0)

    def predict_batch(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`labels` and `probabilities` of whole images, as one TensorFlow graph.

        They are padded: the graph has one input of the network.

        Args:
          images: [batch, height, width, 3] in 0..255, any number type.

        Returns:
          The class of each pixel, int32 [batch, height, width], and the probabilities,
          float32 [batch, height, width, classes].
        """
        size = tf.shape(images)[1:3]
        fits = tf.reduce_all(size <= self.crop_size)
        fitted = tf.cond(
            fits,
            lambda: tf.cast(images, tf.float32),
            lambda: geometry.scale_image(images, fitting_size(size, self.crop_size)),
        )
        scores = self._padded_scores(fitted)
        scores = tf.cond(
            fits,
            lambda: scores,
            lambda: enlarged_rows(scores, size, tf.range(size[0])),
        )
        return _best(scores), self._crop_probabilities(scores)

    def predict_crops(self, images: tf.Tensor) -> tf.Tensor:
        """Probabilities [batch, *crop_size, classes] of padded images of that size."""
        return self._crop_probabilities(self._scores(images))

    def fitted(self, image: np.ndarray) -> tf.Tensor:
        """The image [height, width, 3], float32, shrunk to the crop if it is larger."""
        if self.fits(image):
            return tf.cast(image, tf.float32)
        # The same scaling as in the training input.
        size = fitting_size(image.shape[:2], self.crop_size)
        return geometry.scale_image(image, size)

    def padded(self, images: tf.Tensor) -> tf.Tensor:
        """Images [batch, h, w, 3], float32, that fit, padded to the crop's size."""
        below = tf.constant(self.crop_size) - tf.shape(images)[1:3]
        paddings = tf.pad(below[:, tf.newaxis], [[1, 1], [1, 0]])
        value = tf.constant(self.padding_value, images.dtype)
        padded = tf.pad(images - value, paddings) + value
        return tf.ensure_shape(padded, [None, *self.crop_size, 3])

    def image_logits(self, image: np.ndarray) -> tf.Tensor:
        """Logits [classes - 1], float32, of the image classifier.

        The network must be a `SegmentationNetwork`. It sees the image as in `scores`,
        or shrunk to the crop instead of in windows.
        """
        images = self._whole(_check_image(image))[tf.newaxis]
        if self.window == UNPADDED:
            size = self.network.scaled_size(images.shape[1:3], 1.0)
            images = resize_bilinear(images, size)
        return self._image_logits(images)[0]

    def of_whole(
        self, image: np.ndarray, function: Callable[..., dict[str, tf.Tensor]]
    ) -> dict[str, tf.Tensor]:
        """Applies a function of padded crops to a whole image.

        Args:
          image: [height, width, 3] in 0..255, any number type.
          function: takes padded images [1, *crop_size, 3], float32, and a valid mask
            [1, *crop_size], float32, 0 in the padding; returns tensors [1, h, w, depth]
            by name, whose corners are aligned with those of the images.

        Returns:
          The tensors by name, [rows, columns, depth]: resized to the crop, without the
          padding. A larger image is shrunk to the crop, others keep their size.
        """
        fitted = self.fitted(_check_image(image))
        rows, columns = fitted.shape[:2]
        valid = geometry.pad_image(tf.ones([rows, columns, 1]), self.crop_size, (0.0,))
        outputs = function(self.padded(fitted[tf.newaxis]), valid[tf.newaxis, ..., 0])
        return {
            name: resize_bilinear(output, self.crop_size)[0, :rows, :columns]
            for name, output in outputs.items()
        }

    def _crop_probabilities(self, scores: tf.Tensor) -> tf.Tensor:
        """The probabilities for scores of a crop, which are logits or probabilities."""
        if self._has_views and self.average == PROBABILITIES:
            return scores
        return tf.nn.softmax(scores)

    def slides(self, image: np.ndarray) -> bool:
        """Whether the image is predicted in windows."""
        return self.window == SLIDING and not self.fits(image)

    def as_probabilities(self, scores: tf.Tensor, image: np.ndarray) -> tf.Tensor:
        """The probabilities for `scores` of the image, of the same shape."""
        averaged = self._has_views or self.slides(image)
        if averaged and self.average == PROBABILITIES:
            return scores
        return tf.nn.softmax(scores)

    def scores(
        self, image: np.ndarray, columns: Optional[tuple[int, int]] = None
    ) -> Iterator[tf.Tensor]:
        """Logits, or the averaged scores, in stripes of rows from the top.

        Args:
          image: [height, width, 3].
          columns: only these, of an image that is predicted in windows.

        Yields:
          [rows, width, classes], float32. Only one stripe is in memory at a time.
        """
        if self.slides(image):
            yield from averaged_windows(
                image, self.crop_size, self.stride, self._window_scores, columns
            )
            return
        score = self._scores if self.window == UNPADDED else self._padded_scores
        scores = score(self._whole(image)[tf.newaxis])[0]
        if self.shrinks(image):
            yield from enlarged(scores, image.shape[:2])
        else:
            yield scores

    def _whole(self, image: np.ndarray) -> tf.Tensor:
        """The image [height, width, 3], float32, shrunk if `shrinks`."""
        if self.window != UNPADDED:
            return self.fitted(image)
        if not self.shrinks(image):
            return tf.cast(image, tf.float32)
        size = affordable_size(image.shape[:2], self.crop_size)
        return geometry.scale_image(image, size)

    def _window_scores(self, window: np.ndarray) -> tf.Tensor:
        """Scores [rows, columns, classes] of a window of an image."""
        scores = self._padded_scores(tf.cast(window, tf.float32)[tf.newaxis])[0]
        if not self._has_views and self.average == PROBABILITIES:
            scores = tf.nn.softmax(scores)
        return scores

    @_graph
    def _padded_scores(self, images: tf.Tensor) -> tf.Tensor:
        """Scores [batch, height, width, classes] of images that fit into the crop."""
        size = tf.shape(images)
        return self._scores(self.padded(images))[:, : size[1], : size[2]]

    @_graph
    def _image_logits(self, images: tf.Tensor) -> tf.Tensor:
        if self.window != UNPADDED:
            images = self.padded(images)
        end_points = self.network.backbone(images, training=False)
        return self.network.classify(end_points)

    @_graph
    def _logits(self, images: tf.Tensor) -> tf.Tensor:
        """Logits of images of any size; a graph for each would take time and memory."""
        return self.network(images, training=False)

    def _scores(self, images: tf.Tensor) -> tf.Tensor:
        """Logits, or the mean of the views' scores: [batch, height, width, classes].

        Args:
          images: [batch, height, width, 3], float32, of a static size: the crop's, or
            any if images are unpadded.
        """
        rounds = self.window == UNPADDED
        apply = functools.partial(self.network, training=False)
        views = Views(self.network, self._logits if rounds else apply, rounds)
        if self._has_views:
            return views.mean_scores(images, self.scales, self.flip, self.average)
        return views.logits(images)


def _entropy(probabilities: tf.Tensor) -> tf.Tensor:
    entropy = -tf.reduce_sum(tf.math.xlogy(probabilities, probabilities), -1)
    return entropy / np.log(probabilities.shape[-1])


def _best(scores: tf.Tensor) -> tf.Tensor:
    return tf.argmax(scores, -1, tf.int32)


def _check(name: str, kind: Any, value: Any) -> None:
    problem = settings.problem(kind, value)
    if problem:
        raise UserError(f"Predictor.{name} = {value!r}: {problem}.")


def _check_image(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] != 3 or not image.size:
        raise UserError(
            f"An image has the shape {list(image.shape)}, but must be [height, width, "
            "3]. Convert it to RGB."
        )
    return image
