"""FixMatch for segmentation: the weak view's sure pixels teach the strong view.

Sources: "FixMatch: Simplifying Semi-Supervised Learning with Consistency and
Confidence" (Sohn et al., NeurIPS 2020); for segmentation `fixmatch.py` of
LiheYoung/UniMatch (Yang et al., CVPR 2023).
"""

import enum
import functools
from typing import Iterator, Mapping, NamedTuple

import gin
import tensorflow as tf

from wss.methods.base import (
    SHOWN_IMAGES,
    Batch,
    Method,
    Panel,
    StepOutput,
    draw_seeds,
    segmentation_panels,
)
from wss.methods.components import mixing
from wss.models.deeplab import DeepLabV3Plus
from wss.ops import losses, metrics
from wss.ops.distributed import Ratio, mean_count
from wss.ops.resize import resize_bilinear
from wss.settings import Share

Images = Mapping[str, tf.Tensor]


class Draw(enum.IntEnum):
    """What the random draws of a step are for."""

    LABELED_DROPOUT = 0
    WEAK_DROPOUT = 1
    STRONG_DROPOUT = 2
    BOX = 3


class Target(NamedTuple):
    """What a view is to learn, each [batch, height, width].

    Attributes:
      label: int32, the likeliest class.
      confidence: float32, its probability.
      valid: float32, 0 in the padding.
    """

    label: tf.Tensor
    confidence: tf.Tensor
    valid: tf.Tensor


def make_target(logits: tf.Tensor, valid: tf.Tensor) -> Target:
    """What the weak view's logits, at the size of the images, say; without gradient."""
    probabilities = tf.nn.softmax(tf.stop_gradient(logits))
    return Target(
        tf.argmax(probabilities, -1, tf.int32), tf.reduce_max(probabilities, -1), valid
    )


def pasted(boxes: tf.Tensor, target: Target) -> Target:
    """The target of images in which boxes show the next image of the batch."""
    return Target(*(mixing.paste(boxes, part) for part in target))


def unsupervised_loss(logits: tf.Tensor, target: Target, threshold: float) -> tf.Tensor:
    """Cross entropy of the sure pixels; the divisor counts all that are not padding.

    Args:
      logits: [batch, height, width, classes], float32, of a strong view.
      target: what it is to learn.
      threshold: least confidence of a pixel that counts.

    Returns:
      Scalar, float32.
    """
    pixel_losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target.label, logits)
    weights = tf.cast(target.confidence >= threshold, tf.float32) * target.valid
    count = mean_count(tf.reduce_sum(target.valid))
    return losses.divide_or_zero(tf.reduce_sum(pixel_losses * weights), count)


@gin.configurable(denylist=["model", "ignore_label"])
class FixMatch(Method):
    """Half the supervised loss and half the loss of the strong view."""

    uses_unlabeled = True

    def __init__(
        self,
        model: DeepLabV3Plus,
        ignore_label: int,
        *,
        threshold: Share = 0.95,
        box_probability: Share = 0.5,
    ):
        """Creates the method.

        Args:
          model: the network to train.
          ignore_label: label of pixels without truth.
          threshold: least confidence of a pixel that the strong view learns.
          box_probability: share of the strong views in which a rectangle shows another
            image of the batch (CutMix).
        """
        super().__init__(model, ignore_label)
        self.threshold = threshold
        self.box_probability = box_probability
        self.mixes_images = box_probability > 0

    def step(
        self,
        batch: Batch,
        step: tf.Tensor,
        progress: tf.Tensor,
        seed: int,
        counts: Mapping[str, tf.Tensor],
    ) -> Iterator[StepOutput]:
        """See `Method.step`."""
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        logits, weak_logits = self._see_weak(labeled, unlabeled, seed)
        supervised = self.labeled_loss(logits, labeled, step, counts)
        yield StepOutput(
            losses={"supervised": 0.5 * supervised},
            panels=segmentation_panels(labeled, logits),
        )
        target = make_target(weak_logits, unlabeled["valid"])
        boxes = self.draw_boxes(unlabeled, seed, Draw.BOX)
        strong = mixing.paste(boxes, unlabeled["strong"])
        dropout_seeds = draw_seeds(seed, unlabeled, Draw.STRONG_DROPOUT)
        strong_logits = self.upsampled(
            self.model.segment(
                self.model.backbone(strong, training=True), True, dropout_seeds
            ),
            strong,
        )
        unsupervised = unsupervised_loss(
            strong_logits, pasted(boxes, target), self.threshold
        )
        output = StepOutput(losses={"unsupervised": 0.5 * unsupervised})
        self.monitor(unlabeled, target, strong, strong_logits, output)
        yield output

    def _see_weak(self, labeled: Images, unlabeled: Images, seed: int):
        """Logits of labeled images and, at the images' size, of weak views.

        One pass for both: batch norm sees them as one batch.
        """
        images = tf.concat([labeled["image"], unlabeled["weak"]], 0)
        dropout_seeds = tf.concat(
            [
                draw_seeds(seed, labeled, Draw.LABELED_DROPOUT),
                draw_seeds(seed, unlabeled, Draw.WEAK_DROPOUT),
            ],
            0,
        )
        end_points = self.model.backbone(images, training=True)
        logits = self.model.segment(end_points, True, dropout_seeds)
        count = labeled["image"].shape[0]
        return logits[:count], self.upsampled(logits[count:], unlabeled["weak"])

    def draw_boxes(self, unlabeled: Images, seed: int, purpose: int) -> tf.Tensor:
        """[batch, height, width], bool: where a strong view shows another image."""
        return mixing.draw_boxes(
            draw_seeds(seed, unlabeled, purpose),
            tuple(unlabeled["weak"].shape[1:3]),
            probability=self.box_probability,
        )

    def upsampled(self, logits: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        """Logits at the size of the images."""
        return resize_bilinear(logits, tuple(images.shape[1:3]))

    def monitor(
        self,
        unlabeled: Images,
        target: Target,
        strong: tf.Tensor,
        strong_logits: tf.Tensor,
        output: StepOutput,
    ) -> None:
        """How good and how sure the pseudo labels are; panels to look at."""
        labels, valid = unlabeled["label"], target.valid
        sure = tf.cast(target.confidence >= self.threshold, tf.float32) * valid
        output.monitors["pseudo_label_accuracy"] = metrics.balanced_accuracy(
            labels,
            target.label,
            (labels != self.ignore_label) & (sure > 0),
            self.model.num_classes,
        )
        mean = functools.partial(Ratio, count=tf.reduce_sum(valid))
        output.monitors["confidence"] = mean(tf.reduce_sum(target.confidence * valid))
        output.monitors["mask_ratio"] = mean(tf.reduce_sum(sure))
        shown = slice(0, SHOWN_IMAGES)
        prediction = tf.argmax(strong_logits[shown], -1, tf.int32)
        output.panels["unlabeled/weak"] = Panel("rgb", unlabeled["weak"][shown])
        output.panels["unlabeled/strong"] = Panel("rgb", strong[shown])
        output.panels["unlabeled/label"] = Panel("label", labels[shown])
        output.panels["unlabeled/sure"] = Panel("mask", sure[shown])
        output.panels["unlabeled/pseudo_label"] = Panel("label", target.label[shown])
        output.panels["unlabeled/prediction"] = Panel("label", prediction)
