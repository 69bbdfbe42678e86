"""FixMatch for segmentation: the strong view learns confident pixels of the weak one.

Sources: "FixMatch: Simplifying Semi-Supervised Learning with Consistency and
Confidence" (Sohn et al., NeurIPS 2020); for segmentation `fixmatch.py` of
LiheYoung/UniMatch (Yang et al., CVPR 2023).
"""

import enum
import functools
from collections.abc import Iterator, Mapping

import gin
import tensorflow as tf

from wss.methods.base import (
    Batch,
    Method,
    StepOutput,
    draw_seeds,
    supervised_output,
)
from wss.methods.components import cutmix
from wss.methods.components.consistency import (
    Target,
    confidence_masked_cross_entropy,
    make_target,
    pasted,
)
from wss.models.network import SegmentationNetwork
from wss.ops import metrics
from wss.ops.distributed import Ratio
from wss.ops.resize import resize_bilinear
from wss.settings import Share

Images = Mapping[str, tf.Tensor]


class RngStream(enum.IntEnum):
    """The random streams of a step."""

    LABELED_DROPOUT = 0
    WEAK_DROPOUT = 1
    STRONG_DROPOUT = 2
    BOX = 3


@gin.configurable(denylist=["model", "ignore_label"])
class FixMatch(Method):
    """Half the supervised loss plus half the loss of the strong view."""

    uses_unlabeled = True

    def __init__(
        self,
        model: SegmentationNetwork,
        ignore_label: int,
        *,
        threshold: Share = 0.95,
        box_probability: Share = 0.5,
    ):
        """Creates the method.

        Args:
          model: the network to train.
          ignore_label: label of pixels without ground truth.
          threshold: least confidence of a pixel that the strong view learns.
          box_probability: share of the strong views in which a rectangle shows another
            image of the batch (CutMix).
        """
        super().__init__(model, ignore_label)
        self.threshold = threshold
        self.box_probability = box_probability
        self.mixes_images = box_probability > 0

    def compute_losses(
        self,
        batch: Batch,
        global_step: tf.Tensor,
        progress: tf.Tensor,
        seed: int,
        loss_normalizers: Mapping[str, tf.Tensor],
    ) -> Iterator[StepOutput]:
        """See `Method.compute_losses`."""
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        logits, weak_logits = self._forward_weak(labeled, unlabeled, seed)
        supervised = self.labeled_loss(logits, labeled, global_step, loss_normalizers)
        yield supervised_output(0.5 * supervised, labeled, logits)
        target = make_target(weak_logits, unlabeled["valid"])
        boxes = self.draw_boxes(unlabeled, seed, RngStream.BOX)
        strong = cutmix.paste(boxes, unlabeled["strong"])
        dropout_seeds = draw_seeds(seed, unlabeled, RngStream.STRONG_DROPOUT)
        strong_logits = self.upsampled(
            self.model.segment(
                self.model.backbone(strong, training=True), True, dropout_seeds
            ),
            strong,
        )
        unsupervised = confidence_masked_cross_entropy(
            strong_logits, pasted(boxes, target), self.threshold
        )
        output = StepOutput(losses={"unsupervised": 0.5 * unsupervised})
        self.monitor(unlabeled, target, strong, strong_logits, output)
        yield output

    def _forward_weak(self, labeled: Images, unlabeled: Images, seed: int):
        """Logits of the labeled images and, upsampled, of the weak views.

        Both are one batch of the network, for batch norm.
        """
        images = tf.concat([labeled["image"], unlabeled["weak"]], 0)
        dropout_seeds = tf.concat(
            [
                draw_seeds(seed, labeled, RngStream.LABELED_DROPOUT),
                draw_seeds(seed, unlabeled, RngStream.WEAK_DROPOUT),
            ],
            0,
        )
        end_points = self.model.backbone(images, training=True)
        logits = self.model.segment(end_points, True, dropout_seeds)
        count = labeled["image"].shape[0]
        return logits[:count], self.upsampled(logits[count:], unlabeled["weak"])

    def draw_boxes(self, unlabeled: Images, seed: int, stream: int) -> tf.Tensor:
        """Where a strong view shows the next image, [batch, height, width], bool."""
        return cutmix.draw_boxes(
            draw_seeds(seed, unlabeled, stream),
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
        """Adds accuracy and confidence of the pseudo labels, and images."""
        labels, valid = unlabeled["label"], target.valid
        confident = tf.cast(target.confidence >= self.threshold, tf.float32) * valid
        output.monitors["pseudo_label_accuracy"] = metrics.balanced_accuracy(
            labels,
            target.label,
            (labels != self.ignore_label) & (confident > 0),
            self.model.num_classes,
        )
        mean = functools.partial(Ratio, count=tf.reduce_sum(valid))
        output.monitors["confidence"] = mean(tf.reduce_sum(target.confidence * valid))
        if self.threshold > 0:  # Otherwise it is 1.
            output.monitors["mask_ratio"] = mean(tf.reduce_sum(confident))
        output.show("unlabeled/weak", "rgb", unlabeled["weak"])
        output.show("unlabeled/strong", "rgb", strong)
        output.show("unlabeled/label", "label", labels)
        output.show("unlabeled/confident", "mask", confident)
        output.show("unlabeled/pseudo_label", "label", target.label)
        output.show("unlabeled/prediction", "scores", strong_logits)
