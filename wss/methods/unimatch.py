"""UniMatch: FixMatch with two strong views and a view of perturbed features.

Source: "Revisiting Weak-to-Strong Consistency in Semi-Supervised Semantic Segmentation"
(Yang et al., CVPR 2023) and `unimatch.py` of its published code.
"""

import enum
from collections.abc import Iterator, Mapping

import gin
import tensorflow as tf

from wss.methods.base import Batch, StepOutput, draw_seeds, supervised_output
from wss.methods.components import cutmix
from wss.methods.components.consistency import (
    confidence_masked_cross_entropy,
    make_target,
    pasted,
)
from wss.methods.fixmatch import FixMatch, Images
from wss.models.layers import EndPoints, dropout_mask
from wss.models.network import SegmentationNetwork
from wss.settings import Share


class RngStream(enum.IntEnum):
    """The random streams of a step."""

    LABELED_DROPOUT = 0
    WEAK_DROPOUT = 1
    STRONG_DROPOUT = 2
    STRONG_2_DROPOUT = 3
    PERTURBED_DROPOUT = 4
    BOX = 5
    BOX_2 = 6
    LOW_LEVEL_CHANNELS = 7
    CHANNELS = 8
    PERTURBED_LABELED_DROPOUT = 9
    LABELED_LOW_LEVEL_CHANNELS = 10
    LABELED_CHANNELS = 11


@gin.configurable(denylist=["model", "ignore_label"])
class UniMatch(FixMatch):
    """L = 1/2 (L_supervised + 1/4 L_strong + 1/4 L_strong_2 + 1/2 L_features)."""

    strong_views = 2
    # Share of the channels that perturbed features keep.
    kept_channels = 0.5

    def __init__(
        self,
        model: SegmentationNetwork,
        ignore_label: int,
        *,
        threshold: Share = 0.95,
        box_probability: Share = 0.5,
        perturbs_labeled: bool = True,
    ):
        """Creates the method.

        Args:
          model: the network to train.
          ignore_label: label of pixels without ground truth.
          threshold: least confidence of a pixel that the other views learn.
          box_probability: of each strong view, see `FixMatch`.
          perturbs_labeled: perturb and decode the features of the labeled images too,
            as the published code does. They have no loss, but the decoder's batch norm
            sees them.
        """
        super().__init__(
            model, ignore_label, threshold=threshold, box_probability=box_probability
        )
        self.perturbs_labeled = perturbs_labeled

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
        logits, weak_logits, perturbed_logits = self._forward_weak_and_perturbed(
            labeled, unlabeled, seed
        )
        target = make_target(weak_logits, unlabeled["valid"])
        supervised = self.labeled_loss(logits, labeled, global_step, loss_normalizers)
        features = confidence_masked_cross_entropy(
            perturbed_logits, target, self.threshold
        )
        output = supervised_output(0.5 * supervised, labeled, logits)
        output.losses["features"] = 0.25 * features
        yield output
        boxes = [
            self.draw_boxes(unlabeled, seed, stream)
            for stream in (RngStream.BOX, RngStream.BOX_2)
        ]
        strong = [
            cutmix.paste(box, unlabeled[name])
            for box, name in zip(boxes, ("strong", "strong_2"))
        ]
        strong_logits = self._forward_strong(strong, unlabeled, seed)
        strong_losses = [
            confidence_masked_cross_entropy(view, pasted(box, target), self.threshold)
            for view, box in zip(strong_logits, boxes)
        ]
        output = StepOutput(
            losses={
                "strong": 0.125 * strong_losses[0],
                "strong_2": 0.125 * strong_losses[1],
            }
        )
        self.monitor(unlabeled, target, strong[0], strong_logits[0], output)
        yield output

    def _forward_weak_and_perturbed(
        self, labeled: Images, unlabeled: Images, seed: int
    ):
        """Logits of labeled images, weak views and their perturbed features.

        Labeled images and weak views are one batch of the backbone; they and the
        perturbed features are one batch of the decoder. The logits of the last two are
        upsampled.
        """
        count = labeled["image"].shape[0]
        images = tf.concat([labeled["image"], unlabeled["weak"]], 0)
        end_points = self.model.backbone(images, training=True)
        dropout_seeds = [
            draw_seeds(seed, labeled, RngStream.LABELED_DROPOUT),
            draw_seeds(seed, unlabeled, RngStream.WEAK_DROPOUT),
        ]
        if self.perturbs_labeled:
            seeds = draw_seeds(seed, labeled, RngStream.PERTURBED_LABELED_DROPOUT)
            dropout_seeds.append(seeds)
        dropout_seeds.append(draw_seeds(seed, unlabeled, RngStream.PERTURBED_DROPOUT))
        perturbed = self._perturb(end_points, labeled, unlabeled, seed)
        end_points = {
            name: tf.concat([end_points[name], perturbed[name]], 0)
            for name in perturbed
        }
        logits = self.model.segment(end_points, True, tf.concat(dropout_seeds, 0))
        weak = logits[count : 2 * count], logits[-count:]
        return (
            logits[:count],
            *(self.upsampled(part, unlabeled["weak"]) for part in weak),
        )

    def _perturb(
        self, end_points: EndPoints, labeled: Images, unlabeled: Images, seed: int
    ) -> EndPoints:
        """The decoder's inputs, without a random half of each image's channels."""
        low_level, *pyramid = self.model.decoder_inputs
        streams = {
            (low_level,): (
                RngStream.LABELED_LOW_LEVEL_CHANNELS,
                RngStream.LOW_LEVEL_CHANNELS,
            ),
            tuple(pyramid): (RngStream.LABELED_CHANNELS, RngStream.CHANNELS),
        }
        perturbed = {}
        for names, (of_labeled, of_unlabeled) in streams.items():
            inputs = [end_points[name] for name in names]
            seeds = draw_seeds(seed, unlabeled, of_unlabeled)
            if self.perturbs_labeled:
                more = draw_seeds(seed, labeled, of_labeled)
                seeds = tf.concat([more, seeds], 0)
            else:
                inputs = [x[labeled["image"].shape[0] :] for x in inputs]
            channels = [x.shape[-1] for x in inputs]
            shape = [seeds.shape[0], 1, 1, sum(channels)]
            masks = dropout_mask(shape, self.kept_channels, seeds)
            for name, x, mask in zip(names, inputs, tf.split(masks, channels, -1)):
                perturbed[name] = x * tf.cast(mask, x.dtype)
        return perturbed

    def _forward_strong(self, views: list, unlabeled: Images, seed: int) -> list:
        """Upsampled logits of the two strong views, from one pass."""
        streams = (RngStream.STRONG_DROPOUT, RngStream.STRONG_2_DROPOUT)
        dropout_seeds = [draw_seeds(seed, unlabeled, stream) for stream in streams]
        images = tf.concat(views, 0)
        end_points = self.model.backbone(images, training=True)
        logits = self.model.segment(end_points, True, tf.concat(dropout_seeds, 0))
        return tf.split(self.upsampled(logits, images), 2)
