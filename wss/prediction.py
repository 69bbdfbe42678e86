"""Classes of the pixels of whole images of any size, for evaluation and for photos.

Sources: `predict_labels_multi_scale` of research/deeplab/model.py of tensorflow/models
for scales and mirrored images, `evaluate` of supervised.py of LiheYoung/UniMatch for
the sliding window.
"""

from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import gin
import numpy as np
import tensorflow as tf

from wss.data import geometry
from wss.errors import UserError
from wss.resize import resize_bilinear

WHOLE, SLIDING = "whole", "sliding"

# Numbers that a stripe of an enlarged image's scores may have: 256 MiB of float32.
_STRIPE_NUMBERS = 2**26


@gin.configurable(denylist=["network", "crop_size", "padding_value"])
class Predictor(tf.Module):
    """A network that takes images of any size, one by one.

    The network always sees one size, `crop_size`: smaller images are padded to it as
    the original's evaluation does. Larger ones are shrunk into it, with their aspect,
    or taken window by window at their own resolution.

    Attributes:
      crop_size: height and width that the network sees at scale 1.
      scales, flip, window, stride: as given.
    """

    def __init__(
        self,
        network: tf.Module,
        crop_size: Tuple[int, int],
        padding_value: Tuple[float, float, float],
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        window: str = WHOLE,
        stride: float = 2 / 3,
    ):
        """Takes a network.

        Args:
          network: a `DeepLabV3Plus`, or what gives logits [1, h, w, classes] of images
            [1, height, width, 3] in 0..255.
          crop_size: height and width that the network sees.
          padding_value: what lies beside the image, 0..255 (the network's mean).
          scales: factors of the crop; the probabilities of all are averaged.
          flip: average over the mirrored image too.
          window: "whole" shrinks a larger image to the crop; "sliding" goes over it
            with windows of the crop's size and averages their probabilities.
          stride: from a window to the next, as a share of the window's side.

        Raises:
          UserError: a setting that makes no sense.
        """
        super().__init__(name="predictor")
        self.crop_size = tuple(crop_size)
        self.scales = _check_scales(scales)
        self.flip = bool(flip)
        if window not in (WHOLE, SLIDING):
            raise UserError(
                f"Predictor.window = {window!r}: it is '{WHOLE}' or '{SLIDING}'."
            )
        if not 0 < stride <= 1:
            raise UserError(f"Predictor.stride = {stride!r}: it is above 0, up to 1.")
        self.window = window
        self.stride = stride
        self.network = network
        self._padding_value = padding_value
        # Else the network's own logits decide, without the rounding of a softmax.
        self._averages_views = self.scales != (1.0,) or self.flip

    def protocol(self) -> Dict[str, Any]:
        """What decides the numbers of an evaluation: for metrics.json."""
        crop = "{} x {}".format(*self.crop_size)
        slides = self.window == SLIDING
        text = f"windows of {crop}" if slides else f"whole images padded to {crop}"
        if slides:
            text += f", stride {self.stride:.4g}"
        if self.scales != (1.0,):
            text += f", scales {' '.join(f'{scale:g}' for scale in self.scales)}"
        if self.flip:
            text += ", mirrored too"
        return {
            "text": text,
            "window": self.window,
            "stride": self.stride if slides else None,
            "crop_size": list(self.crop_size),
            "scales": list(self.scales),
            "flip": self.flip,
        }

    def fits(self, image: np.ndarray) -> bool:
        """Whether an image [height, width, 3] lies in the crop as it is."""
        return all(a <= b for a, b in zip(image.shape[:2], self.crop_size))

    def shrinks(self, image: np.ndarray) -> bool:
        """Whether the network sees a smaller copy of the image."""
        return self.window == WHOLE and not self.fits(image)

    @property
    def variations(self) -> List[str]:
        """What differs from the original's protocol, in words for a file name."""
        applied = {
            SLIDING: self.window == SLIDING,
            "scales": self.scales != (1.0,),
            "flip": self.flip,
        }
        return [name for name, differs in applied.items() if differs]

    def labels(self, image: np.ndarray) -> tf.Tensor:
        """The most probable class of each pixel.

        Args:
          image: [height, width, 3] in 0..255, any number type.

        Returns:
          [height, width], int32.
        """
        rows = self._scores(_check_image(image))
        return tf.concat([_best(scores) for scores in rows], 0)

    def labels_and_confidence(self, image: np.ndarray) -> Tuple[tf.Tensor, tf.Tensor]:
        """As `labels`, and the probability of that class, float32 [height, width]."""
        image = _check_image(image)
        labels, confidence = [], []
        for rows in self._scores(image):
            labels.append(_best(rows))
            confidence.append(tf.reduce_max(self._as_probabilities(rows, image), -1))
        return tf.concat(labels, 0), tf.concat(confidence, 0)

    def probabilities(self, image: np.ndarray) -> tf.Tensor:
        """The probability of each class: [height, width, classes], float32.

        Of a large photo and many classes these are gigabytes; `labels` needs little.
        """
        image = _check_image(image)
        rows = [self._as_probabilities(rows, image) for rows in self._scores(image)]
        return tf.concat(rows, 0)

    def image_logits(self, image: np.ndarray) -> tf.Tensor:
        """Logits [classes - 1], float32, of what the whole image shows.

        The network is a `DeepLabV3Plus`; a larger image is shrunk to the crop.
        """
        return self._image_logits(self._fitted(_check_image(image)))

    def of_whole(
        self, image: np.ndarray, function: Callable[..., Dict[str, tf.Tensor]]
    ) -> Dict[str, tf.Tensor]:
        """What a function of images gives for a whole image.

        Args:
          image: [height, width, 3] in 0..255, any number type.
          function: takes images [1, *crop_size, 3], float32, padded, and valid
            [1, *crop_size], float32, 0 in the padding; gives tensors [1, h, w, depth],
            whose corners lie on the images', by name.

        Returns:
          The tensors, [rows, columns, depth]: enlarged to the crop, without the
          padding. A larger image is shrunk to the crop, others keep their size.
        """
        fitted = self._fitted(_check_image(image))
        rows, columns = fitted.shape[:2]
        valid = geometry.pad_image(tf.ones([rows, columns, 1]), self.crop_size, (0.0,))
        outputs = function(self._padded(fitted), valid[tf.newaxis, ..., 0])
        return {
            name: resize_bilinear(output, self.crop_size)[0, :rows, :columns]
            for name, output in outputs.items()
        }

    def _slides(self, image: np.ndarray) -> bool:
        return self.window == SLIDING and not self.fits(image)

    def _as_probabilities(self, scores: tf.Tensor, image: np.ndarray) -> tf.Tensor:
        if self._averages_views or self._slides(image):
            return scores
        return tf.nn.softmax(scores)

    def _scores(self, image: np.ndarray) -> Iterator[tf.Tensor]:
        """Logits, or averaged probabilities, in stripes of rows from the top.

        Yields:
          [rows, width, classes], float32. Not all are in memory at once.
        """
        if self._slides(image):
            yield from self._slide(image)
        elif self.fits(image):
            yield self._crop_scores(self._fitted(image))
        else:
            small = self._crop_scores(self._fitted(image))
            yield from _enlarged(small, image.shape[:2])

    def _fitted(self, image: np.ndarray) -> tf.Tensor:
        """The image, float32, shrunk to the crop if it is larger."""
        if self.fits(image):
            return tf.cast(image, tf.float32)
        # As the input pipeline of training scales.
        return geometry.scale_image(image, fitting_size(image.shape, self.crop_size))

    def _slide(self, image: np.ndarray) -> Iterator[tf.Tensor]:
        """Averaged probabilities, as `_scores` gives them."""
        height, width = image.shape[:2]
        rows, columns = (min(a, b) for a, b in zip(image.shape, self.crop_size))
        tops = _window_starts(height, rows, self.stride)
        lefts = _window_starts(width, columns, self.stride)
        counts = np.outer(
            _windows_over(height, tops, rows), _windows_over(width, lefts, columns)
        ).astype(np.float32)[..., np.newaxis]
        sums = None  # Of the rows top ... top + rows.
        for top, following in zip(tops, [*tops[1:], height]):
            for left in lefts:
                part = image[top : top + rows, left : left + columns]
                scores = self._crop_scores(tf.cast(part, tf.float32))
                if not self._averages_views:
                    scores = tf.nn.softmax(scores)
                if sums is None:
                    sums = np.zeros([rows, width, scores.shape[-1]], np.float32)
                sums[:, left : left + columns] += scores.numpy()
            done = following - top  # No later window reaches these.
            yield tf.constant(sums[:done] / counts[top:following])
            sums[: rows - done] = sums[done:]
            sums[rows - done :] = 0.0

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.float32)])
    def _crop_scores(self, image: tf.Tensor) -> tf.Tensor:
        """Scores [height, width, classes] of an image that fits into the crop."""
        size = tf.shape(image)
        images = self._padded(image)
        if not self._averages_views:
            scores = resize_bilinear(
                self.network(images, training=False), self.crop_size
            )
        else:
            views = self._view_probabilities(images)
            scores = tf.add_n(views) / len(views)
        return scores[0, : size[0], : size[1]]

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.float32)])
    def _image_logits(self, image: tf.Tensor) -> tf.Tensor:
        end_points = self.network.backbone(self._padded(image), training=False)
        return self.network.classify(end_points)[0]

    def _padded(self, image: tf.Tensor) -> tf.Tensor:
        padded = geometry.pad_image(image, self.crop_size, self._padding_value)
        return tf.ensure_shape(padded, [*self.crop_size, 3])[tf.newaxis]

    def _view_probabilities(self, images: tf.Tensor) -> List[tf.Tensor]:
        """[1, *crop_size, classes] of each scale, and of each mirrored image."""
        views = []
        for scale in self.scales:
            size = tuple(int((side - 1) * scale + 1) for side in self.crop_size)
            for mirrored in (False, True) if self.flip else (False,):
                scaled = tf.reverse(images, [2]) if mirrored else images
                logits = self.network(resize_bilinear(scaled, size), training=False)
                if mirrored:
                    logits = tf.reverse(logits, [2])
                if scale < 1:
                    # So does the original; it differs from one enlargement.
                    grid = self.network.logits_size(self.crop_size)
                    logits = resize_bilinear(logits, grid)
                views.append(tf.nn.softmax(resize_bilinear(logits, self.crop_size)))
        return views


def fitting_size(size: Sequence[int], crop_size: Sequence[int]) -> Tuple[int, int]:
    """Height and width of the largest picture of this aspect inside the crop."""
    (height, width), (rows, columns) = size[:2], crop_size
    if height * columns >= width * rows:
        return rows, max(1, width * rows // height)
    return max(1, height * columns // width), columns


def _enlarged(scores: tf.Tensor, size: Sequence[int]) -> Iterator[tf.Tensor]:
    """Enlarges [h, w, classes] to `size`, some rows at a time.

    Bilinear with the pixels' centres where `geometry.scale_image` sees them.
    """
    (height, width), small_height = size, scores.shape[0]
    step = max(1, _STRIPE_NUMBERS // (width * scores.shape[-1]))
    for first in range(0, height, step):
        places = np.arange(first, min(first + step, height)) + 0.5
        places = np.clip(places * small_height / height - 0.5, 0, small_height - 1)
        above = places.astype(np.int32)
        below = np.minimum(above + 1, small_height - 1)
        share = (places - above).astype(np.float32)[:, np.newaxis, np.newaxis]
        rows = tf.gather(scores, above) * (1 - share)
        rows += tf.gather(scores, below) * share
        # The height stays: this enlarges the width.
        yield tf.image.resize(rows, [len(places), width])


def _window_starts(length: int, window: int, stride: float) -> List[int]:
    """First pixels of the windows over a side; the last one ends with the side."""
    last = length - window
    return [*range(0, last, max(1, int(window * stride))), last]


def _windows_over(length: int, starts: Sequence[int], window: int) -> np.ndarray:
    """[length]: how many windows cover each pixel of a side."""
    counts = np.zeros(length, np.int64)
    for start in starts:
        counts[start : start + window] += 1
    return counts


def _best(scores: tf.Tensor) -> tf.Tensor:
    return tf.argmax(scores, -1, tf.int32)


def _check_scales(scales: Sequence[float]) -> Tuple[float, ...]:
    try:
        checked = tuple(float(scale) for scale in scales)
    except (TypeError, ValueError):
        checked = ()
    if not checked or not all(0 < scale < float("inf") for scale in checked):
        raise UserError(
            f"Predictor.scales = {scales!r}: give one or several numbers above 0, "
            "such as (0.5, 1.0)."
        )
    return checked


def _check_image(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] != 3 or not image.size:
        raise UserError(
            f"An image has the shape {list(image.shape)}; it has to be [height, width, "
            "3]. Convert it to RGB."
        )
    return image
