"""The supervised baseline: the labeled images alone."""

import enum
from typing import Mapping

import gin
import tensorflow as tf

from wss.methods.base import (
    Batch,
    Method,
    StepOutput,
    draw_seeds,
    segmentation_panels,
)


class Draw(enum.IntEnum):
    """What the random draws of a step are for."""

    LABELED_DROPOUT = 0


@gin.configurable(denylist=["model", "ignore_label"])
class Supervised(Method):
    """Cross entropy on the labeled images."""

    def step(
        self,
        batch: Batch,
        step: tf.Tensor,
        seed: int,
        counts: Mapping[str, tf.Tensor],
    ) -> StepOutput:
        """See `Method.step`."""
        labeled = batch["labeled"]
        end_points = self.model.backbone(labeled["image"], training=True)
        logits = self.model.segment(
            end_points,
            training=True,
            dropout_seeds=draw_seeds(seed, labeled, Draw.LABELED_DROPOUT),
        )
        return StepOutput(
            losses={"supervised": self.supervised_loss(logits, labeled, step, counts)},
            panels=segmentation_panels(labeled, logits),
        )
