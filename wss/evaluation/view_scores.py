"""The scores of images that a network sees scaled and mirrored."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Callable, Literal

import tensorflow as tf

from wss.ops.resize import resize_bilinear

PROBABILITIES, LOGITS = "probabilities", "logits"
Average = Literal[PROBABILITIES, LOGITS]


@dataclasses.dataclass(frozen=True)
class Views:
    """A network that sees images scaled and mirrored.

    Images are [batch, height, width, 3] in 0..255, float32, of a static size; scores
    are [batch, height, width, classes], float32.

    Attributes:
      network: a `SegmentationNetwork`; for `logits` at scale 1 that do not round,
        `apply` is enough.
      apply: maps images to the network's logits.
      rounds: the size is any, and scaling also rounds it to the nearest size that the
        network takes, as in UniMatch V2; otherwise the network takes it.
    """

    network: tf.Module
    apply: Callable[[tf.Tensor], tf.Tensor]
    rounds: bool

    def mean_scores(
        self, images: tf.Tensor, scales: Sequence[float], flip: bool, average: Average
    ) -> tf.Tensor:
        """The mean of the views' probabilities or logits.

        Args:
          images: see the class.
          scales: scale factors of the images.
          flip: also mirror the images at each scale.
          average: what is averaged.
        """
        views = []
        for scale, mirrored in itertools.product(scales, (False, True)):
            if mirrored and not flip:
                continue
            scores = self.logits(images, scale, mirrored)
            if average == PROBABILITIES:
                scores = tf.nn.softmax(scores)
            views.append(scores)
        return tf.add_n(views) / len(views)

    def logits(
        self, images: tf.Tensor, scale: float = 1.0, mirrored: bool = False
    ) -> tf.Tensor:
        """The logits of one view, resized and mirrored back."""
        size = seen = tuple(images.shape[1:3])
        if scale != 1 or self.rounds:
            seen = self.network.scaled_size(size, scale)
        if mirrored:
            images = tf.reverse(images, [2])
        logits = self.apply(resize_bilinear(images, seen))
        if mirrored:
            logits = tf.reverse(logits, [2])
        # Two resizing steps, as in the originals; one gives other numbers.
        if self.rounds:
            logits = resize_bilinear(logits, seen)
        elif scale < 1:
            logits = resize_bilinear(logits, self.network.logits_size(size))
        return resize_bilinear(logits, size)
